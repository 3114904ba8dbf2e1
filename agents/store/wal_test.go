package store_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

// kept is an update that writes about so many bytes.
func kept(size int) func(*store.Tx) error {
	return func(tx *store.Tx) error {
		in := storetest.Incoming(schemas.LaneRoutine)
		in.Body = make([]byte, size)
		return tx.AddIncoming(in)
	}
}

// TestLogBeginsAnew: while somebody always writes, the write-ahead log is moved into the file all the same, and begins anew. SQLite
// writes new salt into its header then (sqlite.org/walformat.html).
func TestLogBeginsAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	s := openAt(t, path)
	salt := func() string {
		f, err := os.Open(path + "-wal")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		header := make([]byte, 32)
		if _, err := io.ReadFull(f, header); err != nil {
			t.Fatal(err)
		}
		return string(header[16:24])
	}
	storetest.Update(t, s, kept(1))
	first := salt()
	const size = 200_000
	for pages := 0; pages < store.MoveMost*3/4; pages += size / 4096 {
		storetest.Update(t, s, kept(size))
		if pages > store.MoveRest && salt() != first {
			return
		}
	}
	t.Fatal("the log has not begun anew")
}

// BenchmarkCommitBesideMove: how long small updates take at worst while thousands of pages are moved out of the log, beside the writer,
// and as SQLite does it by itself, within one of the commits.
//
//	go test ./agents/store -run xxx -bench CommitBesideMove -benchtime 2000x
func BenchmarkCommitBesideMove(b *testing.B) {
	for name, within := range map[string]bool{"beside": false, "within": true} {
		b.Run(name, func(b *testing.B) {
			s, err := store.Open(filepath.Join(b.TempDir(), "agent.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			if within {
				if err := store.MoveWithin(context.Background(), s); err != nil {
					b.Fatal(err)
				}
			}
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				storetest.Update(b, s, kept(60_000))
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
			b.ReportMetric(float64(took[len(took)*999/1000].Microseconds()), "p99.9-us")
			b.ReportMetric(float64(took[len(took)-1].Microseconds()), "max-us")
		})
	}
}
