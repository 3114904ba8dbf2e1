package floor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

var sizes = Sizes{Plain: 4096, Note: 700, Certificate: 900, Receipt: 600}

// TestRun carries messages every way there is, and counts what lies on disk afterwards.
func TestRun(t *testing.T) {
	defer goleak.VerifyNone(t)
	dir := t.TempDir()
	f, err := Open(t.Context(), dir, 2, sizes)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, parts := range []Parts{{}, {Crypto: true}, {Crypto: true, Stores: true}} {
		most := 0
		if took, err := f.Run(t.Context(), 25, parts, func(n int) { most = max(most, n) }); err != nil || took <= 0 || most != 25 {
			t.Fatalf("%+v: %v in %v, %d arrived", parts, err, took, most)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "sink-*", "*.json"))
	if err != nil || len(files) != 25 {
		t.Errorf("%d files in the sinks, %v", len(files), err)
	}
	for _, s := range []string{mailStream, receiptStream} {
		stream, err := f.pairs[0].out.Stream(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		if n := stream.CachedInfo().State.Msgs; n != 75 {
			t.Errorf("%s holds %d messages", s, n)
		}
	}
	u, err := f.Units(t.Context(), 3)
	if err != nil || u.Publish <= 0 || u.Commit <= 0 || u.Crypto != u.Seal+u.Open+u.Reopen+u.Receipt {
		t.Errorf("%+v %v", u, err)
	}
}

// TestForged: the floor verifies what it measures: a changed byte anywhere ends it.
func TestForged(t *testing.T) {
	a, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	b, err := newKeys()
	if err != nil {
		t.Fatal(err)
	}
	certificate := []byte("certificate")
	id := randomID()
	m, wrapped, err := a.seal(b.identity.Recipient(), id, []byte("plain"), certificate, 300)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.open(a.public, m, nil, nil, 300); err != nil {
		t.Fatal(err)
	}
	if err := a.reopen(id, m[300:], wrapped); err != nil {
		t.Fatal(err)
	}
	if a.reopen(randomID(), m[300:], wrapped) == nil {
		t.Error("a key of another message opens it")
	}
	for _, at := range []int{0, idSize, 299, 300, len(m) - 1} {
		bad := append([]byte(nil), m...)
		bad[at] ^= 1
		if _, _, err := b.open(a.public, bad, nil, nil, 300); !errors.Is(err, errBroken) {
			t.Errorf("byte %d changed: %v", at, err)
		}
	}
	if _, _, err := b.open(a.public, m, certificate, make([]byte, 64), 300); !errors.Is(err, errBroken) {
		t.Errorf("forged certificate: %v", err)
	}
	r := b.receipt(id, 200)
	r[3] ^= 1
	if err := verifyReceipt(b.public, r); !errors.Is(err, errBroken) {
		t.Errorf("forged receipt: %v", err)
	}
}

// TestRunFails: an error in the middle ends all of it.
func TestRunFails(t *testing.T) {
	dir := t.TempDir()
	f, err := Open(t.Context(), dir, 1, sizes)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.pairs[0].from.public = make([]byte, 32)
	if _, err := f.Run(t.Context(), 20, Parts{Crypto: true}, nil); !errors.Is(err, errBroken) {
		t.Errorf("a forged sender: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if sink(filepath.Join(dir, "file"), []*message{{id: "x"}}, 1) == nil {
		t.Error("a sink that cannot be written takes a message")
	}
}
