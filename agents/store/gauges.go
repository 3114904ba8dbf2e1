package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"waypost/schemas"
)

// Gauges is what waits, is late or is stuck, for whoever watches over the agent. Nothing in it is about one message, thread
// or peer. Reading it costs little however many messages there are: each number comes from an index that holds only what is
// unfinished.
type Gauges struct {
	Outbox      map[schemas.Lane]Queue // durable here and nowhere else; since it was accepted
	Held        map[string]int64       // of these, by the code that holds them
	Uncollected map[schemas.Lane]Queue // stored by the broker, no receipt yet; since it was stored
	Unrouted    map[schemas.Lane]Queue // accepted, and a system of ours that must have it does not; since it came
	Owed        map[schemas.Lane]Waiting
	Awaited     map[schemas.Lane]Waiting
	Pending     map[string]Queue       // hand-overs by sink; since they were due
	Dead        map[string]int64       // hand-overs given up, by sink
	Quarantine  map[string]int64       // by code
	Unproved    Queue                  // not yet found in the ledger; since the broker acknowledged it, or we accepted it
	Acts        Queue                  // signed acts that the ledger does not hold yet
	Decisions   Queue                  // withdrawals and requests that our people must decide on; since they came
	Undecided   int64                  // of these, late
	Answers     Queue                  // holders that we told of a withdrawal and that have not answered; since they were told
	Silent      int64                  // of these, late
	Gaps        int64                  // sequence numbers never seen
	Sent        map[schemas.Lane]int64 // numbers ever given out
	Received    map[schemas.Lane]int64 // highest numbers ever seen, of all peers together
}

// Queue is how many there are and since when the first of them waits; the zero time when there is none.
type Queue struct {
	Count int64
	Since time.Time
}

// Waiting are response clocks that nobody has answered yet.
type Waiting struct {
	Open    int64
	Overdue int64     // of these
	First   time.Time // when the first of them is, or was, due; the zero time when there is none
}

// Age is how long the first has waited at a time.
func (q Queue) Age(now time.Time) time.Duration {
	if q.Since.IsZero() {
		return 0
	}
	return max(now.Sub(q.Since), 0)
}

// Total adds up.
func Total[K comparable](m map[K]Queue) Queue {
	var t Queue
	for _, q := range m {
		t.Count += q.Count
		if t.Since.IsZero() || !q.Since.IsZero() && q.Since.Before(t.Since) {
			t.Since = q.Since
		}
	}
	return t
}

