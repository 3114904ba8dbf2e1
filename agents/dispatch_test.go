package agents

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
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
		p := &dispatcher{agency: "harbour-ngo", sink: sink, schedule: route.DefaultSchedule(), store: s, flight: &flight{}, now: time.Now, log: slog.New(slog.DiscardHandler)}
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

// while is a folder sink during whose writing something else happens.
type while struct {
	route.BatchSink
	written func()
}

func (w *while) DeliverAll(ctx context.Context, ds []*route.Delivery, release route.Release) (int, error) {
	return w.BatchSink.DeliverAll(ctx, ds, func(show func(may func(i int) bool)) error {
		w.written()
		return release(show)
	})
}

// handOvers accepts a referral under each certificate, and prepares their hand-over to a sink "intake" in this order.
func handOvers(t *testing.T, s *store.Store, now time.Time, certs []string) (all []handOver) {
	t.Helper()
	err := s.Update(t.Context(), func(tx *store.Tx) error {
		for i, cert := range certs {
			m := envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: "northshire-police", To: "harbour-ngo", Kind: schemas.KindReferral, Schema: "referral.v1",
				Lane: schemas.LaneRoutine, Seq: uint64(i + 1), Sent: now, Basis: envelope.ConsentPrefix + cert}
			if err := tx.AddIncoming(&store.Incoming{Manifest: m, Note: []byte("n"), Body: []byte("b"), Wrapped: []byte("w"), Received: now, StreamSeq: uint64(i + 1)}); err != nil {
				return err
			}
			if err := tx.AddDelivery(&store.Delivery{Source: store.FromInbox, Ref: m.ID, Sink: "intake", Required: true, Due: now}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	due, err := s.DueDeliveries(t.Context(), "intake", false, now, dispatchMax)
	if err != nil || len(due) != len(certs) {
		t.Fatalf("%d due, %v", len(due), err)
	}
	for _, d := range due {
		all = append(all, handOver{d: d, doc: &route.Delivery{ID: d.Ref, Data: []byte("{}")}})
	}
	return all
}

// storeAndFolder is what a dispatcher stands between.
func storeAndFolder(t *testing.T) (s *store.Store, dir string, folder route.Sink) {
	t.Helper()
	s, err := store.Open(filepath.Join(t.TempDir(), StoreFile))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	dir = filepath.Join(t.TempDir(), "intake")
	if folder, err = route.NewFolder(route.FolderConfig{Name: "intake", Dir: dir}); err != nil {
		t.Fatal(err)
	}
	return s, dir, folder
}

// TestWithdrawnWhileWritten: a withdrawal that is answered while a batch lies on disk without its names keeps back what is under
// the consent; what is under another goes on, and only that is noted.
func TestWithdrawnWhileWritten(t *testing.T) {
	s, dir, folder := storeAndFolder(t)
	ended, stays := schemas.NewThreadID(), schemas.NewThreadID()
	now, under := time.Now(), map[string]string{}
	certs := make([]string, 40)
	for i := range certs {
		if certs[i] = ended; i%4 == 0 {
			certs[i] = stays
		}
	}
	all := handOvers(t, s, now, certs)
	for i, h := range all {
		under[h.d.Ref] = certs[i]
	}
	sink := &while{folder.(route.BatchSink), func() {
		err := s.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.StopUnder(ended, now); return err })
		if err != nil {
			t.Error(err)
		}
	}}
	p := &dispatcher{agency: "harbour-ngo", sink: sink, store: s, now: time.Now, log: slog.New(slog.DiscardHandler)}
	results, well := p.handOver(t.Context(), all)
	if len(results) != 10 || !well {
		t.Errorf("%d results, well %v, want 10", len(results), well)
	}
	for _, r := range results {
		if r.err != nil || under[r.d.Ref] != stays {
			t.Errorf("%s noted, withdrawn %v, %v", r.d.Ref, under[r.d.Ref] == ended, r.err)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 10 {
		t.Errorf("%d files, want 10, %v", len(files), err)
	}
	for _, f := range files {
		if under[strings.TrimSuffix(f.Name(), ".json")] != stays {
			t.Errorf("%s appeared after the withdrawal was answered", f.Name())
		}
	}
}

// TestUnreleasedStaysDue: when the store cannot say what is still due, nothing is shown, and it is not the sink's fault.
func TestUnreleasedStaysDue(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), StoreFile))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "intake")
	folder, err := route.NewFolder(route.FolderConfig{Name: "intake", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	sink := &while{folder.(route.BatchSink), func() { s.Close() }}
	p := &dispatcher{agency: "harbour-ngo", sink: sink, store: s, now: time.Now, log: slog.New(slog.DiscardHandler)}
	d := &store.Delivery{N: 1, Source: store.FromInbox, Ref: schemas.NewMessageID(), Sink: "intake"}
	results, well := p.handOver(t.Context(), []handOver{{d: d, doc: &route.Delivery{ID: d.Ref, Data: []byte("{}")}}})
	if len(results) != 0 || well {
		t.Errorf("%d results, well %v", len(results), well)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%d files, %v", len(files), err)
	}
}

// slow is a folder sink that takes its time to show what it has.
type slow struct {
	route.BatchSink
	showing func()
}

func (s *slow) DeliverAll(ctx context.Context, ds []*route.Delivery, release route.Release) (int, error) {
	return s.BatchSink.DeliverAll(ctx, ds, func(show func(may func(i int) bool)) error {
		return release(func(may func(i int) bool) { s.showing(); show(may) })
	})
}

// TestOvertakenKeepsOrder: what a slow sink left out because a withdrawal went past is shown before what follows it, also where one
// in between can never be shown.
func TestOvertakenKeepsOrder(t *testing.T) {
	s, dir, folder := storeAndFolder(t)
	now, ended := time.Now(), schemas.NewThreadID()
	all := handOvers(t, s, now, []string{ended, schemas.NewThreadID(), schemas.NewThreadID(), schemas.NewThreadID()})
	all[2].doc, all[2].err = nil, &route.Permanent{Err: errors.New("cannot be opened")}
	once := sync.OnceFunc(func() {
		err := s.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.StopUnder(ended, now); return err })
		if err != nil {
			t.Error(err)
		}
	})
	p := &dispatcher{agency: "harbour-ngo", sink: &slow{folder.(route.BatchSink), once}, store: s, now: time.Now, log: slog.New(slog.DiscardHandler)}
	results, well := p.handOver(t.Context(), all)
	if len(results) != 0 || well {
		t.Errorf("%d results, well %v: something went before what was left out", len(results), well)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("%d files, %v", len(files), err)
	}
	// The next time it is the turn of all but the one that was withdrawn.
	if due, err := s.DueDeliveries(t.Context(), "intake", false, now, dispatchMax); err != nil || len(due) != 3 {
		t.Errorf("%d due, %v, want 3", len(due), err)
	}
}

// TestNothingWaitsLonger: no schedule asks for a wait that the store would take for a clock that was put back.
func TestNothingWaitsLonger(t *testing.T) {
	late := route.DefaultSchedule()
	late.Rand = func() float64 { return 1 }
	for n := range late.Waits {
		if wait, _ := late.Next(n + 1); wait >= store.LongestWait {
			t.Errorf("failure %d waits %s", n+1, wait)
		}
	}
}
