package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

func failedCommitStoresNothing(t *testing.T, p Place) {
	s, sign := open(t, p), Signer(t)
	broken := errors.New("power cut")
	var fail error
	s.BeforeCommit = func() error { return fail }
	fail = broken
	if err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.AddOutgoing(Referral(Them, nil), sign) }); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	fail = nil
	Update(t, s, func(tx *store.Tx) error { return tx.AddOutgoing(Referral(Them, nil), sign) })
	out, err := s.PendingOutgoing(context.Background(), schemas.LaneUrgent, 10, nil)
	if err != nil || len(out) != 1 || out[0].Manifest.Seq != 1 {
		t.Fatalf("after a failed commit: %d messages, %v", len(out), err)
	}
}

func failedButStoredIsRecognised(t *testing.T, p Place) {
	s := open(t, p)
	in := Incoming(schemas.LaneUrgent)
	lost := errors.New("answer lost")
	s.AfterCommit = func() error { return lost }
	add := func(tx *store.Tx) error { return tx.AddIncoming(in) }
	if err := s.Update(context.Background(), add); !errors.Is(err, lost) {
		t.Fatalf("got %v", err)
	}
	s.AfterCommit = nil
	if err := s.Update(context.Background(), add); !errors.Is(err, store.ErrExists) {
		t.Fatalf("a second time: %v, want ErrExists", err)
	}
}

// oneThatFailsTakesNothingWithIt: updates share a commit; the one that fails, by its own word or the database's, leaves the
// others alone.
func oneThatFailsTakesNothingWithIt(t *testing.T, p Place) {
	ctx := context.Background()
	s := open(t, p)
	known := Incoming(schemas.LaneUrgent)
	Update(t, s, func(tx *store.Tx) error { return tx.AddIncoming(known) })
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			in := Incoming(schemas.LaneUrgent)
			err := s.Update(ctx, func(tx *store.Tx) error {
				if err := tx.AddIncoming(in); err != nil {
					return err
				}
				switch i % 3 {
				case 0:
					return tx.AddIncoming(known)
				case 1: // the table's own rule, not ours
					return tx.AddDelivery(&store.Delivery{Source: "elsewhere", Ref: in.Manifest.ID, Sink: "x", Due: Now})
				}
				return nil
			})
			if (err != nil) != (i%3 != 2) {
				t.Errorf("update %d: %v", i, err)
			}
			if i%3 == 0 && !errors.Is(err, store.ErrExists) {
				t.Errorf("update %d: %v, want ErrExists", i, err)
			}
		}()
	}
	wg.Wait()
	rows, err := s.ListIncoming(ctx, Us, false, store.Page{Limit: 500})
	if err != nil || len(rows) != 21 {
		t.Fatalf("%d messages, want 21 (%v)", len(rows), err)
	}
}

// goesOnAfterExists: what finds its row there already may go on in the same update.
func goesOnAfterExists(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	o := Referral(Them, nil)
	id := schemas.NewMessageID()
	Update(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.Decide(id, Them, "void", "", Now), tx.AddOutgoing(o, sign), tx.AddEvent(&store.Event{ID: id, Type: "x", At: Now}))
	})
	receipt := &envelope.Manifest{ID: schemas.NewMessageID(), ReplyTo: o.Manifest.ID, From: Them, Outcome: schemas.OutcomeDelivered, Sent: Now}
	for i := range 2 {
		Update(t, s, func(tx *store.Tx) error {
			if err := tx.Decide(id, Them, "void", "", Now); !errors.Is(err, store.ErrExists) {
				t.Errorf("tombstone: %v", err)
			}
			if err := tx.AddEvent(&store.Event{ID: id, Type: "x", At: Now}); !errors.Is(err, store.ErrExists) {
				t.Errorf("event: %v", err)
			}
			if _, err := tx.AddReceipt(receipt, []byte("n"), 1, Now); i == 1 && !errors.Is(err, store.ErrExists) || i == 0 && err != nil {
				t.Errorf("receipt %d: %v", i, err)
			}
			q := &store.Quarantined{Peer: Them, Lane: schemas.LaneUrgent, Code: "x", Raw: []byte("same"), Received: Now}
			if added, err := tx.AddQuarantined(q); err != nil || added != (i == 0) {
				t.Errorf("quarantine %d: %v %v", i, added, err)
			}
			return tx.AddEvent(&store.Event{Thread: o.Manifest.Thread, Type: "gone-on", At: Now})
		})
	}
	history, err := s.History(ctx, o.Manifest.Thread)
	if err != nil || len(history) != 2 {
		t.Errorf("%d events, %v", len(history), err)
	}
}

// orderIsThatOfCommits: who reads by number while two processes write never finds a smaller number later than a greater
// one.
func orderIsThatOfCommits(t *testing.T, p Place) {
	ctx := context.Background()
	reader, thread := open(t, p), schemas.NewThreadID()
	writers := []*store.Store{open(t, p), open(t, p)}
	const each = 100
	var wg sync.WaitGroup
	for _, s := range writers {
		for range 4 {
			wg.Add(1)
			go func() {
				defer wg.Done()
				for range each / 4 {
					if err := s.Update(ctx, func(tx *store.Tx) error { return tx.AddEvent(&store.Event{Thread: thread, Type: "x", At: Now}) }); err != nil {
						t.Error(err)
					}
				}
			}()
		}
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	seen := map[int64]bool{}
	var highest int64
	for last := false; !last; {
		select {
		case <-done:
			last = true
		default:
		}
		events, err := reader.History(ctx, thread)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			t.Fatal(err)
		}
		before := highest
		for _, e := range events {
			if !seen[e.N] && e.N < before {
				t.Fatalf("%d came after %d was read", e.N, before)
			}
			seen[e.N], highest = true, max(highest, e.N)
		}
	}
	if len(seen) != 2*each {
		t.Errorf("%d events, want %d", len(seen), 2*each)
	}
}

func fullDiskIsTemporary(t *testing.T, p Place) {
	s := open(t, p)
	ctx := context.Background()
	add := func() error {
		in := Incoming(schemas.LaneUrgent)
		in.Body = make([]byte, 16<<10)
		return s.Update(ctx, func(tx *store.Tx) error { return tx.AddIncoming(in) })
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	if err := p.Fill(s, true); err != nil {
		t.Fatal(err)
	}
	stored := 1
	var err error
	for range 200 {
		if err = add(); err != nil {
			break
		}
		stored++
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("after %d messages: %v, want ErrFull", stored, err)
	}
	if err := p.Fill(s, false); err != nil {
		t.Fatal(err)
	}
	if err := add(); err != nil {
		t.Fatal(err)
	}
	rows, err := s.ListIncoming(ctx, Us, false, store.Page{Limit: 500})
	if err != nil || len(rows) != stored+1 {
		t.Fatalf("%d rows, want %d (%v)", len(rows), stored+1, err)
	}
}

func twoStartersCreateOnce(t *testing.T, p Place) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := p.Open()
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		}()
	}
	wg.Wait()
}

func otherVersionsAreRefused(t *testing.T, p Place) {
	open(t, p).Close()
	for _, c := range []struct {
		version int
		want    error
	}{{store.Version + 1, store.ErrNewer}, {store.Version - 1, store.ErrOlder}} {
		if err := p.SetVersion(c.version); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Open(); !errors.Is(err, c.want) {
			t.Errorf("version %d: %v, want %v", c.version, err, c.want)
		}
	}
	if err := p.SetVersion(store.Version); err != nil {
		t.Fatal(err)
	}
	open(t, p)
}