// gaugeQueries are kept apart so that a test can ask how each is answered.
var gaugeQueries = struct {
	outbox, held, uncollected, unrouted, awaited, owed, pending, dead, quarantine, unproved, acts, decisions, answers, gaps, numbers string
}{
	outbox: `SELECT q.lane, q.many, o.sent FROM (SELECT lane, count(*) AS many, min(n) AS first FROM outbox WHERE state = 'pending' GROUP BY lane) AS q
		JOIN outbox AS o ON o.n = q.first`,
	held:        `SELECT hold, count(*), 0 FROM outbox WHERE state = 'pending' AND hold <> '' GROUP BY hold`,
	uncollected: `SELECT lane, count(*), min(published) FROM outbox WHERE state = 'published' AND receipt = '' AND outcome = '' GROUP BY lane`,
	unrouted:    `SELECT lane, count(*), min(received) FROM inbox WHERE routed IS NULL AND refused IS NULL AND stopped IS NULL GROUP BY lane`,
	awaited: `SELECT lane, count(*), sum(CASE WHEN respond_by < ? THEN 1 ELSE 0 END), min(respond_by) FROM outbox
		WHERE respond_by IS NOT NULL AND answered IS NULL AND stopped IS NULL GROUP BY lane`,
	owed: `SELECT lane, count(*), sum(CASE WHEN respond_by < ? THEN 1 ELSE 0 END), min(respond_by) FROM inbox
		WHERE respond_by IS NOT NULL AND answered IS NULL AND stopped IS NULL GROUP BY lane`,
	pending:    `SELECT sink, count(*), min(due) FROM deliveries WHERE state = 'pending' GROUP BY sink`,
	dead:       `SELECT sink, count(*), 0 FROM deliveries WHERE state = 'dead' GROUP BY sink`,
	quarantine: `SELECT code, count(*), 0 FROM quarantine GROUP BY code`,
	unproved: `SELECT (SELECT count(*) FROM outbox WHERE recorded IS NULL AND stream_seq IS NOT NULL)
			+ (SELECT count(*) FROM inbox WHERE recorded IS NULL) + (SELECT count(*) FROM receipts WHERE recorded IS NULL),
		(SELECT published FROM outbox WHERE recorded IS NULL AND stream_seq IS NOT NULL ORDER BY n LIMIT 1),
		(SELECT received FROM inbox WHERE recorded IS NULL ORDER BY n LIMIT 1),
		(SELECT min(received) FROM receipts WHERE recorded IS NULL)`,
	acts:      `SELECT count(*), 0, min(at) FROM acts WHERE recorded IS NULL`,
	decisions: `SELECT count(*), coalesce(sum(CASE WHEN due < ? THEN 1 ELSE 0 END), 0), min(received) FROM duties WHERE decided IS NULL`,
	answers:   `SELECT count(*), coalesce(sum(CASE WHEN due < ? THEN 1 ELSE 0 END), 0), min(told) FROM notices WHERE due IS NOT NULL AND answered IS NULL`,
	gaps:      `SELECT count(*) FROM gaps`,
	numbers:   `SELECT direction, lane, CAST(sum(last) AS BIGINT) FROM sequences GROUP BY direction, lane`,
}

// Gauges reads them; now decides what is late.
func (s *Store) Gauges(ctx context.Context, now time.Time) (*Gauges, error) {
	g, q, err := &Gauges{}, &gaugeQueries, error(nil)
	read := func(f func() error) {
		if err == nil {
			err = f()
		}
	}
	read(func() (err error) { g.Outbox, err = queues[schemas.Lane](ctx, s.read, q.outbox); return err })
	read(func() (err error) { g.Uncollected, err = queues[schemas.Lane](ctx, s.read, q.uncollected); return err })
	read(func() (err error) { g.Unrouted, err = queues[schemas.Lane](ctx, s.read, q.unrouted); return err })
	read(func() (err error) { g.Pending, err = queues[string](ctx, s.read, q.pending); return err })
	read(func() (err error) { g.Held, err = counts(ctx, s.read, q.held); return err })
	read(func() (err error) { g.Dead, err = counts(ctx, s.read, q.dead); return err })
	read(func() (err error) { g.Quarantine, err = counts(ctx, s.read, q.quarantine); return err })
	read(func() (err error) { g.Awaited, err = waiting(ctx, s.read, q.awaited, now); return err })
	read(func() (err error) { g.Owed, err = waiting(ctx, s.read, q.owed, now); return err })
	read(func() (err error) { g.Unproved, err = s.unproved(ctx); return err })
	read(func() (err error) { g.Acts, _, err = s.late(ctx, q.acts); return err })
	read(func() (err error) { g.Decisions, g.Undecided, err = s.late(ctx, q.decisions, millis(now)); return err })
	read(func() (err error) { g.Answers, g.Silent, err = s.late(ctx, q.answers, millis(now)); return err })
	read(func() error { return classify(s.read.QueryRowContext(ctx, q.gaps).Scan(&g.Gaps)) })
	read(func() error { return s.numbers(ctx, g) })
	if err != nil {
		return nil, fmt.Errorf("read gauges of store: %w", err)
	}
	return g, nil
}

