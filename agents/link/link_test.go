package link_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"waypost/agents/intake"
	"waypost/agents/link"
	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/broker/brokertest"
	"waypost/schemas"
)

// wired is an agency's link with a store of its own and a real broker, without the rest of an agent.
type wired struct {
	t      *testing.T
	broker *brokertest.Broker
	store  *store.Store
	sign   store.Signer
	cfg    link.Config

	mu  sync.Mutex
	now time.Time
}

func wire(t *testing.T) *wired {
	t.Helper()
	w := &wired{t: t, broker: brokertest.Start(t), sign: storetest.Signer(t), now: time.Now()}
	us := w.broker.Join(t, storetest.Us, schemas.RolePolice)
	w.broker.Join(t, storetest.Them, schemas.RoleNGO)
	w.broker.Publish(t)
	var err error
	if w.store, err = store.Open(filepath.Join(t.TempDir(), "agent.db")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.store.Close() })
	log := slog.New(slog.DiscardHandler)
	dir, err := link.NewDirectory(t.Context(), w.broker.Authority.Root(), w.store, w.clock, log, func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	w.cfg = link.Config{Agency: us.ID(), URLs: us.Grant.URLs, UserJWT: us.Grant.UserJWT, SignNATS: us.SignNATS, Store: w.store, Directory: dir, Now: w.clock, Log: log,
		Handle: func(context.Context, []intake.Message) []intake.Verdict { return nil }}
	return w
}

func (w *wired) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *wired) move(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// send puts an urgent message into the outbox.
func (w *wired) send() (id string) {
	w.t.Helper()
	o := storetest.Referral(storetest.Them, nil)
	storetest.Update(w.t, w.store, func(tx *store.Tx) error { return tx.AddOutgoing(o, w.sign) })
	return o.Manifest.ID
}

func (w *wired) state(id string) store.State {
	w.t.Helper()
	o, err := w.store.Outgoing(context.Background(), storetest.Us, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return o.State
}

// run runs a link. stop tells it to end; what stop returns waits until it has.
func (w *wired) run(l *link.Link) (stop func() (ended func())) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	return func() func() {
		cancel()
		return func() {
			w.t.Helper()
			if err := <-done; err != nil {
				w.t.Errorf("run: %v", err)
			}
		}
	}
}

// holds waits until the broker has n urgent messages.
func (w *wired) holds(n uint64) {
	w.t.Helper()
	w.until("the broker holds what was sent", func() bool { return w.broker.Stored(w.t, schemas.LaneUrgent, ">") >= n })
}

func (w *wired) until(what string, done func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("timed out waiting: %s", what)
		}
	}
}

// TestNotedWhileStopping: an agent is stopped when the broker has acknowledged a message and that is not noted yet. It is noted:
// else it would leave a second time after the next start, or be taken back although it has left.
func TestNotedWhileStopping(t *testing.T) {
	w := wire(t)
	w.cfg.BatchMax = 1 // so the second leaves while the first is being noted
	first, second := w.send(), w.send()
	held, release := make(chan struct{}), make(chan struct{})
	var busy sync.WaitGroup
	busy.Go(func() {
		storetest.Update(t, w.store, func(*store.Tx) error { close(held); <-release; return nil })
	})
	<-held // nothing can be noted
	stop := w.run(link.New(w.cfg))
	w.holds(2)
	if first, second := w.state(first), w.state(second); first != store.Pending || second != store.Pending {
		t.Errorf("noted although nothing could be: %s, %s", first, second)
	}
	ended := stop()
	close(release)
	busy.Wait()
	ended()
	if got := w.state(first); got != store.Published {
		t.Errorf("what the broker had acknowledged is %s after the stop", got)
	}
}

// TestSettleIsAskedAnew: what a link found about one connection says nothing about the next run's, which is a new connection:
// of a pair, the agent that lost the lead and leads again, to a broker that may have been restored in between.
func TestSettleIsAskedAnew(t *testing.T) {
	w := wire(t)
	var asked atomic.Int64
	w.cfg.Settle = func(context.Context) error { asked.Add(1); return nil }
	l := link.New(w.cfg)
	for term := uint64(1); term <= 3; term++ {
		before := asked.Load()
		id := w.send()
		stop := w.run(l)
		w.until("it has left", func() bool { return w.state(id) == store.Published })
		stop()()
		if got := asked.Load() - before; got != 1 {
			t.Errorf("term %d: asked %d times before anything was sent", term, got)
		}
	}
}

// TestSettlePatience: a ledger that does not answer holds up what is sent over a new connection for a minute of the agent's
// clock, and no longer; a clock that is put back begins that minute anew and does not lengthen it.
func TestSettlePatience(t *testing.T) {
	const patience = time.Minute
	w := wire(t)
	var asked atomic.Int64
	w.cfg.Settle = func(context.Context) error { asked.Add(1); return errors.New("the ledger does not answer") }
	stop := w.run(link.New(w.cfg))
	defer func() { stop()() }()
	id := w.send()
	again := func() {
		t.Helper()
		from := asked.Load()
		w.until("the ledger is asked again", func() bool { return asked.Load() > from+1 }) // one may have been under way
		if got := w.state(id); got != store.Pending {
			t.Fatalf("%s although the ledger has not answered and has time yet", got)
		}
	}
	again()
	w.move(patience - time.Second)
	again()
	w.move(-time.Hour)
	again()
	w.move(patience - time.Second)
	again()
	from := asked.Load()
	w.move(time.Second)
	w.until("it has left all the same", func() bool { return w.state(id) == store.Published })
	if got := asked.Load() - from; got > 2 {
		t.Errorf("the ledger was asked %d times more when its time was over", got)
	}
}
