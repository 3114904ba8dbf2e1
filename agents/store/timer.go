package store

import (
	"context"
	"fmt"
	"time"
)

// Timer is something that must be looked at again at a time, across restarts.
type Timer struct {
	Ref    string // message or certificate id
	N      int    // of several about the same
	Thread string
	Next   time.Time
	Locked []byte // what it is about, under the vault's key
}

// AddTimer sets a timer; a repeat changes nothing.
func (tx *Tx) AddTimer(t *Timer) error {
	_, err := tx.exec(`INSERT INTO timers (ref, n, thread, next, locked) VALUES (?,?,?,?,?) ON CONFLICT DO NOTHING`, t.Ref, t.N, t.Thread, millis(t.Next), t.Locked)
	if err != nil {
		return fmt.Errorf("store timer: %w", err)
	}
	tx.touch(Clocks)
	return nil
}

// Ringing lists timers whose time has come, the earliest first.
func (s *Store) Ringing(ctx context.Context, now time.Time, limit int) ([]Timer, error) {
	var out []Timer
	err := each(ctx, s.read, func(r row) error {
		var t Timer
		var next int64
		err := r.Scan(&t.Ref, &t.N, &t.Thread, &next, &t.Locked)
		t.Next = moment(next)
		out = append(out, t)
		return err
	}, `SELECT ref, n, thread, next, locked FROM timers WHERE next <= ? ORDER BY next LIMIT ?`, millis(now), limit)
	if err != nil {
		return nil, fmt.Errorf("read timers: %w", err)
	}
	return out, nil
}

// Rang moves a timer on, or ends it when next is nil; false when it was moved before.
func (tx *Tx) Rang(t *Timer, next *time.Time) (bool, error) {
	if next == nil {
		n, err := tx.exec(`DELETE FROM timers WHERE ref = ? AND n = ? AND next = ?`, t.Ref, t.N, millis(t.Next))
		return n == 1, err
	}
	n, err := tx.exec(`UPDATE timers SET next = ? WHERE ref = ? AND n = ? AND next = ?`, millis(*next), t.Ref, t.N, millis(t.Next))
	return n == 1, err
}
