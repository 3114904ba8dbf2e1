package floor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	publishMost = 128 // in one atomic batch, as package link does
	collectMost = 64  // in one commit, as package link does
)

// Parts says what a run does beside carrying bytes through JetStream.
type Parts struct{ Crypto, Stores bool }

type message struct {
	id      string
	data    []byte // as it travels
	wrapped []byte
	msg     jetstream.Msg
}

// flow is one run.
type flow struct {
	*Floor
	parts Parts
	name  string // keeps the files of two runs apart
	cores chan struct{}
	tasks
}

// tasks runs goroutines together: the first error ends all, and wait returns when none is left.
type tasks struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	wg     sync.WaitGroup
}

func (t *tasks) run(f func() error) {
	t.wg.Add(1)
	go func() {
		defer t.wg.Done()
		if err := f(); err != nil {
			t.cancel(err)
		}
	}()
}

// Run carries n messages and returns how long that took, from the first sealing to the last verified receipt.
func (f *Floor) Run(ctx context.Context, n int, parts Parts, done func(int)) (time.Duration, error) {
	w := &flow{Floor: f, parts: parts, name: randomID()[:8], cores: make(chan struct{}, runtime.GOMAXPROCS(0))}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	defer w.cancel(nil)
	began := time.Now()
	var next atomic.Int64
	var counting sync.Mutex
	finished := 0
	sealed := make([]chan *message, len(f.pairs))
	for i := range sealed {
		sealed[i] = make(chan *message, 2*publishMost)
	}
	var sealers sync.WaitGroup
	for range cap(w.cores) {
		sealers.Add(1)
		w.run(func() error {
			defer sealers.Done()
			for {
				k := int(next.Add(1)) - 1
				if k >= n {
					return nil
				}
				m, err := w.seal(f.pairs[k%len(f.pairs)])
				if err != nil {
					return err
				}
				if !send(w.ctx, sealed[k%len(f.pairs)], m) {
					return nil
				}
			}
		})
	}
	w.run(func() error {
		sealers.Wait()
		for _, c := range sealed {
			close(c)
		}
		return nil
	})
	var all []func()
	for i, p := range f.pairs {
		count := n / len(f.pairs)
		if i < n%len(f.pairs) {
			count++
		}
		stop, err := w.carry(p, sealed[i], count, func() {
			counting.Lock()
			defer counting.Unlock()
			if finished++; done != nil {
				done(finished)
			}
		})
		if stop != nil {
			all = append(all, stop)
		}
		if err != nil {
			w.cancel(err)
			break
		}
	}
	w.wg.Wait()
	took := time.Since(began)
	for _, stop := range all {
		stop()
	}
	return took, context.Cause(w.ctx)
}

func (w *flow) seal(p *pair) (*message, error) {
	m := &message{id: randomID()}
	if !w.parts.Crypto {
		m.data = make([]byte, w.sizes.Note+w.sizes.Plain+1800) // what age adds to so much: a header with one hybrid stanza, and tags
		copy(m.data, m.id)
		return m, nil
	}
	var err error
	m.data, m.wrapped, err = p.from.seal(p.to.identity.Recipient(), m.id, w.plain, w.certificate, w.sizes.Note)
	return m, err
}

// carry sets up the way of one pair's messages. What it returns is called when all have arrived.
func (w *flow) carry(p *pair, sealed chan *message, count int, arrived func()) (stop func(), err error) {
	var outbox, inbox *store
	if w.parts.Stores {
		if outbox, err = openStore(w.dir, w.name+"-out-"+strconv.Itoa(p.n)); err != nil {
			return nil, err
		}
		if inbox, err = openStore(w.dir, w.name+"-in-"+strconv.Itoa(p.n)); err != nil {
			outbox.close()
			return nil, err
		}
	}
	stop = func() { outbox.close(); inbox.close() }
	kept := make(chan *message, 2*publishMost)
	feed(&w.tasks, kept, func() error { return w.keep(outbox, sealed, kept) })
	w.run(func() error { return w.publish(p.out, p.mailSubj, kept) })

	mail, endMail, err := consume(p.mail)
	if err != nil {
		return stop, err
	}
	stored, answers := make(chan []*message, 4), make(chan *message, 2*publishMost)
	feed(&w.tasks, stored, func() error { defer endMail(); return w.collect(p, inbox, mail, count, stored) })
	feed(&w.tasks, answers, func() error { return w.handOver(p, stored, answers) })
	w.run(func() error { return w.publish(p.in, p.backSubj, answers) })

	back, endBack, err := consume(p.receipts)
	if err != nil {
		return stop, err
	}
	w.run(func() error { defer endBack(); return w.settle(p, back, count, arrived) })
	return stop, nil
}

// feed runs the only writer of a channel, and closes it after.
func feed[T any](t *tasks, c chan T, f func() error) {
	t.run(func() error {
		defer close(c)
		return f()
	})
}

// parallel does f for each over the cores that all pairs share.
func (w *flow) parallel(batch []*message, f func(*message) error) error {
	var wg sync.WaitGroup
	errs := make(chan error, len(batch))
	for _, m := range batch {
		w.cores <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-w.cores; wg.Done() }()
			if err := f(m); err != nil {
				errs <- err
			}
		}()
	}
	wg.Wait()
	select {
	case err := <-errs:
		return err
	default:
		return nil
	}
}

// gather waits for one and takes what else is there. None: the channel was closed, or ctx ended.
func gather(ctx context.Context, in <-chan *message, most int) []*message {
	var out []*message
	select {
	case m, ok := <-in:
		if !ok {
			return nil
		}
		out = append(out, m)
	case <-ctx.Done():
		return nil
	}
	for len(out) < most {
		select {
		case m, ok := <-in:
			if !ok {
				return out
			}
			out = append(out, m)
		default:
			return out
		}
	}
	return out
}

func send(ctx context.Context, out chan<- *message, m *message) bool {
	select {
	case out <- m:
		return true
	case <-ctx.Done():
		return false
	}
}

func randomID() string {
	var b [idSize / 2]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}