func queues[K ~string](ctx context.Context, q querier, query string) (map[K]Queue, error) {
	out := map[K]Queue{}
	return out, each(ctx, q, func(r row) error {
		var key string
		var n int64
		var since sql.NullInt64
		if err := r.Scan(&key, &n, &since); err != nil {
			return err
		}
		out[K(key)] = queue(n, since)
		return nil
	}, query)
}

func queue(n int64, since sql.NullInt64) Queue {
	q := Queue{Count: n}
	if since.Valid {
		q.Since = moment(since.Int64)
	}
	return q
}

func counts(ctx context.Context, q querier, query string) (map[string]int64, error) {
	out := map[string]int64{}
	return out, each(ctx, q, func(r row) error {
		var key string
		var n, none int64
		err := r.Scan(&key, &n, &none)
		out[key] = n
		return err
	}, query)
}

func waiting(ctx context.Context, q querier, query string, now time.Time) (map[schemas.Lane]Waiting, error) {
	out := map[schemas.Lane]Waiting{}
	return out, each(ctx, q, func(r row) error {
		var lane string
		var c Waiting
		var first int64
		if err := r.Scan(&lane, &c.Open, &c.Overdue, &first); err != nil {
			return err
		}
		c.First = moment(first)
		out[schemas.Lane(lane)] = c
		return nil
	}, query, millis(now))
}

func (s *Store) unproved(ctx context.Context) (Queue, error) {
	var n int64
	var first [3]sql.NullInt64
	if err := s.read.QueryRowContext(ctx, gaugeQueries.unproved).Scan(&n, &first[0], &first[1], &first[2]); err != nil {
		return Queue{}, classify(err)
	}
	var since sql.NullInt64
	for _, at := range first {
		if at.Valid && (!since.Valid || at.Int64 < since.Int64) {
			since = at
		}
	}
	return queue(n, since), nil
}

func (s *Store) late(ctx context.Context, query string, args ...any) (q Queue, late int64, err error) {
	var n int64
	var since sql.NullInt64
	err = classify(s.read.QueryRowContext(ctx, query, args...).Scan(&n, &late, &since))
	return queue(n, since), late, err
}

func (s *Store) numbers(ctx context.Context, g *Gauges) error {
	g.Sent, g.Received = map[schemas.Lane]int64{}, map[schemas.Lane]int64{}
	return each(ctx, s.read, func(r row) error {
		var direction, lane string
		var n int64
		if err := r.Scan(&direction, &lane, &n); err != nil {
			return err
		}
		if direction == "out" {
			g.Sent[schemas.Lane(lane)] = n
		} else {
			g.Received[schemas.Lane(lane)] = n
		}
		return nil
	}, gaugeQueries.numbers)
}

// probeRoom is what a probe writes: as much as a few messages of the usual size take with their indexes.
const probeRoom = 32 << 10

// Probe writes something of the size of a message, takes it away again, and returns when that is on disk: nil says that there
// is room for what comes, in SQLite's log and in its file. It waits for updates under way, and once it is queued also when ctx
// has ended.
func (s *Store) Probe(ctx context.Context, now time.Time) error {
	err := s.Update(ctx, func(tx *Tx) error {
		_, err := tx.exec(`INSERT INTO probe (n, at, room) VALUES (1, ?, ?) ON CONFLICT (n) DO UPDATE SET at = excluded.at, room = excluded.room`, millis(now), make([]byte, probeRoom))
		if err != nil {
			return err
		}
		_, err = tx.exec(`DELETE FROM probe WHERE n = 1`)
		return err
	})
	if err != nil {
		return err
	}
	return s.engine.fit(ctx, s.write)
}

// Size is what the store takes on disk, in bytes: in SQLite without what is free in the file, in PostgreSQL with it.
func (s *Store) Size(ctx context.Context) (int64, error) {
	n, err := s.engine.size(ctx, s.read)
	if err != nil {
		return 0, fmt.Errorf("read size of store: %w", classify(err))
	}
	return n, nil
}
