package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// busyWait is how long reads and updates wait for other processes, in milliseconds.
const busyWait = 10_000

// Open opens or creates the SQLite database at path. Its folder must exist.
func Open(path string) (*Store, error) {
	if dir := filepath.Dir(path); dir != "" {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("open store: %w", err)
		}
	}
	if err := made(path); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	dsn := func(lock string, wait int) string {
		q := url.Values{}
		q.Add("_txlock", lock)
		for _, p := range []string{"journal_mode(WAL)", "synchronous(FULL)", fmt.Sprintf("busy_timeout(%d)", wait), "foreign_keys(1)",
			"secure_delete(ON)", "temp_store(MEMORY)", "cache_size(-8000)", fmt.Sprintf("wal_autocheckpoint(%d)", moveMost), fmt.Sprintf("journal_size_limit(%d)", moveKept)} {
			q.Add("_pragma", p)
		}
		return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + q.Encode()
	}
	to, err := newConnector(dsn("immediate", busyWait))
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	w := sql.OpenDB(to)
	w.SetMaxOpenConns(1)
	if err := patiently(func() error { return migrate(w) }); err != nil {
		w.Close()
		return nil, err
	}
	if to, err = newConnector(dsn("deferred", busyWait)); err != nil {
		w.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	moving, err := newConnector(dsn("deferred", moveWait))
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("open store: %w", err)
	}
	r := sql.OpenDB(to)
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers) // to open one anew costs more than most reads
	return begun(&sqliteEngine{mover: newMover(moving)}, w, r)
}

// made sees that the file is there, never readable by others, whatever the umask. One that is there is not touched: to close it
// would take away the locks (POSIX) that this process has on it, and SQLite in another one would throw away the log under it.
func made(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return f.Close()
}

// patiently repeats what fails because another process is making the same database at this moment. SQLite waits for a lock by
// itself, but not where two that wait could wait for each other: the change to WAL is such a place.
func patiently(open func() error) error {
	for end := time.Now().Add(busyWait * time.Millisecond); ; time.Sleep(5 * time.Millisecond) {
		err := open()
		var e *sqlite.Error
		if !errors.As(err, &e) || e.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(end) {
			return err
		}
	}
}

// migrate brings an empty database to Version inside one immediate transaction, so two starters cannot race, and
// refuses one that another version wrote.
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
	if v != 0 {
		return checkVersion(v)
	}
	if _, err := tx.Exec(schema); err != nil {
		return fmt.Errorf("create store: %w", classify(err))
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA user_version = %d", Version)); err != nil {
		return fmt.Errorf("create store: %w", classify(err))
	}
	return classify(tx.Commit())
}

type sqliteEngine struct{ mover *mover }

func (e *sqliteEngine) tend(ctx context.Context) error { return e.mover.run(ctx) }

func (e *sqliteEngine) rest(ctx context.Context, db *database) { e.mover.committed(ctx, db.DB) }

func (e *sqliteEngine) fit(ctx context.Context, db *database) error { return e.mover.fit(ctx, db.DB) }

func (*sqliteEngine) bind(query string, args []any) (string, []any) {
	refuse(query, args)
	return query, args
}

func (e *sqliteEngine) begin(ctx context.Context, db *database) (*transaction, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	return &transaction{Tx: tx, engine: e}, nil
}

func (*sqliteEngine) commit(_ context.Context, tx *transaction) (bool, error) {
	err := tx.Commit()
	return err == nil, err
}

// snapshot sees the moment of its first statement, which the caller runs at once.
func (*sqliteEngine) snapshot(ctx context.Context, db *database) (*sql.Tx, error) {
	return db.BeginTx(ctx, nil)
}

func (*sqliteEngine) loads(_ *column, value int64) any { return value }

func (*sqliteEngine) overriding() string { return "" }

// reseed has nothing to do: SQLite goes on from the largest key.
func (*sqliteEngine) reseed(context.Context, *transaction, *table) error { return nil }

func (*sqliteEngine) limit(ctx context.Context, db *database, n int64) error {
	var page int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_size").Scan(&page); err != nil {
		return fmt.Errorf("limit store: %w", err)
	}
	_, err := db.ExecContext(ctx, fmt.Sprintf("PRAGMA max_page_count = %d", max(n/page, 1)))
	return classify(err)
}

// scrub empties the write-ahead log, where erased pages lie until it is used again; the pages themselves were overwritten
// (secure_delete). It tries again and again for a while, so that updates pass in between: somebody who reads for long, as a
// backup does, must not keep an urgent message from being accepted.
func (e *sqliteEngine) scrub(ctx context.Context, _ *database) error {
	wait, cancel := context.WithTimeout(ctx, scrubPatience)
	defer cancel()
	for {
		err := e.mover.empty(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, ErrBusy) || !pause(wait, scrubRest) {
			return fmt.Errorf("scrub store: %w", err)
		}
	}
}

func (*sqliteEngine) size(ctx context.Context, db *database) (n int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT (pages.page_count - free.freelist_count) * size.page_size
		FROM pragma_page_count AS pages, pragma_freelist_count AS free, pragma_page_size AS size`).Scan(&n)
	return n, err
}
