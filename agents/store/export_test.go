package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
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
