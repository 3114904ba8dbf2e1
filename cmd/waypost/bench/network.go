package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"waypost/agents"
	"waypost/broker"
	"waypost/broker/network"
	"waypost/schemas/directory"
)

// startWait bounds every wait for something to start: it matters only when something is broken.
const startWait = 2 * time.Minute

// world is a network with its broker: what administrators and agencies do by hand, with the same functions as the commands.
type world struct {
	dir       string
	o         *Options
	bulk      *bulk
	authority *network.Authority
	active    []*agency
	others    []*bystander
	requests  map[string]*directory.Request

	options []broker.Option
	crowd   crowd

	broker     *broker.Broker // in this process; nil when it has one of its own
	server     *child         // the broker's own process
	url        string
	publishing time.Duration // how long the directory took into the broker
	stop       context.CancelFunc
	done       chan error
	left       error // how the process of those who wait ended
}

// build makes the network's folders; nothing runs yet.
func build(ctx context.Context, dir string, o *Options) (*world, error) {
	w := &world{dir: dir, o: o, requests: map[string]*directory.Request{}}
	o.Progress.Phase("admitting agencies", o.Agencies)
	folder := filepath.Join(dir, "network")
	if _, err := network.Init(folder, network.Options{Name: "bench", URLs: []string{"nats://127.0.0.1:4222"}}); err != nil {
		return nil, err
	}
	var err error
	if w.bulk, err = openBulk(folder); err != nil {
		return nil, err
	}
	for i := range o.Agencies {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		id := fmt.Sprintf("bench-%04d", i)
		req, err := w.request(ctx, id, i < o.Active)
		if err != nil {
			return nil, err
		}
		if err := w.bulk.enrol(req, "support-provider"); err != nil {
			return nil, err
		}
		w.requests[id] = req
		// In a ring: every agency sends and receives as much as every other. Among those that wait it only fills the directory.
		next := max(i-1, 1-i)
		if i < o.Active {
			next = (i + 1) % o.Active
		}
		if err := w.bulk.agree(id, fmt.Sprintf("bench-%04d", next)); err != nil {
			return nil, err
		}
		o.Progress.Done(i + 1)
	}
	w.authority, err = w.bulk.commit()
	return w, err
}

func (w *world) request(ctx context.Context, id string, active bool) (*directory.Request, error) {
	if !active {
		b, err := newBystander(id)
		if err != nil {
			return nil, err
		}
		w.others = append(w.others, b)
		return b.req, nil
	}
	a := &agency{id: id, dir: filepath.Join(w.dir, "agencies", id)}
	w.active = append(w.active, a)
	made, err := agents.Init(filepath.Join(a.dir, "agent"), agents.InitOptions{Agency: id, Name: id})
	if err != nil {
		return nil, fmt.Errorf("init %s: %w", id, err)
	}
	text, err := os.ReadFile(made.RequestFile)
	if err != nil {
		return nil, fmt.Errorf("read request: %w", err)
	}
	a.config = made.ConfigFile
	return directory.ParseRequest(text)
}

// quota lets a whole run lie at the broker for one pair.
func (o *Options) quota() int64 {
	return int64(max(100_000, min(2*(o.Messages+o.UrgentBacklog), mostMessages)))
}

// open starts the broker and publishes the directory.
func (w *world) open(ctx context.Context) error {
	w.o.Progress.Phase("starting the broker", 0)
	if w.o.Apart {
		return w.openApart(ctx)
	}
	cfg := broker.DefaultConfig()
	cfg.Listen, cfg.Data, cfg.Bundle = "127.0.0.1:0", filepath.Join(w.dir, "broker"), w.authority.BrokerBundle()
	cfg.Quotas.PerPair = w.o.quota()
	var err error
	if w.broker, err = broker.New(&cfg, append(w.options, broker.WithLogger(w.o.Log))...); err != nil {
		return err
	}
	// Its end is ours to say: after Ctrl-C it must still deliver what was accepted.
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	w.stop, w.done = stop, make(chan error, 1)
	go func() { w.done <- w.broker.Run(run) }()
	select {
	case <-w.broker.Ready():
	case err := <-w.done:
		w.done <- err
		return errors.Join(errors.New("start broker"), err)
	case <-time.After(startWait):
		return errors.New("start broker: not ready")
	}
	w.url = w.broker.URL()
	began := time.Now()
	if err := w.authority.Publish(ctx, w.url); err != nil {
		return err
	}
	w.publishing = time.Since(began)
	made, cancel := context.WithTimeout(ctx, startWait+time.Duration(w.o.Agencies)*100*time.Millisecond)
	defer cancel()
	if err := w.broker.WaitDirectory(made, w.authority.View().Head().Version); err != nil {
		return errors.Join(errors.New("the broker has not made every agency's consumers; --verbose shows why"), err)
	}
	return nil
}

// startAll starts the agents, a few at a time, and connects the others.
func (w *world) startAll(ctx context.Context) error {
	w.o.Progress.Phase("starting agents", len(w.active)+len(w.others))
	for i, a := range w.active {
		if err := w.prepare(ctx, a, w.url, "127.0.0.1:0"); err != nil {
			return err
		}
		if err := w.start(ctx, a); err != nil {
			return err
		}
		w.o.Progress.Done(i + 1)
	}
	return w.gather(ctx)
}

// gather connects the bystanders and lets them settle.
func (w *world) gather(ctx context.Context) error {
	if len(w.others) == 0 {
		return nil
	}
	connect := w.gatherHere
	if w.o.Apart {
		connect = w.gatherApart
	}
	if err := connect(ctx); err != nil || w.o.Settle == 0 {
		return err
	}
	// What is measured is a network that stands, not the stacks and buffers of a thousand connections growing.
	w.o.Progress.Phase("letting the others settle", 0)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(w.o.Settle):
		return nil
	}
}

func (w *world) gatherHere(ctx context.Context) error {
	list, err := w.members()
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	before := w.stop
	w.stop = func() { stop(); w.crowd.wait(); before() }
	for i, m := range list {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.crowd.attend(run, w.url, m); err != nil {
			return err
		}
		w.o.Progress.Done(len(w.active) + i + 1)
	}
	return nil
}

// members are the bystanders, admitted.
func (w *world) members() ([]member, error) {
	var list []member
	for _, b := range w.others {
		token, err := w.bulk.user(b.id, b.req.NATSKey)
		if err != nil {
			return nil, err
		}
		seed, err := b.user.Seed()
		if err != nil {
			return nil, fmt.Errorf("read key: %w", err)
		}
		list = append(list, member{b.id, token, seed})
	}
	return list, nil
}

// close stops everything and returns when all is on disk.
func (w *world) close() error {
	var errs []error
	for _, a := range w.active {
		if a.stop != nil {
			a.stop() // all at once, then wait for each
		}
	}
	for _, a := range w.active {
		errs = append(errs, a.end())
	}
	if w.stop != nil {
		w.stop()
		w.stop = nil
		errs = append(errs, w.left, <-w.done)
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections() // those of settled
	return errors.Join(errs...)
}
