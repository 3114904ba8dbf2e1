package notary_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"waypost/broker/audit"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

const wait = 20 * time.Second

// verify audits the running broker as an administrator would.
func verify(t *testing.T, b *brokertest.Broker, quorum int) (*ledger.Summary, []ledger.Finding) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	live, err := audit.Open(ctx, b.URL(), filepath.Join(b.Authority.Dir(), "keys", "auditor.creds"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer live.Close()
	var found []ledger.Finding
	sum, err := ledger.Verify(ctx, live, ledger.Options{Root: b.Authority.Root(), Quorum: quorum, Found: func(f ledger.Finding) { found = append(found, f) }})
	if err != nil {
		t.Fatal(err)
	}
	return sum, found
}

// whole waits until the ledger has at least n records of mail and all are signed, then returns the audit.
func whole(t *testing.T, b *brokertest.Broker, n int64) (*ledger.Summary, []ledger.Finding) {
	t.Helper()
	for deadline := time.Now().Add(wait); ; {
		sum, found := verify(t, b, 0)
		if sum.Kinds[ledger.KindMail] >= n && sum.Signed == sum.Records {
			return sum, found
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d records of mail, %d of %d signed, %v", sum.Kinds[ledger.KindMail], n, sum.Signed, sum.Records, found)
		}
	}
}

// sender makes messages of one agency, numbered as an agent numbers them.
type sender struct {
	*brokertest.Agency
	seq map[string]uint64
}

func join(t *testing.T, b *brokertest.Broker, id string, role schemas.Role) *sender {
	t.Helper()
	return &sender{b.Join(t, id, role), map[string]uint64{}}
}

func (s *sender) message(t testing.TB, to string, lane schemas.Lane, change func(*envelope.Manifest)) ([]byte, envelope.Manifest) {
	t.Helper()
	key := to + string(lane)
	s.seq[key]++
	m := envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: s.ID(), To: to, Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: lane, Seq: s.seq[key], Sent: time.Now().UTC(), Basis: "vital-interests"}
	var body []byte
	if lane == schemas.LaneReceipt {
		m.Kind, m.Schema, m.Basis = schemas.KindReceipt, "receipt.v1", ""
	} else {
		body = []byte("age-encryption.org/v1\nsealed " + m.ID)
	}
	if change != nil {
		change(&m)
	}
	raw, err := envelope.Sign(m, body, s.Signer)
	if err != nil {
		t.Fatal(err)
	}
	e, err := envelope.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return raw, e.Manifest
}

// send publishes a message and returns its manifest and its number in the stream.
func (s *sender) send(t *testing.T, b *brokertest.Broker, to string, lane schemas.Lane, change func(*envelope.Manifest)) (envelope.Manifest, uint64) {
	t.Helper()
	raw, m := s.message(t, to, lane, change)
	ack, err := b.JetStream(t).Publish(t.Context(), m.Subject(), raw)
	if err != nil {
		t.Fatal(err)
	}
	return m, ack.Sequence
}

func (s *sender) receipt(t *testing.T, b *brokertest.Broker, m envelope.Manifest) {
	t.Helper()
	s.send(t, b, m.From, schemas.LaneReceipt, func(r *envelope.Manifest) {
		r.ReplyTo, r.Thread, r.Outcome = m.ID, m.Thread, schemas.OutcomeDelivered
	})
}

// networkOf is a broker with a police force and an NGO that may send to one another.
func networkOf(t *testing.T, o ...brokertest.Option) (*brokertest.Broker, *sender, *sender) {
	t.Helper()
	b := brokertest.Start(t, o...)
	police, ngo := join(t, b, "north-police", schemas.RolePolice), join(t, b, "harbour-ngo", schemas.RoleNGO)
	b.Agree(t, agreement("a1", police.ID(), ngo.ID()))
	b.Agree(t, agreement("a2", ngo.ID(), police.ID()))
	return b, police, ngo
}

func TestEveryMessageIsRecorded(t *testing.T) {
	b, police, ngo := networkOf(t)
	for range 20 {
		m, _ := police.send(t, b, ngo.ID(), schemas.LaneUrgent, nil)
		ngo.receipt(t, b, m)
		police.send(t, b, ngo.ID(), schemas.LaneRoutine, nil)
	}
	sum, found := whole(t, b, 60)
	if len(found) > 0 || sum.Kinds[ledger.KindMail] != 60 {
		t.Errorf("%v, found %v", sum.Kinds, found)
	}
	if sum.Kinds[ledger.KindDirectory] < 8 || sum.Directory != b.Authority.View().Head().Version {
		t.Errorf("%d directory records, last version %d", sum.Kinds[ledger.KindDirectory], sum.Directory)
	}
}

