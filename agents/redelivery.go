package agents

import (
	"context"
	"errors"
	"net/http"
	"time"

	"waypost/agents/api"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// Redelivery is what the agency does when an administrator asks it to route again what it received.
type Redelivery string

// The policies.
const (
	RedeliveryAsk    Redelivery = "ask"    // a person decides
	RedeliveryAccept Redelivery = "accept" // it is done at once
	RedeliveryRefuse Redelivery = "refuse" // it is refused at once
)

// RedriveSink hands over to a sink again what was received since a time: the agency's own system lost it.
func (a *Agent) RedriveSink(ctx context.Context, sink string, since time.Time) (n int64, err error) {
	for _, p := range a.sinks {
		if p.sink.Name() != sink {
			continue
		}
		if since.After(a.now()) {
			return 0, refuse("since-in-future", "The time lies in the future.", "Give the time since which the system lost what it had.")
		}
		p.disabled.Store(false)
		err = a.store.Update(ctx, func(tx *store.Tx) error {
			if n, err = tx.Redrive(sink, since, a.now()); err != nil || n == 0 {
				return err
			}
			return tx.AddEvent(&store.Event{Type: store.EventRedriven, Code: sink, At: a.now()})
		})
		return n, err
	}
	return 0, notFound("There is no sink of this name.")
}

// redeliveryAsked takes an administrator's verified request. Handling it twice changes nothing.
func (a *Agent) redeliveryAsked(ctx context.Context, act *ledger.Act, note []byte) error {
	first := false
	err := a.store.Update(ctx, func(tx *store.Tx) (err error) {
		if first, err = tx.AddRedelivery(&store.Redelivery{ID: act.ID, Since: *act.Since, Asked: act.At, Note: note}); err != nil || !first {
			return err
		}
		return a.emit.Event(tx, &store.Event{Type: store.EventRedelivery, Code: string(a.cfg.OnRedelivery), At: a.now()})
	})
	if err != nil || !first && a.cfg.OnRedelivery == RedeliveryAsk {
		return err
	}
	a.log.Warn("an administrator asks to route again", "act", act.ID, "policy", string(a.cfg.OnRedelivery))
	if a.cfg.OnRedelivery == RedeliveryAsk {
		return nil
	}
	_, err = a.DecideRedelivery(ctx, act.ID, a.cfg.OnRedelivery == RedeliveryAccept)
	var decided *api.Error
	if errors.As(err, &decided) && decided.Code == "decided-before" {
		return nil
	}
	return err
}

// DecideRedelivery does, or refuses, what an administrator asked, and says so in the ledger.
func (a *Agent) DecideRedelivery(ctx context.Context, id string, accept bool) (*store.Redelivery, error) {
	all, err := a.store.Redeliveries(ctx, 1000)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		if r.ID != id {
			continue
		}
		now := a.now()
		err := a.store.Update(ctx, func(tx *store.Tx) error {
			act := ledger.Act{ID: schemas.NewMessageID(), Act: ledger.ActRefuses, At: now, Answers: id}
			r.Outcome, r.Count, r.Decided = string(ledger.ActRefuses), 0, &now
			if accept {
				act.Act, r.Outcome = ledger.ActRedelivers, string(ledger.ActRedelivers)
				for _, p := range a.sinks {
					n, err := tx.Redrive(p.sink.Name(), r.Since, now)
					if err != nil {
						return err
					}
					r.Count += n
				}
				act.Count = uint64(r.Count) //nolint:gosec // a count
			}
			first, err := tx.DecideRedelivery(id, r.Outcome, r.Count, now)
			if err != nil {
				return err
			}
			if !first {
				return &api.Error{Status: http.StatusConflict, Code: "decided-before", Sentence: "This request was decided before."}
			}
			return a.addAct(tx, act, id)
		})
		if err != nil {
			return nil, err
		}
		return &r, nil
	}
	return nil, notFound("No administrator asked for this.")
}

// Redeliveries lists what administrators asked for.
func (a *Agent) Redeliveries(ctx context.Context) ([]store.Redelivery, error) {
	return a.store.Redeliveries(ctx, 100)
}
