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

// FuzzDecodePayload: over all kinds nothing panics, an error is an *InvalidError beside a nil result, and what is accepted
// means the same when it is encoded and read again; asking what it holds, and taking that out, never fails in another way.
func FuzzDecodePayload(f *testing.F) {
	var schemas []string
	for _, e := range Catalogue() {
		if e.typ == nil {
			continue
		}
		schemas = append(schemas, e.Schema)
		files, err := filepath.Glob("testdata/" + string(e.Kind) + "/*.json")
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds for %s", e.Kind)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(len(schemas)-1), b, uint32(len(b)))
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte, allow uint32) {
		schema := schemas[int(which)%len(schemas)]
		p, err := DecodePayload(schema, data)
		var invalid *InvalidError
		if err != nil {
			if !errors.As(err, &invalid) || p != nil || len(invalid.Problems) == 0 {
				t.Fatalf("%T beside %v", err, p)
			}
			return
		}
		text, err := Encode(p)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodePayload(schema, text)
		if err != nil {
			t.Fatalf("not accepted again: %v", err)
		}
		if d := cmp.Diff(p, again); d != "" {
			t.Fatal(d)
		}
		var allowed []Category
		for i, c := range AllCategories() {
			if allow&(1<<i) != 0 {
				allowed = append(allowed, c)
			}
		}
		smaller, _, err := Minimise(p, allowed)
		if err != nil {
			if !errors.As(err, &invalid) {
				t.Fatal(err)
			}
			return
		}
		if left := Excess(smaller, allowed); len(left) > 0 {
			t.Fatalf("left after minimising: %v", left)
		}
	})
}
