package audit

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nkeys"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

const (
	police  = "northshire-police"
	ngo     = "harbour-light"
	shelter = "night-shelter"
)

var (
	start    = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	agencies = []string{police, ngo, shelter}
)

// tester is what helpers need of *testing.T, *testing.B and *rapid.T.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

type seedSigner struct {
	note.Verifier
	vkey string
	priv ed25519.PrivateKey
}

func (s *seedSigner) Sign(msg []byte) ([]byte, error) { return ed25519.Sign(s.priv, msg), nil }

func testKey(t tester, name string, seed byte) *seedSigner {
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
	return &seedSigner{v, vkey, priv}
}

// world is a ledger in memory: what agencies send is signed and recorded as a notary would.
type world struct {
	t       tester
	root    *seedSigner
	keys    map[string]*seedSigner
	records [][]byte
	streams map[string]uint64
	numbers map[[3]string]uint64
	now     time.Time
	fail    error // what Records ends with
}

func newWorld(t tester) *world {
	t.Helper()
	w := &world{t: t, root: testKey(t, directory.RootName, 99), keys: map[string]*seedSigner{}, streams: map[string]uint64{}, numbers: map[[3]string]uint64{}, now: start}
	raw, err := os.ReadFile("../../schemas/directory/testdata/recipients.txt")
	if err != nil {
		t.Fatal(err)
	}
	recipient := strings.Fields(string(raw))[0]
	entries := map[string]string{}
	for i, id := range agencies {
		w.keys[id] = testKey(t, id, byte(i+1))
		user, err := nkeys.FromRawSeed(nkeys.PrefixByteUser, bytes.Repeat([]byte{byte(i + 101)}, 32))
		if err != nil {
			t.Fatal(err)
		}
		public, err := user.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		entry, err := directory.SignAgency(directory.Agency{Type: directory.AgencyType, ID: id, Name: "Agency " + id, Role: schemas.RoleNGO, State: directory.StateActive, NATSKey: public,
			Recipients: []directory.Key{{Key: recipient, From: start.Add(-time.Hour)}}, SigningKeys: []directory.Key{{Key: w.keys[id].vkey, From: start.Add(-time.Hour)}},
			Schemas: schemas.KnownSchemas(), Since: start.Add(-time.Hour)}, w.root)
		if err != nil {
			t.Fatal(err)
		}
		entries[directory.AgencyKey(id)] = directory.Digest(entry)
		w.directory(directory.AgencyKey(id), entry)
	}
	head, err := directory.SignHead(directory.Head{Type: directory.HeadType, Version: 1, Issued: start, Expires: start.AddDate(1, 0, 0), Entries: entries}, w.root)
	if err != nil {
		t.Fatal(err)
	}
	w.directory(directory.HeadKey, head)
	return w
}

func (w *world) directory(key string, entry []byte) {
	w.store(ledger.StreamDirectory, ledger.DirectoryPrefix+key, entry)
}

func (w *world) store(stream, subject string, data []byte) uint64 {
	w.t.Helper()
	w.streams[stream]++
	w.record(ledger.Message(stream, w.streams[stream], w.now, subject, data))
	return w.streams[stream]
}

func (w *world) record(r *ledger.Record) int64 {
	w.t.Helper()
	r.Time = w.now
	raw, err := r.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.records = append(w.records, raw)
	return int64(len(w.records) - 1)
}

// after lets time go by.
func (w *world) after(d time.Duration) *world { w.now = w.now.Add(d); return w }

func (w *world) sign(m envelope.Manifest, as string) (envelope.Manifest, []byte) {
	w.t.Helper()
	if m.ID == "" {
		m.ID = schemas.NewMessageID()
	}
	if m.Thread == "" {
		m.Thread = schemas.NewThreadID()
	}
	if m.Lane == "" {
		m.Lane = schemas.LaneRoutine
	}
	if m.Sent.IsZero() {
		m.Sent = w.now
	}
	if m.Seq == 0 {
		n := [3]string{m.From, m.To, string(m.Lane)}
		w.numbers[n]++
		m.Seq = w.numbers[n]
	}
	m.Schema = string(m.Kind) + ".v1"
	var body []byte
	if m.Kind != schemas.KindReceipt && !m.Void() {
		body = []byte("age-encryption.org/v1\nsealed " + m.ID)
	}
	key := *w.keys[m.From]
	key.priv = w.keys[as].priv
	out, err := envelope.Sign(m, body, &key)
	if err != nil {
		w.t.Fatalf("sign: %v", err)
	}
	return m, out
}

