package consent

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

const (
	police  = "northshire-police"
	ngo     = "harbour-light"
	housing = "night-shelter"
)

type seedSigner struct {
	note.Verifier
	priv ed25519.PrivateKey
}

func (s *seedSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.priv, msg), nil }

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

var given = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)

// testCertificate is a consent that the police took: to share with one NGO and
// with support providers, who may pass it on to one another.
func testCertificate() Certificate {
	return Certificate{
		Type: CertificateType, ID: "5f0c1f6e-0000-4000-8000-000000000004", Issuer: police, Issued: given.Add(time.Minute),
		Consent: schemas.Consent{
			Survivor:   "willow-17",
			Purposes:   []schemas.Purpose{schemas.PurposeAccommodation, schemas.PurposeImmediateSafety},
			Categories: []schemas.Category{schemas.CategoryIdentity, schemas.CategorySupportNeeds},
			Recipients: schemas.Recipients{Agencies: []string{ngo}, Classes: []schemas.RecipientClass{{Role: schemas.RoleSupportProvider}}},
			Onward:     schemas.OnwardNamed, Form: "spoken", Language: "en", Capacity: "has-capacity",
			ExplainedBy: "liaison officer", WithdrawalExplained: true, Words: "“Yes,” she said.\n\tTest Person A",
			Given: given, Expires: given.AddDate(0, 3, 0), Review: given.AddDate(0, 1, 0), HowToWithdraw: "tell any caseworker",
		},
	}
}

func signed(t testing.TB, c Certificate) string {
	t.Helper()
	signer, _ := testSigner(t, c.Issuer, 1)
	text, err := Sign(c, signer)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestSignOpen(t *testing.T) {
	c := testCertificate()
	c.Type = ""
	// An agency's system gives local time and nanoseconds; the certificate has neither.
	zone := time.FixedZone("BST", 3600)
	c.Consent.Given, c.Issued = c.Consent.Given.In(zone), c.Issued.Add(123456)
	text := signed(t, c)
	_, verifier := testSigner(t, police, 1)
	got, err := Open(text, verifier)
	if err != nil {
		t.Fatal(err)
	}
	want := testCertificate()
	if d := cmp.Diff(&want, got); d != "" {
		t.Fatal(d)
	}
	if got.Basis() != "consent:"+c.ID {
		t.Errorf("basis %q", got.Basis())
	}
	if strings.Count(text, "\n") != 3 {
		t.Error("a certificate is one line of text")
	}
}

func TestOpenRefuses(t *testing.T) {
	text := signed(t, testCertificate())
	_, verifier := testSigner(t, police, 1)
	_, otherKey := testSigner(t, police, 2)
	ngoSigner, ngoKey := testSigner(t, ngo, 2)

	// harbour-light signs, under its own name, a certificate that says the police took it.
	c := testCertificate()
	foreign, err := envelope.SignLine(&c, ngoSigner)
	if err != nil {
		t.Fatal(err)
	}
	for name, v := range map[string]struct {
		text      string
		verifiers []note.Verifier
		code      string
	}{
		"no keys":           {text, nil, envelope.CodeBadSignature},
		"another key":       {text, []note.Verifier{otherKey, ngoKey}, envelope.CodeBadSignature},
		"a wider recipient": {strings.Replace(text, `"`+ngo+`"`, `"`+housing+`"`, 1), []note.Verifier{verifier}, envelope.CodeBadSignature},
		"foreign issuer":    {string(foreign), []note.Verifier{ngoKey, verifier}, envelope.CodeBadSignature},
		"trailing":          {text + "x", []note.Verifier{verifier}, envelope.CodeMalformed},
		"empty":             {"", []note.Verifier{verifier}, envelope.CodeMalformed},
		"large":             {"{" + strings.Repeat(" ", MaxCertificate), []note.Verifier{verifier}, envelope.CodeTooLarge},
	} {
		got, err := Open(v.text, v.verifiers...)
		if e, ok := err.(*Error); !ok || e.Code != v.code || got != nil {
			t.Errorf("%s: got %v, want %s", name, err, v.code)
		}
	}
	if got, err := Open(text, otherKey, verifier); err != nil || got == nil {
		t.Errorf("one of several keys: %v", err)
	}
}

// The rules hold for the reader as for the writer: each broken consent is signed
// by hand and refused by Read too.
func TestRules(t *testing.T) {
	signer, _ := testSigner(t, police, 1)
	for name, c := range map[string]struct {
		breakIt func(*Certificate)
		field   string
	}{
		"id":              {func(c *Certificate) { c.ID = "1" }, "/id"},
		"issuer":          {func(c *Certificate) { c.Issuer = "*" }, "/issuer"},
		"not issued":      {func(c *Certificate) { c.Issued = time.Time{} }, "/issued"},
		"given later":     {func(c *Certificate) { c.Consent.Given = c.Issued.Add(time.Hour) }, "/consent/given"},
		"not given":       {func(c *Certificate) { c.Consent.Given = time.Time{} }, "/consent/given"},
		"no end":          {func(c *Certificate) { c.Consent.Expires = time.Time{} }, "/consent/expires"},
		"ends at once":    {func(c *Certificate) { c.Consent.Expires = c.Consent.Given }, "/consent/expires"},
		"too long":        {func(c *Certificate) { c.Consent.Expires = c.Consent.Given.AddDate(2, 0, 0) }, "/consent/expires"},
		"two ends":        {func(c *Certificate) { c.Consent.ValidForDays = 3 }, "/consent/valid_for_days"},
		"no purposes":     {func(c *Certificate) { c.Consent.Purposes = nil }, "/consent/purposes"},
		"unknown purpose": {func(c *Certificate) { c.Consent.Purposes = []schemas.Purpose{"all"} }, "/consent/purposes/0"},
		"no recipients":   {func(c *Certificate) { c.Consent.Recipients = schemas.Recipients{} }, "/consent/recipients"},
		"not explained":   {func(c *Certificate) { c.Consent.WithdrawalExplained = false }, "/consent/withdrawal_explained"},
		"onward unknown":  {func(c *Certificate) { c.Consent.Onward = "anybody" }, "/consent/onward"},
	} {
		x := testCertificate()
		c.breakIt(&x)
		text, err := Sign(x, signer)
		if e, ok := err.(*Error); !ok || e.Field != c.field || text != "" {
			t.Errorf("%s: Sign says %v, want field %s", name, err, c.field)
		}
		raw, err := envelope.SignLine(&x, signer)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Read(string(raw)); err == nil || got != nil {
			t.Errorf("%s: Read accepts it", name)
		}
	}
	other, _ := testSigner(t, ngo, 2)
	if _, err := Sign(testCertificate(), other); err == nil {
		t.Error("signed with another agency's key")
	}
	// A time that is not canonical, signed by hand.
	x := testCertificate()
	x.Consent.Expires = x.Consent.Expires.Add(time.Microsecond)
	raw, err := envelope.SignLine(&x, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(string(raw)); err == nil {
		t.Error("read a time below a millisecond")
	}
}

// One key signs manifests and certificates. None may ever be read as the other.
func TestDomainSeparation(t *testing.T) {
	signer, verifier := testSigner(t, police, 1)
	text := signed(t, testCertificate())
	body := "age-encryption.org/v1\n"
	for _, raw := range []string{text, text + body} {
		if e, err := envelope.Parse([]byte(raw)); err == nil || e != nil {
			t.Error("a certificate parses as an envelope")
		}
	}
	raw, err := envelope.Sign(envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), ReplyTo: schemas.NewMessageID(), From: police, To: ngo,
		Kind: schemas.KindReceipt, Schema: schemas.SchemaReceipt, Lane: schemas.LaneReceipt, Seq: 1, Sent: given,
		Outcome: schemas.OutcomeDelivered,
	}, nil, signer)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Read(string(raw)); err == nil || c != nil {
		t.Error("a manifest reads as a certificate")
	}
	// Also with the other's type, members and all, and a good signature.
	c := testCertificate()
	c.Type = envelope.ManifestType
	relabelled, err := envelope.SignLine(&c, signer)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Parse(relabelled); err == nil {
		t.Error("a certificate labelled as a manifest parses")
	}
	if _, err := Open(string(relabelled), verifier); err == nil {
		t.Error("a certificate labelled as a manifest opens")
	}
}

