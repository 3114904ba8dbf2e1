// Package brokertest runs a real broker in the test process: a network authority in a temporary folder, NATS with
// operator-mode accounts, JetStream on disk with sync always, and faults that happen for real: the server can be
// stopped and started again on the same port and store, and a proxy can cut, hold or swallow what travels.
//
// It is imported by tests only.
package brokertest

import (
	"context"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// wait bounds every wait of this package. It is long because it only matters when something is broken.
const wait = 30 * time.Second

// Broker is a running network with its broker.
type Broker struct {
	Authority *network.Authority
	// Admin may do everything in the network's account. It reconnects by itself after Restart.
	Admin *nats.Conn

	cfg    broker.Config
	opts   []broker.Option
	log    *slog.Logger
	proxy  *Proxy
	mu     sync.Mutex
	run    *broker.Broker
	cancel context.CancelFunc
	done   chan error
	url    string
}

type options struct {
	cfg   func(*broker.Config)
	log   *slog.Logger
	proxy bool
	tls   bool
	opts  []broker.Option
}

// Option changes what Start makes.
type Option func(*options)

// WithConfig lets a test change the broker's configuration, for example a quota, before it starts.
func WithConfig(f func(*broker.Config)) Option { return func(o *options) { o.cfg = f } }

// WithLogger sends the broker's log somewhere; by default it is discarded.
func WithLogger(l *slog.Logger) Option { return func(o *options) { o.log = l } }

// WithBroker passes options to the broker itself.
func WithBroker(opts ...broker.Option) Option {
	return func(o *options) { o.opts = append(o.opts, opts...) }
}

// WithProxy puts a proxy between agencies and the broker: grants carry its address, and Proxy returns it.
func WithProxy() Option { return func(o *options) { o.proxy = true } }

// WithTLS gives the broker a certificate, and the grants the CA that signed it.
func WithTLS() Option { return func(o *options) { o.tls = true } }

// Start runs a network and its broker until the test ends.
func Start(t testing.TB, opts ...Option) *Broker {
	t.Helper()
	o := options{log: slog.New(slog.DiscardHandler)}
	for _, f := range opts {
		f(&o)
	}
	dir := t.TempDir()
	about := network.Options{Name: "Test network", URLs: []string{"nats://127.0.0.1:1"}}
	var files broker.TLS
	admin := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.Name("test administrator")}
	if o.tls {
		files.Cert, files.Key, about.CA = Certificates(t, dir)
		admin = append(admin, nats.RootCAs(about.CA))
	}
	a, err := network.Init(filepath.Join(dir, "network"), about)
	if err != nil {
		t.Fatalf("make network: %v", err)
	}
	b := &Broker{Authority: a, cfg: broker.DefaultConfig(), opts: o.opts, log: o.log}
	b.cfg.Listen, b.cfg.Data, b.cfg.Bundle = "127.0.0.1:0", filepath.Join(dir, "data"), a.BrokerBundle()
	b.cfg.Quotas.StreamBytes, b.cfg.Quotas.LedgerBytes, b.cfg.Quotas.Disk = 256<<20, 256<<20, 2<<30
	b.cfg.Ledger.Interval, b.cfg.TLS = 100*time.Millisecond, files
	if o.cfg != nil {
		o.cfg(&b.cfg)
	}
	b.start(t)
	t.Cleanup(func() { b.Stop(t) })
	if o.proxy {
		b.proxy = NewProxy(t, b.Addr())
	}
	url := b.URL()
	if b.proxy != nil {
		url = b.proxy.URL()
	}
	if err := a.SetURLs(url); err != nil {
		t.Fatalf("set network address: %v", err)
	}
	creds, err := a.IssueAdministrator("test")
	if err != nil {
		t.Fatalf("make administrator: %v", err)
	}
	b.Admin, err = nats.Connect(b.URL(), append(admin, nats.UserCredentialBytes(creds))...)
	if err != nil {
		t.Fatalf("connect administrator: %v", err)
	}
	t.Cleanup(b.Admin.Close)
	b.Publish(t)
	return b
}

