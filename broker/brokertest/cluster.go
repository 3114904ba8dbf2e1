package brokertest

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
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

// Cluster is a network whose broker is several nodes, each with a port, a folder and a configuration of its own.
type Cluster struct {
	Authority *network.Authority
	// Admin may do everything in the network's account, through whichever node is up.
	Admin *nats.Conn

	nodes []*node
	log   *slog.Logger
}

type node struct {
	cfg    broker.Config
	mu     sync.Mutex
	run    *broker.Broker
	cancel context.CancelFunc
	done   chan error
}

// StartCluster runs n nodes until the test ends. Nodes talk over mutual TLS.
func StartCluster(t testing.TB, n int, opts ...Option) *Cluster {
	t.Helper()
	o := options{log: slog.New(slog.DiscardHandler)}
	for _, f := range opts {
		f(&o)
	}
	dir := t.TempDir()
	cert, key, ca := Certificates(t, dir)
	clients, routes := Ports(t, n), Ports(t, n)
	var urls []string
	for _, c := range clients {
		urls = append(urls, "nats://"+c)
	}
	a, err := network.Init(filepath.Join(dir, "network"), network.Options{Name: "Test network", URLs: urls})
	if err != nil {
		t.Fatalf("make network: %v", err)
	}
	c := &Cluster{Authority: a, log: o.log}
	for i := range n {
		cfg := broker.DefaultConfig()
		cfg.Listen, cfg.Data, cfg.Bundle = clients[i], filepath.Join(dir, fmt.Sprintf("data-%d", i)), a.BrokerBundle()
		cfg.Quotas.StreamBytes, cfg.Quotas.LedgerBytes, cfg.Quotas.Disk = 256<<20, 256<<20, 2<<30
		cfg.Ledger.Interval = 100 * time.Millisecond
		cfg.Cluster = broker.Cluster{Node: fmt.Sprintf("node-%d", i), Listen: routes[i], Routes: routes, TLS: broker.ClusterTLS{Cert: cert, Key: key, CA: ca}}
		if o.cfg != nil {
			o.cfg(&cfg)
		}
		c.nodes = append(c.nodes, &node{cfg: cfg})
	}
	t.Cleanup(func() {
		for i := range c.nodes {
			c.Stop(t, i)
		}
	})
	for i := range c.nodes {
		c.launch(t, i)
	}
	for i := range c.nodes {
		c.Ready(t, i)
	}
	creds, err := a.IssueAdministrator("test")
	if err != nil {
		t.Fatalf("make administrator: %v", err)
	}
	c.Admin, err = nats.Connect(strings.Join(urls, ","), nats.UserCredentialBytes(creds), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond), nats.Name("test administrator"))
	if err != nil {
		t.Fatalf("connect administrator: %v", err)
	}
	t.Cleanup(c.Admin.Close)
	c.Publish(t)
	return c
}

// Ports are addresses on loopback that are free. They lie below the range that outgoing connections take theirs from, so that
// none is gone when a node that was stopped comes back to it.
func Ports(t testing.TB, n int) []string {
	t.Helper()
	var out []string
	for try := 0; len(out) < n; try++ {
		if try > 1000 {
			t.Fatal("find a free port: none")
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000)))
		if err != nil {
			continue
		}
		defer l.Close() // all together, so that no port is found twice
		out = append(out, l.Addr().String())
	}
	return out
}

