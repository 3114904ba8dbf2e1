package bench

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// ErrInterrupted: the run was ended from outside. What was measured until then is in the result.
var ErrInterrupted = errors.New("the run was ended before it was complete")

// run is one run.
type run struct {
	o      *Options
	world  *world
	tap    *tap
	caller *caller
	floors *floors
	result *Result

	all      []*journey // everything that was accepted, warm-up too
	expected int        // receipts that must come back
	idle     []*journey
	alone    []*journey
	load     []*journey
	beside   []*journey
	restart  time.Duration
	worked   float64
}

// Run measures. With an error it still returns what was measured, if anything was; with ErrInterrupted too.
func Run(ctx context.Context, o Options) (*Result, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	dir, remove, err := folder(&o)
	if err != nil {
		return nil, fmt.Errorf("make bench folder: %w", err)
	}
	defer remove()
	r := &run{o: &o, result: &Result{Type: ResultType, Machine: thisMachine(), Stages: []Stage{},
		Asked: Asked{o.Agencies, o.Active, o.Messages, o.Size, o.Rate, o.Workers, o.UrgentBacklog, o.Apart}}}
	if r.floors, err = newFloors(dir, &o); err != nil {
		return nil, err
	}
	defer r.floors.remove()
	err = r.measure(ctx, dir)
	if ctx.Err() != nil {
		err = ErrInterrupted
	}
	r.floors.fill(r.result)
	r.result.Complete = err == nil
	return r.result, err
}

func (r *run) measure(ctx context.Context, dir string) error {
	if err := r.floors.measure(ctx); err != nil {
		return err
	}
	if err := r.network(ctx, dir); err != nil {
		return err
	}
	if err := r.floors.measure(ctx); err != nil {
		return err
	}
	if r.o.Memory {
		return r.processes(ctx, dir)
	}
	return nil
}

// network starts a network, measures it and stops it. What was measured is read from streams and stores also when the run was
// ended: for that everything is still there.
func (r *run) network(ctx context.Context, dir string) (err error) {
	if r.world, err = build(ctx, dir, r.o); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.world.close()) }()
	if err := r.world.open(ctx); err != nil {
		return err
	}
	if r.tap, err = r.world.listen(); err != nil {
		return err
	}
	defer r.tap.close()
	if err := r.world.startAll(ctx); err != nil {
		return err
	}
	r.caller = newCaller(r.o)
	defer r.caller.close()
	err = r.phases(ctx)
	if len(r.all) == 0 {
		return err
	}
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), startWait)
	defer cancel()
	if ctx.Err() != nil {
		// What is on its way may still arrive.
		short, stop := context.WithTimeout(late, 5*time.Second)
		_ = r.tap.wait(short, r.expected, nil)
		stop()
	}
	return errors.Join(err, r.evaluate(late, err == nil))
}

func (r *run) phases(ctx context.Context) error {
	o, ring := r.o, r.world.ring()
	o.Progress.Phase("warming up", 0)
	warm, err := r.caller.submit(ctx, part{example: routineExample, pairs: ring, count: 2 * len(ring), workers: min(o.Workers, 8)}, nil)
	r.keep(warm)
	if err != nil {
		return err
	}
	if err := r.settled(ctx); err != nil {
		return err
	}
	if !o.Apart {
		r.result.Memory.Idle = resident("self")
	}
	if o.Idle > 0 {
		o.Progress.Phase("one after the other", o.Idle)
		base := r.expected
		r.idle, err = r.caller.submit(ctx, part{example: routineExample, pairs: ring, count: o.Idle, workers: 1,
			after: func(ctx context.Context, n int) error { return r.tap.wait(ctx, base+n, nil) }}, o.Progress.Done)
		if r.keep(r.idle); err != nil {
			return err
		}
	}
	if o.Urgent > 0 {
		o.Progress.Phase("urgent, alone", o.Urgent)
		r.alone, err = r.urgent(ctx, ring)
		if r.keep(r.alone); err != nil {
			return err
		}
		if err := r.settled(ctx); err != nil {
			return err
		}
	}
	if err := r.underLoad(ctx, ring); err != nil {
		return err
	}
	if o.UrgentBacklog > 0 {
		return r.backlog(ctx)
	}
	return nil
}

func (r *run) underLoad(ctx context.Context, ring []pair) error {
	o := r.o
	prof, err := profile(o.Profile)
	if err != nil {
		return err
	}
	watch := watchMemory("self")
	o.Progress.Phase("load", o.Messages)
	base := r.expected
	r.load, err = r.caller.submit(ctx, part{example: routineExample, pairs: ring, count: o.Messages, rate: o.Rate, workers: o.Workers}, o.Progress.Done)
	r.keep(r.load)
	if err == nil {
		o.Progress.Phase("load: the last receipts", o.Messages)
		err = r.tap.wait(ctx, r.expected, func(n int) { o.Progress.Done(max(0, n-base)) })
	}
	if load := watch(); !o.Apart {
		r.result.Memory.Load = load
	}
	return errors.Join(err, prof())
}

// keep remembers what was accepted: each of them owes a receipt.
func (r *run) keep(j []*journey) {
	r.all = append(r.all, j...)
	r.expected += len(j)
}

func (r *run) settled(ctx context.Context) error { return r.tap.wait(ctx, r.expected, nil) }

// evaluate reads what happened. whole: the run was not ended, so nothing may be missing.
func (r *run) evaluate(ctx context.Context, whole bool) error {
	got, err := r.world.collect(ctx, r.tap, r.all)
	if err != nil {
		return err
	}
	out := r.result
	out.Envelope = Envelope{got.envelope, got.note}
	out.Sent = len(r.load)
	span, delivered := spanOf(r.load)
	out.Delivered, out.Seconds = delivered, round(span.Seconds(), 3)
	if span > 0 {
		out.MessagesPerSecond = round(float64(delivered)/span.Seconds(), 1)
	}
	out.Stages = stagesOf(r.load)
	last := stage(out.Stages, "receipt")
	out.P50, out.P99 = last.P50, last.P99
	if len(r.idle) > 0 {
		out.Idle = &Idle{Stages: stagesOf(r.idle)}
		s := stage(out.Idle.Stages, "receipt")
		out.Idle.P50, out.Idle.P99 = s.P50, s.P99
	}
	if out.Urgent = r.urgentResult(); out.Urgent != nil {
		if out.UrgentP99 = out.Urgent.IdleP99; len(r.beside) > 0 {
			out.UrgentP99 = out.Urgent.BacklogP99
		}
	}
	if !whole {
		return nil
	}
	for _, j := range r.all {
		if !j.whole() {
			return fmt.Errorf("message %s did not arrive everywhere: broker %t, inbox %t, sink %t, receipt %t %s", j.id, j.stored != 0, j.inbox != 0, j.sunk != 0, j.receipt != 0, j.refused)
		}
	}
	return nil
}
