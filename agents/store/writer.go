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
	Deliveries    Topic = "deliveries"
	Clocks        Topic = "clocks"
	Acts          Topic = "acts"
)

var topics = []Topic{OutboxUrgent, OutboxRoutine, OutboxReceipt, Deliveries, Clocks, Acts}

// groupMax bounds how many updates share one fsync, so that none waits long for the others.
const groupMax = 64

// Tx is one update. It is valid only inside the function given to Update.
type Tx struct {
	ctx     context.Context
	tx      *transaction
	touched map[Topic]bool
}

type job struct {
	ctx  context.Context
	fn   func(*Tx) error
	err  error
	done chan struct{}
}

// Woken returns the channel that is signalled after a commit that brought work for the topic. One waiter per topic; a
// signal that finds the waiter busy is kept, several become one.
func (s *Store) Woken(t Topic) <-chan struct{} { return s.wake[t] }

// Update runs fn in a write transaction and returns once it is on disk. Concurrent updates share one fsync (group
// commit); each has its own savepoint, so that one that fails takes nothing with it. fn must not call Update, and may be
// called again if the shared transaction fails for another's reason.
func (s *Store) Update(ctx context.Context, fn func(*Tx) error) error {
	j := &job{ctx: ctx, fn: fn, done: make(chan struct{})}
	select {
	case s.jobs <- j:
	case <-s.stop:
		return errors.New("update store: closed")
	case <-ctx.Done():
		return fmt.Errorf("update store: %w", ctx.Err())
	}
	// Once queued we wait for the verdict even if ctx ends: a caller told "failed" for what was stored would send again.
	<-j.done
	return j.err
}

func (s *Store) writer() {
	defer s.done.Done()
	for {
		select {
		case j := <-s.jobs:
			s.commit(s.gather(j))
		case <-s.stop:
			for {
				select {
				case j := <-s.jobs:
					s.commit(s.gather(j))
				default:
					return
				}
			}
		}
	}
}

func (s *Store) gather(first *job) []*job {
	group := []*job{first}
	for len(group) < groupMax {
		select {
		case j := <-s.jobs:
			group = append(group, j)
		default:
			return group
		}
	}
	return group
}

func (s *Store) commit(group []*job) {
	touched := map[Topic]bool{}
	stored, err := s.transact(group, touched)
	if err != nil && !stored && len(group) > 1 {
		// The shared commit failed (a full disk, say): nothing is stored. Each alone, so that a large neighbour does not
		// starve a small receipt.
		for _, j := range group {
			j.err = nil
			s.commit([]*job{j})
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
		select {
		case s.wake[t] <- struct{}{}:
		default:
		}
	}
}

// transact returns an error only when the whole group is rolled back (or, after AfterCommit, reported so); the errors of
// single jobs stay with them.
func (s *Store) transact(group []*job, touched map[Topic]bool) (stored bool, err error) {
	ctx := context.Background()
	sqlTx, err := s.engine.begin(ctx, s.write)
	if err != nil {
		return false, fmt.Errorf("begin: %w", classify(err))
	}
	defer sqlTx.Rollback()
	wrote := false
	for _, j := range group {
		if j.err = j.ctx.Err(); j.err != nil {
			continue
		}
		tx := &Tx{ctx: ctx, tx: sqlTx, touched: map[Topic]bool{}}
		if len(group) > 1 {
			if _, err := sqlTx.ExecContext(ctx, "SAVEPOINT job"); err != nil {
				return false, fmt.Errorf("savepoint: %w", classify(err))
			}
		}
		j.err = classify(j.fn(tx))
		if j.err != nil {
			if len(group) == 1 {
				return false, j.err
			}
			if _, err := sqlTx.ExecContext(ctx, "ROLLBACK TO job"); err != nil {
				return false, fmt.Errorf("roll back: %w", classify(err))
			}
		} else {
			wrote = true
			for t := range tx.touched {
				touched[t] = true
			}
		}
		if len(group) > 1 {
			if _, err := sqlTx.ExecContext(ctx, "RELEASE job"); err != nil {
				return false, fmt.Errorf("release: %w", classify(err))
			}
		}
	}
	if !wrote {
		return false, nil
	}
	if s.BeforeCommit != nil {
		if err := s.BeforeCommit(); err != nil {
			return false, err
		}
	}
	if stored, err := s.engine.commit(ctx, sqlTx); err != nil {
		return stored, fmt.Errorf("commit: %w", classify(err))
	}
	if s.AfterCommit != nil {
		return true, s.AfterCommit()
	}
	return true, nil
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
