package agents

import (
	"context"
	"errors"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/clock"
)

const (
	// clockPoll bounds how long a changed system clock goes unnoticed.
	clockPoll = 5 * time.Second
	// clockGather is how long a new clock may wait for others: nearly every message brings one, and one look is for all of them.
	clockGather = 100 * time.Millisecond
)

// runClocks marks referrals whose answer is overdue, ours and theirs, each once for ever: the mark is in the store, so a
// restart neither forgets nor repeats it.
func (a *Agent) runClocks(ctx context.Context) {
	for ctx.Err() == nil {
		next, err := a.tick(ctx)
		if err != nil && ctx.Err() == nil {
			a.log.Error("response clocks not run", "err", err)
			pause(ctx, time.Second)
			continue
		}
		wait := clockPoll
		if next != nil {
			wait = min(max(next.Sub(a.now()), time.Millisecond), clockPoll)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.C:
		case <-a.store.Woken(store.Clocks):
			pause(ctx, clockGather)
		}
		t.Stop()
	}
}

// tick marks everything that has run out by now. It says when the next clock runs out, as far as it has seen: one that began
// meanwhile wakes whoever waits for Clocks, and one that has run out by now is to be looked at again.
func (a *Agent) tick(ctx context.Context) (next *time.Time, err error) {
	now := a.now()
	due, err := a.store.Chores(ctx, now, now.Add(-remindEvery), remindersMost)
	if err != nil {
		return nil, err
	}
	if due.Clock != nil && due.Clock.Before(now) {
		err := a.store.Update(ctx, func(tx *store.Tx) error {
			ran, err := tx.RunOut(now, 500)
			if err != nil {
				return err
			}
			for _, c := range ran {
				code := "answer-overdue-by-us"
				if c.Ours {
					code = "answer-overdue-to-us"
				}
				event := store.EventOverdue
				if c.Kind == schemas.KindConsentWithdrawal {
					event = store.EventWithdrawalOverdue
				}
				if err := a.emit.Event(tx, &store.Event{Type: event, Thread: c.Thread, Message: c.ID, Kind: c.Kind, Peer: c.Peer, Code: code, At: now}); err != nil {
					return err
				}
				a.log.Warn("answer overdue", "message", c.ID, "thread", c.Thread, "peer", c.Peer, "code", code)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	var failed []error // one of them in trouble keeps none of the others from its work
	if due.LeftOver {
		failed = append(failed, a.sweep(ctx))
	}
	if due.Silent {
		failed = append(failed, a.chase(ctx, now))
	}
	if due.Undecided {
		failed = append(failed, a.late(ctx, now))
	}
	if due.Ringing {
		failed = append(failed, a.ring(ctx, now))
	}
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	if dir := a.directory.View(); dir != nil && dir.Expired(now) {
		a.alarm(store.EventDirectoryExpired, "directory-expired")
	}
	// A key is remembered for long enough that no honest retry can still come.
	if now.Sub(a.tidied) > time.Hour {
		a.tidied = now
		err = a.store.Update(ctx, func(tx *store.Tx) error { return tx.ForgetIdempotency(now.AddDate(0, 0, -30)) })
	}
	return due.Clock, err
}

// alarm tells the agency's systems about the directory, once per directory version.
func (a *Agent) alarm(event, code string) {
	version := uint64(0)
	if dir := a.directory.View(); dir != nil {
		version = dir.Head().Version
	}
	a.alarmed.Lock()
	defer a.alarmed.Unlock()
	key := alarmKey{event, version}
	if a.alarms[key] {
		return
	}
	a.log.Error("directory needs attention", "code", code, "version", version)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		return a.emit.Event(tx, &store.Event{ID: schemas.NewMessageID(), Type: event, Code: code, At: a.now()})
	})
	if err != nil {
		a.log.Error("alarm not stored", "code", code, "err", err)
		return
	}
	a.alarms[key] = true
	if event == store.EventDirectoryRollback {
		a.rollbacks.Add(1)
	} else {
		a.expiries.Add(1)
	}
}

type alarmKey struct {
	event   string
	version uint64
}

// withdrawalDue is when a holder's answer to a withdrawal is due, in the working days of where this agency is.
func (a *Agent) withdrawalDue(now time.Time) time.Time {
	c, _ := clock.Named(clock.WithdrawalAnswer, now)
	return c.Due(now, a.calendar()).At
}

// calendar is that of the region in which the directory lists this agency.
func (a *Agent) calendar() clock.Calendar {
	dir := a.directory.View()
	if dir == nil {
		return clock.Calendar{}
	}
	_, region, ok := dir.Place(a.cfg.Agency)
	if !ok {
		return clock.Calendar{}
	}
	return clock.CalendarOf(region)
}
