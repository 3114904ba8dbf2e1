package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

func sequenceHasNoHoles(t *testing.T, p Place) {
	s, sign := open(t, p), Signer(t)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := s.Update(context.Background(), func(tx *store.Tx) error {
				if err := tx.AddOutgoing(Referral(Them, nil), sign); err != nil {
					return err
				}
				if i%3 == 0 {
					return errors.New("changed my mind") // takes its number back with it
				}
				return nil
			})
			if (err != nil) != (i%3 == 0) {
				t.Errorf("update %d: %v", i, err)
			}
		}()
	}
	wg.Wait()
	out, err := s.PendingOutgoing(context.Background(), schemas.LaneUrgent, 500, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 66 {
		t.Fatalf("%d messages stored, want 66", len(out))
	}
	for i, o := range out {
		if o.Manifest.Seq != uint64(i+1) {
			t.Fatalf("message %d has sequence %d", i, o.Manifest.Seq)
		}
	}
}

func receiptOnlyFromTheRecipient(t *testing.T, p Place) {
	s, sign := open(t, p), Signer(t)
	o := Referral(Them, nil)
	Update(t, s, func(tx *store.Tx) error { return tx.AddOutgoing(o, sign) })
	receipt := func(from, about string, outcome schemas.Outcome) error {
		return s.Update(context.Background(), func(tx *store.Tx) error {
			_, err := tx.AddReceipt(&envelope.Manifest{ID: schemas.NewMessageID(), ReplyTo: about, From: from, Outcome: outcome, Sent: Now}, []byte("note"), 1, Now)
			return err
		})
	}
	if err := receipt("test-other", o.Manifest.ID, schemas.OutcomeDelivered); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("receipt from a third agency: %v", err)
	}
	if err := receipt(Them, schemas.NewMessageID(), schemas.OutcomeDelivered); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("receipt for a message never sent: %v", err)
	}
	if err := receipt(Them, o.Manifest.ID, schemas.OutcomeDelivered); err != nil {
		t.Fatal(err)
	}
	if err := receipt(Them, o.Manifest.ID, schemas.OutcomeRejected); err != nil {
		t.Fatal(err)
	}
	got, err := s.Outgoing(context.Background(), Us, o.Manifest.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Receipt != schemas.OutcomeDelivered || got.State != store.Published {
		t.Errorf("state %s, receipt %s: the first outcome must stand, and a receipt proves publication", got.State, got.Receipt)
	}
	all, err := s.Receipts(context.Background(), o.Manifest.ID)
	if err != nil || len(all) != 2 {
		t.Errorf("%d receipts kept as evidence, want 2 (%v)", len(all), err)
	}
}

// receiptBeforeTheNote: a receipt may be in the store before the note that its message was published. Where the message
// stands at the broker is known all the same.
func receiptBeforeTheNote(t *testing.T, p Place) {
	s := open(t, p)
	o := Referral(Them, nil)
	Update(t, s, func(tx *store.Tx) error { return tx.AddOutgoing(o, Signer(t)) })
	Update(t, s, func(tx *store.Tx) error {
		r := envelope.Manifest{ID: schemas.NewMessageID(), ReplyTo: o.Manifest.ID, From: Them, To: Us, Kind: schemas.KindReceipt, Outcome: schemas.OutcomeDelivered, Sent: Now}
		_, err := tx.AddReceipt(&r, []byte("n"), 1, Now)
		return err
	})
	for range 2 { // the second is a repeat
		Update(t, s, func(tx *store.Tx) error { return tx.Published([]*store.Outgoing{o}, []uint64{7}, Now) })
	}
	got, err := s.Outgoing(context.Background(), Us, o.Manifest.ID)
	if err != nil || got.State != store.Published || got.StreamSeq != 7 || got.Receipt != schemas.OutcomeDelivered {
		t.Errorf("%+v, %v: want it published at 7, and receipted", got, err)
	}
	if page, _, err := s.Unproved(context.Background(), store.TableOutbox, 0, 10); err != nil || len(page) != 1 || page[0].Seq != 7 {
		t.Errorf("to be looked for in the ledger: %+v, %v", page, err)
	}
}

func routedOnce(t *testing.T, p Place) {
	s := open(t, p)
	in := Incoming(schemas.LaneRoutine)
	Update(t, s, func(tx *store.Tx) error {
		if err := tx.AddIncoming(in); err != nil {
			return err
		}
		for _, d := range []store.Delivery{{Sink: "a", Required: true}, {Sink: "b", Required: true}, {Sink: "c"}} {
			d.Source, d.Ref, d.Due = store.FromInbox, in.Manifest.ID, Now
			if err := tx.AddDelivery(&d); err != nil {
				return err
			}
		}
		return nil
	})
	done := func(sink string) bool {
		t.Helper()
		rows, err := s.ListDeliveries(context.Background(), in.Manifest.ID)
		if err != nil {
			t.Fatal(err)
		}
		var complete bool
		for _, d := range rows {
			if d.Sink == sink {
				Update(t, s, func(tx *store.Tx) (err error) { _, complete, err = tx.Delivered(d.N, Now); return err })
			}
		}
		return complete
	}
	got := []bool{done("a"), done("a"), done("b"), done("b"), done("c")}
	if diff := cmp.Diff([]bool{false, false, true, false, false}, got); diff != "" {
		t.Errorf("complete after each hand-over (-want +got):\n%s", diff)
	}
}

