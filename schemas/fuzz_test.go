package schemas

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// seeds adds the files' documents and fails when there are none: a fuzz target without seeds passes on nothing.
func seeds(f *testing.F, least int, patterns ...string) {
	f.Helper()
	n := 0
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if strings.HasSuffix(file, ".txt") {
				_, b, _ = bytes.Cut(b, []byte("\n\n"))
			}
			f.Add(b)
			n++
		}
	}
	if n < least {
		f.Fatalf("%d seeds, want at least %d", n, least)
	}
}

// FuzzDecodeReferral: nothing panics, an error is an *InvalidError beside a nil result, and what is accepted
// encodes to what is accepted again, to the same value and the same bytes.
func FuzzDecodeReferral(f *testing.F) {
	seeds(f, 63, "testdata/referral/*.json", "testdata/hostile/*.txt")
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip[Referral](t, data) })
}

// FuzzDecodeSubmission is the same for what agencies' systems send.
func FuzzDecodeSubmission(f *testing.F) {
	seeds(f, 4, "../deploy/examples/referral-*.json")
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip[Submission](t, data) })
}

// FuzzDecodeResponse is the same for answers.
func FuzzDecodeResponse(f *testing.F) {
	seeds(f, 4, "../deploy/examples/response-*.json")
	f.Fuzz(func(t *testing.T, data []byte) { roundTrip[ReferralResponse](t, data) })
}

func roundTrip[T any](t *testing.T, data []byte) {
	v, err := Decode[T](data)
	if err != nil {
		var invalid *InvalidError
		if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
			t.Fatalf("not an *InvalidError with problems: %v", err)
		}
		if v != nil {
			t.Fatal("a result beside the error")
		}
		return
	}
	first, err := Encode(v)
	if err != nil {
		t.Fatalf("accepted but not encodable: %v", err)
	}
	again, err := Decode[T](first)
	if err != nil {
		t.Fatalf("our own encoding is refused: %v\n%s", err, first)
	}
	if diff := cmp.Diff(v, again); diff != "" {
		t.Fatalf("changed on the way:\n%s", diff)
	}
	second, err := Encode(again)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("encoding is not stable: %v", err)
	}
	Categories(v)
}
