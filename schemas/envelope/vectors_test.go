package envelope

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"
)

// vector is one file under testdata/vectors. See the README there.
type vector struct {
	name    string
	fields  map[string]string
	payload []byte
}

func (v *vector) field(t testing.TB, name string) string {
	s, ok := v.fields[name]
	if !ok {
		t.Fatalf("%s: no %q", v.name, name)
	}
	return s
}

// minVectors keeps the tests from passing on nothing when the files move.
const minVectors = 100

func loadVectors(t testing.TB) []vector {
	t.Helper()
	names, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []vector
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		head, payload, ok := bytes.Cut(raw, []byte("\n\n"))
		if !ok {
			t.Fatalf("%s: no blank line after the header", name)
		}
		v := vector{name: strings.TrimSuffix(filepath.Base(name), ".txt"), fields: map[string]string{}, payload: payload}
		for line := range strings.SplitSeq(string(head), "\n") {
			key, value, ok := strings.Cut(line, ": ")
			if !ok {
				t.Fatalf("%s: header line without a colon", name)
			}
			v.fields[key] = value
		}
		if pad := v.fields["pad"]; pad != "" {
			n, err := strconv.Atoi(pad)
			if err != nil {
				t.Fatal(err)
			}
			v.payload = append(v.payload, bytes.Repeat([]byte(" "), n-len(v.payload))...)
		}
		if strings.TrimSpace(v.fields["comment"]) == "" {
			t.Errorf("%s: every vector says what it is for in comment:", name)
		}
		out = append(out, v)
	}
	if len(out) < minVectors {
		t.Fatalf("found %d vectors, want %d at least", len(out), minVectors)
	}
	return out
}

// testSigner is the key of an agency in the vectors: its seed is 32 times one byte.
func testSigner(t testing.TB, name string, seed byte) (note.Signer, note.Verifier) {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
	vkey, err := note.NewEd25519VerifierKey(name, priv.Public().(ed25519.PublicKey))
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(vkey)
	if err != nil {
		t.Fatal(err)
	}
	return &seedSigner{v, priv}, v
}

type seedSigner struct {
	note.Verifier
	priv ed25519.PrivateKey
}

func (s *seedSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.priv, msg), nil }

const (
	police = "northshire-police"
	ngo    = "harbour-light"
)

func testVerifiers(t testing.TB) []note.Verifier {
	_, p := testSigner(t, police, 1)
	_, n := testSigner(t, ngo, 2)
	return []note.Verifier{p, n}
}

func TestVectors(t *testing.T) {
	seen := map[string]int{}
	for _, v := range loadVectors(t) {
		t.Run(v.name, func(t *testing.T) {
			expect := v.field(t, "expect")
			seen[expect]++
			switch part := v.field(t, "part"); part {
			case "envelope":
				testEnvelopeVector(t, &v, expect)
			case "body":
				testBodyVector(t, &v, expect)
			default:
				t.Fatalf("unknown part %q", part)
			}
		})
	}
	for _, code := range []string{"ok", CodeMalformed, CodeTooLarge, CodeBodyMismatch, CodeHeaderMismatch} {
		if seen[code] == 0 {
			t.Errorf("no vector expects %s", code)
		}
	}
}

func testEnvelopeVector(t *testing.T, v *vector, expect string) {
	e, err := Parse(v.payload)
	if expect != "ok" {
		checkRefusal(t, v, expect, err)
		if e != nil {
			t.Error("refused and still returned an envelope")
		}
		return
	}
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	if !bytes.Equal(e.Raw(), v.payload) {
		t.Error("what was accepted does not encode to itself")
	}
	if got, want := CodeOf(e.Verify(testVerifiers(t)...)), v.field(t, "verify"); got != strings.TrimPrefix(want, "ok") {
		t.Errorf("verify: got %q, want %q", got, want)
	}
	if got, want := e.Manifest.Subject(), v.field(t, "subject"); got != want {
		t.Errorf("subject: got %q, want %q", got, want)
	}
}

func testBodyVector(t *testing.T, v *vector, expect string) {
	var want Header
	if err := json.Unmarshal([]byte(v.field(t, "header")), &want); err != nil {
		t.Fatal(err)
	}
	b, err := DecodeBody(v.payload, want)
	if expect != "ok" {
		checkRefusal(t, v, expect, err)
		if b != nil {
			t.Error("refused and still returned a body")
		}
		return
	}
	if err != nil {
		t.Fatalf("refused: %v", err)
	}
	again, err := EncodeBody(b.Header, b.Certificates, b.Statements, b.Seen, b.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(again, v.payload) {
		t.Error("what was accepted does not encode to itself")
	}
}

func checkRefusal(t *testing.T, v *vector, expect string, err error) {
	t.Helper()
	if got := CodeOf(err); got != expect {
		t.Fatalf("got %q (%v), want %q", got, err, expect)
	}
	// The rule pins why: a vector that is refused for another reason tests nothing.
	if want := v.fields["rule"]; want != "" && !strings.HasSuffix(err.Error(), ": "+want) {
		t.Errorf("got %v, want rule %q", err, want)
	}
}
