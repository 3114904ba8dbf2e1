package directory

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"
)

func testRequest(t tester) *Request {
	t.Helper()
	nats, signing := natsKey(t, 41), testKey(t, ngo, 42)
	r, err := NewRequest(ngo, "Harbour Light", public(t, nats), signing.vkey, recipients(t)[1], start.Add(1234567), nats.Sign, signing.Sign)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func encoded(t tester, v interface{ Encode() ([]byte, error) }) []byte {
	t.Helper()
	b, err := v.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRequest(t *testing.T) {
	r := testRequest(t)
	raw := encoded(t, r)
	got, err := ParseRequest(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(r, got); d != "" {
		t.Error(d)
	}
	if again := encoded(t, got); !bytes.Equal(again, raw) {
		t.Error("does not encode to itself")
	}
	if f := r.Fingerprint(); f != got.Fingerprint() || len(f) != 47 || len(strings.Fields(f)) != 8 || strings.Trim(f, "0123456789 ") != "" {
		t.Errorf("fingerprint %q", f)
	}
}

// The fingerprint is part of the format: another implementation must read out
// the same digits.
func TestFingerprintIsFixed(t *testing.T) {
	// printf 'waypost.root.v1\nabc' | sha256sum, as a number, modulo 10^40.
	if got, want := RootFingerprint("abc"), "78874 49155 73301 11125 64866 76312 93689 18885"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestRequestRefuses(t *testing.T) {
	good := testRequest(t)
	other := testKey(t, ngo, 43)
	for name, c := range map[string]struct {
		breakIt func(*Request)
		code    string
	}{
		"agency":              {func(r *Request) { r.Agency = police }, CodeMalformed}, // the key carries the name
		"name":                {func(r *Request) { r.Name = "Another" }, CodeBadSignature},
		"created":             {func(r *Request) { r.Created = r.Created.Add(time.Second) }, CodeBadSignature},
		"recipient":           {func(r *Request) { r.Recipient = recipients(t)[2] }, CodeBadSignature},
		"no recipient":        {func(r *Request) { r.Recipient = "" }, CodeMalformed},
		"nats key":            {func(r *Request) { r.NATSKey = public(t, natsKey(t, 44)) }, CodeBadSignature},
		"signing key":         {func(r *Request) { r.SigningKey = other.vkey }, CodeBadSignature},
		"one key for both":    {func(r *Request) { r.NATSKey = public(t, natsKey(t, 42)) }, CodeMalformed},
		"no nats proof":       {func(r *Request) { r.Proofs.NATS = "" }, CodeMalformed},
		"no signing proof":    {func(r *Request) { r.Proofs.Signing = "" }, CodeMalformed},
		"proofs swapped":      {func(r *Request) { r.Proofs.NATS, r.Proofs.Signing = r.Proofs.Signing, r.Proofs.NATS }, CodeBadSignature},
		"proof with line end": {func(r *Request) { r.Proofs.NATS = r.Proofs.NATS[:4] + "\n" + r.Proofs.NATS[4:] }, CodeMalformed},
		"root's name":         {func(r *Request) { r.Agency, r.SigningKey = RootName, testKey(t, RootName, 42).vkey }, CodeMalformed},
		"type":                {func(r *Request) { r.Type = GrantType }, CodeMalformed},
		"small order key": {func(r *Request) {
			r.SigningKey, _ = note.NewEd25519VerifierKey(ngo, append([]byte{1}, make([]byte, 31)...))
			r.Proofs.Signing = base64.StdEncoding.EncodeToString(append([]byte{1}, make([]byte, 63)...))
		}, CodeMalformed},
	} {
		r := *good
		c.breakIt(&r)
		if err := r.Verify(); codeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
		raw := must(encodeFile(&r))
		if got, err := ParseRequest(raw); err == nil || got != nil {
			t.Errorf("%s: parsed", name)
		}
	}
	for name, raw := range map[string][]byte{
		"empty": nil, "no line end": encoded(t, good)[:20], "large": bytes.Repeat([]byte("{"), MaxRequest+1),
		"two line ends": append(encoded(t, good), '\n'), "CR LF": bytes.Replace(encoded(t, good), []byte("\n"), []byte("\r\n"), 1),
		"space":           bytes.Replace(encoded(t, good), []byte(`"agency":`), []byte(`"agency": `), 1),
		"a second agency": bytes.Replace(encoded(t, good), []byte(`"agency":`), []byte(`"agency":"eve","agency":`), 1),
	} {
		if got, err := ParseRequest(raw); err == nil || got != nil || codeOf(err) == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewRequestRefuses(t *testing.T) {
	nats, signing, wrong := natsKey(t, 41), testKey(t, ngo, 42), testKey(t, ngo, 43)
	failing := func([]byte) ([]byte, error) { return nil, errors.New("token removed") }
	for name, signers := range map[string][2]func([]byte) ([]byte, error){
		"wrong signing half": {nats.Sign, wrong.Sign}, "wrong NATS half": {wrong.Sign, signing.Sign},
		"no NATS": {failing, signing.Sign}, "no signing": {nats.Sign, failing},
	} {
		r, err := NewRequest(ngo, "", public(t, nats), signing.vkey, recipients(t)[0], start, signers[0], signers[1])
		if err == nil || r != nil {
			t.Errorf("%s: made a request", name)
		}
	}
}

// Every change to a request's file is refused or, if it were not, would show in
// the fingerprint.
func TestRequestOneByteChanged(t *testing.T) {
	good := testRequest(t)
	raw := encoded(t, good)
	rapid.Check(t, func(t *rapid.T) {
		c := bytes.Clone(raw)
		i := rapid.IntRange(0, len(c)-1).Draw(t, "offset")
		switch rapid.IntRange(0, 2).Draw(t, "edit") {
		case 0:
			c[i] ^= rapid.ByteRange(1, 255).Draw(t, "change")
		case 1:
			c = slices.Insert(c, i, rapid.Byte().Draw(t, "byte"))
		case 2:
			c = slices.Delete(c, i, i+1)
		}
		if bytes.Equal(c, raw) {
			t.Skip("nothing changed")
		}
		if r, err := ParseRequest(c); err == nil || r != nil {
			t.Fatal("accepted a request that nobody made")
		}
	})
}

// Whoever owns a key of small order could disown what it signed. Each of them is
// tried: a signature that nobody made verifies, and the key is refused.
func TestWeakKeys(t *testing.T) {
	for _, point := range weakPoints {
		for _, sign := range []byte{0, 0x80} {
			pub := point
			pub[31] |= sign
			forged := false
			for i := range 200 {
				// R is the neutral point and S is zero: it verifies whenever the
				// challenge times the key is neutral, one time in eight at least.
				if ed25519.Verify(pub[:], fmt.Appendf(nil, "message %d", i), append([]byte{1}, make([]byte, 63)...)) {
					forged = true
				}
			}
			vkey, err := note.NewEd25519VerifierKey(ngo, pub[:])
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := parseSigningKey(vkey, ngo); err == nil {
				t.Errorf("%x… accepted, forged %v", pub[:4], forged)
			}
			// The sign bit makes some encodings invalid; those with it clear all forge.
			if sign == 0 && !forged {
				t.Errorf("%x… is not of small order", pub[:4])
			}
		}
	}
}

func TestRecipientSpelling(t *testing.T) {
	for _, s := range recipients(t) {
		if err := checkRecipient(s); err != nil {
			t.Fatal(err)
		}
		rapid.Check(t, func(t *rapid.T) {
			i := rapid.IntRange(0, len(s)-1).Draw(t, "offset")
			b := rapid.Byte().Draw(t, "byte")
			if b == s[i] {
				t.Skip("nothing changed")
			}
			if checkRecipient(s[:i]+string([]byte{b})+s[i+1:]) == nil {
				t.Fatal("accepted a mistyped recipient")
			}
		})
		for _, bad := range []string{"", s[:len(s)-1], s + "q", strings.ToUpper(s), " " + s, "age1" + s[7:]} {
			if checkRecipient(bad) == nil {
				t.Errorf("accepted %.12q…", bad)
			}
		}
	}
}

func testGrant(t tester) *Grant {
	r := testRequest(t)
	return &Grant{
		Type: GrantType, Agency: r.Agency, NATSKey: r.NATSKey, SigningKey: r.SigningKey, Recipient: r.Recipient,
		UserJWT: "eyJ0eXAi.eyJqdGki.c2ln", Root: rootKey(t).vkey, Network: "Example network",
		URLs: []string{"tls://broker.example.org:4222", "wss://broker.example.org"}, CA: testCA(t), Issued: start,
	}
}

func testCA(t tester) string {
	t.Helper()
	priv := ed25519.NewKeyFromSeed(make([]byte, 32))
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: start, NotAfter: start.AddDate(1, 0, 0), IsCA: true}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, priv.Public(), priv)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestGrant(t *testing.T) {
	g := testGrant(t)
	raw := encoded(t, g)
	got, err := ParseGrant(raw)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(g, got); d != "" {
		t.Error(d)
	}
	if v, err := got.RootVerifier(); err != nil || v.Name() != RootName {
		t.Errorf("root: %v", err)
	}
	if got.Fingerprint() != RootFingerprint(g.Root) {
		t.Error("the fingerprint is not the root's")
	}
	if err := got.Match(g.Agency, g.NATSKey, g.SigningKey, g.Recipient); err != nil {
		t.Error(err)
	}
	for i := range 4 {
		own := []string{g.Agency, g.NATSKey, g.SigningKey, g.Recipient}
		own[i] += "x"
		if err := got.Match(own[0], own[1], own[2], own[3]); codeOf(err) != CodeOtherKeys {
			t.Errorf("a grant for other keys: %v", err)
		}
	}
}

func TestGrantRefuses(t *testing.T) {
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")}))
	for name, breakIt := range map[string]func(*Grant){
		"agency":       func(g *Grant) { g.Agency = police },
		"jwt":          func(g *Grant) { g.UserJWT = "a.b" },
		"jwt text":     func(g *Grant) { g.UserJWT = "-----BEGIN NATS USER JWT-----" },
		"root name":    func(g *Grant) { g.Root = testKey(t, "another-root", 99).vkey },
		"root":         func(g *Grant) { g.Root = "" },
		"no network":   func(g *Grant) { g.Network = "" },
		"no urls":      func(g *Grant) { g.URLs = nil },
		"http":         func(g *Grant) { g.URLs = []string{"http://broker.example.org"} },
		"password":     func(g *Grant) { g.URLs = []string{"nats://user:word@broker.example.org"} },
		"no host":      func(g *Grant) { g.URLs = []string{"nats://:4222"} },
		"no scheme":    func(g *Grant) { g.URLs = []string{"broker.example.org:4222"} },
		"query":        func(g *Grant) { g.URLs = []string{"nats://broker.example.org?x"} },
		"ca":           func(g *Grant) { g.CA = "x" },
		"ca and a key": func(g *Grant) { g.CA += key },
		"key and a ca": func(g *Grant) { g.CA = key + g.CA },
		"ca and words": func(g *Grant) { g.CA = "words\n" + g.CA },
		"empty ca":     func(g *Grant) { g.CA = "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n" },
		"never issued": func(g *Grant) { g.Issued = time.Time{} },
		"weak root": func(g *Grant) {
			g.Root, _ = note.NewEd25519VerifierKey(RootName, append([]byte{1}, make([]byte, 31)...))
		},
	} {
		g := testGrant(t)
		breakIt(g)
		if raw, err := g.Encode(); codeOf(err) != CodeMalformed || raw != nil {
			t.Errorf("%s: Encode says %v", name, err)
		}
		if got, err := ParseGrant(must(encodeFile(g))); codeOf(err) != CodeMalformed || got != nil {
			t.Errorf("%s: ParseGrant says %v", name, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	raw := encoded(f, testRequest(f))
	seeds := [][]byte{raw, raw[:len(raw)-1], append(bytes.Clone(raw), ' '), bytes.Replace(raw, []byte(ngo), []byte(police), 1), encoded(f, testGrant(f)), {}}
	good := 0
	for _, s := range seeds {
		f.Add(s)
		if _, err := ParseRequest(s); err == nil {
			good++
		}
	}
	if good != 1 {
		f.Fatalf("%d seeds are requests, want 1", good)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseRequest(b)
		if err != nil {
			if r != nil || codeOf(err) == "" {
				t.Fatalf("refused with %v and %v", r, err)
			}
			return
		}
		// A fuzzer may hold keys of its own; spelling is what it may not choose.
		if again, err := r.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatal("accepted a request that does not encode to itself")
		}
	})
}

func FuzzParseGrant(f *testing.F) {
	raw := encoded(f, testGrant(f))
	bare := testGrant(f)
	bare.CA = ""
	seeds := [][]byte{raw, encoded(f, bare), raw[:len(raw)-1], bytes.Replace(raw, []byte("tls://"), []byte("http://"), 1), encoded(f, testRequest(f)), {}}
	good := 0
	for _, s := range seeds {
		f.Add(s)
		if _, err := ParseGrant(s); err == nil {
			good++
		}
	}
	if good != 2 {
		f.Fatalf("%d seeds are grants, want 2", good)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := ParseGrant(b)
		if err != nil {
			if g != nil || codeOf(err) == "" {
				t.Fatalf("refused with %v and %v", g, err)
			}
			return
		}
		if again, err := g.Encode(); err != nil || !bytes.Equal(again, b) {
			t.Fatal("accepted a grant that does not encode to itself")
		}
	})
}

// TestParseRoot: root.pub has one spelling; every change of a byte of it is refused or another key.
func TestParseRoot(t *testing.T) {
	_, vkey, err := note.GenerateKey(rand.Reader, RootName)
	if err != nil {
		t.Fatal(err)
	}
	want, err := ParseRoot(vkey + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseRoot(vkey + "\r\n"); err != nil {
		t.Errorf("with the line end of Windows: %v", err)
	}
	text := []byte(vkey + "\n")
	for i := range text {
		for b := range 256 {
			changed := bytes.Clone(text)
			changed[i] = byte(b)
			if v, err := ParseRoot(string(changed)); err == nil && v.KeyHash() == want.KeyHash() && byte(b) != text[i] {
				t.Errorf("byte %d: %q passes for %q", i, rune(b), rune(text[i]))
			}
		}
	}
}