func TestOneByteChanged(t *testing.T) {
	text := signed(t, testCertificate())
	_, verifier := testSigner(t, police, 1)
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(text)
		i := rapid.IntRange(0, len(raw)-1).Draw(t, "offset")
		b := rapid.Byte().Draw(t, "byte")
		switch rapid.IntRange(0, 2).Draw(t, "edit") {
		case 0:
			raw[i] = b
		case 1:
			raw = slices.Insert(raw, i, b)
		case 2:
			raw = slices.Delete(raw, i, i+1)
		}
		if string(raw) == text {
			t.Skip("nothing changed")
		}
		if c, err := Open(string(raw), verifier); err == nil || c != nil {
			t.Fatal("opened a certificate that nobody signed")
		}
		checkOneSpelling(t, string(raw))
	})
}

func checkOneSpelling(t interface{ Fatalf(string, ...any) }, text string) {
	c, err := Read(text)
	if err != nil {
		if _, ok := err.(*Error); !ok || c != nil {
			t.Fatalf("refused with %v", err)
		}
		return
	}
	doc, err := schemas.Encode(c)
	if err != nil || !strings.HasPrefix(text, string(doc)+"\n\n\u2014 ") || strings.Count(text, "\n") != 3 {
		t.Fatalf("accepted text does not encode to itself: %v", err)
	}
}

func FuzzOpenCertificate(f *testing.F) {
	text := signed(f, testCertificate())
	short := testCertificate()
	short.Consent.Words, short.Consent.Review = "", time.Time{}
	short.Consent.Onward = schemas.OnwardNone
	seeds := []string{
		text, signed(f, short), text + "x", text[:len(text)-1], strings.ReplaceAll(text, "\n", "\r\n"),
		strings.Replace(text, CertificateType, envelope.ManifestType, 1), strings.Replace(text, police, ngo, 1),
		strings.Replace(text, `"purposes"`, `"Purposes"`, 1), strings.Replace(text, "Z", "+00:00", 1), "", "{}\n\n",
	}
	good := 0
	for _, s := range seeds {
		f.Add(s)
		if _, err := Read(s); err == nil {
			good++
		}
	}
	if good < 2 {
		f.Fatalf("%d seeds are certificates", good)
	}
	_, verifier := testSigner(f, police, 1)
	f.Fuzz(func(t *testing.T, s string) {
		checkOneSpelling(t, s)
		if c, err := Open(s, verifier); err == nil {
			if s != seeds[0] && s != seeds[1] {
				t.Fatal("opened a certificate that nobody signed")
			}
		} else if c != nil {
			t.Fatal("refused and still returned a certificate")
		}
	})
}
