package consent

import (
	"bytes"
	"os"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// uncosted signs and verifies with a known key for nothing: what is measured is the reading and writing around it.
type uncosted struct{ note.Verifier }

func (u uncosted) Sign([]byte) ([]byte, error)     { return make([]byte, 64), nil }
func (u uncosted) Verify(_, signature []byte) bool { return len(signature) == 64 }

// way is one message's way, step by step: what an agency's system hands in, and what comes of it.
type way struct {
	now            time.Time
	from           note.Signer
	submitted      []byte // the document
	submission     *schemas.Submission
	certificate    Certificate
	text           string // of the certificate
	payload, plain []byte
	manifest       envelope.Manifest
	sealed, raw    []byte // the body's stand-in, the envelope
	receipt        envelope.Manifest
}

func (w *way) validate(t testing.TB) {
	if err := schemas.ValidateAt(w.submission, w.now); err != nil {
		t.Fatal(err)
	}
}

func (w *way) decodeSubmission(t testing.TB) {
	var err error
	if w.submission, err = schemas.Decode[schemas.Submission](w.submitted); err != nil {
		t.Fatal(err)
	}
}

func (w *way) issue(t testing.TB) {
	_, text, err := Issue(w.certificate, w.from)
	if err != nil {
		t.Fatal(err)
	}
	w.text = text
}

func (w *way) encodePayload(t testing.TB) {
	var err error
	if w.payload, err = schemas.Encode(w.submission.Referral); err != nil {
		t.Fatal(err)
	}
}

func (w *way) encodeBody(t testing.TB) {
	var err error
	if w.plain, err = envelope.EncodeBody(w.manifest.Header(), []string{w.text}, nil, string(bytes.Repeat([]byte("x\n"), 120)), w.payload); err != nil {
		t.Fatal(err)
	}
}

func (w *way) sign(t testing.TB) {
	var err error
	if w.raw, err = envelope.Sign(w.manifest, w.sealed, w.from); err != nil {
		t.Fatal(err)
	}
}

func (w *way) parse(t testing.TB) {
	e, err := envelope.Parse(w.raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Verify(w.from.(note.Verifier)); err != nil {
		t.Fatal(err)
	}
}

func (w *way) decodeBody(t testing.TB) {
	if _, err := envelope.DecodeBody(w.plain, w.manifest.Header()); err != nil {
		t.Fatal(err)
	}
}

func (w *way) decodePayload(t testing.TB) {
	p, err := schemas.DecodePayload(w.manifest.Schema, w.payload)
	if err != nil || len(schemas.Categories(p)) == 0 {
		t.Fatal(err)
	}
}

func (w *way) open(t testing.TB) {
	if _, err := Open(w.text, w.from.(note.Verifier)); err != nil {
		t.Fatal(err)
	}
}

func (w *way) acknowledge(t testing.TB) {
	raw, err := envelope.Sign(w.receipt, nil, w.from)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := envelope.Parse(raw); err != nil {
		t.Fatal(err)
	}
}

func newWay(t testing.TB) *way {
	doc, err := os.ReadFile("../../deploy/examples/referral-routine.json")
	if err != nil {
		t.Fatal(err)
	}
	_, known := testSigner(t, police, 1)
	now := time.Now().UTC()
	// An agency's system sends compact JSON, not a file for people.
	compact := jsontext.Value(doc)
	if err := compact.Compact(); err != nil {
		t.Fatal(err)
	}
	w := &way{now: now, from: uncosted{known}, submitted: compact}
	w.decodeSubmission(t)
	k := *w.submission.Consent
	k.Fill(now)
	w.certificate = Certificate{ID: NewID(), Issuer: police, Issued: now, Consent: k}
	by := now.AddDate(0, 0, 3)
	w.manifest = envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo, Kind: schemas.KindReferral,
		Schema: schemas.SchemaReferral, Lane: schemas.LaneRoutine, Seq: 1000, Sent: now, RespondBy: &by, Basis: w.certificate.Basis()}
	w.receipt = envelope.Manifest{ID: schemas.NewMessageID(), Thread: w.manifest.Thread, ReplyTo: w.manifest.ID, From: police, To: ngo, Kind: schemas.KindReceipt,
		Schema: schemas.SchemaReceipt, Lane: schemas.LaneReceipt, Seq: 1000, Sent: now, Outcome: schemas.OutcomeDelivered}
	w.issue(t)
	w.encodePayload(t)
	w.encodeBody(t)
	w.sealed = append([]byte("age-encryption.org/v1\n"), w.plain...)
	w.sign(t)
	return w
}

// BenchmarkWay is what reading, writing and checking cost one referral on its way from an agency's system through both agents,
// without the cryptography; "all" is the sum, in which some steps happen more than once.
func BenchmarkWay(b *testing.B) {
	w := newWay(b)
	steps := []struct {
		name  string
		times int
		do    func(testing.TB)
	}{
		{"validate", 0, w.validate}, // part of the next
		{"decode submission", 1, w.decodeSubmission},
		{"issue certificate", 1, w.issue},
		{"encode payload", 1, w.encodePayload},
		{"encode body", 1, w.encodeBody},
		{"sign manifest", 1, w.sign},
		{"parse envelope", 3, w.parse}, // the sender its own, the broker for the ledger, the recipient
		{"decode body", 1, w.decodeBody},
		{"decode payload", 1, w.decodePayload},
		{"open certificate", 1, w.open},
		{"sign and parse receipt", 1, w.acknowledge},
	}
	for _, s := range steps {
		b.Run(s.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				s.do(b)
			}
		})
	}
	b.Run("all", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, s := range steps {
				for range s.times {
					s.do(b)
				}
			}
		}
	})
}