func (b *Broker) start(t testing.TB) {
	t.Helper()
	b.launch(t)
	b.ready(t)
}

func (b *Broker) launch(t testing.TB, opts ...broker.Option) {
	t.Helper()
	run, err := broker.New(&b.cfg, slices.Concat([]broker.Option{broker.WithLogger(b.log)}, b.opts, opts)...)
	if err != nil {
		t.Fatalf("make broker: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- run.Run(ctx) }()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.run, b.cancel, b.done = run, cancel, done
}

func (b *Broker) ready(t testing.TB) {
	t.Helper()
	select {
	case <-b.run.Ready():
	case err := <-b.done:
		b.done <- err
		t.Fatalf("start broker: %v", err)
	case <-time.After(wait):
		t.Fatal("start broker: not ready")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.url = b.run.URL()
	// The same port after a restart: agents have only the address in their grant.
	b.cfg.Listen = hostPort(b.url)
}

// Stop shuts the server down and waits until it has let go of port and store. It does nothing if it is down.
func (b *Broker) Stop(t testing.TB) {
	t.Helper()
	b.mu.Lock()
	cancel, done := b.cancel, b.done
	b.cancel = nil
	b.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("stop broker: %v", err)
		}
	case <-time.After(wait):
		t.Error("stop broker: it does not stop")
	}
}

// Restart starts the server again on the same port and store, after a Stop or in place of one, and waits for Admin.
func (b *Broker) Restart(t testing.TB) {
	t.Helper()
	b.Stop(t)
	b.start(t)
	if b.Admin == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	for {
		if err := b.Admin.FlushWithContext(ctx); err == nil && b.Admin.IsConnected() {
			return
		}
		changed := b.Admin.StatusChanged(nats.CONNECTED)
		if b.Admin.IsConnected() {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("restart broker: administrator does not reconnect")
		}
	}
}

// Wipe deletes the data folder of a broker that is down.
func (b *Broker) Wipe(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(b.cfg.Data); err != nil {
		t.Fatalf("wipe broker: %v", err)
	}
}

// AwaitRestore starts the broker, which is down, on the same port so that it waits for a restore. The function returned
// waits until it serves.
func (b *Broker) AwaitRestore(t testing.TB) (ready func()) {
	t.Helper()
	b.launch(t, broker.WithRestore())
	select {
	case <-b.run.Waiting():
	case err := <-b.done:
		b.done <- err
		t.Fatalf("start broker for a restore: %v", err)
	case <-time.After(wait):
		t.Fatal("start broker for a restore: it does not wait")
	}
	return func() { t.Helper(); b.ready(t) }
}

// Backup makes a backup in a new folder below the test's.
func (b *Broker) Backup(t testing.TB) (dir string) {
	t.Helper()
	return backup(t, b.Authority, b.URL())
}

func backup(t testing.TB, a *network.Authority, url string) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "backup")
	bundle, err := network.ReadBundle(a.BrokerBundle())
	if err != nil {
		t.Fatalf("back up: %v", err)
	}
	asking, closing, err := broker.Connect(url, "", bundle)
	if err != nil {
		t.Fatalf("back up: %v", err)
	}
	defer closing()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if _, err := broker.Backup(ctx, asking.Conn, bundle, dir); err != nil {
		t.Fatalf("back up: %v", err)
	}
	return dir
}

// Restore restores a backup with the restorer's credentials.
func (b *Broker) Restore(t testing.TB, dir string) (*broker.Restored, error) {
	t.Helper()
	return restore(t, b.Authority, b.URL(), dir, 1)
}

