package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// UnderWay counts what of a thread is still on its way: erasing it would lose it.
type UnderWay struct {
	Unsent      int64 // in the outbox, not yet with the broker
	Unreceipted int64 // with the broker, not yet receipted by its recipient
	Unrouted    int64 // accepted, not yet taken by the agency's own systems
}

// Any reports whether there is something.
func (u UnderWay) Any() bool { return u.Unsent+u.Unreceipted+u.Unrouted > 0 }

// UnderWay counts what of a thread is still on its way.
func (tx *Tx) UnderWay(thread string) (u UnderWay, err error) {
	err = tx.tx.QueryRowContext(tx.ctx, `SELECT
		(SELECT count(*) FROM outbox WHERE thread = ?1 AND state = 'pending' AND kind <> 'receipt'),
		(SELECT count(*) FROM outbox WHERE thread = ?1 AND state = 'published' AND receipt = '' AND outcome = '' AND kind <> 'receipt' AND EXISTS (SELECT 1 FROM outbox_bodies WHERE message = n)),
		(SELECT count(*) FROM inbox WHERE thread = ?1 AND EXISTS (SELECT 1 FROM inbox_bodies WHERE message = inbox.n) AND (routed IS NULL AND refused IS NULL AND stopped IS NULL
			OR EXISTS (SELECT 1 FROM deliveries WHERE source = 'inbox' AND ref = inbox.id AND state = 'pending')))`, thread).
		Scan(&u.Unsent, &u.Unreceipted, &u.Unrouted)
	if err != nil {
		return u, fmt.Errorf("read thread: %w", classify(err))
	}
	return u, nil
}

// EraseThread destroys the bodies and keys of all messages of a thread, what of it lies in quarantine, and its dates, and
// says how many messages there were. ErrNotFound for a thread that never was here. Ids, receipts and history stay: they say
// that it happened, not what it said. SQLite overwrites what is freed (secure_delete); for what lies elsewhere see Scrub.
func (tx *Tx) EraseThread(thread string, at time.Time) (int64, error) {
	var known bool
	if err := tx.tx.QueryRowContext(tx.ctx, `SELECT EXISTS (SELECT 1 FROM inbox WHERE thread = ?1) OR EXISTS (SELECT 1 FROM outbox WHERE thread = ?1)
		OR EXISTS (SELECT 1 FROM quarantine WHERE thread = ?1)`, thread).Scan(&known); err != nil {
		return 0, fmt.Errorf("read thread: %w", classify(err))
	}
	if !known {
		return 0, ErrNotFound
	}
	var total int64
	for _, q := range []struct {
		statement string
		first     any
	}{
		{`UPDATE inbox SET erased = ? WHERE thread = ? AND erased IS NULL AND EXISTS (SELECT 1 FROM inbox_bodies WHERE message = n)`, millis(at)},
		{`UPDATE outbox SET erased = ? WHERE thread = ? AND erased IS NULL AND EXISTS (SELECT 1 FROM outbox_bodies WHERE message = n)`, millis(at)},
		{`UPDATE quarantine SET raw = ?, problems = NULL WHERE thread = ? AND length(raw) > 0`, []byte{}},
	} {
		n, err := tx.exec(q.statement, q.first, thread)
		if err != nil {
			return 0, fmt.Errorf("erase thread: %w", err)
		}
		total += n
	}
	for _, table := range []Table{TableInbox, TableOutbox} {
		if err := tx.eraseBodies(table, `thread = ?`, thread); err != nil {
			return 0, fmt.Errorf("erase thread: %w", err)
		}
	}
	dates, err := tx.exec(`DELETE FROM timers WHERE thread = ?`, thread)
	if err != nil {
		return 0, fmt.Errorf("erase thread: %w", err)
	}
	tx.erases = tx.erases || total+dates > 0
	tx.touch(Clocks)
	return total, nil
}

// ErrBusy: somebody reads; try again.
var ErrBusy = errors.New("store is busy")

// Redrive queues again what a sink took or gave up of what was received since a time, messages and events, and says how
// many. What was erased, refused or is under a withdrawn consent stays where it is. Receipts are not sent again.
func (tx *Tx) Redrive(sink string, since, at time.Time) (int64, error) {
	n, err := tx.exec(`UPDATE deliveries SET state = 'pending', attempts = 0, due = ?1, code = '', finished = NULL WHERE sink = ?2 AND state IN ('done', 'dead') AND (
		source = 'inbox' AND ref IN (SELECT id FROM inbox WHERE received >= ?3 AND EXISTS (SELECT 1 FROM inbox_bodies WHERE message = inbox.n) AND stopped IS NULL AND refused IS NULL)
		OR source = 'event' AND ref IN (SELECT id FROM events WHERE at >= ?3))`, millis(at), sink, millis(since))
	if err != nil {
		return 0, fmt.Errorf("redrive sink: %w", err)
	}
	tx.touch(Deliveries)
	tx.touch(DeliveriesUrgent)
	return n, nil
}

// Redelivery is an administrator's request to route again what was received since a time.
type Redelivery struct {
	ID      string     `json:"id"`
	Since   time.Time  `json:"since"`
	Asked   time.Time  `json:"asked"`
	Decided *time.Time `json:"decided,omitzero"`
	Outcome string     `json:"outcome,omitzero"` // redelivers, refuses
	Count   int64      `json:"count,omitzero"`
	Note    []byte     `json:"-"`
}

// AddRedelivery keeps a request; false when it was there already.
func (tx *Tx) AddRedelivery(r *Redelivery) (bool, error) {
	n, err := tx.exec(`INSERT INTO redeliveries (id, since, asked, note) VALUES (?,?,?,?) ON CONFLICT DO NOTHING`, r.ID, millis(r.Since), millis(r.Asked), r.Note)
	return n == 1, err
}

// DecideRedelivery notes what was done; false when it was decided before.
func (tx *Tx) DecideRedelivery(id, outcome string, count int64, at time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE redeliveries SET decided = ?, outcome = ?, count = ? WHERE id = ? AND decided IS NULL`, millis(at), outcome, count, id)
	return n == 1, err
}

// Redeliveries lists requests, newest first.
func (s *Store) Redeliveries(ctx context.Context, limit int) ([]Redelivery, error) {
	out := []Redelivery{}
	err := each(ctx, s.read, func(r row) error {
		var x Redelivery
		var since, asked int64
		var decided sql.NullInt64
		if err := r.Scan(&x.ID, &since, &asked, &decided, &x.Outcome, &x.Count); err != nil {
			return err
		}
		x.Since, x.Asked, x.Decided = moment(since), moment(asked), optMoment(decided)
		out = append(out, x)
		return nil
	}, `SELECT id, since, asked, decided, outcome, count FROM redeliveries ORDER BY asked DESC, id DESC LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("list redeliveries: %w", err)
	}
	return out, nil
}
