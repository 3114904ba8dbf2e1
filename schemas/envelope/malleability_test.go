package envelope

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"pgregory.net/rapid"

	"waypost/schemas"
)

// drawManifest makes a manifest that Sign accepts, and its body.
func drawManifest(t *rapid.T) (Manifest, []byte) {
	m := Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo,
		Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: rapid.SampledFrom([]schemas.Lane{schemas.LaneUrgent, schemas.LaneRoutine}).Draw(t, "lane"),
		Seq:  rapid.Uint64Range(1, MaxSeq).Draw(t, "seq"),
		Sent: time.Unix(0, rapid.Int64Range(1, 1<<62).Draw(t, "sent")),
	}
	body := append([]byte(bodyMagic), rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "body")...)
	switch rapid.IntRange(0, 4).Draw(t, "shape") {
	case 0:
		m.Basis = ConsentPrefix + schemas.NewThreadID()
		by := m.Sent.Add(time.Hour)
		m.RespondBy = &by
	case 1:
		m.Basis = "vital-interests"
	case 2:
		m.Outcome, m.Code, body = schemas.OutcomeVoid, "taken-back", nil
	case 3:
		m.Kind, m.Schema, m.ReplyTo = schemas.KindReferralResponse, "referral-response.v1", schemas.NewMessageID()
	case 4:
		m.Kind, m.Schema, m.Lane, m.ReplyTo = schemas.KindReceipt, "receipt.v1", schemas.LaneReceipt, schemas.NewMessageID()
		m.Outcome = rapid.SampledFrom(schemas.ReceiptOutcomes()).Draw(t, "outcome")
		m.Code, body = "storage-full", nil
	}
	return m, body
}

// What Sign makes, Parse accepts, Verify trusts, and Raw gives back.
func TestSignParse(t *testing.T) {
	signer, verifier := testSigner(t, police, 1)
	_, other := testSigner(t, ngo, 2)
	rapid.Check(t, func(t *rapid.T) {
		m, body := drawManifest(t)
		raw, err := Sign(m, body, signer)
		if err != nil {
			t.Fatal(err)
		}
		e, err := Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(e.Raw(), raw) || !bytes.Equal(e.Body, body) {
			t.Fatal("raw bytes or body differ")
		}
		if err := e.Verify(other, verifier); err != nil {
			t.Fatal(err)
		}
		if CodeOf(e.Verify(other)) != CodeBadSignature || CodeOf(e.Verify()) != CodeBadSignature {
			t.Fatal("verified without the sender's key")
		}
		if !e.Manifest.Sent.Equal(m.Sent.Truncate(time.Millisecond)) {
			t.Fatal("sent is not the time given")
		}
		// Any reader of notes opens what we write.
		n, err := note.Open(e.Note, note.VerifierList(verifier))
		if err != nil || n.Text != string(e.line.JSON)+"\n" {
			t.Fatalf("note.Open: %v", err)
		}
	})
}

// mutate changes one byte, or puts one in, or takes one out.
func mutate(t *rapid.T, raw []byte) []byte {
	out := bytes.Clone(raw)
	i := rapid.IntRange(0, len(out)-1).Draw(t, "offset")
	b := rapid.Byte().Draw(t, "byte")
	switch rapid.IntRange(0, 2).Draw(t, "edit") {
	case 0:
		out[i] = b
	case 1:
		out = slices.Insert(out, i, b)
	case 2:
		out = slices.Delete(out, i, i+1)
	}
	return out
}

// checkOneSpelling is the malleability property: bytes that are accepted encode
// to themselves, and bytes that are verified are the ones that were signed.
func checkOneSpelling(t interface{ Fatalf(string, ...any) }, raw []byte, signed [][]byte, verifiers ...note.Verifier) {
	e, err := Parse(raw)
	if err != nil {
		if e != nil {
			t.Fatalf("refused and still returned an envelope")
		}
		if _, ok := errors.AsType[*Error](err); !ok {
			t.Fatalf("refused without a code: %v", err)
		}
		return
	}
	if !bytes.Equal(e.Raw(), raw) {
		t.Fatalf("accepted bytes do not encode to themselves")
	}
	doc, err := schemas.Encode(&e.Manifest)
	if err != nil || !bytes.HasPrefix(raw, append(doc, "\n\n\u2014 "...)) {
		t.Fatalf("accepted manifest does not encode to itself: %v", err)
	}
	if e.Verify(verifiers...) == nil && !slices.ContainsFunc(signed, func(s []byte) bool { return bytes.Equal(s, raw) }) {
		t.Fatalf("verified bytes that nobody signed")
	}
}

