package store_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

// TestGaugesReadIndexes: no query behind /metrics looks at what is finished.
func TestGaugesReadIndexes(t *testing.T) {
	s, err := store.Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	plans, err := s.GaugePlans()
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) < 15 {
		t.Fatalf("only %d plans", len(plans))
	}
	small := map[string]bool{"gaps": true, "sequences": true} // one row for each hole, or pair of agencies and lane
	for name, plan := range plans {
		for _, line := range plan {
			words := strings.Fields(line)
			if len(words) < 2 || words[0] != "SCAN" || small[words[1]] || words[1] == "q" || words[1] == "CONSTANT" {
				continue
			}
			if !strings.Contains(line, "INDEX") {
				t.Errorf("%s reads a whole table: %s", name, strings.Join(plan, " / "))
			}
		}
		if strings.Contains(strings.Join(plan, "\n"), "TEMP B-TREE FOR GROUP BY") && name != "held" && name != "numbers" {
			t.Errorf("%s sorts: %s", name, strings.Join(plan, " / "))
		}
	}
}

// TestPeopleReadIndexes: nothing that people ask all day reads a whole table, which after some years takes seconds.
func TestPeopleReadIndexes(t *testing.T) {
	s := opened(t)
	ctx := t.Context()
	for name, ask := range map[string]func() error{
		"status":       func() error { return second(s.Count(ctx, &store.Gauges{})) },
		"dead letters": func() error { return second(s.DeadDeliveries(ctx, 100)) },
		"hand-overs":   func() error { return second(s.ListDeliveries(ctx, "ref")) },
		"consents":     func() error { return second(s.Certificates(ctx, 500)) },
		"duties":       func() error { return second(s.Duties(ctx, "")) },
		"unproved":     func() error { return second(s.CountUnproved(ctx)) },
		"inbox":        func() error { return second(s.ListIncoming(ctx, storetest.Us, true, store.Page{Limit: 10})) },
		"outbox":       func() error { return second(s.ListOutgoing(ctx, storetest.Us, store.Page{Limit: 10})) },
		"pending":      func() error { return second(s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)) },
	} {
		if err := ask(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	plans, err := s.Plans(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(plans) < 9 {
		t.Fatalf("only %d statements seen", len(plans))
	}
	for query, plan := range plans {
		for _, step := range plan {
			if strings.HasPrefix(step, "SCAN") && !strings.Contains(step, "USING") && step != "SCAN CONSTANT ROW" && step != "SCAN ledger" && !strings.Contains(query, "healings") {
				t.Errorf("%s\n\treads a table whole: %s", query, step)
			}
		}
	}
}

// BenchmarkGauges is what one scrape costs with a million finished messages each way and a thousand unfinished ones.
func BenchmarkGauges(b *testing.B) {
	path := filepath.Join(b.TempDir(), "agent.db")
	s, err := store.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	const many = 1_000_000
	fill := fmt.Sprintf("WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < %d) ", many)
	for _, statement := range []string{
		"INSERT INTO outbox (id, thread, peer, kind, schema, lane, seq, sent, note, state, published, stream_seq, receipt, recorded) " + fill +
			"SELECT 'o' || i, 't' || i, 'peer', 'referral', 'referral.v1', 'routine', i, i, x'00', 'published', i, i, iif(i % 1000, 'delivered', ''), iif(i % 1000, i, NULL) FROM c",
		"INSERT INTO inbox (id, thread, peer, kind, schema, lane, seq, sent, note, received, stream_seq, routed, recorded, respond_by, answered) " + fill +
			"SELECT 'i' || i, 't' || i, 'peer', 'referral', 'referral.v1', 'routine', i, i, x'00', i, i, iif(i % 1000, i, NULL), iif(i % 1000, i, NULL), i, iif(i % 1000, i, NULL) FROM c",
		"INSERT INTO deliveries (source, ref, sink, urgent, required, state, due) " + fill + "SELECT 'inbox', 'i' || i, 'intake', 0, 1, iif(i % 1000, 'done', 'pending'), i FROM c",
	} {
		if err := store.Exec(path, statement); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		g, err := s.Gauges(b.Context(), storetest.Now)
		if err != nil || store.Total(g.Unrouted).Count != many/1000 || store.Total(g.Pending).Count != many/1000 {
			b.Fatalf("%+v %v", g, err)
		}
	}
}
