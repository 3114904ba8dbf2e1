package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

// sqlite is a new place for a store in a file.
func sqlite(t *testing.T) storetest.Place {
	path := filepath.Join(t.TempDir(), "agent.db")
	return storetest.Place{
		Open:       func() (*store.Store, error) { return store.Open(path) },
		SetVersion: func(v int) error { return store.SetVersion(path, v) },
		Fill: func(s *store.Store, full bool) error {
			if full {
				return s.LimitSize(context.Background(), 400<<10)
			}
			return s.LimitSize(context.Background(), 64<<20)
		},
	}
}

func TestSQLiteConformance(t *testing.T) { storetest.Store(t, sqlite) }

func TestOneAgentPerStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.lock")
	l, err := store.Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Acquire(path); !errors.Is(err, store.ErrInUse) {
		t.Fatalf("second agent: %v, want ErrInUse", err)
	}
	l.Release()
	l, err = store.Acquire(path)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	l.Release()
}

// TestWaitsForAnotherStarter: a store that another process is making at this moment is waited for.
func TestWaitsForAnotherStarter(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	db, err := sql.Open("sqlite", "file:"+path+"?_txlock=immediate")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	other, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		s, err := store.Open(path)
		if err == nil {
			err = s.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		t.Fatalf("while the other one is at it: %v", err)
	case <-time.After(100 * time.Millisecond): // long enough to fail
	}
	if err := other.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := <-opened; err != nil {
		t.Error(err)
	}
}

func TestFilesAreOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	storetest.Update(t, s, func(tx *store.Tx) error { return tx.AddIncoming(storetest.Incoming(schemas.LaneUrgent)) })
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("agent.db%s is readable by others: %v", suffix, info.Mode())
		}
	}
}

// BenchmarkUpdate compares single commits with group commit: the ratio of the two is what sharing an fsync is worth.
//
//	go test ./agents/store -bench Update
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := store.Open(filepath.Join(b.TempDir(), "agent.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range writers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for range work {
						in := storetest.Incoming(schemas.LaneRoutine)
						in.Body = make([]byte, 6<<10)
						if err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.AddIncoming(in) }); err != nil {
							b.Error(err)
						}
					}
				}()
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}

// BenchmarkStopUnder: what a withdrawal costs the one writer, for ten thousand messages.
func BenchmarkStopUnder(b *testing.B) {
	s, err := store.Open(filepath.Join(b.TempDir(), "agent.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	cert := storetest.Stormy(b, s, storetest.Signer(b), 10_000)
	for b.Loop() {
		err := s.Update(context.Background(), func(tx *store.Tx) error {
			if _, err := tx.StopUnder(cert, storetest.Now); err != nil {
				return err
			}
			return tx.ReleaseUnder(cert, storetest.Now)
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}
