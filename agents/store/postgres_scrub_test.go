package store_test

import (
	"context"
	"database/sql"
	"errors"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

// TestScrubBehindASnapshot: while a backup reads, what is erased stays where it is, and Scrub says so; afterwards it goes.
func TestScrubBehindASnapshot(t *testing.T) {
	server := postgrestest.Start(t)
	url, schema := server.Schema(t)
	ctx := context.Background()
	s, err := store.OpenPostgres(ctx, store.Postgres{URL: url, Agency: storetest.Us})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	server.Exec(t, `CREATE EXTENSION pgstattuple SCHEMA pg_catalog`)
	db, err := sql.Open("pgx", url)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	dead := func() (n int) {
		t.Helper()
		if err := db.QueryRow(`SELECT dead_tuple_count FROM pgstattuple($1::text::regclass)`, schema+".inbox_bodies").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	erase := func() {
		t.Helper()
		in := storetest.Incoming(schemas.LaneUrgent)
		update := func(f func(tx *store.Tx) error) {
			t.Helper()
			if err := s.Update(ctx, f); err != nil {
				t.Fatal(err)
			}
		}
		update(func(tx *store.Tx) error { return tx.AddIncoming(in) })
		update(func(tx *store.Tx) error { _, err := tx.EraseThread(in.Manifest.Thread, storetest.Now); return err })
	}
	if err := add(s); err != nil { // something for the snapshot to begin with
		t.Fatal(err)
	}
	begun := false
	err = s.Dump(ctx, func(string, []byte) error {
		if begun {
			return nil
		}
		begun = true
		erase()
		if err := s.Scrub(ctx); !errors.Is(err, store.ErrBusy) {
			t.Errorf("a snapshot sees it still: %v, want ErrBusy", err)
		}
		if dead() == 0 {
			t.Error("nothing was left behind: this test sees nothing")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(ctx); err != nil {
		t.Error(err)
	}
	if n := dead(); n != 0 {
		t.Errorf("%d erased rows are left", n)
	}
	// A snapshot from after the erasure does not see it and is in nobody's way.
	erase()
	begun = false
	if err := s.Dump(ctx, func(string, []byte) error {
		if begun {
			return nil
		}
		begun = true
		return s.Scrub(ctx)
	}); err != nil {
		t.Error(err)
	}
	if n := dead(); n != 0 {
		t.Errorf("%d erased rows are left", n)
	}
	// Nor need anybody ask.
	erase()
	for range 600 {
		if dead() == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("%d erased rows are left", dead())
}
