package store_test

import (
	"context"
	"fmt"
	"testing"

	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/agents/store/storetest"
)

// postgres is a new place for a store on a server.
func postgres(t testing.TB, server *postgrestest.Server) storetest.Place {
	url, schema := server.Schema(t)
	return storetest.Place{
		Open: func() (*store.Store, error) {
			return store.OpenPostgres(context.Background(), store.Postgres{URL: url, Agency: storetest.Us})
		},
		SetVersion: func(v int) error {
			server.Exec(t, fmt.Sprintf("UPDATE %s.store SET version = %d", schema, v))
			return nil
		},
		Fill: func(_ *store.Store, full bool) error {
			// What the server says when its disk is full, said by the server.
			if full {
				server.Exec(t, `SET search_path = `+schema+`; CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no space' USING ERRCODE = 'disk_full'; END $$;
					CREATE TRIGGER full_disk BEFORE INSERT ON inbox FOR EACH ROW EXECUTE FUNCTION full_disk()`)
			} else {
				server.Exec(t, `SET search_path = `+schema+`; DROP TRIGGER full_disk ON inbox; DROP FUNCTION full_disk`)
			}
			return nil
		},
	}
}

func TestPostgresConformance(t *testing.T) {
	server := postgrestest.Start(t)
	storetest.Store(t, func(t *testing.T) storetest.Place { return postgres(t, server) })
}