func (c *Cluster) launch(t testing.TB, i int, opts ...broker.Option) {
	t.Helper()
	n := c.nodes[i]
	run, err := broker.New(&n.cfg, append(opts, broker.WithLogger(c.log.With("node", n.cfg.Cluster.Node)))...)
	if err != nil {
		t.Fatalf("make node %d: %v", i, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.mu.Lock()
	defer n.mu.Unlock()
	n.run, n.cancel, n.done = run, cancel, make(chan error, 1)
	go func() { n.done <- run.Run(ctx) }()
}

// Ready waits until a node serves.
func (c *Cluster) Ready(t testing.TB, i int) {
	t.Helper()
	n := c.nodes[i]
	select {
	case <-n.run.Ready():
	case err := <-n.done:
		n.done <- err
		t.Fatalf("start node %d: %v", i, err)
	case <-time.After(2 * wait):
		t.Fatalf("start node %d: not ready", i)
	}
}

// Start starts a node again on its ports and folder; Ready waits for it.
func (c *Cluster) Start(t testing.TB, i int) {
	t.Helper()
	c.launch(t, i)
}

// AwaitRestore starts all nodes so that they wait for a restore; Ready waits until one serves.
func (c *Cluster) AwaitRestore(t testing.TB) {
	t.Helper()
	for i := range c.nodes {
		c.launch(t, i, broker.WithRestore())
	}
	for i, n := range c.nodes {
		select {
		case <-n.run.Waiting():
		case err := <-n.done:
			n.done <- err
			t.Fatalf("start node %d for a restore: %v", i, err)
		case <-time.After(2 * wait):
			t.Fatalf("start node %d for a restore: it does not wait", i)
		}
	}
}

// Backup makes a backup through a node, in a new folder below the test's; Restore restores one through a node.
func (c *Cluster) Backup(t testing.TB, i int) (dir string) {
	t.Helper()
	return backup(t, c.Authority, c.URL(i))
}

// Restore is described at Backup.
func (c *Cluster) Restore(t testing.TB, i int, dir string) (*broker.Restored, error) {
	t.Helper()
	return restore(t, c.Authority, c.URL(i), dir, 3)
}

// Stop shuts a node down and waits until it has let go of ports and folder. It does nothing if it is down.
func (c *Cluster) Stop(t testing.TB, i int) {
	t.Helper()
	n := c.nodes[i]
	n.mu.Lock()
	cancel, done := n.cancel, n.done
	n.cancel = nil
	n.mu.Unlock()
	if cancel == nil {
		return
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Errorf("stop node %d: %v", i, err)
		}
	case <-time.After(wait):
		t.Errorf("stop node %d: it does not stop", i)
	}
}

// Wipe deletes the data folder of a node that is down.
func (c *Cluster) Wipe(t testing.TB, i int) {
	t.Helper()
	if err := os.RemoveAll(c.nodes[i].cfg.Data); err != nil {
		t.Fatalf("wipe node %d: %v", i, err)
	}
}

// Keeper is the node that keeps the ledger; -1 when none does at the moment.
func (c *Cluster) Keeper() int {
	for i, n := range c.nodes {
		n.mu.Lock()
		up, run := n.cancel != nil, n.run
		n.mu.Unlock()
		if up && run.KeepsLedger() {
			return i
		}
	}
	return -1
}

// URL is where agencies reach a node.
func (c *Cluster) URL(i int) string { return "nats://" + c.nodes[i].cfg.Listen }

// HealthURL is where the health listener of a node answers; empty unless WithConfig set one.
func (c *Cluster) HealthURL(i int) string {
	n := c.nodes[i]
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.run.HealthURL()
}

// JetStream is JetStream with every right.
func (c *Cluster) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(c.Admin)
	if err != nil {
		t.Fatalf("open JetStream: %v", err)
	}
	return js
}

// Publish publishes the authority's folder through the first node that is up, and waits until all that are up, the one
// that makes consumers among them, have acted on it.
func (c *Cluster) Publish(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*wait)
	defer cancel()
	published := false
	for i, n := range c.nodes {
		n.mu.Lock()
		up, run := n.cancel != nil, n.run
		n.mu.Unlock()
		if !up {
			continue
		}
		if !published {
			if err := c.Authority.Publish(ctx, c.URL(i)); err != nil {
				t.Fatalf("publish: %v", err)
			}
			published = true
		}
		if err := run.WaitDirectory(ctx, c.Authority.View().Head().Version); err != nil {
			t.Fatalf("publish: %v", err)
		}
	}
}

// Join makes an agency, enrols it and waits until it can collect its mail.
func (c *Cluster) Join(t testing.TB, id string, role schemas.Role) *Agency {
	t.Helper()
	a := NewAgency(t, id)
	var err error
	if a.Grant, err = c.Authority.Enrol(a.Request, role, network.EnrolOptions{}); err != nil {
		t.Fatalf("enrol %s: %v", id, err)
	}
	c.Publish(t)
	c.waitConsumers(t, id)
	return a
}

func (c *Cluster) waitConsumers(t testing.TB, id string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*wait)
	defer cancel()
	js := c.JetStream(t)
	for _, l := range schemas.Lanes() {
		for {
			if _, err := js.Consumer(ctx, broker.Stream(l), id); err == nil {
				break
			} else if ctx.Err() != nil {
				t.Fatalf("consumers of %s: %v", id, err)
			}
		}
	}
}

// Enrol admits an agency that made its request itself.
func (c *Cluster) Enrol(t testing.TB, req *directory.Request, role schemas.Role) *directory.Grant {
	t.Helper()
	g, err := c.Authority.Enrol(req, role, network.EnrolOptions{})
	if err != nil {
		t.Fatalf("enrol %s: %v", req.Agency, err)
	}
	c.Publish(t)
	c.waitConsumers(t, req.Agency)
	return g
}
