// Package notary keeps the ledger: it makes every stored envelope and every change of the directory one record in stream
// LEDGER, signs the state of it, answers agencies with proofs, and deletes ciphertext when its time is over.
//
// # Appending
//
// Records are appended in atomic batches that name the number expected before them, so that two notaries cannot fork the
// log: one of them is refused, reads where the log ends, and goes on from there. What was read is not remembered anywhere
// else: the last record's header says how far each stream is recorded. So there is one way to start, to go on after a
// failure of which nobody knows whether the batch was stored, and to take over from another notary.
//
// # What is measured
//
//	go test ./broker/notary -run xxx -bench Append   records per second beside raw JetStream publication in the same run
//	go test ./broker/notary -run xxx -bench Proof    time of an inclusion proof
package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

// Config says what a notary works with.
type Config struct {
	Conn     *nats.Conn // with the broker's rights in the network account
	Root     note.Verifier
	Log      note.Signer            // signs checkpoints; its name is the origin
	View     func() *directory.View // the directory as the broker has verified it; nil before the first
	Interval time.Duration          // between checkpoints
	Receipt  time.Duration          // from a receipt to the deletion of the ciphertext
	MaxAge   time.Duration          // of anything in the mail streams
	Now      func() time.Time       // the system's clock if nil
	Logger   *slog.Logger           // slog.Default if nil
	// Rewind has an agency get everything again that a stream still holds. If nil, its consumer is reset and nothing else: whoever
	// remembers how far agencies have come would set it on again.
	Rewind func(ctx context.Context, stream, agency string) error
	Fault  func(step string) error // tests only: an error ends what is under way, as a crash would
}

// Notary is one keeper of the ledger. Several may run on one NATS.
type Notary struct {
	cfg  Config
	js   jetstream.JetStream
	log  *slog.Logger
	acts chan *actRequest
	wit  *witnesses

	recoveries chan struct{} // one for each agency whose recovery is under way
	patience   time.Duration // serviceTimeout

	mu   sync.Mutex
	book *book // nil while there is no session
	kept *retention

	caught chan struct{} // closed once a session has begun
	once   sync.Once
}

type actRequest struct {
	raw  []byte
	act  *ledger.Act
	done chan actResult
}

type actResult struct {
	answer ledger.ActAnswer
	err    error
}

// New prepares a notary; Run does the work. The streams must have been provisioned.
func New(cfg Config) (*Notary, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Fault == nil {
		cfg.Fault = func(string) error { return nil }
	}
	js, err := jetstream.New(cfg.Conn)
	if err != nil {
		return nil, fmt.Errorf("make notary: %w", err)
	}
	return &Notary{cfg: cfg, js: js, log: cfg.Logger, acts: make(chan *actRequest), wit: newWitnesses(), caught: make(chan struct{}),
		recoveries: make(chan struct{}, recoveriesMax), patience: serviceTimeout}, nil
}

// Running is closed when the ledger was first read to its end.
func (n *Notary) Running() <-chan struct{} { return n.caught }

