package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"waypost/broker"
)

// SimulateOptions are what a simulation is asked for.
type SimulateOptions struct {
	Agencies   []int // sizes of the network, ascending
	Measured   int   // the largest that really runs; beyond it figures are computed from the two largest that ran
	Agreements int   // per agency, in the directory's size
	Messages   int   // through the broker at each size

	Log      *slog.Logger
	Progress Progress
}

// Shape is how a network's cost grows with its members.
type Shape struct {
	Type    string  `json:"type"`
	Machine Machine `json:"machine"`
	Rows    []Size  `json:"rows"`
}

// ShapeType is the "type" of a Shape in JSON.
const ShapeType = "waypost.simulate.v1"

// Size is a network of one size. Directory is always measured, on entries that are really signed; Broker only where Measured
// says so, on a real broker with every agency's account, consumers and connection.
type Size struct {
	Agencies  int        `json:"agencies"`
	Measured  bool       `json:"measured"`
	Directory Membership `json:"directory"`
	Broker    Middle     `json:"broker"`
	Quota     Room       `json:"quota"`
}

// Middle is what the broker needs. Times are seconds, sizes bytes.
type Middle struct {
	ConsumersSeconds float64 `json:"consumers_s"` // from the published directory to three consumers for each agency
	PublishSeconds   float64 `json:"publish_s"`   // the directory, into the broker
	StartSeconds     float64 `json:"start_s"`     // a broker that knows them all, until it is ready
	ConnectSeconds   float64 `json:"connect_s"`   // all agencies, one after the other
	Memory           int64   `json:"memory_bytes"`
	Connections      int64   `json:"connections_bytes"` // both ends of every connection and its waiting requests: they are in this process too
	Disk             int64   `json:"disk_bytes"`
	IdleCPU          float64 `json:"idle_cpu"` // cores, all connected and waiting, both ends
	PerSecond        float64 `json:"messages_per_s"`
}

// Room is what the default quotas leave.
type Room struct {
	Waiting int64 `json:"waiting_messages_per_agency"` // in the routine lane, if all are away
}

const simulatedBytes = 6300 // of a message: the routine example, sealed

func (o *SimulateOptions) defaults() error {
	if len(o.Agencies) == 0 {
		return &OptionError{"agencies", "must name at least one size"}
	}
	last := 1
	for _, n := range o.Agencies {
		if n <= last || n > 1_000_000 {
			return &OptionError{"agencies", "must be sizes from 2 to 1000000, each larger than the one before"}
		}
		last = n
	}
	for _, r := range []struct {
		flag         string
		v, low, high int
	}{{"measured", o.Measured, 2, mostAgencies}, {"agreements", o.Agreements, 1, 100}, {"messages", o.Messages, 1, 1_000_000}} {
		if r.v < r.low || r.v > r.high {
			return &OptionError{r.flag, fmt.Sprintf("must be between %d and %d, not %d", r.low, r.high, r.v)}
		}
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = silent{}
	}
	return nil
}

// Simulate measures networks of several sizes. With an error it returns the sizes that were done.
func Simulate(ctx context.Context, o SimulateOptions) (*Shape, error) {
	if err := o.defaults(); err != nil {
		return nil, err
	}
	out := &Shape{Type: ShapeType, Machine: thisMachine(), Rows: []Size{}}
	for _, n := range o.Agencies {
		row := Size{Agencies: n, Measured: n <= o.Measured,
			Quota: Room{int64(broker.DefaultConfig().Quotas.StreamBytes) / simulatedBytes / int64(n)}}
		var err error
		if row.Directory, err = membership(ctx, n, &o); err == nil && row.Measured {
			row.Broker, err = middle(ctx, n, &o)
		} else if err == nil {
			row.Broker = extrapolate(out.Rows, n)
		}
		if ctx.Err() != nil {
			return out, ErrInterrupted
		}
		if err != nil {
			return out, err
		}
		out.Rows = append(out.Rows, row)
	}
	return out, nil
}

