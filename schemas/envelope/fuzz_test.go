package envelope

import (
	"bytes"
	"errors"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
)

// addSeeds adds the vectors of one part; it fails when there are too few, so
// that a fuzz target never passes on nothing.
func addSeeds(f *testing.F, part string, minimum int, use func(v *vector) bool) (seeds [][]byte) {
	for _, v := range loadVectors(f) {
		if v.fields["part"] == part && use(&v) {
			f.Add(v.payload)
			seeds = append(seeds, v.payload)
		}
	}
	if len(seeds) < minimum {
		f.Fatalf("%d seeds, want %d at least", len(seeds), minimum)
	}
	return seeds
}

func all(*vector) bool { return true }

// FuzzParse: no input panics, a refusal has a code and no result, and what is
// accepted is also a note to the reference implementation.
func FuzzParse(f *testing.F) {
	addSeeds(f, "envelope", 90, all)
	verifiers := testVerifiers(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := Parse(raw)
		if err != nil {
			if e != nil || CodeOf(err) == "" {
				t.Fatalf("refused with %v and %v", e, err)
			}
			return
		}
		if err := e.Manifest.Check(); err != nil {
			t.Fatalf("accepted a manifest that breaks a rule: %v", err)
		}
		n, err := note.Open(e.Note, note.VerifierList(verifiers...))
		if unverified, ok := errors.AsType[*note.UnverifiedNoteError](err); ok {
			n = unverified.Note
		} else if _, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
			n = nil
		} else if err != nil {
			t.Fatalf("note.Open refuses what Parse accepts: %v", err)
		}
		if n != nil && (n.Text != string(e.line.text) || len(n.Sigs)+len(n.UnverifiedSigs) != 1) {
			t.Fatal("note.Open reads another text")
		}
		// The same judgement on the signature, our rule on the name apart.
		if ours := e.Verify(verifiers...) == nil; ours && err != nil {
			t.Fatalf("verified what note.Open does not: %v", err)
		}
	})
}

// FuzzMalleability: accepted bytes encode to themselves, and verified bytes are
// the ones that were signed.
func FuzzMalleability(f *testing.F) {
	signed := addSeeds(f, "envelope", 10, func(v *vector) bool { return v.fields["verify"] == "ok" })
	verifiers := testVerifiers(f)
	f.Fuzz(func(t *testing.T, raw []byte) { checkOneSpelling(t, raw, signed, verifiers...) })
}

// FuzzDecodeBody: no input panics, and what is accepted encodes to itself and
// holds the header that was asked for.
func FuzzDecodeBody(f *testing.F) {
	addSeeds(f, "body", 30, all)
	var want Header
	for _, v := range loadVectors(f) {
		if v.name == "body_ok" {
			if err := json.Unmarshal([]byte(v.fields["header"]), &want); err != nil {
				f.Fatal(err)
			}
		}
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		b, err := DecodeBody(plain, want)
		if err != nil {
			if b != nil || CodeOf(err) == "" {
				t.Fatalf("refused with %v and %v", b, err)
			}
			return
		}
		again, err := EncodeBody(b.Header, b.Certificates, b.Statements, b.Seen, b.Payload)
		if err != nil || !bytes.Equal(again, plain) || b.Header != want {
			t.Fatalf("accepted a body that does not encode to itself: %v", err)
		}
	})
}
