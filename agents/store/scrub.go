package store

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// scrubPatience bounds how long Scrub waits for whoever still sees what was erased.
	scrubPatience = 2 * time.Second
	// scrubRest is the pause between two tries.
	scrubRest = 100 * time.Millisecond
	// cleanFirst is how long after an update that erased something what it left behind is taken away: others may follow at once.
	// Between two failures the pause doubles, up to cleanMost.
	cleanFirst = time.Second
	cleanMost  = time.Minute
)

// remains is what updates that erased something left behind.
type remains struct {
	left atomic.Int64  // how many of them there were
	gone int64         // of those, the ones that a scrub has followed; with turn
	turn chan struct{} // one scrub at a time
	due  chan struct{} // there are new ones
}

// Scrub takes away what erased rows leave behind: SQLite's write-ahead log is emptied, PostgreSQL's dead rows are vacuumed.
// ErrBusy when somebody still reads what was erased. The store does so by itself after an update that erased something; this is
// for who wants to know. Updates go on meanwhile.
func (s *Store) Scrub(ctx context.Context) error {
	_, err := s.scrubbed(ctx, false)
	return err
}

// ScrubSoon has it done in a moment, beside everything else. The writer calls it after an update that erased something, and a process
// that begins does: what the one before erased it may not have lived to take away.
func (s *Store) ScrubSoon() {
	s.remains.left.Add(1)
	select {
	case s.remains.due <- struct{}{}:
	default:
	}
}

// scrubbed scrubs, or with needed only if something is left behind. It returns how long that took.
func (s *Store) scrubbed(ctx context.Context, needed bool) (time.Duration, error) {
	r := &s.remains
	select {
	case r.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-r.turn }()
	left := r.left.Load()
	if needed && r.gone == left {
		return 0, nil
	}
	began := time.Now()
	err := s.engine.scrub(ctx, s.write)
	if err == nil {
		r.gone = left
	}
	return time.Since(began), err
}

// clean follows updates that erased something, until ctx ends. A large database is not vacuumed without pause.
func (s *Store) clean(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.remains.due:
		}
		for wait := cleanFirst; pause(ctx, wait); {
			took, err := s.scrubbed(ctx, true)
			if err == nil {
				pause(ctx, 10*took)
				break
			}
			wait = max(min(2*wait, cleanMost), 10*took)
		}
	}
}
