package main

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// slim gives memory back to the system when a program that runs for months has nothing to do: what a start or a busy hour
// needed stays resident otherwise, and an agency's machine is a small one.
//
// It looks at how much has been allocated since its last look. The first quiet look after the start is enough; after work, quiet
// must have lasted, for to return memory and to take it again a moment later costs more than it saves.
type slim struct {
	allocated func() uint64 // bytes, ever
	release   func()
	room      func(bool) // whether the heap is to have room, as a busy program's
	every     time.Duration
	lasting   int // quiet looks after work
}

// A program that is idle allocates for its timers, its heartbeats and its probes.
const quietBytes = 1 << 20

func newSlim() slim {
	return slim{allocated: allocatedBytes, release: releaseMemory, room: newRoomy().give, every: 5 * time.Second, lasting: 12}
}

// run returns when ctx ends.
func (s slim) run(ctx context.Context) {
	tick := time.NewTicker(s.every)
	defer tick.Stop()
	last, quiet, needed, released := s.allocated(), 0, 1, false
	s.room(true)
	defer s.room(false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		now := s.allocated()
		busy := now-last >= quietBytes
		last = now
		switch {
		case busy:
			quiet, released = 0, false
			s.room(true)
		case released:
		default:
			if quiet++; quiet >= needed {
				s.room(false)
				s.release()
				// Collecting allocates a little itself.
				quiet, needed, released, last = 0, s.lasting, true, s.allocated()
			}
		}
	}
}

// beside runs s until ctx ends or the returned function is called, which waits for its end.
func beside(ctx context.Context, s slim) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func allocatedBytes() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

func releaseMemory() {
	debug.FreeOSMemory()
	forgetProgram()
}
