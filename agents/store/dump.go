package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Dump gives every row of every table to emit, all from one moment, while updates go on. Tables come in a fixed order, rows in
// the order of their primary key. A row is a JSON array with one element for each column in the order of schema.sql: a whole
// number, a string, base64 for bytes, or null. It is the same from every database, so what one dumps another loads.
//
// What was erased is not in it, and nothing of what is in it is less sealed than in the store.
func (s *Store) Dump(ctx context.Context, emit func(table string, row []byte) error) error {
	tx, err := s.engine.snapshot(ctx, s.read)
	if err != nil {
		return fmt.Errorf("dump store: %w", classify(err))
	}
	defer tx.Rollback()
	for _, t := range layout() {
		if err := t.dump(ctx, tx, emit); err != nil {
			return fmt.Errorf("dump table %s: %w", t.name, classify(err))
		}
	}
	return nil
}

func (t *table) dump(ctx context.Context, tx *sql.Tx, emit func(string, []byte) error) error {
	rows, err := tx.QueryContext(ctx, "SELECT "+t.names()+" FROM "+t.name+" ORDER BY "+strings.Join(t.key, ", "))
	if err != nil {
		return err
	}
	defer rows.Close()
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		row, err := t.encode(values)
		if err != nil {
			return err
		}
		if err := emit(t.name, row); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (t *table) encode(values []any) (row []byte, err error) {
	row = append(row, '[')
	for i, v := range values {
		if i > 0 {
			row = append(row, ',')
		}
		c := t.columns[i]
		switch v := v.(type) {
		case nil:
			row = append(row, "null"...)
		case int64:
			row = strconv.AppendInt(row, v, 10)
		case bool:
			row = strconv.AppendInt(row, number(v), 10)
		case string:
			if row, err = jsontext.AppendQuote(row, v); err != nil {
				return nil, fmt.Errorf("column %s is not UTF-8", c.name)
			}
		case []byte:
			if c.kind == "TEXT" {
				if row, err = jsontext.AppendQuote(row, v); err != nil {
					return nil, fmt.Errorf("column %s is not UTF-8", c.name)
				}
				break
			}
			row = append(row, '"')
			row = base64.StdEncoding.AppendEncode(row, v)
			row = append(row, '"')
		default:
			return nil, fmt.Errorf("column %s holds a %T", c.name, v)
		}
	}
	return append(row, ']'), nil
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// ErrNotEmpty: there are rows in the store already.
var ErrNotEmpty error = notEmptyError{}

type notEmptyError struct{}

func (notEmptyError) Error() string { return "the store is not empty" }

// Hint says what to do next; the command line prints it.
func (notEmptyError) Hint() string {
	return "nothing was changed. Name an empty database, or one whose role has an empty schema first in its search_path; rows are never loaded over others"
}

// ErrRow: a row is not as Dump writes it.
var ErrRow = errors.New("not a row of this store")

// Load fills an empty store with the rows that next returns until io.EOF, as Dump gave them, and then runs also in the same
// transaction. Either all of it is on disk when Load returns nil, or nothing is. ErrNotEmpty when something is in it already.
func (s *Store) Load(ctx context.Context, next func() (table string, row []byte, err error), also func(*Tx) error) error {
	entered := false
	return s.Update(ctx, func(tx *Tx) error {
		if entered { // the rows are read once: a second run would store none and call that a success
			return errors.New("load store: the update was begun again; load into a new store")
		}
		entered = true
		tables := map[string]*table{}
		all := layout()
		for i := range all {
			t := &all[i]
			tables[t.name] = t
			var there bool
			if err := tx.tx.QueryRowContext(ctx, "SELECT EXISTS (SELECT 1 FROM "+t.name+")").Scan(&there); err != nil {
				return fmt.Errorf("load store: %w", classify(err))
			}
			if there {
				return fmt.Errorf("load store: %w", ErrNotEmpty)
			}
		}
		for {
			name, row, err := next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			t := tables[name]
			if t == nil {
				return fmt.Errorf("load table %q: %w", name, ErrRow)
			}
			values, err := t.decode(row)
			if err != nil {
				return fmt.Errorf("load table %s: %w", name, err)
			}
			if err := tx.load(s.engine, t, values); err != nil {
				return fmt.Errorf("load table %s: %w", name, err)
			}
		}
		for i := range all {
			if !all[i].counted {
				continue
			}
			if err := s.engine.reseed(ctx, tx.tx, &all[i]); err != nil {
				return fmt.Errorf("load table %s: %w", all[i].name, err)
			}
		}
		if also != nil {
			return also(tx)
		}
		return nil
	})
}

func (tx *Tx) load(e engine, t *table, values []any) error {
	over := ""
	if t.counted {
		over = e.overriding()
	}
	for i, v := range values {
		if n, ok := v.(int64); ok {
			values[i] = e.loads(&t.columns[i], n)
		}
	}
	_, err := tx.exec("INSERT INTO "+t.name+" ("+t.names()+")"+over+" VALUES (?"+strings.Repeat(",?", len(values)-1)+")", values...)
	return err
}

func (t *table) decode(row []byte) ([]any, error) {
	var raw []jsontext.Value
	if err := json.Unmarshal(row, &raw); err != nil || len(raw) != len(t.columns) {
		return nil, ErrRow
	}
	values := make([]any, len(raw))
	for i, v := range raw {
		c := t.columns[i]
		var err error
		switch k := v.Kind(); {
		case k == 'n':
		case k == '0' && c.kind == "INTEGER":
			values[i], err = strconv.ParseInt(string(v), 10, 64)
		case k == '"' && c.kind == "TEXT":
			var s string
			err = json.Unmarshal(v, &s)
			values[i] = s
		case k == '"' && c.kind == "BLOB":
			b := []byte{} // empty is not null
			err = json.Unmarshal(v, &b)
			values[i] = b
		default:
			err = ErrRow
		}
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", c.name, ErrRow)
		}
	}
	return values, nil
}
