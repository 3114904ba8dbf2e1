package store_test

import (
	"context"
	"database/sql"
	"flag"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
)

var rows = flag.Int("rows", 1_000_000, "messages in the inbox, and in the outbox, of BenchmarkMillion")

// fill writes years of traffic: nearly all of it answered, receipted, routed and handed over, and a little that is not.
func fill(b *testing.B, path string, n int) {
	b.Helper()
	s, err := store.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(OFF)&_pragma=synchronous(OFF)&_pragma=cache_size(-200000)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	const count = `WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1) `
	for _, query := range []string{
		`INSERT INTO inbox (id, thread, peer, kind, schema, lane, seq, sent, respond_by, basis, note, received, stream_seq, routed, answered, recorded)
			` + count + `SELECT printf('in-%032d', n), printf('%032x', n * 7919 % ?1), 'test-police', 'referral', 'referral.v1', 'routine', n, n, n + 1000,
			printf('consent:%032d', n), zeroblob(560), n, n, n, CASE WHEN n % 5000 = 0 THEN NULL ELSE n END, n FROM c`,
		`INSERT INTO outbox (id, thread, peer, kind, schema, lane, seq, sent, respond_by, basis, note, state, published, stream_seq, receipt, receipt_at, answered, recorded)
			` + count + `SELECT printf('out-%032d', n), printf('%032x', n * 104729 % ?1), 'test-ngo', 'referral', 'referral.v1', 'routine', n, n, n + 1000,
			printf('consent:%032d', n), zeroblob(560), 'published', n, n, CASE WHEN n % 5000 = 0 THEN '' ELSE 'delivered' END, n,
			CASE WHEN n % 5000 = 0 THEN NULL ELSE n END, n FROM c`,
		`INSERT INTO inbox_bodies (message, body, wrapped) ` + count + `SELECT n, zeroblob(300), zeroblob(72) FROM c`,
		`INSERT INTO outbox_bodies (message, body, wrapped) ` + count + `SELECT n, zeroblob(300), zeroblob(72) FROM c`,
		`INSERT INTO deliveries (source, ref, sink, urgent, required, state, due, finished)
			` + count + `SELECT 'inbox', printf('in-%032d', n), 'intake', 0, 1, CASE WHEN n % 5000 = 0 THEN 'pending' ELSE 'done' END, n, n FROM c`,
		`INSERT INTO events (id, thread, message, kind, type, peer, at)
			` + count + `SELECT printf('event-%032d', n), printf('%032x', n * 7919 % ?1), printf('in-%032d', n), 'referral', 'waypost.message.received', 'test-police', n FROM c`,
		`INSERT INTO certificates (id, issuer, issued, expires, review, received, locked)
			` + count + `SELECT printf('%032d', n), 'test-police', n, n, n, n, zeroblob(900) FROM c WHERE n % 10 = 0`,
	} {
		if _, err := db.Exec(query, n); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMillion: what an agent does with years of messages in its store. Goals: a list in less than 50 ms, a start in less than 1 s.
//
//	go test ./agents/store -run xxx -bench Million
func BenchmarkMillion(b *testing.B) {
	path := filepath.Join(b.TempDir(), "agent.db")
	fill(b, path, *rows)
	ctx := context.Background()
	b.Run("start", func(b *testing.B) { // what agents.New asks of the store
		for b.Loop() {
			s, err := store.Open(path)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := s.PendingSinks(ctx); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Directory(ctx); err != nil {
				b.Fatal(err)
			}
			if err := s.Close(); err != nil {
				b.Fatal(err)
			}
		}
	})
	s, err := store.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	for name, list := range map[string]func() (int, error){
		"inbox": func() (int, error) {
			r, err := s.ListIncoming(ctx, "test-ngo", false, store.Page{Limit: 500})
			return len(r), err
		},
		"inbox middle": func() (int, error) {
			r, err := s.ListIncoming(ctx, "test-ngo", false, store.Page{Limit: 500, Before: int64(*rows / 2)})
			return len(r), err
		},
		"inbox open": func() (int, error) {
			r, err := s.ListIncoming(ctx, "test-ngo", true, store.Page{Limit: 500})
			return len(r), err
		},
		"outbox": func() (int, error) {
			r, err := s.ListOutgoing(ctx, "test-ngo", store.Page{Limit: 500})
			return len(r), err
		},
		"status": func() (int, error) { // what `agent status` asks
			g, err := s.Gauges(ctx, time.UnixMilli(int64(*rows)))
			if err == nil {
				_, err = s.Count(ctx, g)
			}
			if err == nil {
				_, err = s.Gaps(ctx)
			}
			if err == nil {
				_, err = s.DeadDeliveries(ctx, 100)
			}
			if err == nil {
				_, err = s.Duties(ctx, "")
			}
			return 1, err
		},
		"hand-overs of one": func() (int, error) {
			r, err := s.ListDeliveries(ctx, fmt.Sprintf("in-%032d", *rows/2))
			return len(r), err
		},
		"dead letters": func() (int, error) { _, err := s.DeadDeliveries(ctx, 100); return 1, err },
		"consents": func() (int, error) {
			r, err := s.Certificates(ctx, 500)
			return len(r), err
		},
		"places":   func() (int, error) { _, err := s.Latest(ctx, "test-ngo", schemas.KindAvailability); return 1, err },
		"unproved": func() (int, error) { _, err := s.CountUnproved(ctx); return 1, err },
		"history": func() (int, error) {
			r, err := s.History(ctx, fmt.Sprintf("%032x", *rows/2))
			return len(r), err
		},
		"thread": func() (int, error) {
			r, _, _, err := s.Exchange(ctx, "test-ngo", fmt.Sprintf("%032x", *rows/2))
			return len(r), err
		},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if n, err := list(); n == 0 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
