package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"time"
)

// SetVersion writes user_version as another release would.
func SetVersion(path string, v int) error {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(fmt.Sprintf("PRAGMA user_version = %d", v))
	return err
}

// Exec runs a statement beside the store, for tests that need a store of a certain size or in a certain state.
func Exec(path, statement string) error {
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.Exec(statement)
	return err
}

// GaugePlans asks SQLite how it answers each of the queries behind Gauges; line by line, by the member of Gauges.
func (s *Store) GaugePlans() (map[string][]string, error) {
	plans := map[string][]string{}
	queries := reflect.ValueOf(gaugeQueries)
	for i := range queries.NumField() {
		name, query := queries.Type().Field(i).Name, queries.Field(i).String()
		args := make([]any, strings.Count(query, "?"))
		for j := range args {
			args[j] = 1
		}
		rows, err := s.read.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+query, args...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			plans[name] = append(plans[name], detail)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return plans, nil
}

// Picker picks updates for groups as the writer does, from queues that a test fills; nothing is written.
type Picker struct {
	s     *Store
	g     *group
	names map[*job]string
}

// NewPicker has empty queues.
func NewPicker() *Picker {
	s := &Store{pace: pace{base: time.Now()}, urgent: make(chan *job, 1<<15), jobs: make(chan *job, 1<<15), stop: make(chan struct{})}
	return &Picker{s, &group{store: s}, map[*job]string{}}
}

// Add queues an update.
func (p *Picker) Add(name string, urgent bool) {
	j := &job{}
	p.names[j] = name
	if urgent {
		p.s.urgent <- j
	} else {
		p.s.jobs <- j
	}
}

// Next is the next update of the group that is being picked; false ends the group and begins another.
func (p *Picker) Next() (string, bool) {
	p.s.Press()
	if j := p.g.next(); j != nil {
		return p.names[j], true
	}
	p.g.end()
	p.g = &group{store: p.s}
	return "", false
}

// Queued is how many updates wait for the writer.
func (s *Store) Queued() (urgent, routine int) { return len(s.urgent), len(s.jobs) }

// PassMax is passMax.
const PassMax = passMax

// Plans asks SQLite how it answers every statement that the store's connections keep compiled, by statement.
func (s *Store) Plans(ctx context.Context) (map[string][]string, error) {
	kept := map[string]bool{}
	var held []*sql.Conn
	for _, db := range []*sql.DB{s.write.DB, s.read.DB} {
		for range db.Stats().OpenConnections {
			c, err := db.Conn(ctx)
			if err != nil {
				return nil, err
			}
			held = append(held, c)
			if err := c.Raw(func(raw any) error {
				for q := range raw.(*conn).kept {
					kept[q] = true
				}
				return nil
			}); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range held {
		if err := c.Close(); err != nil {
			return nil, err
		}
	}
	plans := map[string][]string{}
	for q := range kept {
		if first, _, _ := strings.Cut(strings.TrimSpace(q), " "); !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE"}, first) {
			continue
		}
		rows, err := s.read.QueryContext(ctx, "EXPLAIN QUERY PLAN "+q, make([]any, strings.Count(q, "?"))...)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", q, err)
		}
		for rows.Next() {
			var id, parent, unused int
			var detail string
			if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
				return nil, errors.Join(err, rows.Close())
			}
			plans[q] = append(plans[q], detail)
		}
		if err := errors.Join(rows.Err(), rows.Close()); err != nil {
			return nil, err
		}
	}
	return plans, nil
}

// Layout shows the tables as a dump sees them: name, columns, key.
func Layout() (out []string) {
	for _, t := range layout() {
		line := t.name
		for _, c := range t.columns {
			line += " " + c.name
		}
		out = append(out, line+" | "+strings.Join(t.key, " "))
	}
	return out
}

// CountTables counts the tables that the schema makes.
func CountTables() int { return strings.Count(schema, "CREATE TABLE ") }

// Move moves the log as far as it goes.
func Move(ctx context.Context, s *Store) error {
	_, err := s.engine.(*sqliteEngine).mover.move(ctx, s.write.DB)
	return err
}

// MoveEvery, MoveRest, MoveMost and MoveKept are moveEvery, moveRest, moveMost and moveKept.
const (
	MoveEvery = moveEvery
	MoveRest  = moveRest
	MoveMost  = moveMost
	MoveKept  = moveKept
)

// MoveWithin has SQLite move the log by itself.
func MoveWithin(ctx context.Context, s *Store) error {
	s.engine.(*sqliteEngine).mover.commits = math.MinInt
	_, err := s.write.ExecContext(ctx, fmt.Sprintf("PRAGMA wal_autocheckpoint(%d)", moveRest))
	return err
}
