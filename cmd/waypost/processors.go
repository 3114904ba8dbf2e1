package main

import (
	"os"
	"runtime"
)

// sparedMost bounds how many processors are added on a large machine, which has enough of them.
const sparedMost = 8

// spareProcessors gives Go's scheduler more processors than the machine has, for a program that spends its days in fsync. A
// goroutine that waits for the disk keeps its processor until the runtime's monitor notices, which takes from 20 µs to 10 ms; with
// as many processors as cores, a core has nothing to do until then (BenchmarkSyncs). An operator's own GOMAXPROCS stands.
func spareProcessors() {
	if os.Getenv("GOMAXPROCS") != "" {
		return
	}
	n := runtime.GOMAXPROCS(0)
	runtime.GOMAXPROCS(n + min(n, sparedMost))
}
