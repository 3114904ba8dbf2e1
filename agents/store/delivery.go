package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Source says what a delivery hands over.
type Source string

// An accepted message, or an event.
const (
	FromInbox Source = "inbox"
	FromEvent Source = "event"
)

// Delivery is one hand-over to one sink.
type Delivery struct {
	N        int64
	Source   Source
	Ref      string // message or event id
	Sink     string
	Urgent   bool
	Required bool
	State    string // pending, done, dead, stopped
	Attempts int
	Due      time.Time
	Code     string // of the last failure
	Finished *time.Time
}

// AddDelivery queues a hand-over; a repeat changes nothing.
func (tx *Tx) AddDelivery(d *Delivery) error {
	_, err := tx.exec(`INSERT INTO deliveries (source, ref, sink, urgent, required, due) VALUES (?,?,?,?,?,?) ON CONFLICT DO NOTHING`,
		string(d.Source), d.Ref, d.Sink, d.Urgent, d.Required, millis(d.Due))
	if err != nil {
		return fmt.Errorf("queue delivery: %w", err)
	}
	if d.Urgent {
		tx.touch(DeliveriesUrgent)
	} else {
		tx.touch(Deliveries)
	}
	return nil
}

const deliveryColumns = `n, source, ref, sink, urgent, required, state, attempts, due, code, finished`

func scanDelivery(r row) (*Delivery, error) {
	var d Delivery
	var source string
	var due int64
	var finished sql.NullInt64
	if err := r.Scan(&d.N, &source, &d.Ref, &d.Sink, &d.Urgent, &d.Required, &d.State, &d.Attempts, &due, &d.Code, &finished); err != nil {
		return nil, classify(err)
	}
	d.Source, d.Due, d.Finished = Source(source), moment(due), optMoment(finished)
	return &d, nil
}

// LongestWait is longer than any hand-over that failed waits for the next attempt.
const LongestWait = 30 * time.Hour

// DueDeliveries returns what a sink should take now of the urgent or of the other ones, in order of arrival. The clock may have been
// put back since they came, by an hour or by years: what was not tried yet is due whatever it says, and so is what would have
// to wait longer than anything does.
func (s *Store) DueDeliveries(ctx context.Context, sink string, urgent bool, now time.Time, limit int) ([]*Delivery, error) {
	return s.deliveries(ctx, `WHERE state = 'pending' AND sink = ? AND urgent = ? AND (due <= ? OR due > ? OR attempts = 0) ORDER BY n LIMIT ?`,
		sink, urgent, millis(now), millis(now.Add(LongestWait)), limit)
}

// ListDeliveries returns every hand-over of one message or event.
func (s *Store) ListDeliveries(ctx context.Context, ref string) ([]*Delivery, error) {
	return s.deliveries(ctx, `WHERE source IN ('inbox', 'event') AND ref = ? ORDER BY n`, ref) // the index begins with the source
}

// DeadDeliveries lists hand-overs that were given up, newest first.
func (s *Store) DeadDeliveries(ctx context.Context, limit int) ([]*Delivery, error) {
	return s.deliveries(ctx, `WHERE state = 'dead' ORDER BY n DESC LIMIT ?`, limit)
}

func (s *Store) deliveries(ctx context.Context, where string, args ...any) ([]*Delivery, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", classify(err))
	}
	defer rows.Close()
	out := []*Delivery{}
	for rows.Next() {
		d, err := scanDelivery(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, classify(rows.Err())
}

// NextDue returns when the sink has something to do next, or nil.
func (s *Store) NextDue(ctx context.Context, sink string, urgent bool) (*time.Time, error) {
	var at sql.NullInt64
	if err := s.read.QueryRowContext(ctx, `SELECT min(due) FROM deliveries WHERE state = 'pending' AND sink = ? AND urgent = ?`, sink, urgent).Scan(&at); err != nil {
		return nil, fmt.Errorf("read deliveries: %w", classify(err))
	}
	return optMoment(at), nil
}

// StillDue tells which hand-overs of one list of DueDeliveries still wait: between listing and handing over, a survivor may have
// withdrawn. Where that must not be so again a moment later, see Release.
func (s *Store) StillDue(ctx context.Context, due []*Delivery) (map[int64]bool, error) {
	out := map[int64]bool{}
	if len(due) == 0 {
		return out, nil
	}
	err := each(ctx, s.read, func(r row) error {
		var n int64
		err := r.Scan(&n)
		out[n] = true
		return err
	}, `SELECT n FROM deliveries WHERE state = 'pending' AND sink = ? AND urgent = ? AND n BETWEEN ? AND ?`, due[0].Sink, due[0].Urgent, due[0].N, due[len(due)-1].N)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", err)
	}
	return out, nil
}

// PendingSinks lists the sinks that have not taken something they must, dead letters included, so that a sink dropped from
// the configuration is noticed.
func (s *Store) PendingSinks(ctx context.Context) (map[string]int, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT sink, count(*) FROM deliveries WHERE state = 'pending' GROUP BY sink
		UNION ALL SELECT sink, count(*) FROM deliveries WHERE state = 'dead' AND required GROUP BY sink`)
	if err != nil {
		return nil, fmt.Errorf("read deliveries: %w", classify(err))
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name, &n); err != nil {
			return nil, classify(err)
		}
		out[name] += n
	}
	return out, classify(rows.Err())
}

// Delivered records that a sink took it. complete is true when, with this, every required sink of an inbox message has:
// exactly once per message.
func (tx *Tx) Delivered(n int64, at time.Time) (ref string, complete bool, err error) {
	var source string
	err = tx.tx.QueryRowContext(tx.ctx, `UPDATE deliveries SET state = 'done', attempts = attempts + 1, code = '', finished = ? WHERE n = ? AND state <> 'done' RETURNING source, ref`,
		millis(at), n).Scan(&source, &ref)
	if err = classify(err); err == ErrNotFound {
		return "", false, nil // done before: the first time counted
	}
	if err != nil {
		return "", false, fmt.Errorf("record delivery: %w", err)
	}
	if Source(source) != FromInbox {
		return ref, false, nil
	}
	complete, err = tx.MarkRouted(ref, at)
	return ref, complete, err
}

// MarkRouted marks an inbox message as routed if no required hand-over is left; true the first time that is so.
func (tx *Tx) MarkRouted(id string, at time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE inbox SET routed = ? WHERE id = ? AND routed IS NULL AND refused IS NULL AND NOT EXISTS
		(SELECT 1 FROM deliveries WHERE source = 'inbox' AND ref = inbox.id AND required AND state <> 'done')`, millis(at), id)
	return n == 1, err
}

// DeliveryFailed notes a failure and when to try again; dead gives up until a person asks for a retry.
func (tx *Tx) DeliveryFailed(n int64, due time.Time, code string, dead bool) error {
	state := "pending"
	if dead {
		state = "dead"
	}
	_, err := tx.exec(`UPDATE deliveries SET state = ?, attempts = attempts + 1, due = ?, code = ? WHERE n = ? AND state = 'pending'`, state, millis(due), code, n)
	return err
}

// RetryDeliveries puts the dead hand-overs of a sink back in the queue and returns how many.
func (tx *Tx) RetryDeliveries(sink string, at time.Time) (int64, error) {
	n, err := tx.exec(`UPDATE deliveries SET state = 'pending', attempts = 0, due = ? WHERE sink = ? AND state = 'dead'`, millis(at), sink)
	tx.touch(Deliveries)
	tx.touch(DeliveriesUrgent)
	return n, err
}
