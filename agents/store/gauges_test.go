package store_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
)

// TestGauges: what waits, is late or is stuck is counted, since when, and what is finished is not.
func TestGauges(t *testing.T) {
	s, sign := open(t), signer(t)
	ctx := context.Background()
	if g, err := s.Gauges(ctx, now); err != nil || store.Total(g.Outbox).Count+store.Total(g.Unrouted).Count+g.Unproved.Count+g.Acts.Count+g.Decisions.Count != 0 || !g.Unproved.Since.IsZero() {
		t.Fatalf("an empty store: %+v %v", g, err)
	}
	accepted, early, late := now.Add(-2*time.Hour), now.Add(-time.Hour), now.Add(time.Hour)
	pending, held, published, receipted, answered := referral(them, &early), referral("other-ngo", nil), referral(them, &late), referral(them, nil), referral(them, &early)
	held.Manifest.Lane = schemas.LaneRoutine
	for _, o := range []*store.Outgoing{pending, held, published, receipted, answered} {
		o.Manifest.Sent = accepted
	}
	urgent, routed, routine := incoming(schemas.LaneUrgent), incoming(schemas.LaneUrgent), incoming(schemas.LaneRoutine)
	urgent.Received, routine.Received = early, late
	urgent.Manifest.RespondBy, routine.Manifest.RespondBy = &early, &late
	id := schemas.NewThreadID()
	update(t, s, func(tx *store.Tx) error {
		for _, o := range []*store.Outgoing{pending, held, published, receipted, answered} {
			if err := tx.AddOutgoing(o, sign); err != nil {
				return err
			}
		}
		if err := errors.Join(
			tx.Hold("other-ngo", schemas.LaneRoutine, "quota"),
			tx.Published([]*store.Outgoing{published, receipted, answered}, []uint64{1, 2, 3}, now),
			tx.AnsweredOutgoing(answered.Manifest.ID, them, now),
			tx.Recorded(store.TableOutbox, receipted.Manifest.ID, 7)); err != nil {
			return err
		}
		word := receipted.Manifest
		word.ID, word.ReplyTo, word.From, word.Outcome = schemas.NewMessageID(), receipted.Manifest.ID, them, schemas.OutcomeDelivered
		if _, err := tx.AddReceipt(&word, []byte("n"), 1, now); err != nil {
			return err
		}
		for _, in := range []*store.Incoming{urgent, routed, routine} {
			if err := tx.AddIncoming(in); err != nil {
				return err
			}
			if err := tx.AddDelivery(&store.Delivery{Source: store.FromInbox, Ref: in.Manifest.ID, Sink: "intake", Required: true, Due: now}); err != nil {
				return err
			}
		}
		if _, complete, err := tx.Delivered(2, now); err != nil || !complete {
			return fmt.Errorf("second not routed: %w", err)
		}
		if err := tx.DeliveryFailed(3, now, "sink-gave-up", true); err != nil {
			return err
		}
		for i, code := range []string{"unknown-sender", "bad-signature", "bad-signature"} {
			if _, err := tx.AddQuarantined(&store.Quarantined{Peer: them, Lane: schemas.LaneUrgent, Code: code, Raw: []byte{byte(i)}, Received: now}); err != nil {
				return err
			}
		}
		if _, err := tx.Saw(them, schemas.LaneUrgent, 4, now); err != nil {
			return err
		}
		for i, due := range []time.Time{early, late} {
			duty := &store.Duty{Statement: fmt.Sprint("statement ", i), Certificate: id, Act: consent.ActWithdrawn, Received: early, Due: due}
			if _, err := tx.AddDuty(duty); err != nil {
				return err
			}
			if _, err := tx.AddNotice(&store.Notice{Statement: duty.Statement, Certificate: id, Agency: them, Told: early, Due: &due}); err != nil {
				return err
			}
		}
		if _, err := tx.AddNotice(&store.Notice{Statement: "statement 0", Certificate: id, Agency: "other-ngo", Told: early}); err != nil { // answers to somebody else
			return err
		}
		return tx.AddAct(&store.Act{ID: "act", Act: "disclosed", Subject: id, At: early, Note: []byte("n")})
	})
	got, err := s.Gauges(ctx, now)
	if err != nil {
		t.Fatal(err)
	}
	want := &store.Gauges{
		Outbox:      map[schemas.Lane]store.Queue{schemas.LaneUrgent: {Count: 1, Since: accepted}, schemas.LaneRoutine: {Count: 1, Since: accepted}},
		Held:        map[string]int64{"quota": 1},
		Uncollected: map[schemas.Lane]store.Queue{schemas.LaneUrgent: {Count: 2, Since: now}},
		Unrouted:    map[schemas.Lane]store.Queue{schemas.LaneUrgent: {Count: 1, Since: early}, schemas.LaneRoutine: {Count: 1, Since: late}},
		Owed:        map[schemas.Lane]store.Waiting{schemas.LaneUrgent: {Open: 1, Overdue: 1, First: early}, schemas.LaneRoutine: {Open: 1, First: late}},
		Awaited:     map[schemas.Lane]store.Waiting{schemas.LaneUrgent: {Open: 2, Overdue: 1, First: early}},
		Pending:     map[string]store.Queue{"intake": {Count: 1, Since: now}},
		Dead:        map[string]int64{"intake": 1},
		Quarantine:  map[string]int64{"unknown-sender": 1, "bad-signature": 2},
		Unproved:    store.Queue{Count: 6, Since: early}, // two sent, three accepted, one receipt
		Acts:        store.Queue{Count: 1, Since: early},
		Decisions:   store.Queue{Count: 2, Since: early}, Undecided: 1,
		Answers: store.Queue{Count: 2, Since: early}, Silent: 1,
		Gaps: 3,
		Sent: map[schemas.Lane]int64{schemas.LaneUrgent: 4, schemas.LaneRoutine: 1}, Received: map[schemas.Lane]int64{schemas.LaneUrgent: 4},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("gauges (-want +got):\n%s", diff)
	}
	if age := got.Unrouted[schemas.LaneUrgent].Age(now); age != time.Hour {
		t.Errorf("oldest unrouted %s old, want an hour", age)
	}
	c, err := s.Count(ctx, now)
	if err != nil || c.OutboxPending != 2 || c.Uncollected != 2 || c.Unrouted != 2 || c.Open != 2 || c.Overdue != 2 || c.Quarantined != 3 || c.DeadLetters != 1 || c.Gaps != 3 || c.Duties != 2 {
		t.Errorf("counts for people differ: %+v %v", c, err)
	}
}

