package broker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/health"
)

// Codes of /readyz. Their spelling never changes.
const (
	ReadyCode        = "ready"
	CodeStarting     = "starting"      // NATS does not serve yet
	CodeNoStreams    = "no-streams"    // they are not made, or no majority of the nodes is up
	CodeNoDirectory  = "no-directory"  // nothing that the network root signed has been published
	CodeNotAnswering = "not-answering" // the streams are there, and nothing can be stored in them now
	CodeStopping     = "stopping"
)

var notReady = map[string]string{
	CodeStarting:     "The broker is starting: it does not listen yet.",
	CodeNoStreams:    "The streams are not there yet. In a cluster the larger part of the nodes must be up, and all of them at the very first start.",
	CodeNoDirectory:  "There is no directory yet, so no agency can be served: run `waypost network publish`.",
	CodeNotAnswering: "The broker does not store a message of its own. In a cluster, see whether the larger part of the nodes is up; otherwise see its log and whether the disk is full.",
	CodeStopping:     "The broker is stopping.",
}

// HealthURL is where the health listener answers, known once Run listens; empty without one.
func (b *Broker) HealthURL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.health
}

// withHealth runs the broker with the health listener beside it: open before anything else, so that it can say what the
// start waits for, and closed after everything else.
func (b *Broker) withHealth(ctx context.Context, run func(context.Context) error) error {
	if b.cfg.Health.Listen == "" {
		return run(ctx)
	}
	token, err := health.ReadToken(b.cfg.Health.TokenFile)
	if errors.Is(err, health.ErrShortToken) {
		return b.cfg.wrong("health.token_file", err.Error(), "for example: openssl rand -hex 32")
	} else if err != nil {
		return err
	}
	conf, err := b.cfg.healthTLS()
	if err != nil {
		return err
	}
	ln, err := health.Listen(ctx, b.cfg.Health.Listen, conf)
	if err != nil {
		return &ConfigError{Key: "health.listen", Rule: "cannot be opened", Advice: "is another broker running here? choose another port"}
	}
	b.setHealth(ln, conf != nil)
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := newDone(func() error {
		err := health.Serve(serving, ln, health.New(newMeter(ctx, b), health.Options{Token: token, Certified: conf != nil, Program: "broker", Log: b.log}))
		if err != nil {
			// Whoever watches notices that nobody answers; messages go on.
			b.log.ErrorContext(ctx, "health is not served any more", "err", err)
		}
		return nil
	})
	defer func() { stop(); _ = done.wait() }()
	return run(ctx)
}

func (b *Broker) setHealth(ln net.Listener, tls bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	scheme := "http://"
	if tls {
		scheme = "https://"
	}
	b.health = scheme + ln.Addr().String()
}

// listens notes how this process asks itself. The system connection may be nil: then nodes stay unknown.
func (b *Broker) listens(nc, system *nats.Conn) error {
	root, err := note.NewVerifier(b.bundle.Root)
	if err != nil {
		return fmt.Errorf("read root key: %w", err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asking = &Asking{Conn: nc, System: system, Root: root, Now: b.clock}
	return nil
}

// monitor connects to the system account, for health only. Nil when it cannot: the broker does its work without.
func (b *Broker) monitor(ctx context.Context, url, creds string, more ...nats.Option) (*nats.Conn, func()) {
	if b.cfg.Health.Listen == "" {
		return nil, func() {}
	}
	o := []nats.Option{nats.UserCredentials(creds), nats.CustomInboxPrefix("_INBOX_monitor"), nats.Name("waypost broker, health"), nats.MaxReconnects(-1), nats.Timeout(5 * time.Second)}
	nc, err := nats.Connect(url, append(o, more...)...)
	if err != nil {
		b.log.WarnContext(ctx, "health cannot ask the nodes", "err", err)
		return nil, func() {}
	}
	return nc, nc.Close
}

func (b *Broker) setProvisioned() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.provisioned = true
}

// state looks how this process is now. takes tells whether messages are stored, if they should be.
func (b *Broker) state(ctx, running context.Context, takes func(context.Context) (bool, error)) (health.State, error) {
	b.mu.Lock()
	asking, provisioned, view := b.asking, b.provisioned, b.view
	b.mu.Unlock()
	code := ""
	switch {
	case running.Err() != nil:
		code = CodeStopping
	case asking == nil:
		code = CodeStarting
	case !provisioned:
		code = CodeNoStreams
	default:
		ok, err := takes(ctx)
		switch {
		case err != nil: // who asked has gone, which says nothing of the broker
			return health.State{}, err
		case !ok:
			code = CodeNotAnswering
		case view == nil:
			code = CodeNoDirectory
		default:
			return health.State{Ready: true, Code: ReadyCode, Sentence: "The broker takes and hands out messages."}, nil
		}
	}
	return health.State{Code: code, Sentence: notReady[code]}, nil
}
