package store

import (
	"context"
	"math"
	"sync/atomic"
	"time"
)

const (
	// pressedFor is how long after urgent work routine work keeps stepping back: urgent messages seldom come alone.
	pressedFor = time.Second
	// quietFor is how long there must have been nothing urgent before routine work goes on: about as long as an urgent
	// message needs from one update to its next, through a sink and its disk.
	quietFor = 15 * time.Millisecond
	// restFor is how many times longer than it worked routine work rests while there is urgent traffic.
	restFor = 2
	// restMax is the longest rest: however dense the urgent traffic is, routine work goes on.
	restMax = 100 * time.Millisecond
)

// pace remembers when there was urgent work last, by a clock that nobody sets: were it put back an hour, routine work would step
// back for an hour.
type pace struct {
	base time.Time    // when the store was opened
	last atomic.Int64 // nanoseconds after base; 0: never
}

func (p *pace) since() time.Duration {
	last := p.last.Load()
	if last == 0 {
		return math.MaxInt64
	}
	return time.Since(p.base) - time.Duration(last)
}

func (p *pace) press() { p.last.Store(max(int64(time.Since(p.base)), 1)) }

// Press says that something urgent has come; UpdateUrgent says so too.
func (s *Store) Press() { s.pace.press() }

// Pressed reports whether there was urgent work a moment ago. Routine work then goes in small pieces, so that what is urgent
// finds a free core and a free disk soon.
func (s *Store) Pressed() bool { return s.pace.since() < pressedFor }

// Rest is called by routine work after each piece; took is how long that was. It returns at once when nothing urgent was
// there for a moment. Otherwise it waits in proportion, and until what is urgent seems to be through; never longer than a
// tenth of a second, and not beyond ctx. So routine work keeps a share of the machine however dense the urgent traffic is.
func (s *Store) Rest(ctx context.Context, took time.Duration) {
	if !s.Pressed() {
		return
	}
	end := time.Now().Add(restMax)
	for wait := min(restFor*took, restMax); wait > 0 && pause(ctx, wait); {
		wait = min(quietFor-s.pace.since(), time.Until(end))
	}
}

// pause is false when ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
