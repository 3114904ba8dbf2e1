package store_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/schemas"
	"waypost/schemas/envelope"
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

// lying counts which of some bytes still lie in one of the files of a store.
func lying(t *testing.T, path string, what [][]byte) (n int) {
	t.Helper()
	for _, suffix := range []string{"", "-wal"} {
		text, err := os.ReadFile(path + suffix)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		for _, w := range what {
			if bytes.Contains(text, w) {
				n++
			}
		}
	}
	return n
}

// vanish waits until nothing of it lies there.
func vanish(t *testing.T, path string, what [][]byte) {
	t.Helper()
	for range 600 {
		if lying(t, path, what) == 0 {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("%d of %d pieces of what was erased lie in the files", lying(t, path, what), len(what))
}

func random(size int) []byte {
	b := make([]byte, size)
	_, _ = rand.Read(b)
	return b
}

// TestErasedVanishes: whatever erases, its bytes are gone from all files soon after, without anybody asking: also when a backup
// was reading at that moment, and when the process died at that moment.
func TestErasedVanishes(t *testing.T) {
	sign := storetest.Signer(t)
	for name, erase := range map[string]func(tx *store.Tx, thread, cert string, o *store.Outgoing) error{
		"under a withdrawn consent": func(tx *store.Tx, _, cert string, _ *store.Outgoing) error {
			_, err := tx.EraseUnder(cert, storetest.Now)
			return err
		},
		"a thread": func(tx *store.Tx, thread, _ string, _ *store.Outgoing) error {
			_, err := tx.EraseThread(thread, storetest.Now)
			return err
		},
		"taken back": func(tx *store.Tx, _, _ string, o *store.Outgoing) error {
			_, err := tx.TakeBack(o, "consent-withdrawn", storetest.Now, sign)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "agent.db")
			s := openAt(t, path)
			cert := schemas.NewThreadID()
			in, out := storetest.Incoming(schemas.LaneRoutine), storetest.Referral(storetest.Them, nil)
			in.Manifest.Basis = envelope.ConsentPrefix + cert
			in.Body, in.Wrapped = random(6<<10), random(72)
			out.Body, out.Wrapped = append(bytes.Clone(storetest.Sealed), random(6<<10)...), random(72)
			what := [][]byte{in.Body[:64], in.Body[6<<10-64:], in.Wrapped}
			if name == "taken back" {
				what = [][]byte{out.Body[len(out.Body)-64:], out.Wrapped}
			}
			storetest.Update(t, s, func(tx *store.Tx) error { return errors.Join(tx.AddIncoming(in), tx.AddOutgoing(out, sign)) })
			if lying(t, path, what) == 0 {
				t.Fatal("it was never there: this test sees nothing")
			}
			died := filepath.Join(t.TempDir(), "agent.db")
			begun := false
			if err := s.Dump(t.Context(), func(string, []byte) error {
				if begun {
					return nil
				}
				begun = true
				storetest.Update(t, s, func(tx *store.Tx) error { return erase(tx, in.Manifest.Thread, cert, out) })
				for _, suffix := range []string{"", "-wal"} {
					text, err := os.ReadFile(path + suffix)
					if err != nil {
						return err
					}
					if err := os.WriteFile(died+suffix, text, 0o600); err != nil {
						return err
					}
				}
				return nil
			}); err != nil {
				t.Fatal(err)
			}
			vanish(t, path, what)
			again := openAt(t, died)
			if lying(t, died, what) == 0 {
				t.Fatal("nothing was left behind: this test sees nothing")
			}
			again.ScrubSoon()
			vanish(t, died, what)
		})
	}
}
