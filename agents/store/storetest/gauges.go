package storetest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
)

// gauges: what waits, is late or is stuck is counted, since when, and what is finished is not.
func gauges(t *testing.T, p Place) {
	s, sign := open(t, p), Signer(t)
	ctx := context.Background()
	if g, err := s.Gauges(ctx, Now); err != nil || store.Total(g.Outbox).Count+store.Total(g.Unrouted).Count+g.Unproved.Count+g.Acts.Count+g.Decisions.Count != 0 || !g.Unproved.Since.IsZero() {
		t.Fatalf("an empty store: %+v %v", g, err)
	}
	accepted, early, late := Now.Add(-2*time.Hour), Now.Add(-time.Hour), Now.Add(time.Hour)
	pending, held, published, receipted, answered := Referral(Them, &early), Referral("other-ngo", nil), Referral(Them, &late), Referral(Them, nil), Referral(Them, &early)
	held.Manifest.Lane = schemas.LaneRoutine
	for _, o := range []*store.Outgoing{pending, held, published, receipted, answered} {
		o.Manifest.Sent = accepted
	}
	urgent, routed, routine := Incoming(schemas.LaneUrgent), Incoming(schemas.LaneUrgent), Incoming(schemas.LaneRoutine)
	urgent.Received, routine.Received = early, late
	urgent.Manifest.RespondBy, routine.Manifest.RespondBy = &early, &late
	id := schemas.NewThreadID()
	Update(t, s, func(tx *store.Tx) error {
		for _, o := range []*store.Outgoing{pending, held, published, receipted, answered} {
			if err := tx.AddOutgoing(o, sign); err != nil {
				return err
			}
		}
		if err := errors.Join(
			tx.Hold("other-ngo", schemas.LaneRoutine, "quota"),
			tx.Published([]*store.Outgoing{published, receipted, answered}, []uint64{1, 2, 3}, Now),
			tx.AnsweredOutgoing(answered.Manifest.ID, Them, Now),
			tx.Recorded(store.TableOutbox, receipted.Manifest.ID, 7)); err != nil {
			return err
		}
		word := receipted.Manifest
		word.ID, word.ReplyTo, word.From, word.Outcome = schemas.NewMessageID(), receipted.Manifest.ID, Them, schemas.OutcomeDelivered
		if _, err := tx.AddReceipt(&word, []byte("n"), 1, Now); err != nil {
			return err
		}
		for _, in := range []*store.Incoming{urgent, routed, routine} {
			if err := tx.AddIncoming(in); err != nil {
				return err
			}
			if err := tx.AddDelivery(&store.Delivery{Source: store.FromInbox, Ref: in.Manifest.ID, Sink: "intake", Required: true, Due: Now}); err != nil {
				return err
			}
		}
		if _, complete, err := tx.Delivered(2, Now); err != nil || !complete {
			return fmt.Errorf("second not routed: %w", err)
		}
		if err := tx.DeliveryFailed(3, Now, "sink-gave-up", true); err != nil {
			return err
		}
		for i, code := range []string{"unknown-sender", "bad-signature", "bad-signature"} {
			if _, err := tx.AddQuarantined(&store.Quarantined{Peer: Them, Lane: schemas.LaneUrgent, Code: code, Raw: []byte{byte(i)}, Received: Now}); err != nil {
				return err
			}
		}
		if _, err := tx.Saw(Them, schemas.LaneUrgent, 4, Now); err != nil {
			return err
		}
		for i, due := range []time.Time{early, late} {
			duty := &store.Duty{Statement: fmt.Sprint("statement ", i), Certificate: id, Act: consent.ActWithdrawn, Received: early, Due: due}
			if _, err := tx.AddDuty(duty); err != nil {
				return err
			}
			if _, err := tx.AddNotice(&store.Notice{Statement: duty.Statement, Certificate: id, Agency: Them, Told: early, Due: &due}); err != nil {
				return err
			}
		}
		if _, err := tx.AddNotice(&store.Notice{Statement: "statement 0", Certificate: id, Agency: "other-ngo", Told: early}); err != nil { // answers to somebody else
			return err
		}
		return tx.AddAct(&store.Act{ID: "act", Act: "disclosed", Subject: id, At: early, Note: []byte("n")})
	})
	got, err := s.Gauges(ctx, Now)
	if err != nil {
		t.Fatal(err)
	}
	want := &store.Gauges{
		Outbox:      map[schemas.Lane]store.Queue{schemas.LaneUrgent: {Count: 1, Since: accepted}, schemas.LaneRoutine: {Count: 1, Since: accepted}},
		Held:        map[string]int64{"quota": 1},
		Uncollected: map[schemas.Lane]store.Queue{schemas.LaneUrgent: {Count: 2, Since: Now}},
		Unrouted:    map[schemas.Lane]store.Queue{schemas.LaneUrgent: {Count: 1, Since: early}, schemas.LaneRoutine: {Count: 1, Since: late}},
		Owed:        map[schemas.Lane]store.Waiting{schemas.LaneUrgent: {Open: 1, Overdue: 1, First: early}, schemas.LaneRoutine: {Open: 1, First: late}},
		Awaited:     map[schemas.Lane]store.Waiting{schemas.LaneUrgent: {Open: 2, Overdue: 1, First: early}},
		Pending:     map[string]store.Queue{"intake": {Count: 1, Since: Now}},
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
	if age := got.Unrouted[schemas.LaneUrgent].Age(Now); age != time.Hour {
		t.Errorf("oldest unrouted %s old, want an hour", age)
	}
	c, err := s.Count(ctx, got)
	if err != nil || c.OutboxPending != 2 || c.Uncollected != 2 || c.Unrouted != 2 || c.Open != 2 || c.Overdue != 2 || c.Quarantined != 3 || c.DeadLetters != 1 || c.Gaps != 3 || c.Duties != 2 {
		t.Errorf("counts for people differ: %+v %v", c, err)
	}
}

// probe: a store that can write says so, one that is full does not, and it says so again when there is room.
func probe(t *testing.T, p Place) {
	s, sign := open(t, p), Signer(t)
	ctx := context.Background()
	if err := s.Probe(ctx, Now); err != nil {
		t.Fatal(err)
	}
	s.BeforeCommit = func() error { return store.ErrFull }
	if err := s.Probe(ctx, Now); !errors.Is(err, store.ErrFull) {
		t.Errorf("a full store: %v", err)
	}
	s.BeforeCommit = nil
	if err := s.Probe(ctx, Now.Add(time.Minute)); err != nil {
		t.Error(err)
	}
	before, err := s.Size(ctx)
	if err != nil || before == 0 {
		t.Fatalf("size %d, %v", before, err)
	}
	Update(t, s, func(tx *store.Tx) error {
		for range 100 {
			if err := tx.AddOutgoing(Referral(Them, nil), sign); err != nil {
				return err
			}
		}
		return nil
	})
	if after, err := s.Size(ctx); err != nil || after <= before {
		t.Errorf("size %d, then %d with a hundred messages more (%v)", before, after, err)
	}
}
