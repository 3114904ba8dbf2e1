package envelope

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

// oddSigner has any name and makes any signature, or none.
type oddSigner struct {
	name string
	hash uint32
	sig  []byte
	err  error
}

func (s oddSigner) Name() string                { return s.name }
func (s oddSigner) KeyHash() uint32             { return s.hash }
func (s oddSigner) Sign([]byte) ([]byte, error) { return s.sig, s.err }

// TestSignNote: what is signed by hand is what the reference implementation signs.
func TestSignNote(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := oddSigner{
			name: rapid.SampledFrom([]string{police, ngo, "waypost-network", "", "A", "a b", "a+b", "x\u2003y", "\xff"}).Draw(t, "name"),
			hash: rapid.Uint32().Draw(t, "hash"),
			sig:  rapid.SliceOfN(rapid.Byte(), 0, 80).Draw(t, "signature"),
		}
		if rapid.IntRange(0, 9).Draw(t, "fails") == 0 {
			s.err = errors.New("no key")
		}
		text := append(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "text"), '\n')
		want, wantErr := note.Sign(&note.Note{Text: string(text)}, s)
		got, err := signNote(bytes.Clone(text), s)
		if !bytes.Equal(got, want) || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			t.Fatalf("got %q, %v, want %q, %v", got, err, want, wantErr)
		}
	})
}

// BenchmarkSignNote is what signing by hand saves, without the signature itself.
func BenchmarkSignNote(b *testing.B) {
	s := oddSigner{name: police, sig: make([]byte, 64)}
	text := append(bytes.Repeat([]byte("x"), 700), '\n')
	b.Run("hand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := signNote(append(make([]byte, 0, 1<<10), text...), s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("reference", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := note.Sign(&note.Note{Text: string(text)}, s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
