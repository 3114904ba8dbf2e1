package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"modernc.org/sqlite"

	"waypost/schemas"
)

func keeping(t testing.TB) *sql.DB {
	t.Helper()
	c, err := newConnector("file:" + filepath.Join(t.TempDir(), "kept.db"))
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(c)
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	exec(t, db, `CREATE TABLE number (n INTEGER PRIMARY KEY)`)
	exec(t, db, `INSERT INTO number (n) VALUES (1), (2), (3)`)
	return db
}

type execer interface {
	Exec(query string, args ...any) (sql.Result, error)
}

func exec(t testing.TB, db execer, query string, args ...any) {
	t.Helper()
	if _, err := db.Exec(query, args...); err != nil {
		t.Fatal(err)
	}
}

// TestSameStatementInsideItself: while rows are read, the same text may be asked again, on the same connection.
func TestSameStatementInsideItself(t *testing.T) {
	db := keeping(t)
	tx, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer tx.Rollback()
	const ask = `SELECT n FROM number WHERE n > ? ORDER BY n`
	read := func(after int, each func(int)) {
		t.Helper()
		rows, err := tx.Query(ask, after)
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		for rows.Next() {
			var n int
			if err := rows.Scan(&n); err != nil {
				t.Fatal(err)
			}
			each(n)
		}
	}
	for range 3 { // the kept one is used again after it was busy
		got := ""
		read(0, func(n int) {
			got += fmt.Sprint(n, ":")
			read(n, func(m int) { got += fmt.Sprint(m) })
			got += " "
		})
		if want := "1:23 2:3 3: "; got != want {
			t.Fatalf("read %q, want %q", got, want)
		}
	}
}

// TestStatementsAreBounded: lists of every length are statements of their own; more of them than are kept work as well, and a
// statement that failed works again.
func TestStatementsAreBounded(t *testing.T) {
	db := keeping(t)
	for i := range 3 * statementsMax {
		var n int
		if err := db.QueryRow(fmt.Sprintf(`SELECT count(*) + %d FROM number`, i)).Scan(&n); err != nil || n != 3+i {
			t.Fatalf("%d, %v", n, err)
		}
	}
	raw, err := db.Conn(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	if err := raw.Raw(func(c any) error {
		if n := len(c.(*conn).kept); n > statementsMax {
			return fmt.Errorf("%d statements are kept", n)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := raw.ExecContext(context.Background(), `INSERT INTO number (n) VALUES (?)`, 1); err == nil {
			t.Fatal("inserted twice")
		}
	}
	if _, err := raw.ExecContext(context.Background(), `INSERT INTO number (n) VALUES (?)`, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(context.Background(), `ALTER TABLE number ADD COLUMN word TEXT`); err != nil {
		t.Fatal(err)
	}
	if _, err := raw.ExecContext(context.Background(), `INSERT INTO number (n) VALUES (?)`, 5); err != nil {
		t.Fatalf("after a change of the table: %v", err)
	}
}

// TestCompiledOnce: what is asked all day is compiled once on each connection, whatever the values are. SQLite compiles some
// statements anew by itself when a value changes that it planned by.
func TestCompiledOnce(t *testing.T) {
	ctx := t.Context()
	s, err := Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.read.SetMaxOpenConns(1)
	compiled := 0
	raw, err := s.read.Conn(ctx)
	if err == nil {
		err = raw.Raw(func(c any) error {
			return c.(*conn).sqliteConn.(sqlite.AuthorizerRegisterer).RegisterAuthorizer(func(action sqlite.AuthorizerActionCode, _, _, _, _ string) sqlite.AuthorizerReturnCode {
				if action == sqlite.AuthSelect {
					compiled++
				}
				return sqlite.AuthorizerOK
			})
		})
	}
	if err = errors.Join(err, raw.Close()); err != nil {
		t.Fatal(err)
	}
	hour := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	for i := range 6 {
		limit, at := 1+i, hour.Add(time.Duration(i)*time.Hour)
		for name, ask := range map[string]func() error{
			"pending": func() error { _, err := s.PendingOutgoing(ctx, schemas.LaneRoutine, limit, nil); return err },
			"held": func() error {
				_, err := s.PendingOutgoing(ctx, schemas.LaneReceipt, limit, []string{"test-ngo"})
				return err
			},
			"due":       func() error { _, err := s.DueDeliveries(ctx, "intake", i%2 == 0, at, limit); return err },
			"next":      func() error { _, err := s.NextDue(ctx, "intake", i%2 == 0); return err },
			"left over": func() error { _, _, err := s.LeftOver(ctx, "test-ngo", limit); return err },
			"chores":    func() error { _, err := s.Chores(ctx, at, at, i); return err },
			"silent":    func() error { _, err := s.Silent(ctx, at, at, i, limit); return err },
			"ringing":   func() error { _, err := s.Ringing(ctx, at, limit); return err },
			"unproved":  func() error { _, _, err := s.Unproved(ctx, TableOutbox, int64(i), limit); return err },
			"open acts": func() error { _, err := s.OpenActs(ctx, limit); return err },
			"one's list": func() error {
				_, err := s.ListOutgoing(ctx, "test-ngo", Page{Before: int64(i), Limit: limit})
				return err
			},
		} {
			before := compiled
			if err := ask(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if (i == 0) != (compiled > before) {
				t.Errorf("%s, time %d: compiled %d", name, i, compiled-before)
			}
		}
	}
}

// BenchmarkStatement is one read and one write in a transaction, with the driver as it is and with statements kept.
func BenchmarkStatement(b *testing.B) {
	run := func(b *testing.B, db *sql.DB) {
		if _, err := db.Exec(schema); err != nil {
			b.Fatal(err)
		}
		tx, err := db.Begin()
		if err != nil {
			b.Fatal(err)
		}
		defer tx.Rollback()
		for i := 0; b.Loop(); i++ {
			id := fmt.Sprint("id-", i)
			exec(b, tx, `INSERT INTO decided (id, peer, outcome, code, at) VALUES (?,?,?,?,?)`, id, "test-ngo", "accepted", "", i)
			var peer string
			if err := tx.QueryRow(`SELECT peer FROM decided WHERE id = ?`, id).Scan(&peer); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.Run("driver", func(b *testing.B) {
		c, err := sqlite.NewConnector("file:" + filepath.Join(b.TempDir(), "plain.db"))
		if err != nil {
			b.Fatal(err)
		}
		db := sql.OpenDB(c)
		defer db.Close()
		db.SetMaxOpenConns(1)
		run(b, db)
	})
	b.Run("kept", func(b *testing.B) { run(b, keeping(b)) })
}
