// Package store is an agent's memory: outbox, inbox, quarantine, thread history, deliveries to the agency's own systems,
// consent certificates and the copy of the directory, in one SQLite database, or in PostgreSQL where two agents of an agency
// share it. Both behave the same: storetest is the proof.
//
// It holds no plaintext. Bodies are kept as they travelled, sealed, beside their file key wrapped by the vault;
// certificates and problem lists arrive locked by the vault. What a thief of the disk sees is metadata: who, when, what kind.
//
// Durability: what Update returned nil for has been fsynced (SQLite: WAL, synchronous=FULL; PostgreSQL: synchronous_commit,
// and a server without fsync is refused). Whatever dies before that, the database is as if the update had never been called. All methods are safe for concurrent use.
package store

import (
	"context"
	"database/sql"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

//go:embed schema.sql
var schema string

// Version is the layout this program reads and writes, kept in SQLite's user_version.
const Version = 5

var (
	// ErrNotFound: no such row.
	ErrNotFound = errors.New("not found")
	// ErrExists: the row is there already.
	ErrExists = errors.New("already exists")
	// ErrFull: the disk or the configured size limit is exhausted; nothing was stored. Temporary.
	ErrFull = errors.New("store is full")
	// ErrUnavailable: the database cannot be reached, or gave up for a reason that passes. Temporary; whether the update
	// was stored is in the error: with ErrUncertain nobody knows.
	ErrUnavailable = errors.New("store is not available")
	// ErrUncertain: the connection was lost while committing, and the database could not be asked since. An update must be
	// such that running it again does no harm: ids are stable.
	ErrUncertain = errors.New("it is not known whether the store kept it")
	// ErrNoLimit: this database has no size limit of its own.
	ErrNoLimit = errors.New("PostgreSQL bounds no database; give it a disk or a tablespace of its own")
	// ErrURL, ErrInsecure, ErrServer, ErrForeign: why a PostgreSQL database is not taken.
	ErrURL      = errors.New("not a PostgreSQL URL (postgres://user:password@host/database?sslmode=verify-full)")
	ErrInsecure = errors.New("the connection to PostgreSQL crosses a network without a verified certificate; set sslmode=verify-full")
	ErrServer   = errors.New("the PostgreSQL server is not fit to keep a store")
	ErrForeign  = errors.New("the store is another agency's")
	// ErrMissing: the database holds no store, and there must be one.
	ErrMissing = errors.New("the database holds no store")
	// ErrStandby: another agent of the pair works on the store; nothing was stored.
	ErrStandby = errors.New("this agent stands by; another one works on the store")
	// ErrNotShared: a SQLite store is one agent's alone.
	ErrNotShared = errors.New("a SQLite store is not shared")
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
	engine  engine
	write   *database
	read    *database
	stop    chan struct{}
	ended   chan struct{} // closed when the writer has gone
	tended  chan error    // what became of what the engine does beside it
	cleaned chan struct{} // closed when nothing is scrubbed any more
	once    sync.Once
	wake    map[Topic][]chan struct{}

	urgent  chan *job
	jobs    chan *job
	passed  int // groups in a row without the routine jobs that wait; the writer's own
	pace    pace
	gate    gate
	remains remains
	fence   atomic.Int64 // number of the Lead under which updates happen; 0: none is needed; standing: none happens

	held, forgot atomic.Bool // see Tx

	// BeforeCommit, when set before first use, runs inside the writer just before a commit; an error rolls the whole
	// group back. Tests use it to die or fail at every commit point.
	BeforeCommit func() error
	// AfterCommit runs just after a commit and before anyone is told: an error is handed to the callers although the
	// data is stored ("failed, but stored").
	AfterCommit func() error
}

// begun starts the writer of an open database.
func begun(e engine, write, read *sql.DB) (*Store, error) {
	s := &Store{engine: e, pace: pace{base: time.Now()}, write: &database{write, e}, read: &database{read, e}, urgent: make(chan *job, 256), jobs: make(chan *job, 256),
		stop: make(chan struct{}), ended: make(chan struct{}), tended: make(chan error, 1), cleaned: make(chan struct{}),
		remains: remains{turn: make(chan struct{}, 1), due: make(chan struct{}, 1)}, wake: map[Topic][]chan struct{}{}}
	for _, t := range topics {
		s.wake[t] = []chan struct{}{make(chan struct{}, 1)}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := s.recall(ctx); err != nil {
		cancel()
		return nil, errors.Join(err, e.tend(ctx), read.Close(), write.Close())
	}
	go func() { defer close(s.cleaned); s.clean(ctx) }()
	go func() { s.tended <- e.tend(ctx) }()
	go func() { defer cancel(); s.writer() }()
	return s, nil
}

// VersionError refuses a store of another version than this program's. Nothing in it was changed.
type VersionError struct{ Found int }

// Error names both versions.
func (e *VersionError) Error() string {
	if e.Found > Version {
		return fmt.Sprintf("open store: version %d, this program knows %d: %v", e.Found, Version, ErrNewer)
	}
	return fmt.Sprintf("open store: version %d, this program writes %d: %v", e.Found, Version, ErrOlder)
}

// Unwrap is ErrNewer or ErrOlder.
func (e *VersionError) Unwrap() error {
	if e.Found > Version {
		return ErrNewer
	}
	return ErrOlder
}

// Hint says what to do next; the command line prints it.
func (e *VersionError) Hint() string {
	if e.Found > Version {
		return "run the newer waypost again; nothing was changed. To go back, restore a backup that this version made into an empty data folder"
	}
	return "there is no way from it to this version; nothing was changed. Begin with an empty data folder"
}

func checkVersion(v int) error {
	if v != Version {
		return &VersionError{Found: v}
	}
	return nil
}

// Close waits for the update under way, then closes the database.
func (s *Store) Close() error {
	s.once.Do(func() { close(s.stop) })
	<-s.ended
	<-s.cleaned
	tended := <-s.tended
	s.tended <- tended // for a second Close
	return errors.Join(tended, s.read.Close(), s.write.Close())
}

// classify turns "disk full" into ErrFull, a broken uniqueness into ErrExists, and a database that cannot be reached or will
// not go on just now into ErrUnavailable.
func classify(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return ErrNotFound
	}
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
		return err
	}
	return classifyPostgres(err)
}

// LimitSize bounds a SQLite file to about n bytes; further writes fail with ErrFull until something is deleted. It is how an
// operator keeps an agent from filling a shared disk. PostgreSQL has its own means: ErrNoLimit.
func (s *Store) LimitSize(ctx context.Context, n int64) error { return s.engine.limit(ctx, s.write, n) }

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
