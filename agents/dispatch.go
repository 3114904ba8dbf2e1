package agents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"waypost/agents/intake"
	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas"
)

const (
	dispatchMax  = 64
	pressedMax   = 1 // while there is urgent traffic: what is urgent waits for the hand-over under way
	dispatchIdle = 30 * time.Second
	noteEvery    = 50 * time.Millisecond // how long a hand-over may stay unnoted while its batch goes on
)

// dispatcher drives one sink: urgent deliveries on one worker, the rest on another, so that an urgent referral never waits
// behind a slow routine one. A hand-over is noted after the sink said it is durable; if we die between the two, the sink
// gets it again under the same id.
type dispatcher struct {
	agency   string
	sink     route.Sink
	schedule route.Schedule
	store    *store.Store
	vault    *vault.Vault
	emit     *intake.Emitter
	now      func() time.Time
	log      *slog.Logger
	woken    map[bool]<-chan struct{} // by urgent: each worker has its own, or one would take the other's signal
	flight   *flight                  // the agent's; what all its sinks are handed just now
	attempts attempts
	disabled atomic.Bool // the sink said 410: nothing more until a person asks for a retry or restarts
}

type result struct {
	d    *store.Delivery
	err  error
	when time.Time
}

func (p *dispatcher) run(ctx context.Context, urgent bool) {
	failures := 0
	for ctx.Err() == nil {
		if p.store.Recovering() {
			// A restored store gives no receipt a number yet, so a hand-over could not be noted and would be made again and again.
			pause(ctx, time.Second)
			continue
		}
		due, err := p.store.DueDeliveries(ctx, p.sink.Name(), urgent, p.now(), dispatchMax)
		if err != nil && ctx.Err() == nil {
			p.log.Error("deliveries not readable", "sink", p.sink.Name(), "err", err)
		}
		if len(due) == 0 || p.disabled.Load() {
			p.wait(ctx, urgent)
			continue
		}
		if p.work(ctx, due, urgent) {
			failures = 0
			continue
		}
		// The sink is in trouble: what else is due would meet the same trouble.
		failures++
		pause(ctx, min(time.Duration(failures)*time.Second, dispatchIdle))
	}
}

func (p *dispatcher) wait(ctx context.Context, urgent bool) {
	d := dispatchIdle
	if next, err := p.store.NextDue(ctx, p.sink.Name(), urgent); err == nil && next != nil && !p.disabled.Load() {
		d = min(max(next.Sub(p.now()), 10*time.Millisecond), dispatchIdle)
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	case <-p.woken[urgent]:
	}
}

// work hands over what is due and notes it; false when the sink failed in a way that will hit the next one too.
func (p *dispatcher) work(ctx context.Context, due []*store.Delivery, urgent bool) bool {
	var results []result
	var flown []*store.Delivery // of these it is not noted yet what became of them
	defer func() { p.flight.leave(flown) }()
	started := p.now()
	_, batch := p.sink.(route.BatchSink)
	for len(due) > 0 {
		n, began := 1, time.Now()
		if batch {
			n = len(due)
		}
		if !urgent && p.store.Pressed() {
			n = min(n, pressedMax)
		}
		p.flight.enter(due[:n])
		flown = append(flown, due[:n]...)
		done, well := p.handOver(ctx, p.prepare(ctx, due[:n]))
		for _, r := range done {
			p.attempts.count(r.err)
		}
		due, results = due[n:], append(results, done...)
		if !well || ctx.Err() != nil {
			return p.note(results, urgent) && well
		}
		if p.now().Sub(started) > noteEvery {
			if !p.note(results, urgent) {
				return false
			}
			p.flight.leave(flown)
			results, flown, started = nil, nil, p.now()
		}
		if !urgent {
			p.store.Rest(ctx, time.Since(began))
		}
	}
	return p.note(results, urgent)
}