func agreement(id, from, to string) directory.Agreement {
	return directory.Agreement{ID: id, From: from, To: to}
}

// clean reports whether an audit can be done and finds the record whole.
func clean(t *testing.T, b *brokertest.Broker) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), wait)
	defer cancel()
	live, err := audit.Open(ctx, b.URL(), filepath.Join(b.Authority.Dir(), "keys", "auditor.creds"), "")
	if err != nil {
		return false
	}
	defer live.Close()
	sum, err := ledger.Verify(ctx, live, ledger.Options{Root: b.Authority.Root()})
	return err == nil && sum.Clean()
}

// TestServices: the ledger's services answer as `nats micro ls` asks, and an agency gets proofs of its own messages
// only, at no more than its share of the rate.
func TestServices(t *testing.T) {
	b, police, ngo := networkOf(t)
	_, seq := police.send(t, b, ngo.ID(), schemas.LaneUrgent, nil)
	sum, _ := whole(t, b, 1)
	m, err := b.Admin.Request("$SRV.INFO.waypost-ledger", nil, wait)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"checkpoint", "consistency", "inclusion", "cosign", "act", "asked"} {
		if !strings.Contains(string(m.Data), `"log.`+verb+`.*"`) {
			t.Errorf("no endpoint for %s: %s", verb, m.Data)
		}
	}
	third := join(t, b, "lantern-housing", schemas.RoleSupportProvider)
	ask := func(s *sender, verb string, q any) (*ledger.InclusionAnswer, string) {
		t.Helper()
		m, err := s.Connect(t).Request(ledger.ServiceSubject(verb, s.ID()), ledger.Encode(q), wait)
		if err != nil {
			t.Fatal(err)
		}
		var a ledger.InclusionAnswer
		_ = json.Unmarshal(m.Data, &a)
		return &a, m.Header.Get("Nats-Service-Error-Code")
	}
	q := ledger.InclusionRequest{Size: sum.Signed, Places: []ledger.Place{{Stream: ledger.StreamUrgent, Seq: seq}}}
	for _, s := range []*sender{police, ngo} {
		if a, code := ask(s, ledger.VerbInclusion, q); code != "" || len(a.Inclusions) != 1 || a.Inclusions[0].Record == "" {
			t.Errorf("%s gets no proof of its own message: %s", s.ID(), code)
		}
	}
	if _, code := ask(third, ledger.VerbInclusion, q); code != ledger.ServiceRefused {
		t.Errorf("a third agency asks about it: %q", code)
	}
	for name, bad := range map[string]any{
		"nothing":         ledger.InclusionRequest{Size: sum.Signed},
		"size of nothing": ledger.InclusionRequest{Places: q.Places},
		"unsigned size":   ledger.InclusionRequest{Size: sum.Signed + 1000, Places: q.Places},
		"the directory":   ledger.InclusionRequest{Size: sum.Signed, Places: []ledger.Place{{Stream: ledger.StreamDirectory, Seq: 1}}},
		"another member":  map[string]any{"size": 1, "surprise": 1},
		"too many":        ledger.InclusionRequest{Size: sum.Signed, Places: make([]ledger.Place, ledger.MaxInclusions+1)},
	} {
		if _, code := ask(third, ledger.VerbInclusion, bad); code != ledger.ServiceBad {
			t.Errorf("%s: %q", name, code)
		}
	}
	busy := false
	nc := third.Connect(t)
	for range 200 {
		m, err := nc.Request(ledger.ServiceSubject(ledger.VerbCheckpoint, third.ID()), nil, wait)
		if err != nil {
			t.Fatal(err)
		}
		busy = busy || m.Header.Get("Nats-Service-Error-Code") == ledger.ServiceBusy
	}
	if !busy {
		t.Error("an agency may ask as often as it likes")
	}
	if _, code := ask(police, ledger.VerbInclusion, q); code != "" {
		t.Errorf("and keeps another from asking: %s", code)
	}
}
