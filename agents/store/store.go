// Package store is an agent's memory: outbox, inbox, quarantine, thread history, deliveries to the agency's own systems,
// consent certificates and the copy of the directory, in one SQLite database.
//
// It holds no plaintext. Bodies are kept as they travelled, sealed, beside their file key wrapped by the vault;
// certificates and problem lists arrive locked by the vault. What a thief of the disk sees is metadata: who, when, what kind.
//
// Durability: what Update returned nil for has been fsynced (WAL, synchronous=FULL). Whatever dies before that, the
// database is as if the update had never been called. All methods are safe for concurrent use.
package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema string

// Version is the layout this program reads and writes, kept in SQLite's user_version.
const Version = 4

var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrExists: the row is there already.
	ErrExists = errors.New("already exists")
	// ErrFull: the disk or the configured size limit is exhausted; nothing was stored. Temporary.
	ErrFull = errors.New("store is full")
	// ErrInUse: another agent process holds this store.
	ErrInUse = errors.New("store is in use by another agent")
	// ErrNewer: the store was written by a newer program.
	ErrNewer = errors.New("store was written by a newer version of waypost")
	// ErrOlder: the store was written by a program that was never released; there is no way from it to this one.
	ErrOlder = errors.New("store was written by an unreleased version of waypost")
)

// readers are the connections that reads share.
const readers = 4

// Store is an open database. Close it to release it.
type Store struct {
	write *sql.DB
	read  *sql.DB
	jobs  chan *job
	stop  chan struct{}
	done  sync.WaitGroup
	once  sync.Once
	wake  map[Topic]chan struct{}

	// BeforeCommit, when set before first use, runs inside the writer just before a commit; an error rolls the whole
	// group back. Tests use it to die or fail at every commit point.
	BeforeCommit func() error
	// AfterCommit runs just after a commit and before anyone is told: an error is handed to the callers although the
	// data is stored ("failed, but stored").
	AfterCommit func() error
}

// Open opens or creates the database at path. Its folder must exist.
func Open(path string) (*Store, error) {
	if dir := filepath.Dir(path); dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	// Created here first so that it is never readable by others, whatever the umask.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	f.Close()
	dsn := func(lock string) string {
		q := url.Values{}
		q.Add("_txlock", lock)
		for _, p := range []string{"journal_mode(WAL)", "synchronous(FULL)", "busy_timeout(10000)", "foreign_keys(1)",
			"secure_delete(ON)", "temp_store(MEMORY)", "cache_size(-8000)"} {
			q.Add("_pragma", p)
		}
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	}
	to, err := newConnector(dsn("immediate"))
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	w := sql.OpenDB(to)
	w.SetMaxOpenConns(1)
	if err := migrate(w); err != nil {
		w.Close()
		return nil, err
	}
	if to, err = newConnector(dsn("deferred")); err != nil {
		w.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	r := sql.OpenDB(to)
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers) // to open one anew costs more than most reads
	s := &Store{write: w, read: r, jobs: make(chan *job, 256), stop: make(chan struct{}), wake: map[Topic]chan struct{}{}}
	for _, t := range topics {
		s.wake[t] = make(chan struct{}, 1)
	}
	s.done.Add(1)
	go s.writer()
	return s, nil
}

// migrate brings an empty database to Version inside one immediate transaction, so two starters cannot race, and
// refuses one that a newer program wrote.
func migrate(db *sql.DB) error {
	tx, err := db.Begin()
	if err != nil {
		return fmt.Errorf("open store: %w", classify(err))
	}
	defer tx.Rollback()
	var v int
	if err := tx.QueryRow("PRAGMA user_version").Scan(&v); err != nil {
		return fmt.Errorf("read store version: %w", err)
	}
	switch {
	case v == Version:
		return nil
	case v > Version:
		return fmt.Errorf("open store: version %d, this program knows %d: %w", v, Version, ErrNewer)
	}
	if v > 0 {
		return fmt.Errorf("open store: version %d, this program writes %d: %w", v, Version, ErrOlder)
	}
	if _, err := tx.Exec(schema); err != nil {
		return fmt.Errorf("create store: %w", classify(err))
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", Version)); err != nil {
		return fmt.Errorf("create store: %w", classify(err))
	}
	return classify(tx.Commit())
}

// Close waits for the update under way, then closes the database.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	s.done.Wait()
	return errors.Join(s.read.Close(), s.write.Close())
}

// classify turns SQLite's "disk full" into ErrFull and a broken uniqueness into ErrExists.
func classify(err error) error {
	var e *sqlite.Error
	if errors.As(err, &e) {
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR:
			return fmt.Errorf("%w (sqlite %d)", ErrFull, e.Code())
		}
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return fmt.Errorf("%w (sqlite %d)", ErrExists, e.Code())
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
	return err
}

// LimitSize bounds the database file to about n bytes; further writes fail with ErrFull until something is deleted.
// It is how an operator keeps an agent from filling a shared disk.
func (s *Store) LimitSize(ctx context.Context, n int64) error {
	var page int64
	if err := s.write.QueryRowContext(ctx, "PRAGMA page_size").Scan(&page); err != nil {
		return fmt.Errorf("limit store: %w", err)
	}
	_, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", max(n/page, 1)))
	return classify(err)
}

func millis(t time.Time) int64 { return t.UnixMilli() }

func moment(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

func optMillis(t *time.Time) any {
	if t == nil {
		return nil
	}
	return millis(*t)
}

func optMoment(ms sql.NullInt64) *time.Time {
	if !ms.Valid {
		return nil
	}
	t := moment(ms.Int64)
	return &t
}
