package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrOvertaken: a commit that stops hand-overs waited as long as it does and then went on without this one. What was shown
// before that was shown; one thing more may have been.
var ErrOvertaken = errors.New("a withdrawal went past a hand-over that took too long")

// gatePatience bounds how long a commit waits for a hand-over: a network drive that hangs must not keep a withdrawal, and with
// it every other update, from being written; and PostgreSQL ends a transaction that is idle for five.
const gatePatience = 2 * time.Second

// gate lets hand-overs and the commits that stop some of them through one after the other: any number of hand-overs at a time,
// or one such commit. What a system is shown is thereby either before a withdrawal or never.
type gate struct {
	mu     sync.Mutex
	inside int
	passed int           // commits that did not wait any longer
	shut   chan struct{} // nil while it is open; closed when it opens again
	empty  chan struct{} // closed when the last one leaves; nil when nobody waits for that
}

// enter waits until no commit is in the way. passed is what overtaken wants to know.
func (g *gate) enter(ctx context.Context) (passed int, err error) {
	for {
		g.mu.Lock()
		shut := g.shut
		if shut == nil {
			g.inside++
			passed = g.passed
		}
		g.mu.Unlock()
		if shut == nil {
			return passed, nil
		}
		select {
		case <-shut:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inside--; g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// overtaken tells whether a commit went past since enter.
func (g *gate) overtaken(passed int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.passed != passed
}

// close keeps new hand-overs out and waits for those under way, for as long as gatePatience. Only the writer calls it.
func (g *gate) close() {
	g.mu.Lock()
	g.shut = make(chan struct{})
	if g.inside == 0 {
		g.mu.Unlock()
		return
	}
	empty := make(chan struct{})
	g.empty = empty
	g.mu.Unlock()
	t := time.NewTimer(gatePatience)
	defer t.Stop()
	select {
	case <-empty:
	case <-t.C:
		g.mu.Lock()
		if g.empty != nil { // or the last one left at this moment
			g.empty = nil
			g.passed++
		}
		g.mu.Unlock()
	}
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.shut)
	g.shut = nil
}

// Release calls show, which lets a system see hand-overs that are ready. still tells of each, by its number and just before it
// is shown, whether it may be: between listing and handing over a survivor may have withdrawn. While show runs no update that
// stops hand-overs is committed, so what is shown was shown before it; show must be short. due is one list of DueDeliveries.
//
// An error means that show was not called, but for ErrOvertaken: it took too long, and an update that stops some of them was
// committed all the same. From then on still says no.
func (s *Store) Release(ctx context.Context, due []*Delivery, show func(still func(n int64) bool)) error {
	passed, err := s.gate.enter(ctx)
	if err != nil {
		return fmt.Errorf("release hand-overs: %w", err)
	}
	defer s.gate.leave()
	pending, err := s.StillDue(ctx, due)
	if err != nil {
		return err
	}
	show(func(n int64) bool { return pending[n] && !s.gate.overtaken(passed) })
	if s.gate.overtaken(passed) {
		return ErrOvertaken
	}
	return nil
}
