package store

import (
	"context"
	"database/sql/driver"
	"strings"

	"modernc.org/sqlite"
)

// statementsMax bounds the statements that one connection keeps compiled; the program has fewer, but for lists of varying length.
const statementsMax = 256

// connector opens connections to SQLite that keep compiled what they have run once. To compile a statement costs SQLite several
// times what it costs to run it, and the driver forgets it after each call. Whoever uses database/sql sees no difference.
type connector struct{ driver.Connector }

func newConnector(dsn string) (driver.Connector, error) {
	c, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	return connector{c}, nil
}

// Connect implements driver.Connector.
func (c connector) Connect(ctx context.Context) (driver.Conn, error) {
	raw, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return &conn{sqliteConn: raw.(sqliteConn), kept: map[string]*statement{}}, nil
}

// sqliteConn is what database/sql asks of the driver's connection.
type sqliteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.SessionResetter
	driver.Validator
	driver.Pinger
}

// conn is used by one goroutine at a time, as database/sql promises.
type conn struct {
	sqliteConn
	kept map[string]*statement
}

// statement is compiled. It is busy from a query until its rows are closed: the same text is then compiled once more.
type statement struct {
	driver.Stmt
	busy bool
}

// statement finds or compiles a query. Schema changes do no harm: SQLite compiles anew by itself.
func (c *conn) statement(ctx context.Context, query string) (s *statement, once bool, err error) {
	s, ok := c.kept[query]
	if ok && !s.busy {
		return s, false, nil
	}
	compiled, err := c.PrepareContext(ctx, unlimited(query))
	if err != nil {
		return nil, false, err
	}
	s = &statement{Stmt: compiled}
	if ok || !c.room() {
		return s, true, nil
	}
	c.kept[query] = s
	return s, false, nil
}

// unlimited hides from SQLite (since 3.54) that a LIMIT is a parameter: it would plan by the value, and compile the statement
// anew, which costs several times what it costs to run it, whenever another value comes. At the value of an expression it does
// not look.
func unlimited(query string) string { return strings.ReplaceAll(query, "LIMIT ?", "LIMIT +?") }

// room drops any one statement when there are too many.
func (c *conn) room() bool {
	if len(c.kept) < statementsMax {
		return true
	}
	for query, s := range c.kept {
		if !s.busy {
			delete(c.kept, query)
			_ = s.Close()
			return true
		}
	}
	return false
}

// ExecContext implements driver.ExecerContext.
func (c *conn) ExecContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Result, error) {
	s, once, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	if once {
		defer s.Close()
	}
	return s.Stmt.(driver.StmtExecContext).ExecContext(ctx, args)
}

// QueryContext implements driver.QueryerContext.
func (c *conn) QueryContext(ctx context.Context, query string, args []driver.NamedValue) (driver.Rows, error) {
	s, once, err := c.statement(ctx, query)
	if err != nil {
		return nil, err
	}
	rows, err := s.Stmt.(driver.StmtQueryContext).QueryContext(ctx, args)
	if err != nil {
		if once {
			_ = s.Close()
		}
		return nil, err
	}
	s.busy = true
	return &keptRows{Rows: rows, s: s, once: once}, nil
}

// Close implements driver.Conn.
func (c *conn) Close() error {
	for _, s := range c.kept {
		_ = s.Close()
	}
	clear(c.kept)
	return c.sqliteConn.Close()
}

// keptRows gives the statement back when they are closed.
type keptRows struct {
	driver.Rows
	s    *statement
	once bool
}

// Close implements driver.Rows.
func (r *keptRows) Close() error {
	err := r.Rows.Close()
	r.s.busy = false
	if r.once {
		_ = r.s.Close()
	}
	return err
}
