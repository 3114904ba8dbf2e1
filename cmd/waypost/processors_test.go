package main

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

func TestOperatorsProcessorsStand(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	t.Setenv("GOMAXPROCS", "1")
	spareProcessors()
	if n := runtime.GOMAXPROCS(0); n != before {
		t.Errorf("GOMAXPROCS is set: got %d, want %d as before", n, before)
	}
	if err := os.Unsetenv("GOMAXPROCS"); err != nil {
		t.Fatal(err)
	}
	spareProcessors()
	if n := runtime.GOMAXPROCS(0); n != before+min(before, sparedMost) {
		t.Errorf("got %d, want %d", n, before+min(before, sparedMost))
	}
}

// Some goroutines write and sync, others compute, as in a broker or agent that is busy. Compare spared with not.
func BenchmarkSyncs(b *testing.B) {
	cores := runtime.GOMAXPROCS(0)
	for _, c := range []struct {
		name       string
		processors int
	}{{"as-cores", cores}, {"spared", cores + min(cores, sparedMost)}} {
		b.Run(c.name, func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(c.processors))
			dir := b.TempDir()
			var wg sync.WaitGroup
			work := make(chan struct{})
			for i := range 8 {
				f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
				if err != nil {
					b.Fatal(err)
				}
				defer f.Close()
				wg.Go(func() {
					page := make([]byte, 4096)
					for range work {
						for range 40 {
							sum := sha256.Sum256(page)
							copy(page, sum[:])
						}
						if i%2 > 0 {
							continue
						}
						if _, err := f.WriteAt(page, 0); err != nil {
							b.Error(err)
						}
						if err := f.Sync(); err != nil {
							b.Error(err)
						}
					}
				})
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}
