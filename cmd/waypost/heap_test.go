package main

import (
	"runtime"
	"runtime/debug"
	"slices"
	"testing"
	"time"
)

func TestSmallHeapHasRoom(t *testing.T) {
	live := uint64(1)
	var set []int
	r := &roomy{room: 12 << 20, live: func() uint64 { return live }, set: func(p int) { set = append(set, p) }, percent: usualPercent}
	look := func(bytes uint64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		live = bytes
		r.adjust()
	}
	r.give(true)
	for _, bytes := range []uint64{6 << 20, 6<<20 + 1000, 3 << 20, 11<<20 + 1<<19, 12 << 20, 50 << 20, 4 << 20} {
		look(bytes)
	}
	r.give(false)
	look(1)
	if want := []int{mostPercent, 200, 400, 104, 100, 300, 100}; !slices.Equal(set, want) {
		t.Errorf("targets %v, want %v", set, want)
	}
	newRoomyOrNil := func(gogc string) *roomy { t.Setenv("GOGC", gogc); return newRoomy() }
	if newRoomyOrNil("50") != nil || newRoomyOrNil("") == nil {
		t.Error("an operator's GOGC must stand, and without one there is room")
	}
	newRoomyOrNil("50").give(true)
}

// Go itself says when it has collected: each collection is followed by an adjustment.
func TestRoomFollowsCollections(t *testing.T) {
	before := debug.SetGCPercent(usualPercent)
	defer debug.SetGCPercent(before)
	looks := make(chan struct{}, 1)
	r := newRoomy()
	if r == nil {
		t.Skip("GOGC is set")
	}
	r.live = func() uint64 {
		select {
		case looks <- struct{}{}:
		default:
		}
		return 2 << 20
	}
	r.give(true)
	defer r.give(false)
	if got := debug.SetGCPercent(600); got != heapRoom/(2<<20)*100 {
		t.Errorf("with 2 MiB in use the target is %d %%", got)
	}
	for i := range 3 {
		select {
		case <-looks:
		case <-time.After(30 * time.Second):
			t.Fatalf("no adjustment after collection %d", i)
		}
		runtime.GC()
	}
	r.give(false)
	if got := debug.SetGCPercent(usualPercent); got != usualPercent {
		t.Errorf("turned off, the target is %d %%", got)
	}
}

// The worth of room for a program that holds little and allocates much, as an agent does.
func BenchmarkHeapRoom(b *testing.B) {
	held := make([][]*[64]byte, 32)
	for i := range held {
		held[i] = make([]*[64]byte, 2000)
		for j := range held[i] {
			held[i][j] = new([64]byte)
		}
	}
	for _, on := range []bool{false, true} {
		name := "usual"
		if on {
			name = "room"
		}
		b.Run(name, func(b *testing.B) {
			before := debug.SetGCPercent(usualPercent)
			defer debug.SetGCPercent(before)
			r := newRoomy()
			runtime.GC()
			r.give(on)
			defer r.give(false)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				held[i%len(held)][i%2000] = new([64]byte)
				sink = make([]byte, 4096)
			}
		})
	}
	runtime.KeepAlive(held)
}

var sink []byte
