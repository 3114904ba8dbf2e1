package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"waypost/broker/network"
	"waypost/broker/notary"
	"waypost/schemas/directory"
)

// Broker is one running middle: an embedded NATS server, or the provisioner of an external one.
type Broker struct {
	cfg    Config
	bundle *network.Bundle
	log    *slog.Logger
	opts   *server.Options // nil for an external NATS

	ready chan struct{}
	once  sync.Once // Run is called once

	noNotary bool
	restore  bool
	clock    func() time.Time
	waiting  chan struct{} // closed when there is nothing but to wait for a restore

	ledger chan struct{} // closed when this node's part in the ledger is done for the first time

	mu      sync.Mutex
	notary  *notary.Notary // while this node keeps the ledger
	server  *server.Server
	url     string
	version uint64 // of the directory that consumers were last made from
	view    *directory.View
	moved   chan struct{} // closed and replaced when version moves

	health      string // address of the health listener
	asking      *Asking
	provisioned bool
}

// Option changes how a Broker is made.
type Option func(*Broker)

// WithoutNotary leaves the ledger to another process. Without any notary nothing is recorded, and agents raise an alarm.
func WithoutNotary() Option { return func(b *Broker) { b.noNotary = true } }

// WithRestore makes a broker without streams wait until `waypost broker restore` has made them, instead of making empty
// ones. With a ledger in place it changes nothing.
func WithRestore() Option { return func(b *Broker) { b.restore = true } }

// WithClock sets what time it is for the ledger and for the directory's expiry; the system's otherwise. NATS itself keeps to
// the system's.
func WithClock(now func() time.Time) Option { return func(b *Broker) { b.clock = now } }

// WithLogger sets where the broker logs; slog.Default otherwise.
func WithLogger(l *slog.Logger) Option { return func(b *Broker) { b.log = l } }

// New checks the configuration, the bundle, certificates and keys, and starts nothing: after an error there is nothing
// to clean up, and no port was opened.
func New(cfg *Config, options ...Option) (*Broker, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	b := &Broker{cfg: *cfg, log: slog.Default(), clock: time.Now, ready: make(chan struct{}), ledger: make(chan struct{}), waiting: make(chan struct{}), moved: make(chan struct{})}
	for _, o := range options {
		o(b)
	}
	var err error
	if b.bundle, err = network.ReadBundle(cfg.Bundle); err != nil {
		return nil, err
	}
	if cfg.External.NATS != "" {
		b.url = cfg.External.NATS
		return b, nil
	}
	if b.opts, err = serverOptions(&b.cfg, b.bundle); err != nil {
		return nil, err
	}
	return b, nil
}

// Ready is closed when agencies can connect: the server listens and streams, bucket and the consumers of the stored
// directory are made and checked.
func (b *Broker) Ready() <-chan struct{} { return b.ready }

// Waiting is closed when a broker made WithRestore listens and waits for the restore. Without a need to wait it never is.
func (b *Broker) Waiting() <-chan struct{} { return b.waiting }

// URL is where agencies connect. With port 0 in the configuration it is known when Ready is closed.
func (b *Broker) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.url
}

// WebSocketURL is the second listener's address, empty without one.
func (b *Broker) WebSocketURL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server == nil || b.cfg.WebSocket.Listen == "" {
		return ""
	}
	return b.server.WebsocketURL()
}

// Run serves until ctx ends, then shuts down and waits until everything is on disk; it returns nil then. It returns an
// error if it cannot start or if the server stops by itself. It may be called once.
func (b *Broker) Run(ctx context.Context) (err error) {
	err = errors.New("run broker: it ran before")
	b.once.Do(func() {
		if b.opts == nil {
			err = b.withHealth(ctx, b.runExternal)
		} else {
			err = b.withHealth(ctx, b.runEmbedded)
		}
	})
	return err
}

func (b *Broker) runEmbedded(ctx context.Context) error {
	unlock, err := network.LockFolder(b.cfg.Data)
	if err != nil {
		return err
	}
	defer unlock()
	// NATS would only log that a port is taken, and never become ready. Tried first, before any store is opened.
	if err := tryListen(ctx, b.cfg.Listen, b.cfg.WebSocket.Listen, b.cfg.Cluster.Listen); err != nil {
		return err
	}
	if err := seedAccounts(b.opts, &b.cfg, b.bundle); err != nil {
		return err
	}
	s, err := server.NewServer(b.opts)
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	s.SetLoggerV2(natsLogger{b.log}, false, false, false)
	s.Start()
	stopped := make(chan struct{})
	go func() { s.WaitForShutdown(); close(stopped) }()
	// Both: Shutdown begins, WaitForShutdown returns when the last stream is flushed. The data folder may be opened
	// again only then.
	defer func() { s.Shutdown(); <-stopped }()
	if !s.ReadyForConnections(20 * time.Second) {
		return errors.New("start NATS: not ready, see the log above")
	}
	if !s.JetStreamEnabled() {
		return errors.New("start NATS: no JetStream, see the log above")
	}
	b.mu.Lock()
	b.server, b.url = s, s.ClientURL()
	b.mu.Unlock()
	nc, err := b.connectOwn(ctx, s)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return fmt.Errorf("connect to own server: %w", err)
	}
	defer nc.Close()
	system, closing := b.monitor(ctx, "", b.bundle.Monitor, nats.InProcessServer(s))
	defer closing()
	if err := b.listens(nc, system); err != nil {
		return err
	}
	if err := b.serve(ctx, nc, stopped); err != nil {
		return err
	}
	b.log.InfoContext(ctx, "broker stops")
	return nil
}

