package bench

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"time"
)

// processMost bounds the load on the processes: memory under load is reached soon.
const processMost = 5000

// settledSize waits until a process's size has not changed by more than 2 % for twelve seconds, a minute at most: an idle process
// gives memory back, and looks every five seconds whether it is idle.
func settledSize(ctx context.Context, pid string) int64 {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	same, last := 0, resident(pid)
	for range 120 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
		now := resident(pid)
		if d := now - last; d*50 <= last && d*50 >= -last {
			same++
		} else {
			same = 0
		}
		if last = now; same >= 24 {
			break
		}
	}
	return last
}

// processes measures one broker, one sender and one recipient, each in its own process: what runs at an agency is not what the
// whole test holds.
func (r *run) processes(ctx context.Context, dir string) (err error) {
	r.o.Progress.Phase("memory: broker and agents as processes", 0)
	o := *r.o
	o.Agencies, o.Active, o.Messages, o.Apart = 2, 2, min(o.Messages, processMost), true
	w, err := build(ctx, filepath.Join(dir, "processes"), &o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := w.open(ctx); err != nil {
		return err
	}
	if err := w.startAll(ctx); err != nil {
		return err
	}
	t, err := w.listen()
	if err != nil {
		return err
	}
	defer t.close()
	running := []*child{w.server, w.active[0].process, w.active[1].process}
	sizes := make([]int64, len(running))
	var resting sync.WaitGroup
	for i, c := range running {
		resting.Go(func() { sizes[i] = settledSize(ctx, c.pid()) })
	}
	resting.Wait()
	var watches []func() int64
	for _, c := range running {
		watches = append(watches, watchMemory(c.pid()))
	}
	caller := newCaller(&o)
	defer caller.close()
	r.o.Progress.Phase("memory: load on the processes", o.Messages)
	sent, err := caller.submit(ctx, part{example: routineExample, pairs: []pair{{w.active[0], w.active[1]}}, count: o.Messages, workers: o.Workers}, nil)
	if err == nil {
		err = t.wait(ctx, len(sent), r.o.Progress.Done)
	}
	for i, part := range []string{"broker", "sender", "recipient"} {
		r.result.Parts = append(r.result.Parts, Process{Part: part, Idle: sizes[i], Load: watches[i]()})
	}
	return err
}
