package store_test

import (
	"context"
	"database/sql"
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

// TestReaderHoldsLog: while somebody keeps reading what the store held at one moment, as a backup does, what is written meanwhile stays
// in the log, however long that gets. Afterwards the log begins anew, and the disk has its room back.
func TestReaderHoldsLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	s := openAt(t, path)
	storetest.Update(t, s, kept(1))
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	reader, err := db.Begin()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Rollback()
	count := func() (n int) {
		if err := reader.QueryRow(`SELECT count(*) FROM inbox`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count()
	const size, most = 400_000, store.MoveKept
	for written := 0; written < most+most/4; written += size {
		storetest.Update(t, s, kept(size))
	}
	if n := length(t, path+"-wal"); n <= most {
		t.Fatalf("the log has %d bytes while somebody reads", n)
	}
	if n := count(); n != before {
		t.Errorf("the reader sees %d rows, then %d", before, n)
	}
	if err := reader.Rollback(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if length(t, path+"-wal") <= most {
			return
		}
		storetest.Update(t, s, kept(1))
	}
	t.Fatalf("the log still has %d bytes", length(t, path+"-wal"))
}

func length(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
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
