package store

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// pressedFor is how long after urgent work routine work keeps stepping back: urgent messages seldom come alone, and one
	// that has just come is still on its way through sinks and receipts.
	pressedFor = time.Second
	// restFor is how much longer than it worked routine work rests while there is urgent traffic, and restMax the longest
	// rest: it always goes on.
	restFor = 2
	restMax = 100 * time.Millisecond
)

// pace remembers when there was urgent work last.
type pace struct{ last atomic.Int64 }

func (p *pace) mark() { p.last.Store(time.Now().UnixNano()) }

// Pressed reports whether there was urgent work a moment ago. Routine work then goes in small pieces, so that what is urgent
// finds a free core and a free disk soon.
func (s *Store) Pressed() bool {
	return time.Now().UnixNano()-s.pace.last.Load() < int64(pressedFor)
}

// Rest is called by routine work after each piece; took is how long that was. It returns at once when nothing urgent was
// there for a moment, else after a rest in proportion, or when ctx ends. So routine work keeps a share of the machine
// however dense the urgent traffic is.
func (s *Store) Rest(ctx context.Context, took time.Duration) {
	if !s.Pressed() {
		return
	}
	t := time.NewTimer(min(restFor*took, restMax))
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