// Run keeps the ledger until ctx ends; it returns nil then. Whatever fails is begun again from what the ledger says.
func (n *Notary) Run(ctx context.Context) error {
	stop, err := n.serve(ctx)
	if err != nil {
		return err
	}
	defer stop()
	for ctx.Err() == nil {
		err := n.session(ctx)
		if ctx.Err() != nil {
			return nil
		}
		wait := time.Second
		if errors.Is(err, errOther) {
			// Somebody else is at it: leave it a while, or both would only ever stand in each other's way.
			wait = 200*time.Millisecond + rand.N(time.Second)
			n.log.InfoContext(ctx, "another notary appends to the ledger; reading where it is")
		} else {
			n.log.WarnContext(ctx, "ledger interrupted, begins again", "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
	return nil
}

// session resumes and appends until something fails.
func (n *Notary) session(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait() // after stop: nothing of this session outlives it
	defer stop()
	stream, err := n.js.Stream(ctx, StreamLedger)
	if err != nil {
		return fmt.Errorf("open ledger: %w", err)
	}
	// While this process ran, a newer one may have made the streams its own, as when the nodes of a cluster are renewed one
	// after the other. Messages go on; the ledger waits for a process that knows how it is written.
	if err := CheckVersion(StreamLedger, stream.CachedInfo().Config.Metadata); err != nil {
		return err
	}
	b := &book{js: n.js, stream: stream, fault: n.cfg.Fault, root: func(raw []byte) (uint64, bool) {
		h, err := directory.OpenHead(n.cfg.Root, raw)
		if err != nil {
			return 0, false
		}
		return h.Version, true
	}}
	if err := b.resume(ctx); err != nil {
		return err
	}
	kept, err := newRetention(ctx, n, b)
	if err != nil {
		return err
	}
	if err := n.wit.load(ctx, n); err != nil {
		return err
	}
	feed := make(chan *ledger.Record, 256)
	failed := make(chan error, len(ledger.Streams())+1)
	for i, s := range ledger.Streams() {
		from := b.at[i] + 1
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := n.pump(ctx, s, from, feed); err != nil {
				failed <- err
			}
		}()
	}
	wg.Add(1)
	go func() { defer wg.Done(); kept.run(ctx) }()
	n.set(b, kept)
	defer n.set(nil, nil)
	return n.work(ctx, b, kept, feed, failed)
}

func (n *Notary) set(b *book, kept *retention) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.book, n.kept = b, kept
}

func (n *Notary) retaining() *retention {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.kept
}

// reading is the book for the services: reads only, which are safe beside the appending session.
func (n *Notary) reading() (*book, int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.book == nil {
		return nil, 0
	}
	return n.book, n.wit.signed()
}

func (n *Notary) work(ctx context.Context, b *book, kept *retention, feed <-chan *ledger.Record, failed <-chan error) error {
	var q queues
	var stalled stall
	var next time.Time // before which nothing is appended, unless there is a whole batch of it
	tick := time.NewTicker(n.cfg.Interval)
	defer tick.Stop()
	if err := n.sign(ctx, b); err != nil {
		return err
	}
	n.once.Do(func() { close(n.caught) })
	for {
		if q.size() == 0 {
			select {
			case <-ctx.Done():
				return nil
			case err := <-failed:
				return err
			case r := <-feed:
				q.push(r)
			case a := <-n.acts:
				if err := n.record(ctx, b, a); err != nil {
					return err
				}
			case r := <-kept.expiries:
				if err := n.expire(ctx, b, kept, r); err != nil {
					return err
				}
			case <-tick.C:
				if err := n.sign(ctx, b); err != nil {
					return err
				}
				if err := n.tail(ctx, b, &stalled); err != nil {
					return err
				}
			}
		}
		if more(ctx, feed, &q, time.Until(next)); q.size() == 0 {
			continue
		}
		if err := n.barrier(ctx, b, feed, failed, &q); err != nil {
			return err
		}
		for q.size() > 0 {
			batch := q.take(b.at)
			if len(batch) == 0 {
				break
			}
			began := time.Now()
			if err := b.append(ctx, batch); err != nil {
				return err
			}
			kept.note(b.tree.Size()-int64(len(batch)), batch, b.at)
			if len(batch) > 1 {
				next = time.Now().Add(min(gatherFor*time.Since(began), gatherMost))
			}
			// Under load too, an act and a checkpoint are not left waiting.
			select {
			case <-tick.C:
				if err := n.sign(ctx, b); err != nil {
					return err
				}
			case a := <-n.acts:
				if err := n.record(ctx, b, a); err != nil {
					return err
				}
			default:
			}
		}
	}
}

// gatherFor is how many times as long as a batch took the next one gathers, gatherMost at the longest: for each batch the server
// makes a folder with files, syncs them and deletes them. A message that comes alone is recorded at once; of many, the ledger
// lags by less than the checkpoints do.
const (
	gatherFor  = 3
	gatherMost = 200 * time.Millisecond
)

// more takes what is there, and what comes while it waits, up to a batch.
func more(ctx context.Context, feed <-chan *ledger.Record, q *queues, wait time.Duration) {
	t := time.NewTimer(max(wait, 0))
	defer t.Stop()
	for over := wait <= 0; q.size() < maxBatch; {
		if over {
			select {
			case r := <-feed:
				q.push(r)
			default:
				return
			}
			continue
		}
		select {
		case r := <-feed:
			q.push(r)
		case <-t.C:
			over = true
		case <-ctx.Done():
			return
		}
	}
}

// barrier sees to it that every change of the directory that was stored before a message is recorded before it: who was who
// when it was sent can then be told from the ledger alone.
func (n *Notary) barrier(ctx context.Context, b *book, feed <-chan *ledger.Record, failed <-chan error, q *queues) error {
	if !q.mail() {
		return nil
	}
	dir, err := n.js.Stream(ctx, ledger.StreamDirectory)
	if err != nil {
		return fmt.Errorf("read end of directory: %w", err)
	}
	last := dir.CachedInfo().State.LastSeq
	limit := time.NewTimer(5 * time.Second)
	defer limit.Stop()
	for q.reach(b.at) < last {
		select {
		case r := <-feed:
			q.push(r)
		case err := <-failed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-limit.C:
			if _, err := next(ctx, dir, q.reach(b.at)+1); !errors.Is(err, jetstream.ErrMsgNotFound) {
				return errors.New("read end of directory: its last change does not come")
			}
			// It is gone: somebody deleted it before it was recorded.
			q.push(gap(ledger.StreamDirectory, q.reach(b.at)+1, last, n.cfg.Now()))
			return nil
		}
	}
	return nil
}

// stall remembers how far streams were when nothing came.
type stall struct {
	at    positions
	ticks [4]int
}

// tail notices that the newest messages of a stream were deleted before they could be read: the stream says that it has
// reached a number, and nothing comes.
func (n *Notary) tail(ctx context.Context, b *book, s *stall) error {
	for i, name := range ledger.Streams() {
		if b.at[i] != s.at[i] {
			s.at[i], s.ticks[i] = b.at[i], 0
			continue
		}
		if s.ticks[i]++; s.ticks[i]%3 != 0 {
			continue
		}
		stream, err := n.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("read end of %s: %w", name, err)
		}
		state := stream.CachedInfo().State
		if state.LastSeq <= b.at[i] {
			continue
		}
		if _, err := next(ctx, stream, b.at[i]+1); err == nil {
			continue // something is there and on its way, and what is missing before it will show
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("read end of %s: %w", name, err)
		}
		if err := b.append(ctx, []*ledger.Record{gap(name, b.at[i]+1, state.LastSeq, n.cfg.Now())}); err != nil {
			return err
		}
		n.log.ErrorContext(ctx, "messages were gone before they could be recorded", "stream", name)
	}
	return nil
}