func restore(t testing.TB, a *network.Authority, url, dir string, replicas int) (*broker.Restored, error) {
	t.Helper()
	nc, err := broker.ConnectRestorer(url, "", filepath.Join(a.Dir(), "keys", "restorer.creds"))
	if err != nil {
		t.Fatalf("connect restorer: %v", err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	return broker.Restore(ctx, nc, dir, a.RootKey(), replicas)
}

// URL is the broker's own address, past the proxy; Addr is its host and port.
func (b *Broker) URL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.url
}

// Addr is the broker's host and port.
func (b *Broker) Addr() string { return hostPort(b.URL()) }

// HealthURL is where the broker's health listener answers; empty unless WithConfig set one.
func (b *Broker) HealthURL() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.run.HealthURL()
}

// Data is the folder of the broker's streams.
func (b *Broker) Data() string { return b.cfg.Data }

// Proxy is the proxy in front of the broker; nil without WithProxy.
func (b *Broker) Proxy() *Proxy { return b.proxy }

// JetStream is JetStream with every right.
func (b *Broker) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(b.Admin)
	if err != nil {
		t.Fatalf("open JetStream: %v", err)
	}
	return js
}

// Publish publishes the authority's folder and waits until the broker has acted on it. Changes made on Authority
// directly, such as Suspend, need it.
func (b *Broker) Publish(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	if err := b.Authority.Publish(ctx, b.URL()); err != nil {
		t.Fatalf("publish: %v", err)
	}
	b.mu.Lock()
	run := b.run
	b.mu.Unlock()
	if err := run.WaitDirectory(ctx, b.Authority.View().Head().Version); err != nil {
		t.Fatalf("publish: %v", err)
	}
}

// Enrol admits an agency and waits until its consumers are made.
func (b *Broker) Enrol(t testing.TB, req *directory.Request, role schemas.Role) *directory.Grant {
	t.Helper()
	g, err := b.Authority.Enrol(req, role, network.EnrolOptions{})
	if err != nil {
		t.Fatalf("enrol %s: %v", req.Agency, err)
	}
	b.Publish(t)
	return g
}

// Agree adds an agreement and publishes it. Whatever of kinds, purposes and categories is empty becomes everything,
// and an empty start lies an hour back.
func (b *Broker) Agree(t testing.TB, g directory.Agreement) directory.Agreement {
	t.Helper()
	if g.ID == "" {
		g.ID = schemas.NewThreadID()
	}
	if len(g.Kinds) == 0 {
		g.Kinds = []schemas.Kind{schemas.KindReferral}
	}
	if len(g.Purposes) == 0 {
		for _, p := range schemas.Codes("purpose") {
			g.Purposes = append(g.Purposes, schemas.Purpose(p))
		}
	}
	if len(g.Categories) == 0 {
		for _, c := range schemas.Codes("category") {
			g.Categories = append(g.Categories, schemas.Category(c))
		}
	}
	if g.Starts.IsZero() {
		g.Starts = time.Now().Add(-time.Hour)
	}
	if err := b.Authority.AddAgreement(g); err != nil {
		t.Fatalf("add agreement: %v", err)
	}
	b.Publish(t)
	return g
}

// Stored is how many messages a mail stream holds on a subject, which may have wildcards.
func (b *Broker) Stored(t testing.TB, lane schemas.Lane, subject string) uint64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), wait)
	defer cancel()
	s, err := b.JetStream(t).Stream(ctx, broker.Stream(lane))
	if err != nil {
		t.Fatalf("open stream: %v", err)
	}
	info, err := s.Info(ctx, jetstream.WithSubjectFilter(subject))
	if err != nil {
		t.Fatalf("read stream: %v", err)
	}
	var n uint64
	for _, c := range info.State.Subjects {
		n += c
	}
	return n
}

func hostPort(url string) string {
	for i := range url {
		if url[i:min(i+3, len(url))] == "://" {
			host, port, err := net.SplitHostPort(url[i+3:])
			if err == nil {
				return net.JoinHostPort(host, port)
			}
		}
	}
	return url
}
