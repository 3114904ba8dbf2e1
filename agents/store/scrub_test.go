package store_test

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
)

// TestScrubKeepsNobodyWaiting: while a backup reads, the log cannot be emptied. Scrub says so; messages are accepted meanwhile.
func TestScrubKeepsNobodyWaiting(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "agent.db"))
	storetest.Update(t, s, kept(1))
	begun := false
	err := s.Dump(t.Context(), func(string, []byte) error {
		if begun {
			return nil
		}
		begun = true
		storetest.Update(t, s, kept(1)) // the snapshot is older than the log's end
		scrubbed := make(chan error, 1)
		go func() { scrubbed <- s.Scrub(context.Background()) }()
		var longest time.Duration
		for {
			select {
			case err := <-scrubbed:
				if !errors.Is(err, store.ErrBusy) {
					t.Errorf("somebody reads: %v, want ErrBusy", err)
				}
				if longest > 4*time.Second {
					t.Errorf("a message waited %v", longest)
				}
				return nil
			default:
			}
			at := time.Now()
			storetest.Update(t, s, kept(1))
			longest = max(longest, time.Since(at))
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Scrub(t.Context()); err != nil {
		t.Error(err)
	}
}
