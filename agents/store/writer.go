package store

import (
	"context"
	"errors"
	"fmt"
)

// Topic names something that waits for new work.
type Topic string

// What a commit can wake.
const (
	OutboxUrgent  Topic = "outbox-urgent"
	OutboxRoutine Topic = "outbox-routine"
	OutboxReceipt Topic = "outbox-receipt"
	Clocks        Topic = "clocks"
	Acts          Topic = "acts"
	// Hand-overs to a sink; more waiters than one, see Watch.
	Deliveries       Topic = "deliveries"
	DeliveriesUrgent Topic = "deliveries-urgent"
)

var topics = []Topic{OutboxUrgent, OutboxRoutine, OutboxReceipt, Clocks, Acts, Deliveries, DeliveriesUrgent}

const (
	// groupMax bounds how many updates share one fsync, so that none waits long for the others.
	groupMax = 64
	// passMax is how many groups in a row may leave out the routine updates that wait: then one of them comes along, so
	// that no stream of urgent ones, however dense, stops them for good.
	passMax = 8
)

// Tx is one update. It is valid only inside the function given to Update.
type Tx struct {
	ctx     context.Context
	tx      *transaction
	touched map[Topic]bool
	stops   bool // it keeps hand-overs back that were due
	erases  bool // something is left behind that must not lie there
	held    bool // no number is given: the store was restored, see Healing
	forgot  bool // some receipts that stand are not in the outbox
}

type job struct {
	ctx  context.Context
	fn   func(*Tx) error
	err  error
	done chan struct{}
}

// Woken returns the channel that is signalled after a commit that brought work for the topic. One waiter per topic; a
// signal that finds the waiter busy is kept, several become one.
func (s *Store) Woken(t Topic) <-chan struct{} { return s.wake[t][0] }

// Watch returns a channel like Woken's that is the caller's own. It must be called before any other use of the store.
func (s *Store) Watch(t Topic) <-chan struct{} {
	c := make(chan struct{}, 1)
	s.wake[t] = append(s.wake[t], c)
	return c
}

// Update runs fn in a write transaction and returns once it is on disk. Concurrent updates share one fsync (group
// commit); each has its own savepoint, so that one that fails takes nothing with it. fn must not call Update, and may be
// called again if the shared transaction fails for another's reason.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	return s.update(ctx, s.jobs, fn)
}

// UpdateUrgent is Update for what belongs to an urgent message, or to somebody's word about their consent. It waits for no
// routine update but the one that runs at this moment: it joins the transaction under way, which is then committed, or
// makes the next one. At most one routine update is let in with it, and only when several groups had none.
func (s *Store) UpdateUrgent(ctx context.Context, fn func(*Tx) error) error {
	s.Press()
	return s.update(ctx, s.urgent, fn)
}

// UpdateAhead goes ahead of routine updates as UpdateUrgent does and does not make routine work step back. It is for
// receipts, those of urgent messages travel among the others, and for what is noted of a message that has left: its receipt
// is on the way. While there is no urgent traffic it shares its group with routine updates.
func (s *Store) UpdateAhead(ctx context.Context, fn func(*Tx) error) error {
	return s.update(ctx, s.urgent, fn)
}

func (s *Store) update(ctx context.Context, jobs chan<- *job, fn func(*Tx) error) error {
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case jobs <- j:
	case <-s.stop:
		return errors.New("update store: closed")
	case <-ctx.Done():
		return fmt.Errorf("update store: %w", ctx.Err())
	}
	// Once queued we wait for the verdict even if ctx ends: a caller told "failed" for what was stored would send again.
	select {
	case <-j.done:
		return j.err
	case <-s.ended:
	}
	select {
	case <-j.done:
		return j.err
	default:
		return errors.New("update store: closed") // queued too late: the writer had gone
	}
}

func (s *Store) writer() {
	defer close(s.ended)
	for {
		g := &group{store: s}
		first := g.next()
		if first == nil {
			if first = g.wait(); first == nil {
				return
			}
		}
		s.commit(first, g.next)
		s.engine.rest(context.Background(), s.write)
		g.end()
	}
}

// group picks the updates of one transaction while it runs.
type group struct {
	store  *Store
	count  int
	urgent bool // there is an urgent one among them
	let    bool // there is a routine one among them
}

// next is the next update for the group, or nil when it is to be committed. It never waits.
func (g *group) next() *job {
	s := g.store
	if g.count >= groupMax {
		return nil
	}
	g.count++
	if s.passed >= passMax && !g.let {
		select {
		case j := <-s.jobs:
			g.let = true
			return j
		default:
		}
	}
	select {
	case j := <-s.urgent:
		g.urgent = true
		return j
	default:
	}
	if g.urgent && s.Pressed() {
		return nil
	}
	select {
	case j := <-s.jobs:
		g.let = true
		return j
	default:
		return nil
	}
}