func TestMalleabilityOfOneByte(t *testing.T) {
	signer, verifier := testSigner(t, police, 1)
	rapid.Check(t, func(t *rapid.T) {
		m, body := drawManifest(t)
		raw, err := Sign(m, body, signer)
		if err != nil {
			t.Fatal(err)
		}
		checkOneSpelling(t, mutate(t, raw), [][]byte{raw}, verifier)
	})
}

// Every single bit of one envelope, flipped: nothing else verifies.
func TestMalleabilityOfEveryBit(t *testing.T) {
	_, verifier := testSigner(t, police, 1)
	for _, v := range loadVectors(t) {
		if v.name != "ok_referral" && v.name != "ok_receipt" {
			continue
		}
		for i := range v.payload {
			for bit := range 8 {
				raw := bytes.Clone(v.payload)
				raw[i] ^= 1 << bit
				checkOneSpelling(t, raw, nil, verifier)
			}
		}
	}
}

// Parts of envelopes put together in other ways: a body under another's
// manifest, a signature under another manifest.
func TestSplicing(t *testing.T) {
	signer, verifier := testSigner(t, police, 1)
	rapid.Check(t, func(t *rapid.T) {
		var raws [][]byte
		var parts [][3][]byte
		for range 2 {
			m, body := drawManifest(t)
			raw, err := Sign(m, body, signer)
			if err != nil {
				t.Fatal(err)
			}
			raws = append(raws, raw)
			cut := bytes.Index(raw, []byte("\n\n")) + 2
			n := len(raw) - len(body)
			parts = append(parts, [3][]byte{raw[:cut], raw[cut:n], raw[n:]})
		}
		var spliced []byte
		for i := range 3 {
			spliced = append(spliced, parts[rapid.IntRange(0, 1).Draw(t, "part")][i]...)
		}
		checkOneSpelling(t, spliced, raws, verifier)
	})
}

// A manifest that Sign refuses, Parse refuses too if somebody signs it anyhow:
// the rules are the reader's, not only the writer's.
func TestCheckIsTheReaders(t *testing.T) {
	signer, _ := testSigner(t, police, 1)
	rapid.Check(t, func(t *rapid.T) {
		m, body := drawManifest(t)
		m.Type, m.Sent = ManifestType, Timestamp(m.Sent)
		if m.RespondBy != nil {
			by := Timestamp(*m.RespondBy)
			m.RespondBy = &by
		}
		if body != nil {
			m.Body, m.Size = digest(body), len(body)
		}
		text := rapid.SampledFrom([]string{"", "x", "A", "void", "receipt", "consent", "waypost.consent.v1", police, ngo, "a.b", "*"}).Draw(t, "text")
		for _, p := range []*string{&m.ID, &m.Thread, &m.ReplyTo, &m.From, &m.To, (*string)(&m.Kind), &m.Schema, (*string)(&m.Lane), &m.Basis, (*string)(&m.Outcome), &m.Code, &m.Body, &m.Type} {
			if rapid.IntRange(0, 7).Draw(t, "break") == 0 {
				*p = text
			}
		}
		raw, err := SignLine(&m, signer)
		if err != nil {
			return
		}
		_, perr := Parse(append(raw, body...))
		if cerr := m.Check(); (cerr == nil) != (perr == nil) && CodeOf(perr) != CodeBodyMismatch {
			t.Fatalf("Check says %v, Parse says %v", cerr, perr)
		}
	})
}

