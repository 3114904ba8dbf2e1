package agents

import (
	"context"
	"errors"
	"time"

	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
)

// ring tells the agency's systems of dates that are near or past. A timer that was told of is moved on in the same update:
// a restart neither forgets nor repeats it, and a machine that slept rings once for all that it slept through.
func (a *Agent) ring(ctx context.Context, now time.Time) error {
	for {
		due, err := a.store.Ringing(ctx, now, sweepMax)
		if err != nil || len(due) == 0 {
			return err
		}
		err = a.store.Update(ctx, func(tx *store.Tx) error {
			for i := range due {
				if err := a.ringOne(tx, &due[i], now); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

func (a *Agent) ringOne(tx *store.Tx, t *store.Timer, now time.Time) error {
	alarm, err := a.timers.Open(t)
	if err != nil {
		return err
	}
	next, over := alarm.After(now)
	moved, err := tx.Rang(t, next)
	if err != nil || !moved {
		return err
	}
	ev := &store.Event{Type: store.EventClockSoon, Thread: t.Thread, Message: t.Ref, Code: alarm.Clock, At: now}
	if over {
		ev.Type = store.EventClockOver
	}
	if alarm.Clock == intake.ResponseClock {
		open, err := tx.WaitsForAnswer(t.Ref)
		if err != nil || over || !open {
			return err
		}
	}
	if schemas.ValidThreadID(t.Ref) { // a certificate, not a message
		ev.Message, ev.Certificate = "", t.Ref
		current, err := a.current(tx, t.Ref)
		if err != nil || !current {
			return err
		}
		if ev.Thread, err = tx.ThreadUnder(t.Ref); err != nil {
			return err
		}
	}
	a.log.Info("date near or past", "code", alarm.Clock, "message", ev.Message, "certificate", ev.Certificate, "thread", ev.Thread)
	return a.emit.Event(tx, ev)
}

// current reports whether a consent still matters: nobody needs to review what was withdrawn or replaced.
func (a *Agent) current(tx *store.Tx, id string) (bool, error) {
	kept, err := tx.Certificate(id)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	c, err := a.openKept(kept)
	if err != nil {
		return false, err
	}
	marks, err := tx.Marks(id)
	if err != nil {
		return false, err
	}
	h := a.stand(c.Certificate, marks)
	return !h.Withdrawn && h.Superseded.IsZero(), nil
}