// note writes results down in one transaction. It goes on when ctx has ended: what a sink has taken must be remembered.
func (p *dispatcher) note(results []result, urgent bool) bool {
	if len(results) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	update := p.store.Update
	if urgent {
		update = p.store.UpdateUrgent
	}
	err := update(ctx, func(tx *store.Tx) error {
		for _, r := range results {
			if r.err != nil {
				if err := p.failed(tx, r); err != nil {
					return err
				}
				continue
			}
			ref, complete, err := tx.Delivered(r.d.N, r.when)
			if err != nil {
				return err
			}
			if !complete {
				continue
			}
			m, err := tx.IncomingManifest(ref, p.agency)
			if err != nil {
				return err
			}
			if err := intake.Routed(tx, p.emit, m, r.when); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		p.log.Error("hand-over not noted; the sink will get it again", "sink", p.sink.Name(), "err", err)
	}
	return err == nil
}

func (p *dispatcher) failed(tx *store.Tx, r result) error {
	var gone *route.Disabled
	var stop *route.Permanent
	dead := errors.As(r.err, &stop)
	code := "sink-failed"
	if errors.As(r.err, &gone) {
		dead, code = true, "sink-disabled"
		p.disabled.Store(true)
	}
	var wait time.Duration
	if !dead {
		var more bool
		if wait, more = p.schedule.Next(r.d.Attempts + 1); !more {
			dead, code = true, "sink-gave-up"
		}
		var later *route.RetryAfter
		if errors.As(r.err, &later) {
			wait = max(wait, later.After)
		}
	}
	p.log.Warn("sink did not take it", "sink", p.sink.Name(), "message", r.d.Ref, "code", code, "attempt", r.d.Attempts+1, "err", r.err)
	if err := tx.DeliveryFailed(r.d.N, r.when.Add(wait), code, dead); err != nil {
		return err
	}
	// An event about a dead letter that is itself an event would breed events for ever.
	if !dead || r.d.Source == store.FromEvent {
		return nil
	}
	m, err := tx.IncomingManifest(r.d.Ref, p.agency)
	if err != nil {
		return err
	}
	return p.emit.Event(tx, &store.Event{Type: store.EventSinkDead, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.From, Code: code, At: r.when})
}

// messageDocument is the JSON an agency's system gets for a message.
type messageDocument struct {
	ID           string     `json:"id"`
	Thread       string     `json:"thread"`
	ReplyTo      string     `json:"reply_to,omitempty"`
	From         string     `json:"from"`
	To           string     `json:"to"`
	Kind         string     `json:"kind"`
	Schema       string     `json:"schema"`
	Lane         string     `json:"lane"`
	Sent         time.Time  `json:"sent"`
	Received     time.Time  `json:"received"`
	RespondBy    *time.Time `json:"respond_by,omitempty"`
	Basis        string     `json:"basis,omitempty"`
	Certificates []string   `json:"certificates,omitempty"`
	Payload      any        `json:"payload"`
}

// eventDocument is the JSON an agency's system gets for an event: codes only.
type eventDocument struct {
	ID      string    `json:"id"`
	Event   string    `json:"event"`
	At      time.Time `json:"at"`
	Thread  string    `json:"thread,omitempty"`
	Message string    `json:"message,omitempty"`
	Kind    string    `json:"kind,omitempty"`
	Agency  string    `json:"agency,omitempty"`
	Code    string    `json:"code,omitempty"`
	// Certificate is the consent that it is about; messages name theirs, so that a system finds what to stop.
	Certificate string `json:"certificate,omitempty"`
}

// document opens what a delivery hands over. Plaintext exists only from here to the sink.
func (p *dispatcher) document(ctx context.Context, d *store.Delivery) (*route.Delivery, error) {
	if d.Source == store.FromEvent {
		e, err := p.store.Event(ctx, d.Ref)
		if err != nil {
			return nil, unreadable("event", d.Ref, err)
		}
		data, err := schemas.Encode(eventDocument{ID: e.ID, Event: e.Type, At: e.At, Thread: e.Thread, Message: e.Message, Kind: string(e.Kind), Agency: e.Peer, Code: e.Code, Certificate: e.Certificate})
		if err != nil {
			return nil, &route.Permanent{Err: err}
		}
		return &route.Delivery{ID: e.ID, Event: e.Type, Time: e.At, Agency: p.agency, Data: data, Message: e.Message, Thread: e.Thread, Code: e.Code,
			Attributes: route.Facts{Event: e.Type, Kind: string(e.Kind), From: e.Peer, To: p.agency, Overdue: e.Type == store.EventOverdue}}, nil
	}
	in, err := p.store.Incoming(ctx, p.agency, d.Ref)
	if err != nil {
		return nil, unreadable("message", d.Ref, err)
	}
	payload, err := reopen(p.vault, &in.Manifest, in.Body, in.Wrapped)
	if err != nil {
		return nil, &route.Permanent{Err: fmt.Errorf("reopen message %s: %w", d.Ref, err)}
	}
	m := &in.Manifest
	data, err := schemas.Encode(messageDocument{ID: m.ID, Thread: m.Thread, ReplyTo: m.ReplyTo, From: m.From, To: m.To, Kind: string(m.Kind), Schema: m.Schema,
		Lane: string(m.Lane), Sent: m.Sent, Received: in.Received, RespondBy: m.RespondBy, Basis: m.Basis, Certificates: in.Certificates, Payload: payload})
	if err != nil {
		return nil, &route.Permanent{Err: err}
	}
	return &route.Delivery{ID: m.ID, Event: store.EventReceived, Time: in.Received, Agency: p.agency, Data: data, Message: m.ID, Thread: m.Thread,
		Attributes: intake.Describe(m, nil, store.EventReceived)}, nil
}

// unreadable: only what is not there will never be; a hiccup of the disk passes.
func unreadable(what, ref string, err error) error {
	err = fmt.Errorf("read %s %s: %w", what, ref, err)
	if errors.Is(err, store.ErrNotFound) {
		return &route.Permanent{Err: err}
	}
	return err
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
