package store

import (
	"context"
	"database/sql"
)

// engine is what differs between SQLite and PostgreSQL. Statements are written once, in the dialect both understand, with
// SQLite's placeholders.
type engine interface {
	// bind turns a statement and its arguments into the database's own. What must not be stored makes the statement fail: ErrText.
	bind(query string, args []any) (string, []any)
	// begin opens the one write transaction: until it ends no other can begin, in whatever process.
	begin(ctx context.Context, db *database) (*transaction, error)
	// commit ends it. stored is true when the data is on disk; with an error it is true when that is not known, and the
	// updates must not simply be run again.
	commit(ctx context.Context, tx *transaction) (stored bool, err error)
	// rest is what the writer does after a commit that nobody waits for; tend runs beside it until ctx ends.
	rest(ctx context.Context, db *database)
	tend(ctx context.Context) error
	// fit says what stands in the way of the database although updates succeed.
	fit(ctx context.Context, db *database) error
	// snapshot is a read transaction that sees one moment.
	snapshot(ctx context.Context, db *database) (*sql.Tx, error)
	// loads turns a value of a dump into the one that a column takes, and says what an insert with given keys needs.
	loads(c *column, value int64) any
	overriding() string
	// reseed has the database give out keys above those that were loaded.
	reseed(ctx context.Context, tx *transaction, t *table) error
	// limit bounds the size of the store.
	limit(ctx context.Context, db *database, bytes int64) error
	// size is what the store takes on disk, in bytes.
	size(ctx context.Context, db *database) (int64, error)
	// scrub takes away what erased rows leave behind. Updates go on beside it.
	scrub(ctx context.Context, db *database) error
}

// database is a pool of connections that takes the statements of this package.
type database struct {
	*sql.DB
	engine engine
}

// QueryContext is sql.DB's, with the statement made the engine's own; so are the others.
func (d *database) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, args = d.engine.bind(query, args)
	return d.DB.QueryContext(ctx, query, args...)
}

func (d *database) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	query, args = d.engine.bind(query, args)
	return d.DB.QueryRowContext(ctx, query, args...)
}

func (d *database) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args = d.engine.bind(query, args)
	return d.DB.ExecContext(ctx, query, args...)
}

// transaction is the write transaction of a database.
type transaction struct {
	*sql.Tx
	engine engine
	lead   int64  // number of the newest Lead when it began
	id     string // by which its outcome can be asked for later; "" where a commit never fails halfway
}

func (t *transaction) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	query, args = t.engine.bind(query, args)
	return t.Tx.QueryContext(ctx, query, args...)
}

func (t *transaction) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	query, args = t.engine.bind(query, args)
	return t.Tx.QueryRowContext(ctx, query, args...)
}

func (t *transaction) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	query, args = t.engine.bind(query, args)
	return t.Tx.ExecContext(ctx, query, args...)
}

type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}
