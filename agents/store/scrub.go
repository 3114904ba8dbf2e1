package store

import (
	"context"
	"time"
)

const (
	// scrubPatience bounds how long Scrub waits for whoever still sees what was erased.
	scrubPatience = 2 * time.Second
	// scrubRest is the pause between two tries.
	scrubRest = 100 * time.Millisecond
)

// Scrub takes away what erased rows leave behind: SQLite's write-ahead log is emptied, PostgreSQL's dead rows are vacuumed.
// ErrBusy when somebody still reads what was erased.
func (s *Store) Scrub(ctx context.Context) error { return s.engine.scrub(ctx, s.write) }