// next is the first message at or after a number: the end of a stream may be gone while what is before it is only late.
func next(ctx context.Context, s jetstream.Stream, from uint64) (*jetstream.RawStreamMsg, error) {
	return s.GetMsg(ctx, from, jetstream.WithGetMsgSubject(">"))
}

// record appends an act, once: a repetition is answered with the record that stands.
func (n *Notary) record(ctx context.Context, b *book, a *actRequest) error {
	m, err := b.act(ctx, a.act)
	switch {
	case err == nil:
		a.done <- actResult{answer: ledger.ActAnswer{Index: int64(m.Sequence) - 1}} //nolint:gosec // a number of a message
		return nil
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		a.done <- actResult{err: err}
		return err
	}
	r := &ledger.Record{Kind: ledger.KindAct, Time: n.cfg.Now(), Note: a.raw}
	if err := b.append(ctx, []*ledger.Record{r}); err != nil {
		a.done <- actResult{err: err}
		return err
	}
	a.done <- actResult{answer: ledger.ActAnswer{Index: b.tree.Size() - 1}}
	return nil
}

// expire records that a message nobody receipted is deleted, before it is.
func (n *Notary) expire(ctx context.Context, b *book, kept *retention, e expiry) error {
	r := &ledger.Record{Kind: ledger.KindExpired, Stream: ledger.Streams()[e.stream], Seq: e.seq, Time: n.cfg.Now()}
	if err := b.append(ctx, []*ledger.Record{r}); err != nil {
		return err
	}
	kept.note(b.tree.Size()-1, []*ledger.Record{r}, b.at)
	close(e.recorded)
	return nil
}