// middle runs a broker with n agencies.
func middle(ctx context.Context, n int, o *SimulateOptions) (m Middle, err error) {
	dir, err := os.MkdirTemp("", "waypost-simulate-")
	if err != nil {
		return m, fmt.Errorf("make simulation folder: %w", err)
	}
	defer os.RemoveAll(dir)
	run := &Options{Agencies: n, Messages: o.Messages, Log: o.Log, Progress: o.Progress}
	w, err := build(ctx, dir, run)
	if err != nil {
		return m, err
	}
	// The messages below are no envelopes, so nobody keeps a ledger of them.
	w.options = []broker.Option{broker.WithoutNotary()}
	var got atomic.Int64
	arrived := make(chan struct{}, 1)
	w.crowd.onMail = func() {
		if got.Add(1) == int64(o.Messages) {
			arrived <- struct{}{}
		}
	}
	before := rested()
	began := time.Now()
	if err := w.open(ctx); err != nil {
		return m, errors.Join(err, w.close())
	}
	m.PublishSeconds, m.ConsumersSeconds = round(w.publishing.Seconds(), 3), round(time.Since(began).Seconds(), 3)
	m.Memory = max(0, rested()-before)
	if err := w.close(); err != nil {
		return m, err
	}
	m.Disk = diskUse(filepath.Join(dir, "broker"))
	began = time.Now()
	if err := w.open(ctx); err != nil {
		return m, errors.Join(err, w.close())
	}
	m.StartSeconds = round(time.Since(began).Seconds(), 3)
	defer func() { err = errors.Join(err, w.close()) }()
	o.Progress.Phase(fmt.Sprintf("connecting %d agencies", n), n)
	before, began = rested(), time.Now()
	if err := w.gather(ctx); err != nil {
		return m, err
	}
	m.ConnectSeconds, m.Connections = round(time.Since(began).Seconds(), 3), max(0, rested()-before)
	o.Progress.Phase("at rest", 0)
	cpu := cpuTime()
	if !until(ctx, time.Now().Add(3*time.Second)) {
		return m, ctx.Err()
	}
	m.IdleCPU = round((cpuTime()-cpu).Seconds()/3, 3)
	o.Progress.Phase("messages", o.Messages)
	m.PerSecond, err = w.flood(ctx, n, o.Messages, arrived)
	return m, err
}

// flood publishes messages to all agencies in turn, in atomic batches, and waits until they have acknowledged them.
func (w *world) flood(ctx context.Context, n, messages int, arrived <-chan struct{}) (float64, error) {
	t, err := w.listen()
	if err != nil {
		return 0, err
	}
	defer t.close()
	body := make([]byte, simulatedBytes)
	began := time.Now()
	for sent := 0; sent < messages; {
		var batch []*nats.Msg
		for len(batch) < 128 && sent < messages {
			to := sent % n
			m := nats.NewMsg(fmt.Sprintf("mail.routine.bench-%04d.bench-%04d", to, (to+1)%n))
			m.Data = body
			batch, sent = append(batch, m), sent+1
		}
		if _, err := jetstreamext.PublishMsgBatch(ctx, t.js, batch); err != nil {
			return 0, fmt.Errorf("publish: %w", err)
		}
		w.o.Progress.Done(sent)
	}
	patience := time.NewTimer(startWait)
	defer patience.Stop()
	select {
	case <-arrived:
		return round(float64(messages)/time.Since(began).Seconds(), 1), nil
	case <-patience.C:
		return 0, errors.New("simulate: not every message was collected")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// extrapolate continues the line through the two largest sizes that were measured. It is a guess of the shape, not a promise.
func extrapolate(rows []Size, n int) Middle {
	var known []Size
	for _, r := range rows {
		if r.Measured {
			known = append(known, r)
		}
	}
	if len(known) < 2 {
		return Middle{}
	}
	a, b := known[len(known)-2], known[len(known)-1]
	at := func(x, y float64) float64 {
		return max(0, y+(y-x)/float64(b.Agencies-a.Agencies)*float64(n-b.Agencies))
	}
	x, y := a.Broker, b.Broker
	return Middle{
		ConsumersSeconds: round(at(x.ConsumersSeconds, y.ConsumersSeconds), 1), PublishSeconds: round(at(x.PublishSeconds, y.PublishSeconds), 1),
		StartSeconds: round(at(x.StartSeconds, y.StartSeconds), 1), ConnectSeconds: round(at(x.ConnectSeconds, y.ConnectSeconds), 1),
		Memory: int64(at(float64(x.Memory), float64(y.Memory))), Connections: int64(at(float64(x.Connections), float64(y.Connections))),
		Disk: int64(at(float64(x.Disk), float64(y.Disk))), IdleCPU: round(at(x.IdleCPU, y.IdleCPU), 2),
	}
}
