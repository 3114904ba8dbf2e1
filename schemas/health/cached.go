package health

import (
	"context"
	"time"
)

// Cached keeps what was read for a while, so that scrapers, however many, cost little. It is safe for concurrent use; one
// reads at a time, and the others wait for that.
type Cached[T any] struct {
	read  func(context.Context) (T, error)
	least time.Duration
	share int
	turn  chan struct{} // holds one element while somebody looks at what is below

	value T
	err   error
	until time.Time
}

// NewCached makes a cache of what read returns. It is kept for at least the time given, and for so many times as long as
// the reading took: with a share of 50, never more than a fiftieth of the time is spent reading, however much there is.
func NewCached[T any](least time.Duration, share int, read func(context.Context) (T, error)) *Cached[T] {
	return &Cached[T]{read: read, least: least, share: share, turn: make(chan struct{}, 1)}
}

// Get returns what was read last, or reads. An error is kept as long as a value, unless it came of this caller's context.
func (c *Cached[T]) Get(ctx context.Context) (T, error) {
	var none T
	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return none, ctx.Err()
	}
	started := time.Now()
	if started.Before(c.until) {
		return c.value, c.err
	}
	value, err := c.read(ctx)
	if err != nil && ctx.Err() != nil {
		return none, err
	}
	now := time.Now()
	c.value, c.err, c.until = value, err, now.Add(max(c.least, time.Duration(c.share)*now.Sub(started)))
	return value, err
}
