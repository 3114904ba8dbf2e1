package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"sync"
	"sync/atomic"
)

const (
	// moveEvery is after how many commits SQLite's write-ahead log is moved into the file.
	moveEvery = 100
	// moveRest is from how many pages in the log on the writer moves what came meanwhile, so that the log begins anew: beside
	// somebody who always writes, nobody else ever gets to its end.
	moveRest = 4000
	// moveMost is from how many pages on SQLite moves them itself, within a commit, should nobody else do it.
	moveMost = 16 * moveRest
	// moveKept is how long a log that begins anew may stay, in bytes. Somebody who reads for long, as a backup does, has it grow
	// without bound; when they are through, its disk is given back.
	moveKept = 4 * moveRest * 4096
	// moveWait is how long emptying the log waits for somebody who reads or writes, in milliseconds.
	moveWait = 20
)

// mover moves SQLite's write-ahead log into the database file beside the writer. SQLite would do it within a commit: then, of
// some messages in a row, each waits for a quarter of a second for thousands of pages of others (BenchmarkCommitBesideMove).
type mover struct {
	db      *sql.DB    // a connection of its own, which gives up at once where another would wait
	mu      sync.Mutex // held while moving: SQLite refuses two at once
	failed  bool       // the last move did; with mu
	commits int        // since it was woken; the writer's own
	due     chan struct{}
	rest    atomic.Bool // the writer is to move the rest
}

func newMover(to driver.Connector) *mover {
	m := &mover{db: sql.OpenDB(to), due: make(chan struct{}, 1)}
	m.db.SetMaxOpenConns(1)
	return m
}

// run moves when it is due, until ctx ends.
func (m *mover) run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return m.db.Close()
		case <-m.due:
		}
		if pages, err := m.move(ctx, m.db); err == nil && pages >= moveRest {
			m.rest.Store(true)
		}
	}
}

// committed is called by the writer after each commit, with its own connection.
func (m *mover) committed(ctx context.Context, db *sql.DB) {
	if m.rest.CompareAndSwap(true, false) {
		_, _ = m.move(ctx, db) // what it did not move lies in the log as before
	}
	if m.commits++; m.commits < moveEvery {
		return
	}
	m.commits = 0
	select {
	case m.due <- struct{}{}:
	default:
	}
}

// move moves what it can without waiting for anybody's transaction, and returns how many pages the log has.
func (m *mover) move(ctx context.Context, db *sql.DB) (pages int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.moved(ctx, db)
}

// moved is called with mu held.
func (m *mover) moved(ctx context.Context, db *sql.DB) (pages int, err error) {
	var busy, moved int
	err = db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(PASSIVE)`).Scan(&busy, &pages, &moved)
	if m.failed = err != nil; m.failed {
		return 0, fmt.Errorf("move log: %w", classify(err))
	}
	return pages, nil
}

// empty moves all of the log and cuts it to nothing; ErrBusy when somebody reads from it. Nobody can write meanwhile, so what takes
// long is moved before, and it waits for readers no longer than moveWait.
func (m *mover) empty(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.moved(ctx, m.db); err != nil {
		return err
	}
	var busy, pages, moved int
	if err := m.db.QueryRowContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &pages, &moved); err != nil {
		return fmt.Errorf("empty log: %w", classify(err))
	}
	if busy != 0 {
		return ErrBusy
	}
	return nil
}

// fit tries once more when the last move failed, and says why that fails too. Nothing else would: updates succeed as long as
// the log itself can grow.
func (m *mover) fit(ctx context.Context, db *sql.DB) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.failed {
		return nil
	}
	_, err := m.moved(ctx, db)
	return err
}
