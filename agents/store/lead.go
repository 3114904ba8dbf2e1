package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// lease is how long the server keeps the lead of a process that says nothing: one that was stopped, or cut off.
	lease = 5 * time.Second
	// tryEvery is how often who stands by asks for the lead.
	tryEvery = 500 * time.Millisecond
)

// Lead is the right to work on a shared store, of one process at a time. It is a lock of a session of the server's: gone when
// the process dies, and taken away when the process is silent for a lease. Whatever a process that lost it still tries to
// write is refused: each lead has a number, and every update looks whether its own is still the newest.
type Lead struct {
	Number int64

	store *Store
	conn  *pgx.Conn
	lost  chan struct{}
	stop  context.CancelFunc
	done  sync.WaitGroup
}

// Shared reports whether several processes may have this store open and only one of them works: see TakeLead.
func (s *Store) Shared() bool { _, ok := s.engine.(*postgresEngine); return ok }

// StandBy makes every update fail with ErrStandby until TakeLead succeeds. Reads go on. For the agents of a pair; a tool that
// changes what no agent does, tokens for example, needs no lead.
func (s *Store) StandBy() { s.fence.Store(standing) }

// standing is the fence of a store without the lead.
const standing = -1

// TakeLead waits for the lead. ErrInUse when ctx ends and another process had it still when the server was last asked;
// ErrUnavailable when the server cannot be asked, or did not answer before ctx ended.
func (s *Store) TakeLead(ctx context.Context) (*Lead, error) {
	e, ok := s.engine.(*postgresEngine)
	if !ok {
		return nil, fmt.Errorf("take lead: %w", ErrNotShared)
	}
	c := e.config.Copy()
	c.RuntimeParams["idle_session_timeout"] = fmt.Sprintf("%dms", lease.Milliseconds())
	conn, err := pgx.ConnectConfig(ctx, c)
	if err != nil {
		return nil, notTaken(ctx, false, err)
	}
	for held := false; ; held = true {
		var mine bool
		// The lock belongs to this store: another one in the same database has another table.
		err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(hashtext('waypost.lead'), 'store'::regclass::oid::int)`).Scan(&mine)
		if err == nil && mine {
			break
		}
		if err == nil && !pause(ctx, tryEvery) {
			err = ErrInUse
		}
		if err != nil {
			hangUp(conn)
			return nil, notTaken(ctx, held, err)
		}
	}
	l := &Lead{store: s, conn: conn, lost: make(chan struct{})}
	// From here on the one before cannot write: its updates find another number. One under way ends first, or is broken off.
	if err := conn.QueryRow(ctx, `UPDATE store SET epoch = epoch + 1 WHERE n = 1 RETURNING epoch`).Scan(&l.Number); err != nil {
		hangUp(conn)
		return nil, notTaken(ctx, false, err)
	}
	// What the one before has changed of what is kept in memory.
	if err := s.recall(ctx); err != nil {
		hangUp(conn)
		return nil, notTaken(ctx, false, err)
	}
	s.fence.Store(l.Number)
	var keep context.Context
	keep, l.stop = context.WithCancel(context.Background())
	l.done.Add(1)
	go l.keep(keep)
	return l, nil
}

// notTaken says why there is no lead. A question that ctx cut short tells nothing; held is what the one before told.
func notTaken(ctx context.Context, held bool, err error) error {
	switch {
	case ctx.Err() != nil && held:
		err = ErrInUse
	case ctx.Err() != nil && !errors.Is(err, ErrInUse):
		err = fmt.Errorf("%w: no answer in time: %w", ErrUnavailable, ctx.Err())
	}
	return fmt.Errorf("take lead: %w", classify(err))
}

// keep says every now and then that we are here, until that fails.
func (l *Lead) keep(ctx context.Context) {
	defer l.done.Done()
	for pause(ctx, lease/5) {
		ask, cancel := context.WithTimeout(ctx, lease/2)
		_, err := l.conn.Exec(ask, `SELECT 1`)
		cancel()
		if err != nil && ctx.Err() == nil {
			l.store.StandBy()
			close(l.lost)
			return
		}
	}
}

// Lost is closed when the lead is lost: whatever works under it must end.
func (l *Lead) Lost() <-chan struct{} { return l.lost }

// Release gives the lead back; the next process has it at once. Whatever worked under it must have ended.
func (l *Lead) Release() {
	l.stop()
	l.done.Wait()
	l.store.StandBy()
	hangUp(l.conn)
}

func hangUp(conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}
