package agents

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/schemas"
)

// counting is a sink that takes everything.
type counting struct{ taken int }

func (c *counting) Name() string { return "counting" }

func (c *counting) Deliver(context.Context, *route.Delivery) error { c.taken++; return nil }

// TestRestoredHandsNothingOver: until the ledger has said which numbers are used, no receipt can be given, so a hand-over could not
// be noted: a system would get the same documents again and again. They wait.
func TestRestoredHandsNothingOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), StoreFile)
		opened := func() *store.Store {
			s, err := store.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		s := opened()
		event := &store.Event{ID: schemas.NewMessageID(), Type: store.EventOverdue, At: time.Now()}
		err := s.Update(t.Context(), func(tx *store.Tx) error {
			if err := tx.AddEvent(event); err != nil {
				return err
			}
			if err := tx.AddDelivery(&store.Delivery{Source: store.FromEvent, Ref: event.ID, Sink: "counting", Due: time.Now()}); err != nil {
				return err
			}
			return tx.AddHealing(&store.Healing{ID: "restored", What: store.HealStore, At: time.Now()})
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = opened()
		defer s.Close()
		sink := &counting{}
		p := &dispatcher{agency: "harbour-ngo", sink: sink, schedule: route.DefaultSchedule(), store: s, now: time.Now, log: slog.New(slog.DiscardHandler)}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() { defer close(ended); p.run(ctx, false) }()
		time.Sleep(time.Minute)
		if sink.taken != 0 {
			t.Errorf("handed over %d times before the ledger answered", sink.taken)
		}
		if err := s.Recovered(t.Context(), "restored", time.Now(), func(*store.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		stop()
		<-ended
		if sink.taken != 1 {
			t.Errorf("handed over %d times once it had, want 1", sink.taken)
		}
	})
}