func streamOf(l schemas.Lane) string {
	return map[schemas.Lane]string{schemas.LaneUrgent: ledger.StreamUrgent, schemas.LaneRoutine: ledger.StreamRoutine, schemas.LaneReceipt: ledger.StreamReceipt}[l]
}

// send records a message of its sender's and returns its manifest.
func (w *world) send(m envelope.Manifest) envelope.Manifest {
	w.t.Helper()
	m, raw := w.sign(m, m.From)
	w.store(streamOf(m.Lane), m.Subject(), raw)
	return m
}

// forge records a message that somebody else signed.
func (w *world) forge(m envelope.Manifest, by string) envelope.Manifest {
	w.t.Helper()
	m, raw := w.sign(m, by)
	w.store(streamOf(m.Lane), m.Subject(), raw)
	return m
}

const certificate = "consent:3f2c8f0e-57f4-4c7b-9a51-0d6a3f6d2b11"

// refer sends a referral with a clock.
func (w *world) refer(from, to string, within time.Duration) envelope.Manifest {
	w.t.Helper()
	m := envelope.Manifest{From: from, To: to, Kind: schemas.KindReferral, Basis: certificate}
	if within > 0 {
		by := w.now.Add(within)
		m.RespondBy = &by
		if within <= 3*time.Hour {
			m.Lane = schemas.LaneUrgent
		}
	}
	return w.send(m)
}

func (w *world) receipt(of envelope.Manifest, o schemas.Outcome, code string) envelope.Manifest {
	w.t.Helper()
	return w.send(envelope.Manifest{From: of.To, To: of.From, Thread: of.Thread, ReplyTo: of.ID, Kind: schemas.KindReceipt, Lane: schemas.LaneReceipt, Outcome: o, Code: code})
}

func (w *world) answer(to envelope.Manifest) envelope.Manifest {
	w.t.Helper()
	return w.send(envelope.Manifest{From: to.To, To: to.From, Thread: to.Thread, ReplyTo: to.ID, Kind: schemas.KindReferralResponse, Basis: to.Basis, Lane: to.Lane})
}

func (w *world) withdraw(from, to, thread string, within time.Duration) envelope.Manifest {
	w.t.Helper()
	m := envelope.Manifest{From: from, To: to, Thread: thread, Kind: schemas.KindConsentWithdrawal, Basis: certificate, Lane: schemas.LaneUrgent}
	if within > 0 {
		by := w.now.Add(within)
		m.RespondBy = &by
	}
	return w.send(m)
}

func (w *world) outcome(of envelope.Manifest) envelope.Manifest {
	w.t.Helper()
	return w.send(envelope.Manifest{From: of.To, To: of.From, Thread: of.Thread, Kind: schemas.KindWithdrawalOutcome, Basis: of.Basis})
}

func (w *world) act(by string, a ledger.Act) {
	w.t.Helper()
	signer := w.root
	if by != directory.RootName {
		signer = w.keys[by]
	}
	a.ID, a.At = schemas.NewMessageID(), w.now
	line, err := ledger.SignAct(a, signer)
	if err != nil {
		w.t.Fatal(err)
	}
	w.record(&ledger.Record{Kind: ledger.KindAct, Note: line})
}

// expire records that the newest message of a stream was deleted at its maximum age.
func (w *world) expire(lane schemas.Lane) {
	w.t.Helper()
	w.record(&ledger.Record{Kind: ledger.KindExpired, Stream: streamOf(lane), Seq: w.streams[streamOf(lane)]})
}

func (w *world) Records(ctx context.Context) iter.Seq2[ledger.Stored, error] { return w.from(0) }

func (w *world) from(n int64) iter.Seq2[ledger.Stored, error] {
	return func(yield func(ledger.Stored, error) bool) {
		for i := n; i < int64(len(w.records)); i++ {
			if !yield(ledger.Stored{Index: i, Raw: w.records[i]}, nil) {
				return
			}
		}
		if w.fail != nil {
			yield(ledger.Stored{}, w.fail)
		}
	}
}

func (w *world) Checkpoints(context.Context) iter.Seq2[[]byte, error] {
	return func(func([]byte, error) bool) {}
}

func (w *world) replay(f Filter) []Event {
	w.t.Helper()
	var out []Event
	if err := Replay(context.Background(), w, Options{Root: w.root, Filter: f}, func(e Event) error { out = append(out, e); return nil }); err != nil {
		w.t.Fatal(err)
	}
	return out
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func tContext(t tester) context.Context {
	if c, ok := t.(interface{ Context() context.Context }); ok {
		return c.Context()
	}
	return context.Background()
}

func envelopeOf(from, to, basis string) envelope.Manifest {
	return envelope.Manifest{From: from, To: to, Kind: schemas.KindMessage, Basis: basis}
}
