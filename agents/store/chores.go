package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Chores says which of the work that no message brings has become due.
type Chores struct {
	Clock     *time.Time // the earliest running response clock, or nil
	LeftOver  bool       // see Store.LeftOver
	Silent    bool       // see Store.Silent
	Undecided bool       // see Tx.OverdueDuties
	Ringing   bool       // see Store.Ringing
}

// Chores looks for all of it with one statement: it is asked at every tick, and nearly always there is nothing. For since and
// most see Silent.
func (s *Store) Chores(ctx context.Context, now, since time.Time, most int) (c Chores, err error) {
	var clock sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT
		(SELECT min(respond_by) FROM (
			SELECT min(respond_by) AS respond_by FROM outbox WHERE respond_by IS NOT NULL AND answered IS NULL AND overdue IS NULL AND stopped IS NULL
			UNION ALL SELECT min(respond_by) FROM inbox WHERE respond_by IS NOT NULL AND answered IS NULL AND overdue IS NULL AND stopped IS NULL) AS clocks),
		EXISTS (SELECT 1 FROM outbox WHERE `+leftUnsent+`) OR EXISTS (SELECT 1 FROM inbox WHERE `+leftUnrouted+`),
		EXISTS (SELECT 1 FROM notices WHERE `+notAnswered+`),
		EXISTS (SELECT 1 FROM duties WHERE decided IS NULL AND overdue IS NULL AND due < ?1),
		EXISTS (SELECT 1 FROM timers WHERE next <= ?1)`, millis(now), millis(since), most).
		Scan(&clock, &c.LeftOver, &c.Silent, &c.Undecided, &c.Ringing)
	if err != nil {
		return Chores{}, fmt.Errorf("read what is due: %w", classify(err))
	}
	c.Clock = optMoment(clock)
	return c, nil
}
