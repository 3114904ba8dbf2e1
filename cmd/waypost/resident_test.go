package main

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestMemoryIsGivenBackWhenQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var allocated, released atomic.Int64
		var room atomic.Bool
		s := slim{
			allocated: func() uint64 { return uint64(allocated.Load()) },
			release: func() {
				if room.Load() {
					t.Error("memory is given back that the heap may take at once")
				}
				released.Add(1)
				allocated.Add(5 * quietBytes)
			},
			room:    room.Store,
			every:   5 * time.Second,
			lasting: 12,
		}
		stop := beside(t.Context(), s)
		time.Sleep(time.Second) // between the looks from here on
		looks := func(n int, each int64) {
			for range n {
				allocated.Add(each)
				time.Sleep(s.every)
			}
		}
		step := func(what string, want int64, roomy bool) {
			t.Helper()
			synctest.Wait()
			if room.Load() != roomy {
				t.Fatalf("%s: the heap has room: %t", what, !roomy)
			}
			if got := released.Load(); got != want {
				t.Fatalf("%s: given back %d times, want %d", what, got, want)
			}
		}
		looks(3, 2*quietBytes)
		step("while starting", 0, true)
		looks(1, quietBytes/2)
		step("the first quiet look", 1, false)
		looks(100, quietBytes/2)
		step("quiet goes on", 1, false)
		looks(2, 2*quietBytes)
		looks(11, 0)
		step("work, and not yet a quiet minute", 1, true)
		looks(1, 2*quietBytes)
		looks(11, 0)
		step("work again in between", 1, true)
		looks(1, 0)
		step("a quiet minute", 2, false)
		stop()
		looks(30, 2*quietBytes)
		looks(30, 0)
		step("after its end", 2, false)
	})
}

func TestMemoryWatchEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stop := beside(ctx, newSlim())
	cancel()
	stop()
}