// TestGaugesReadIndexes: no query behind /metrics looks at what is finished.
func TestGaugesReadIndexes(t *testing.T) {
	plans, err := open(t).GaugePlans()
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) < 15 {
		t.Fatalf("only %d plans", len(plans))
	}
	small := map[string]bool{"gaps": true, "sequences": true} // one row for each hole, or pair of agencies and lane
	for name, plan := range plans {
		for _, line := range plan {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "SCAN" || small[words[1]] || words[1] == "q" || words[1] == "CONSTANT" {
				continue
			}
			if !strings.Contains(line, "INDEX") {
				t.Errorf("%s reads a whole table: %s", name, strings.Join(plan, " / "))
			}
		}
		if strings.Contains(strings.Join(plan, "\n"), "TEMP B-TREE FOR GROUP BY") && name != "held" && name != "numbers" {
			t.Errorf("%s sorts: %s", name, strings.Join(plan, " / "))
		}
	}
}

// TestProbe: a store that can write says so, one that is full does not, and it says so again when there is room.
func TestProbe(t *testing.T) {
	s, sign := open(t), signer(t)
	ctx := context.Background()
	if err := s.Probe(ctx, now); err != nil {
		t.Fatal(err)
	}
	s.BeforeCommit = func() error { return store.ErrFull }
	if err := s.Probe(ctx, now); !errors.Is(err, store.ErrFull) {
		t.Errorf("a full store: %v", err)
	}
	s.BeforeCommit = nil
	if err := s.Probe(ctx, now.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	before, err := s.Size(ctx)
	if err != nil || before == 0 {
		t.Fatalf("size %d, %v", before, err)
	}
	update(t, s, func(tx *store.Tx) error {
		for range 100 {
			if err := tx.AddOutgoing(referral(them, nil), sign); err != nil {
				return err
			}
		}
		return nil
	})
	if after, err := s.Size(ctx); err != nil || after <= before {
		t.Errorf("size %d, then %d with a hundred messages more (%v)", before, after, err)
	}
}

// BenchmarkGauges is what one scrape costs with a million finished messages each way and a thousand unfinished ones.
func BenchmarkGauges(b *testing.B) {
	path := filepath.Join(b.TempDir(), "agent.db")
	s, err := store.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const many = 1_000_000
	fill := fmt.Sprintf("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d) ", many)
	for _, statement := range []string{
		"INSERT INTO outbox (id, thread, peer, kind, schema, lane, seq, sent, note, state, published, stream_seq, receipt, recorded) " + fill +
			"SELECT 'o' || i, 't' || i, 'peer', 'referral', 'referral.v1', 'routine', i, i, x'00', 'published', i, i, iif(i % 1000, 'delivered', ''), iif(i % 1000, i, NULL) FROM c",
		"INSERT INTO inbox (id, thread, peer, kind, schema, lane, seq, sent, note, received, stream_seq, routed, recorded, respond_by, answered) " + fill +
			"SELECT 'i' || i, 't' || i, 'peer', 'referral', 'referral.v1', 'routine', i, i, x'00', i, i, iif(i % 1000, i, NULL), iif(i % 1000, i, NULL), i, iif(i % 1000, i, NULL) FROM c",
		"INSERT INTO deliveries (source, ref, sink, urgent, required, state, due) " + fill + "SELECT 'inbox', 'i' || i, 'intake', 0, 1, iif(i % 1000, 'done', 'pending'), i FROM c",
	} {
		if err := store.Exec(path, statement); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		g, err := s.Gauges(b.Context(), now)
		if err != nil || store.Total(g.Unrouted).Count != many/1000 || store.Total(g.Pending).Count != many/1000 {
			b.Fatalf("%+v %v", g, err)
		}
	}
}