func TestSignRefuses(t *testing.T) {
	signer, _ := testSigner(t, police, 1)
	good := Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo, Kind: schemas.KindReferral,
		Schema: "referral.v1", Lane: schemas.LaneUrgent, Seq: 1, Sent: time.Now(), Basis: "public-task",
	}
	body := []byte(bodyMagic + "sealed")
	if _, err := Sign(good, body, signer); err != nil {
		t.Fatal(err)
	}
	other, _ := testSigner(t, ngo, 2)
	if _, err := Sign(good, body, other); CodeOf(err) != CodeBadSignature {
		t.Errorf("another's key: %v", err)
	}
	if _, err := Sign(good, []byte("Test Person A"), signer); CodeOf(err) != CodeMalformed {
		t.Errorf("plaintext: %v", err)
	}
	if _, err := Sign(good, append(body, make([]byte, MaxBody)...), signer); CodeOf(err) != CodeTooLarge {
		t.Errorf("oversize: %v", err)
	}
	if _, err := Sign(good, nil, signer); CodeOf(err) != CodeMalformed {
		t.Errorf("no body: %v", err)
	}
}

func TestLimits(t *testing.T) {
	signer, verifier := testSigner(t, police, 1)
	m := Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo, Kind: schemas.KindReferral,
		Schema: "referral.v1", Lane: schemas.LaneUrgent, Seq: 1, Sent: time.Now(), Basis: "public-task",
	}
	largest := append([]byte(bodyMagic), make([]byte, MaxBody-len(bodyMagic))...)
	raw, err := Sign(m, largest, signer)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(verifier); err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(make([]byte, MaxEnvelope+1)); CodeOf(err) != CodeTooLarge {
		t.Errorf("over the limit: %v", err)
	}
	if (&Envelope{Manifest: m}).Verify(verifier) == nil {
		t.Error("an envelope that nobody parsed verifies")
	}
}

// renamed is a verifier that goes by another name, with the same key and hash.
type renamed struct {
	note.Verifier
	name string
}

func (r *renamed) Name() string { return r.name }

// A key answers for its own name only, also where 32 bits of hash collide; and a
// key of the same name and hash that did not sign does not stand in the way.
func TestVerifierMustCarryTheName(t *testing.T) {
	signer, verifier := testSigner(t, police, 1)
	raw, err := SignLine(&Manifest{Type: ManifestType}, signer)
	if err != nil {
		t.Fatal(err)
	}
	line, _, err := ParseLine(raw, len(raw))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := line.Verify(&renamed{verifier, ngo}); CodeOf(err) != CodeBadSignature {
		t.Errorf("a verifier of another name: %v", err)
	}
	if v, err := line.Verify(nil, &refusing{verifier}, verifier); err != nil || v != verifier {
		t.Errorf("behind a key with the same hash: %v", err)
	}
}

// refusing is another key whose name and hash collide with the embedded one's.
type refusing struct{ note.Verifier }

func (*refusing) Verify(_, _ []byte) bool { return false }

func TestCheckSent(t *testing.T) {
	now := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC)
	for _, c := range []struct {
		sent time.Time
		want string
	}{
		{now, ""}, {now.Add(-365 * 24 * time.Hour), ""}, {now.Add(MaxSkew), ""},
		{now.Add(MaxSkew + time.Millisecond), CodeClockSkew}, {now.Add(240 * time.Hour), CodeClockSkew},
	} {
		if got := CodeOf(CheckSent(&Manifest{Sent: c.sent}, now)); got != c.want {
			t.Errorf("sent %v after now: got %q, want %q", c.sent.Sub(now), got, c.want)
		}
	}
}

// No error repeats anything from the bytes it refuses.
func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "Zebrafinch"
	for _, v := range loadVectors(t) {
		if v.fields["part"] != "envelope" {
			continue
		}
		for _, old := range []string{`"urgent"`, `"referral.v1"`, police, "sha256", `"lane"`, "sealed bytes", "vital"} {
			_, err := Parse(bytes.Replace(v.payload, []byte(old), []byte(strings.Replace(old, old[1:4], secret, 1)), 1))
			for ; err != nil; err = errors.Unwrap(err) {
				if strings.Contains(err.Error(), secret) {
					t.Fatalf("%s: error repeats a value: %v", v.name, err)
				}
			}
		}
	}
}
