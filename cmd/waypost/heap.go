package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// heapRoom is how much a busy broker or agent may allocate between two collections of garbage when what it holds is less. Go
// collects when the heap has doubled; a busy agent holds 5 MB, so it collected fifteen times a second, and that was a ninth of its
// time (`waypost bench --apart`). It adds as much to the memory of a busy program, and nothing to that of a quiet one (slim).
// With 16 MiB an agent was a twentieth faster, and reached 100 MB.
const heapRoom = 12 << 20

// roomy moves Go's collection target with what the program holds, so that a small heap has room and a large one only doubles: a
// fixed percentage that suits a heap of 5 MB would let one of 50 MB grow to 170.
type roomy struct {
	room uint64
	live func() uint64 // bytes found in use by the last collection
	set  func(percent int)

	mu      sync.Mutex
	on      bool
	percent int
	times   int // it was turned on
}

// newRoomy returns nil when the operator has set GOGC, which then stands.
func newRoomy() *roomy {
	if os.Getenv("GOGC") != "" {
		return nil
	}
	return &roomy{room: heapRoom, live: liveBytes, set: func(percent int) { debug.SetGCPercent(percent) }, percent: usualPercent}
}

const (
	usualPercent = 100 // Go's own
	mostPercent  = 1000
)

// give turns the room on or off. A nil roomy does nothing.
func (r *roomy) give(on bool) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on == on {
		return
	}
	r.on = on
	r.adjust()
	if on {
		r.times++
		r.watch(r.times)
	}
}

// watch has the target adjusted after each collection, by an object that nobody holds, until the room is turned off. One that
// outlives that ends when it sees that there is another.
func (r *roomy) watch(times int) {
	runtime.AddCleanup(&collected{}, func(r *roomy) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.on && r.times == times {
			r.adjust()
			r.watch(times)
		}
	}, r)
}

// collected is no tiny object: Go may keep those alive with their neighbours.
type collected struct{ _ [4]*int }

func (r *roomy) adjust() {
	want := usualPercent
	if live := r.live(); r.on && live < r.room {
		want = min(mostPercent, int(r.room*usualPercent/max(1, live)))
	}
	// To set it stops the program for a moment; a tenth more or less is not worth that.
	if d := want - r.percent; want == usualPercent && d != 0 || d*10 > r.percent || d*10 < -r.percent {
		r.set(want)
		r.percent = want
	}
}

func liveBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
