package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Postgres says where a store in PostgreSQL is.
type Postgres struct {
	URL    string // postgres://user:password@host/database?sslmode=verify-full; a secret
	Agency string // a database is one agency's; another's is refused
	// Existing refuses a database without a store, instead of making one: it would be the wrong database, and its numbers would
	// begin at one again.
	Existing bool
}

// OpenPostgres opens or creates a store in PostgreSQL 14 or newer, in the first schema of the role's search_path. Several
// processes may have it open; their updates come one after the other, as SQLite's do.
func OpenPostgres(ctx context.Context, p Postgres) (*Store, error) {
	c, err := p.config()
	if err != nil {
		return nil, err
	}
	w := sql.OpenDB(opener(c))
	w.SetMaxOpenConns(2) // the writer, and beside it what must not wait for it
	w.SetMaxIdleConns(2)
	if err := p.prepare(ctx, w); err != nil {
		w.Close()
		return nil, err
	}
	r := sql.OpenDB(opener(c))
	r.SetMaxOpenConns(readers)
	r.SetMaxIdleConns(readers)
	return begun(&postgresEngine{config: c, ask: r}, w, r)
}

// prepare checks the server, and creates the tables in an empty schema: under a lock, so that two starters cannot race.
func (p Postgres) prepare(ctx context.Context, db *sql.DB) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("open store: %w", classify(err))
	}
	defer tx.Rollback()
	if err := durable(ctx, tx); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('waypost.create', 0))`); err != nil {
		return fmt.Errorf("open store: %w", classify(err))
	}
	var there bool
	if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM pg_tables WHERE schemaname = current_schema() AND tablename = 'store')`).Scan(&there); err != nil {
		return fmt.Errorf("open store: %w", classify(err))
	}
	if !there && p.Existing {
		return fmt.Errorf("open store: %w", ErrMissing)
	}
	if !there {
		if _, err := tx.ExecContext(ctx, postgresSchema()); err != nil {
			return fmt.Errorf("create store: %w", classify(err))
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO store (n, version, agency) VALUES (1, $1, $2)`, Version, p.Agency); err != nil {
			return fmt.Errorf("create store: %w", classify(err))
		}
		return classify(tx.Commit())
	}
	var version int
	var agency string
	if err := tx.QueryRowContext(ctx, `SELECT version, agency FROM store WHERE n = 1`).Scan(&version, &agency); err != nil {
		return fmt.Errorf("read store version: %w", classify(err))
	}
	if err := checkVersion(version); err != nil {
		return err
	}
	if agency != p.Agency {
		return fmt.Errorf("open store: it is %s's: %w", agency, ErrForeign)
	}
	return nil
}

// durable refuses a server that may forget what it has committed.
func durable(ctx context.Context, tx *sql.Tx) error {
	var fsync, pages string
	var version int
	err := tx.QueryRowContext(ctx, `SELECT current_setting('fsync'), current_setting('full_page_writes'), current_setting('server_version_num')::int`).Scan(&fsync, &pages, &version)
	if err != nil {
		return fmt.Errorf("open store: %w", classify(err))
	}
	switch {
	case version < 140000:
		return fmt.Errorf("open store: PostgreSQL %d: 14 or newer is needed: %w", version/10000, ErrServer)
	case fsync != "on":
		return fmt.Errorf("open store: the server runs with fsync = off; set it on: %w", ErrServer)
	case pages != "on":
		return fmt.Errorf("open store: the server runs with full_page_writes = off; set it on: %w", ErrServer)
	}
	return nil
}

// postgresSchema is schema.sql in PostgreSQL's words: one schema, two spellings, so that they cannot drift apart. Text sorts
// by bytes, as in SQLite: an order by the server's locale would change with its C library and break indexes.
func postgresSchema() string {
	words := strings.NewReplacer(
		"INTEGER", "BIGINT", "BLOB", "BYTEA", "TEXT", `TEXT COLLATE "C"`, ") STRICT, WITHOUT ROWID;", ");", ") STRICT;", ");")
	var out strings.Builder
	for _, line := range strings.SplitAfter(schema, "\n") {
		if code, comment, _ := strings.Cut(line, "--"); strings.HasPrefix(comment, " boolean") {
			line = strings.Replace(code, "INTEGER", "BOOLEAN", 1) + "\n"
		} else if strings.HasPrefix(comment, " counted") {
			line = strings.Replace(code, "INTEGER PRIMARY KEY", "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY", 1) + "\n"
		}
		out.WriteString(words.Replace(line))
	}
	// Its one row is the lock that every update takes.
	out.WriteString(`CREATE TABLE store (n BIGINT PRIMARY KEY CHECK (n = 1), version BIGINT NOT NULL, agency TEXT NOT NULL, epoch BIGINT NOT NULL DEFAULT 0);`)
	return out.String()
}

type postgresEngine struct {
	config *pgx.ConnConfig
	ask    *sql.DB
	bound  sync.Map // statement → the same with $1, $2…
}

func (e *postgresEngine) bind(query string, args []any) (string, []any) {
	refuse(query, args)
	for i, a := range args {
		if s, ok := a.(string); ok && !isText(s) {
			args[i] = asText(s)
		}
	}
	if q, ok := e.bound.Load(query); ok {
		return q.(string), args
	}
	q := numbered(query)
	e.bound.Store(query, q)
	return q, args
}

// numbered turns ? and ?N into $N.
func numbered(query string) string {
	var out strings.Builder
	last := 0
	for n, at := range placeholders(query) {
		out.WriteString(query[last:at] + "$" + strconv.Itoa(n))
		last = at + 1
		for last < len(query) && query[last] >= '0' && query[last] <= '9' {
			last++
		}
	}
	return out.String() + query[last:]
}

// placeholders gives the number of each placeholder of a statement, ? or ?N, and where it stands. No statement of ours has a
// question mark in a literal.
func placeholders(query string) iter.Seq2[int, int] {
	return func(yield func(n, at int) bool) {
		last := 0
		for i := 0; i < len(query); i++ {
			if query[i] != '?' {
				continue
			}
			end := i + 1
			for end < len(query) && query[end] >= '0' && query[end] <= '9' {
				end++
			}
			n := last + 1
			if end > i+1 {
				n, _ = strconv.Atoi(query[i+1 : end])
			}
			last = max(last, n)
			if !yield(n, i) {
				return
			}
		}
	}
}

// begin takes the store's one row: updates of all processes come one after the other, so that numbers given in one are seen
// by the next in that order.
func (e *postgresEngine) begin(ctx context.Context, db *database) (*transaction, error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	t := &transaction{Tx: tx, engine: e}
	if err := tx.QueryRowContext(ctx, `SELECT epoch, pg_current_xact_id()::text FROM store WHERE n = 1 FOR UPDATE`).Scan(&t.lead, &t.id); err != nil {
		tx.Rollback()
		return nil, err
	}
	return t, nil
}

// commit asks again when the connection broke: the server knows what became of a transaction, also after it was restarted.
func (e *postgresEngine) commit(ctx context.Context, tx *transaction) (bool, error) {
	err := tx.Commit()
	if err == nil {
		return true, nil
	}
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Severity == "ERROR" {
		return false, err
	}
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	for {
		var status sql.NullString
		if e.ask.QueryRowContext(ctx, `SELECT pg_xact_status($1::text::xid8)`, tx.id).Scan(&status) == nil {
			switch status.String {
			case "committed":
				return true, nil
			case "aborted":
				return false, err
			}
		}
		select {
		case <-ctx.Done():
			return true, fmt.Errorf("%w: %w", ErrUncertain, classify(err))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (e *postgresEngine) rest(context.Context, *database) {}

func (e *postgresEngine) fit(context.Context, *database) error { return nil }

func (e *postgresEngine) tend(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

func (e *postgresEngine) snapshot(ctx context.Context, db *database) (*sql.Tx, error) {
	return db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
}

func (e *postgresEngine) loads(c *column, value int64) any {
	if c.flag {
		return value != 0
	}
	return value
}

func (e *postgresEngine) overriding() string { return " OVERRIDING SYSTEM VALUE" }

func (e *postgresEngine) reseed(ctx context.Context, tx *transaction, t *table) error {
	_, err := tx.ExecContext(ctx, `SELECT setval(pg_get_serial_sequence('`+t.name+`', '`+t.key[0]+`'), greatest((SELECT max(`+t.key[0]+`) FROM `+t.name+`), 1))`)
	return classify(err)
}

func (e *postgresEngine) limit(context.Context, *database, int64) error { return ErrNoLimit }

func (e *postgresEngine) size(ctx context.Context, db *database) (n int64, err error) {
	err = db.QueryRowContext(ctx, `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class AS c
		WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'store'::regclass) AND c.relkind = 'r'`).Scan(&n)
	return n, err
}
