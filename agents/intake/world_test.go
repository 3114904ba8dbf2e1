package intake_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/agents/intake"
	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/deploy/examples"
	"waypost/schemas"
	"waypost/schemas/clock"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

const (
	police  = "northshire-police"
	ngo     = "harbour-ngo"
	housing = "lantern-housing"
)

// world is a network without a broker: a root, three agencies, and the NGO's intake.
type world struct {
	t       testing.TB
	now     time.Time
	behind  time.Duration // by how much now is behind the broker's clock
	root    note.Signer
	rootKey note.Verifier
	vaults  map[string]*vault.Vault
	state   map[string]directory.State
	expires time.Time
	view    *directory.View
	version uint64
	store   *store.Store
	intake  *intake.Intake
	sinks   []intake.Target
	seq     uint64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: time.Now().UTC().Truncate(time.Millisecond), vaults: map[string]*vault.Vault{}, state: map[string]directory.State{}}
	skey, vkey, err := note.GenerateKey(nil, directory.RootName)
	if err != nil {
		t.Fatal(err)
	}
	if w.root, err = note.NewSigner(skey); err != nil {
		t.Fatal(err)
	}
	if w.rootKey, err = note.NewVerifier(vkey); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{police, ngo, housing} {
		w.newKeys(id)
		w.state[id] = directory.StateActive
	}
	w.expires = w.now.Add(30 * 24 * time.Hour)
	w.publish()
	if w.store, err = store.Open(filepath.Join(t.TempDir(), "agent.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	v := w.vaults[ngo]
	w.intake = &intake.Intake{Agency: ngo, Vault: v, Store: w.store, Directory: func() *directory.View { return w.view }, Now: func() time.Time { return w.now },
		Log: slog.New(slog.DiscardHandler),
		Emit: &intake.Emitter{Agency: ngo, Targets: func(route.Facts) []intake.Target { return w.sinks },
			Sign: func(m envelope.Manifest, body []byte) ([]byte, error) { return envelope.Sign(m, body, v.Signer()) }}}
	w.intake.Timers = &intake.Timekeeper{Agency: ngo, Vault: v, Calendar: func() clock.Calendar { return clock.Calendar{} }}
	w.intake.Registry = &intake.Registry{Agency: ngo, Directory: w.intake.Directory, Emit: w.intake.Emit, Policy: intake.PolicyAsk, Log: w.intake.Log,
		Due:     func(now time.Time) time.Time { return now.Add(24 * time.Hour) },
		Courier: &intake.Courier{Agency: ngo, Vault: v, Sign: w.intake.Emit.Sign, Directory: w.intake.Directory}}
	return w
}

func (w *world) newKeys(id string) {
	v, err := vault.Create(filepath.Join(w.t.TempDir(), "keys"), id, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.vaults[id] = v
}

// publish signs the directory as the world stands.
func (w *world) publish() {
	w.t.Helper()
	w.version++
	entries := map[string][]byte{}
	head := directory.Head{Version: w.version, Issued: w.now.Add(-time.Minute), Expires: w.expires, Entries: map[string]string{}}
	add := func(key string, signed []byte, err error) {
		if err != nil {
			w.t.Fatal(err)
		}
		entries[key] = signed
		head.Entries[key] = directory.Digest(signed)
	}
	since := w.now.Add(-24 * time.Hour).Truncate(time.Second)
	for id, v := range w.vaults {
		pub := v.Public()
		role := map[string]schemas.Role{police: "police", ngo: "ngo", housing: "support-provider"}[id]
		signed, err := directory.SignAgency(directory.Agency{ID: id, Name: id, Role: role, State: w.state[id], NATSKey: pub.NATSKey,
			Recipients: []directory.Key{{Key: pub.Recipient, From: since}}, SigningKeys: []directory.Key{{Key: pub.SigningKey, From: since}},
			Schemas: schemas.KnownSchemas(), Since: since}, w.root)
		add(directory.AgencyKey(id), signed, err)
	}
	signed, err := directory.SignAgreement(directory.Agreement{ID: "police-ngo", From: police, To: ngo, Kinds: []schemas.Kind{schemas.KindReferral},
		Purposes: schemas.Purposes(), Categories: schemas.AllCategories(), Starts: since}, w.root)
	add(directory.AgreementKey("police-ngo"), signed, err)
	text, err := directory.SignHead(head, w.root)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.view, err = directory.Open(w.rootKey, text, entries, 0); err != nil {
		w.t.Fatal(err)
	}
}

// draft is a referral on its way, which a test bends before it is sealed and signed.
type draft struct {
	manifest     envelope.Manifest
	header       *envelope.Header // inner header; nil: the manifest's
	referral     map[string]any
	certificate  *consent.Certificate
	issuer       string // who signs the certificate
	certificates []string
	statements   []string
	payload      []byte // instead of referral
	plain        []byte // instead of everything inside
	sealTo       string
	signer       string
	body         []byte // instead of sealing
}

func (w *world) draft() *draft {
	w.t.Helper()
	text, err := examples.Files.ReadFile("referral-urgent.json")
	if err != nil {
		w.t.Fatal(err)
	}
	var doc struct {
		Consent  schemas.Consent
		Referral map[string]any
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		w.t.Fatal(err)
	}
	given := w.now.Add(-time.Hour).Truncate(time.Second)
	doc.Consent.Fill(given)
	w.seq++
	cert := &consent.Certificate{ID: consent.NewID(), Issuer: police, Issued: given.Add(time.Second), Consent: doc.Consent}
	by := w.now.Add(time.Hour)
	return &draft{referral: doc.Referral, certificate: cert, issuer: police, sealTo: ngo, signer: police, manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: police, To: ngo, Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: schemas.LaneUrgent, Seq: w.seq, Sent: w.now, RespondBy: &by, Basis: "consent:" + cert.ID}}
}

// seal makes the NATS payload.
func (w *world) seal(d *draft) []byte {
	w.t.Helper()
	if d.certificates == nil && d.certificate != nil {
		text, err := consent.Sign(*d.certificate, w.vaults[d.issuer].Signer())
		if err != nil {
			w.t.Fatal(err)
		}
		d.certificates = []string{text}
	}
	body := d.body
	if body == nil {
		payload := d.payload
		if payload == nil {
			var err error
			if payload, err = json.Marshal(d.referral); err != nil {
				w.t.Fatal(err)
			}
		}
		h := d.manifest.Header()
		if d.header != nil {
			h = *d.header
		}
		plain := d.plain
		if plain == nil {
			var err error
			if plain, err = envelope.EncodeBody(h, d.certificates, d.statements, "", payload); err != nil {
				w.t.Fatal(err)
			}
		}
		var err error
		if body, _, err = w.vaults[police].Seal(w.vaults[d.sealTo].Public().Recipient, d.manifest.ID, plain); err != nil {
			w.t.Fatal(err)
		}
	}
	raw, err := envelope.Sign(d.manifest, body, w.vaults[d.signer].Signer())
	if err != nil {
		w.t.Fatal(err)
	}
	return raw
}

// receive hands one envelope to the NGO's intake, as published by the police.
func (w *world) receive(raw []byte) intake.Verdict {
	w.t.Helper()
	return w.receiveOn("mail.urgent."+ngo+"."+police, raw)
}

func (w *world) receiveOn(subject string, raw []byte) intake.Verdict {
	w.t.Helper()
	return w.intake.Handle(context.Background(), []intake.Message{{Subject: subject, Data: raw, StreamSeq: 1, Stored: w.stored()}})[0]
}

// stored is the time at the broker, whose clock is right.
func (w *world) stored() time.Time { return w.now.Add(w.behind) }

func (w *world) inbox() []*store.Incoming {
	w.t.Helper()
	rows, err := w.store.ListIncoming(context.Background(), ngo, false, store.Page{Limit: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

func (w *world) quarantined() []*store.Quarantined {
	w.t.Helper()
	rows, err := w.store.ListQuarantined(context.Background(), store.Page{Limit: 500})
	if err != nil {
		w.t.Fatal(err)
	}
	return rows
}

// receipts are the outcomes and codes that wait to leave.
func (w *world) receipts() (out []string) {
	w.t.Helper()
	rows, err := w.store.PendingOutgoing(context.Background(), schemas.LaneReceipt, 500, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range rows {
		out = append(out, string(r.Manifest.Outcome)+" "+r.Manifest.Code+" "+r.Manifest.ReplyTo)
	}
	return out
}
