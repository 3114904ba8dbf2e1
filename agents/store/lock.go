package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Lock keeps a second agent from working on the same store: two would publish everything twice. It is SQLite's own file
// lock, so it works on every platform we build for and is gone with the process that held it, however it died.
type Lock struct {
	db   *sql.DB
	conn *sql.Conn
}

// Acquire takes the lock at path or returns ErrInUse.
func Acquire(path string) (*Lock, error) {
	if err := made(path); err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?_pragma=busy_timeout(0)")
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	ctx := context.Background()
	conn, err := db.Conn(ctx)
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if err != nil {
		db.Close()
		var e *sqlite.Error
		if errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_BUSY {
			return nil, ErrInUse
		}
		return nil, fmt.Errorf("lock store: %w", err)
	}
	return &Lock{db: db, conn: conn}, nil
}

// Release gives the lock back.
func (l *Lock) Release() {
	l.conn.ExecContext(context.Background(), "ROLLBACK")
	l.conn.Close()
	l.db.Close()
}
