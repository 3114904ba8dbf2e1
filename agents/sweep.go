package agents

import (
	"context"
	"errors"
	"slices"
	"time"

	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
)

const (
	sweepMax      = 200
	remindEvery   = 24 * time.Hour
	remindersMost = 14 // then a person must telephone; the table keeps showing it
)

// sweep finishes what withdrawals began. A withdrawal marks everything under it in one update and returns; what follows for
// each message (taking it back, refusing it) is done here in small updates, and by the same code after a restart.
func (a *Agent) sweep(ctx context.Context) error {
	for {
		unsent, unrouted, err := a.store.LeftOver(ctx, a.cfg.Agency, sweepMax)
		// What a system is being handed at this moment is looked at again when it has answered.
		unrouted = slices.DeleteFunc(unrouted, func(in *store.Incoming) bool { return a.flight.has(in.Manifest.ID) })
		if err != nil || len(unsent)+len(unrouted) == 0 {
			return err
		}
		now := a.now()
		err = a.store.Update(ctx, func(tx *store.Tx) error {
			for _, o := range unsent {
				taken, err := tx.TakeBack(o, consent.ReasonWithdrawn, now, a.sign)
				if err != nil {
					return err
				}
				if !taken {
					continue
				}
				if err := a.emit.Event(tx, &store.Event{Type: store.EventTakenBack, Thread: o.Manifest.Thread, Message: o.Manifest.ID, Kind: o.Manifest.Kind, Peer: o.Manifest.To,
					Code: consent.ReasonWithdrawn, Certificate: intake.ConsentID(o.Manifest.Basis), At: now}); err != nil {
					return err
				}
			}
			for _, in := range unrouted {
				m := &in.Manifest
				first, err := tx.Refuse(m.ID, now)
				if err != nil {
					return err
				}
				if !first {
					continue
				}
				if err := a.emit.Receipt(tx, m, schemas.OutcomeRejected, consent.ReasonWithdrawn, now); err != nil {
					return err
				}
				if err := a.emit.Event(tx, &store.Event{Type: store.EventRefusedLate, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.From,
					Code: consent.ReasonWithdrawn, Certificate: intake.ConsentID(m.Basis), At: now}); err != nil {
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

// chase reminds holders whose answer is overdue, once a day.
func (a *Agent) chase(ctx context.Context, now time.Time) error {
	silent, err := a.store.Silent(ctx, now, now.Add(-remindEvery), remindersMost, sweepMax)
	if err != nil {
		return err
	}
	for i := range silent {
		if err := a.remind(ctx, &silent[i], now); err != nil {
			return err
		}
	}
	return nil
}

// late marks decisions that our own people are late with.
func (a *Agent) late(ctx context.Context, now time.Time) error {
	return a.store.Update(ctx, func(tx *store.Tx) error {
		late, err := tx.OverdueDuties(now, sweepMax)
		if err != nil {
			return err
		}
		for _, d := range late {
			if err := a.emit.Event(tx, &store.Event{Type: store.EventWithdrawalOverdue, Thread: d.Thread, Message: d.Message, Peer: d.Issuer, Code: "decision-overdue-by-us",
				Certificate: d.Certificate, At: now}); err != nil {
				return err
			}
			a.log.Warn("withdrawal not decided in time", "certificate", d.Certificate, "peer", d.Issuer)
		}
		return nil
	})
}

func (a *Agent) remind(ctx context.Context, n *store.Notice, now time.Time) error {
	marks, err := a.store.Marks(ctx, n.Certificate)
	if err != nil {
		return err
	}
	return a.store.Update(ctx, func(tx *store.Tx) error {
		thread := ""
		if known, err := tx.Holders(n.Certificate); err != nil {
			return err
		} else {
			for _, h := range known {
				if h.Agency == n.Agency {
					thread = h.Thread
				}
			}
		}
		if thread == "" { // told without being known as a holder
			if thread, err = tx.ThreadUnder(n.Certificate); err != nil {
				return err
			}
		}
		message := n.Message
		posted, err := a.courier.Post(tx, intake.Letter{To: n.Agency, Thread: thread, At: now, Statements: []string{marks.Texts[n.Statement]},
			Payload: &schemas.ConsentWithdrawal{Certificate: n.Certificate, Statement: n.Statement, Reminder: n.Reminders + 1}})
		if err != nil && !errors.Is(err, intake.ErrUnreachable) {
			return err
		}
		if message == "" {
			message = posted
		}
		if _, err := tx.Reminded(n, message, now); err != nil {
			return err
		}
		a.log.Warn("holder reminded of a withdrawal", "certificate", n.Certificate, "peer", n.Agency, "reminder", n.Reminders+1)
		return a.emit.Event(tx, &store.Event{Type: store.EventWithdrawalOverdue, Thread: thread, Message: n.Message, Kind: schemas.KindConsentWithdrawal, Peer: n.Agency,
			Code: "answer-overdue-to-us", Certificate: n.Certificate, At: now})
	})
}
