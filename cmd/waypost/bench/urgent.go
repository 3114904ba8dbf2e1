package bench

import (
	"context"
	"errors"
	"time"
)

// urgentRate is how many urgent messages a second are submitted. It is a steady rate and not one after the other, because one
// that is held up must not keep the next from being sent: that would hide how long they waited.
const urgentRate = 25

func (r *run) urgent(ctx context.Context, pairs []pair) ([]*journey, error) {
	return r.caller.submit(ctx, part{example: urgentExample, urgent: true, pairs: pairs, count: r.o.Urgent, rate: urgentRate, workers: 8}, r.o.Progress.Done)
}

// backlog lets routine messages pile up for an agency whose agent is away, brings the agent back, and sends it urgent ones while
// it works through them.
func (r *run) backlog(ctx context.Context) error {
	o, from, to := r.o, r.world.active[0], r.world.active[1]
	o.Progress.Phase("making a backlog", o.UrgentBacklog)
	if err := to.end(); err != nil {
		return err
	}
	waiting, err := r.caller.submit(ctx, part{example: routineExample, pairs: []pair{{from, to}}, count: o.UrgentBacklog, workers: o.Workers}, o.Progress.Done)
	r.keep(waiting)
	base := r.expected - len(waiting)
	if err == nil {
		// All of it lies at the broker, so that it waits for the recipient and not for the sender.
		err = r.published(ctx)
	}
	began := time.Now()
	if e := r.world.start(context.WithoutCancel(ctx), to); e != nil {
		return e
	}
	if err != nil {
		return err
	}
	r.restart = time.Since(began)
	o.Progress.Phase("urgent beside the backlog", o.Urgent)
	ran := make(chan struct{})
	gone, cancel := context.WithCancel(ctx)
	var over time.Time
	go func() {
		defer close(ran)
		// The urgent messages' receipts count here too, so this is a little early, never late.
		if r.tap.wait(gone, base+len(waiting), nil) == nil {
			over = time.Now()
		}
	}()
	probes, err := r.urgent(ctx, []pair{{from, to}})
	r.keep(probes)
	if err == nil {
		err = r.settled(ctx)
	}
	cancel()
	<-ran
	for _, j := range probes {
		if over.IsZero() || j.intended < over.UnixNano() {
			r.beside = append(r.beside, j)
		}
	}
	if !over.IsZero() {
		r.worked = float64(len(waiting)) / over.Sub(began).Seconds()
	}
	return err
}

// published waits until the broker has stored what waits for the agency that is away. It gives up when nothing moves.
func (r *run) published(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	var last uint64
	moved := time.Now()
	for {
		n, err := r.tap.stored(ctx)
		if err != nil {
			return err
		}
		if n >= uint64(r.expected) {
			return nil
		}
		if n > last {
			last, moved = n, time.Now()
		}
		if time.Since(moved) > startWait {
			return errors.New("the sender's agent does not publish its outbox")
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// urgentResult compares urgent messages alone with those beside the backlog.
func (r *run) urgentResult() *Urgent {
	if len(r.alone) == 0 {
		return nil
	}
	alone := stage(stagesOf(r.alone), "receipt")
	u := &Urgent{IdleP50: alone.P50, IdleP99: alone.P99, Backlog: r.o.UrgentBacklog}
	if len(r.beside) > 0 {
		u.Stages = stagesOf(r.beside)
		s := stage(u.Stages, "receipt")
		u.Beside, u.BacklogP50, u.BacklogP99, u.Ratio = int(s.Count), s.P50, s.P99, ratio(s.P99, u.IdleP99)
		u.PerSecond, u.RestartMS = round(r.worked, 1), ms(r.restart)
	}
	return u
}