// connectOwn connects to the server in this process. One that is just starting has been seen to close the first connection.
func (b *Broker) connectOwn(ctx context.Context, s *server.Server) (*nats.Conn, error) {
	for tries := 20; ; tries-- {
		nc, err := nats.Connect("", nats.InProcessServer(s), nats.UserCredentials(b.bundle.Credentials), nats.CustomInboxPrefix("_INBOX_broker"), nats.Name("waypost broker"), b.reportErrors(ctx))
		if err == nil || tries == 0 || !s.Running() {
			return nc, err
		}
		b.log.WarnContext(ctx, "own server not reached, trying again", "err", err)
		select {
		case <-time.After(leaderEvery):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *Broker) runExternal(ctx context.Context) error {
	o := []nats.Option{nats.UserCredentials(b.cfg.External.Creds), nats.CustomInboxPrefix("_INBOX_broker"), nats.Name("waypost broker"), nats.MaxReconnects(-1), nats.Timeout(10 * time.Second), b.reportErrors(ctx)}
	if b.cfg.External.CA != "" {
		o = append(o, nats.RootCAs(b.cfg.External.CA))
	}
	nc, err := nats.Connect(b.cfg.External.NATS, o...)
	if err != nil {
		return fmt.Errorf("connect to external NATS: %w", err)
	}
	defer nc.Close()
	b.checkSync(ctx, nc)
	system, closing := b.monitor(ctx, b.cfg.External.NATS, b.systemCreds(), b.rootCAs())
	defer closing()
	if err := b.listens(nc, system); err != nil {
		return err
	}
	return b.serve(ctx, nc, make(chan struct{}))
}

// reportErrors puts what the client notices by itself into the log. Without it, it writes lines of its own to standard error.
func (b *Broker) reportErrors(ctx context.Context) nats.Option {
	return nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		level := slog.LevelWarn
		if errors.Is(err, nats.ErrSlowConsumer) {
			// The notary's reading is as long as what it asked for, and the server's "batch completed" did not fit behind a full one.
			// A message that did not fit would show as a gap in the numbers, and be read again.
			level = slog.LevelDebug
		}
		b.log.Log(ctx, level, "connection to NATS", "err", err)
	})
}

// ledgerWait is how long the start of the broker waits for directory and ledger.
const ledgerWait = 15 * time.Second

// serve provisions and then keeps the consumers in step with the directory until ctx ends or the server stops.
func (b *Broker) serve(ctx context.Context, nc *nats.Conn, stopped <-chan struct{}) error {
	if b.restore {
		if err := b.awaitRestore(ctx, nc, stopped); err != nil || ctx.Err() != nil {
			return err
		}
	}
	if err := b.provision(ctx, nc, stopped); err != nil || ctx.Err() != nil {
		return err
	}
	b.setProvisioned()
	r, err := newReconciler(b, nc)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	book := func() (*notary.Notary, error) {
		return notary.New(notary.Config{Conn: nc, Root: r.root, Log: b.bundle.Log, View: b.View, Logger: b.log, Now: b.clock,
			Interval: b.cfg.Ledger.Interval, Receipt: b.cfg.Retention.AfterReceipt, MaxAge: b.cfg.Retention.MaxAge, Rewind: r.rewind})
	}
	done, failed := make(chan error, 1), make(chan error, 1)
	go func() { done <- r.run(ctx) }()
	running := (<-chan struct{})(b.ledger)
	if b.noNotary {
		running = r.first
		go func() { <-ctx.Done(); failed <- nil }()
	} else {
		go func() { failed <- b.keepLedger(ctx, book, r.kick) }()
	}
	// On every way out both are waited for: nothing of this broker runs after Run has returned.
	defer func() { cancel(); <-done; <-failed }()
	limit := time.NewTimer(ledgerWait)
	defer limit.Stop()
	for _, ready := range []<-chan struct{}{r.first, running} {
		select {
		case <-ready:
		case <-limit.C:
			// A ledger that is damaged or full must not keep a survivor's referral from its recipient. Agents notice.
			b.log.ErrorContext(ctx, "the broker carries messages, but its ledger is not kept: see the log above")
			limit.Reset(ledgerWait)
		case err := <-failed:
			failed <- err
			return err
		case <-ctx.Done():
			return nil
		case <-stopped:
			return errors.New("run broker: NATS stopped by itself")
		}
	}
	close(b.ready)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		failed <- err
		return err
	case <-stopped:
		return errors.New("run broker: NATS stopped by itself")
	}
}

// kept notes that the ledger is in hands.
func (b *Broker) kept() {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-b.ledger:
	default:
		close(b.ledger)
	}
}

func (b *Broker) setNotary(n *notary.Notary) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.notary = n
}

// KeepsLedger says whether this process keeps the ledger now.
func (b *Broker) KeepsLedger() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.notary != nil
}

// WaitDirectory returns when the consumers of the directory's version, or a later one, are made.
func (b *Broker) WaitDirectory(ctx context.Context, version uint64) error {
	for {
		b.mu.Lock()
		at, moved := b.version, b.moved
		b.mu.Unlock()
		if at >= version {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("wait for directory version %d, have %d: %w", version, at, ctx.Err())
		}
	}
}

// View is the directory as the broker has verified it; nil before the first.
func (b *Broker) View() *directory.View {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.view
}

func (b *Broker) setView(v *directory.View) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.version, b.view = v.Head().Version, v
	close(b.moved)
	b.moved = make(chan struct{})
}
