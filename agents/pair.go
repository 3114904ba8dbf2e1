package agents

import (
	"context"
	"errors"
	"time"

	"waypost/agents/store"
)

// An agency can run two agents on one PostgreSQL store. One of them is active: it holds the store's lead and does everything
// that an agent alone does. The other stands by: it answers reads, refuses what would change something, and waits for the
// lead. Nothing is handed over between the two, because everything that matters is in the store.

// standbyLook is how often who stands by looks whether the directory has changed.
const standbyLook = 5 * time.Second

// Active reports whether this agent works: always, for an agent alone; for one of a pair while it holds the store's lead.
func (a *Agent) Active() bool { return a.active.Load() }

// terms works whenever this agent is the active one, until ctx ends.
func (a *Agent) terms(ctx context.Context) error {
	if !a.store.Shared() {
		a.active.Store(true)
		return a.work(ctx)
	}
	for {
		lead := a.await(ctx)
		if lead == nil {
			return nil
		}
		err := a.term(ctx, lead)
		if err != nil || ctx.Err() != nil {
			return err
		}
		a.log.Warn("lead lost; standing by", "code", "lead-lost", "lead", lead.Number)
	}
}

// term works until the lead is lost or ctx ends. When it returns, nothing of ours works any more.
func (a *Agent) term(ctx context.Context, lead *store.Lead) error {
	defer lead.Release()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lead.Lost():
			a.active.Store(false)
			stop()
		case <-ctx.Done():
		}
	}()
	defer func() { stop(); <-watched; a.active.Store(false) }()
	a.active.Store(true)
	a.log.Info("agent active", "lead", lead.Number)
	return a.work(ctx)
}

// await stands by until the lead is ours; nil when ctx ends first.
func (a *Agent) await(ctx context.Context) *store.Lead {
	said := ""
	for ctx.Err() == nil {
		look, cancel := context.WithTimeout(ctx, standbyLook)
		lead, err := a.store.TakeLead(look)
		cancel()
		if err == nil {
			// What the other has seen of the directory is not forgotten: an older head must be refused by us too.
			if err = a.directory.Load(ctx); err == nil {
				return lead
			}
			lead.Release()
		}
		if ctx.Err() != nil {
			return nil
		}
		code := "store-unavailable"
		if errors.Is(err, store.ErrInUse) {
			code = "standby"
			err = a.directory.Load(ctx)
		}
		if code != said {
			said = code
			a.log.Info("agent stands by", "code", code)
		}
		if err != nil {
			a.log.Warn("store not available, trying again", "err", err)
			pause(ctx, time.Second)
		}
	}
	return nil
}