// dueWithoutClock: a hand-over that was not tried yet is due although the clock was put back since; one that failed waits, but
// not for longer than it could have been told to.
func dueWithoutClock(t *testing.T, p Place) {
	s, ctx := open(t, p), context.Background()
	in := Incoming(schemas.LaneUrgent)
	Update(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.AddIncoming(in), tx.AddDelivery(&store.Delivery{Source: store.FromInbox, Ref: in.Manifest.ID, Sink: "intake", Urgent: true, Required: true, Due: Now}))
	})
	due := func(at time.Time) []*store.Delivery {
		t.Helper()
		rows, err := s.DueDeliveries(ctx, "intake", true, at, 10)
		if err != nil {
			t.Fatal(err)
		}
		return rows
	}
	first := due(Now.Add(-time.Hour))
	if len(first) != 1 {
		t.Fatalf("%d hand-overs are due when the clock was put back, want 1", len(first))
	}
	Update(t, s, func(tx *store.Tx) error {
		return tx.DeliveryFailed(first[0].N, Now.Add(time.Minute), "sink-failed", false)
	})
	if n := len(due(Now)); n != 0 {
		t.Errorf("%d hand-overs are due before the wait after a failure is over", n)
	}
	for _, at := range []time.Time{Now.Add(time.Minute), Now.Add(-store.LongestWait)} {
		if n := len(due(at)); n != 1 {
			t.Errorf("%d hand-overs are due at %s, want 1", n, at)
		}
	}
}

func clockRunsOutOnce(t *testing.T, p Place) {
	s, sign := open(t, p), Signer(t)
	by := Now.Add(time.Hour)
	late, answered := Referral(Them, &by), Referral(Them, &by)
	Update(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.AddOutgoing(late, sign), tx.AddOutgoing(answered, sign), tx.AnsweredOutgoing(answered.Manifest.ID, Them, Now))
	})
	run := func(at time.Time) (ran []store.Clock) {
		t.Helper()
		Update(t, s, func(tx *store.Tx) (err error) { ran, err = tx.RunOut(at, 10); return err })
		return ran
	}
	if ran := run(by); len(ran) != 0 {
		t.Fatalf("%d clocks ran out on the dot", len(ran))
	}
	if due, err := s.Chores(context.Background(), Now, Now, 3); err != nil || due.Clock == nil || !due.Clock.Equal(by) {
		t.Fatalf("next clock %v, %v", due.Clock, err)
	}
	ran := run(by.Add(time.Millisecond))
	if len(ran) != 1 || ran[0].ID != late.Manifest.ID || !ran[0].Ours {
		t.Fatalf("ran out: %+v", ran)
	}
	s.Close()
	s = open(t, p)
	if ran := run(by.Add(time.Hour)); len(ran) != 0 {
		t.Fatalf("again after a restart: %+v", ran)
	}
}

func gapsAreSeenAndHeal(t *testing.T, p Place) {
	s := open(t, p)
	saw := func(n uint64) (missing []uint64) {
		t.Helper()
		Update(t, s, func(tx *store.Tx) (err error) { missing, err = tx.Saw(Them, schemas.LaneUrgent, n, Now); return err })
		return missing
	}
	if m := saw(1); len(m) != 0 {
		t.Errorf("first: missing %v", m)
	}
	if m := saw(4); !cmp.Equal(m, []uint64{2, 3}) {
		t.Errorf("4 after 1: missing %v", m)
	}
	saw(3)
	gaps, err := s.Gaps(context.Background())
	if err != nil || len(gaps) != 1 || gaps[0].Seq != 2 {
		t.Errorf("gaps %+v, %v", gaps, err)
	}
	if m := saw(1 << 62); len(m) != 1000 {
		t.Errorf("a hostile number makes Us write %d rows", len(m))
	}
}

func tokensAndKeys(t *testing.T, p Place) {
	s := open(t, p)
	ctx := context.Background()
	Update(t, s, func(tx *store.Tx) error { return tx.AddToken("desk", "secret", []string{"read", "send"}, Now) })
	if err := s.Update(ctx, func(tx *store.Tx) error { return tx.AddToken("desk", "other", nil, Now) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("same name twice: %v", err)
	}
	got, err := s.TokenFor(ctx, "secret")
	if err != nil || !cmp.Equal(got.Scopes, []string{"read", "send"}) {
		t.Errorf("token %+v, %v", got, err)
	}
	if _, err := s.TokenFor(ctx, "Secret"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("wrong secret: %v", err)
	}
	Update(t, s, func(tx *store.Tx) error { return tx.RemoveToken("desk") })
	if _, err := s.TokenFor(ctx, "secret"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoked token: %v", err)
	}
	Update(t, s, func(tx *store.Tx) error { return tx.AddIdempotency([]byte("k"), []byte("r"), "m", Now) })
	Update(t, s, func(tx *store.Tx) error { return tx.ForgetIdempotency(Now) })
	if _, m, err := s.Repeated(ctx, []byte("k")); err != nil || m != "m" {
		t.Errorf("key: %q, %v", m, err)
	}
	Update(t, s, func(tx *store.Tx) error { return tx.ForgetIdempotency(Now.Add(time.Second)) })
	if _, _, err := s.Repeated(ctx, []byte("k")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("forgotten key: %v", err)
	}
}