// wait is the first update of a group; nil when the store is closed and everything queued before is written.
func (g *group) wait() *job {
	s := g.store
	select {
	case j := <-s.urgent:
		g.urgent = true
		return j
	case j := <-s.jobs:
		g.let = true
		return j
	case <-s.stop:
		return g.next()
	}
}

// end counts the groups that passed over routine updates.
func (g *group) end() {
	if g.urgent && !g.let && len(g.store.jobs) > 0 {
		g.store.passed++
	} else {
		g.store.passed = 0
	}
}

// commit runs first and what more gives in one transaction. more may be nil.
func (s *Store) commit(first *job, more func() *job) {
	touched := map[Topic]bool{}
	group, stored, err := s.transact(first, more, touched)
	if err != nil && !stored && len(group) > 1 {
		// The shared commit failed (a full disk, say): nothing is stored. Each alone, so that a large neighbour does not
		// starve a small receipt.
		for _, j := range group {
			j.err = nil
			s.commit(j, nil)
		}
		return
	}
	for _, j := range group {
		if err != nil && j.err == nil {
			j.err = err
		}
		close(j.done)
	}
	for t := range touched {
		for _, c := range s.wake[t] {
			select {
			case c <- struct{}{}:
			default:
			}
		}
	}
}

// transact returns an error only when the whole group is rolled back (or, after AfterCommit, reported so); the errors of
// single jobs stay with them.
func (s *Store) transact(first *job, more func() *job, touched map[Topic]bool) (group []*job, stored bool, err error) {
	ctx := context.Background()
	if s.fence.Load() == standing {
		return []*job{first}, false, ErrStandby
	}
	sqlTx, err := s.engine.begin(ctx, s.write)
	if err != nil {
		return []*job{first}, false, fmt.Errorf("begin: %w", classify(err))
	}
	defer sqlTx.Rollback()
	if own := s.fence.Load(); own != 0 && own != sqlTx.lead {
		return []*job{first}, false, ErrStandby // the other one took over while we were stopped or cut off
	}
	wrote, stops, erases := false, false, false
	for j := first; j != nil; j = another(more) {
		group = append(group, j)
		if j.err = j.ctx.Err(); j.err != nil {
			continue
		}
		tx := &Tx{ctx: ctx, tx: sqlTx, touched: map[Topic]bool{}, held: s.held.Load(), forgot: s.forgot.Load()}
		// Where nothing was written before there is nothing to save.
		if wrote {
			if _, err := sqlTx.ExecContext(ctx, "SAVEPOINT job"); err != nil {
				return group, false, fmt.Errorf("savepoint: %w", classify(err))
			}
		}
		if j.err = classify(j.fn(tx)); j.err != nil {
			if !wrote {
				// It may have written half of what it wanted. Nobody else's is in this transaction: end it.
				return group, false, nil
			}
			if _, err := sqlTx.ExecContext(ctx, "ROLLBACK TO job"); err != nil {
				return group, false, fmt.Errorf("roll back: %w", classify(err))
			}
		}
		if wrote {
			if _, err := sqlTx.ExecContext(ctx, "RELEASE job"); err != nil {
				return group, false, fmt.Errorf("release: %w", classify(err))
			}
		}
		if j.err == nil {
			wrote, stops, erases = true, stops || tx.stops, erases || tx.erases
			for t := range tx.touched {
				touched[t] = true
			}
		}
	}
	if !wrote {
		return group, false, nil
	}
	if s.BeforeCommit != nil {
		if err := s.BeforeCommit(); err != nil {
			return group, false, err
		}
	}
	stored, err = s.committed(ctx, sqlTx, stops)
	if erases && stored {
		s.ScrubSoon()
	}
	if err != nil {
		return group, stored, fmt.Errorf("commit: %w", classify(err))
	}
	if s.AfterCommit != nil {
		return group, true, s.AfterCommit()
	}
	return group, true, nil
}

// committed commits; what stops hand-overs, while none of them is being shown to a system.
func (s *Store) committed(ctx context.Context, tx *transaction, stops bool) (stored bool, err error) {
	if stops {
		s.gate.close()
		defer s.gate.open()
	}
	return s.engine.commit(ctx, tx)
}

func another(more func() *job) *job {
	if more == nil {
		return nil
	}
	return more()
}

func (tx *Tx) exec(query string, args ...any) (int64, error) {
	r, err := tx.tx.ExecContext(tx.ctx, query, args...)
	if err != nil {
		return 0, classify(err)
	}
	return r.RowsAffected()
}

// add inserts a row whose key must be new: ErrExists if it is not. A statement that fails would end a PostgreSQL transaction,
// and callers go on after ErrExists.
func (tx *Tx) add(insert string, args ...any) error {
	n, err := tx.exec(insert+` ON CONFLICT DO NOTHING`, args...)
	if err == nil && n == 0 {
		return ErrExists
	}
	return err
}

func (tx *Tx) touch(t Topic) { tx.touched[t] = true }
