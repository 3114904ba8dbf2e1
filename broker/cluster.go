package broker

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"waypost/broker/notary"
)

// clusterName is the same on all nodes: NATS refuses a route to a cluster of another name.
const clusterName = "waypost"

// claimsEvery is how often nodes compare the account claims they hold: a node that was down learns of a suspension in this
// time, and one that is up at once.
const claimsEvery = 5 * time.Second

// leaderEvery is how often a node looks whether it leads the ledger.
const leaderEvery = 250 * time.Millisecond

// clusterOptions adds the routes to the other nodes.
func clusterOptions(o *server.Options, cfg *Config) error {
	k := &cfg.Cluster
	secret, err := k.secret()
	if err != nil {
		return err
	}
	o.ServerName = k.Node
	o.Cluster.Name = clusterName
	if o.Cluster.Host, o.Cluster.Port, err = hostPort(k.Listen); err != nil {
		return err
	}
	// Agencies know the nodes from their grant. What nodes would tell them are addresses of a network that they may not see,
	// and names that no certificate holds.
	o.Cluster.NoAdvertise = true
	o.ReconnectErrorReports = 600 // of tries a second apart: a node that is down is in the status, not in every line of the log
	if secret != "" {
		o.Cluster.Username, o.Cluster.Password, o.Cluster.AuthTimeout = clusterName, secret, 5
	}
	for _, r := range k.Routes {
		u := &url.URL{Scheme: "nats-route", Host: r}
		if secret != "" {
			u.User = url.UserPassword(clusterName, secret)
		}
		o.Routes = append(o.Routes, u)
	}
	if k.TLS.Cert == "" {
		return nil
	}
	pair := &keyPair{files: TLS{Cert: k.TLS.Cert, Key: k.TLS.Key}}
	if err := pair.load(); err != nil {
		return err
	}
	pem, err := os.ReadFile(k.TLS.CA)
	if err != nil {
		return fmt.Errorf("read cluster CA: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return &ConfigError{Key: "cluster.tls.ca", Rule: "holds no certificate", Advice: "the PEM file of the CA that certified the nodes"}
	}
	o.Cluster.TLSConfig = &tls.Config{
		MinVersion: tls.VersionTLS13, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		GetCertificate:       pair.get,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair.get(nil) },
	}
	o.Cluster.TLSTimeout = 10
	return nil
}

// clustered says whether more nodes than this one keep the streams.
func (b *Broker) clustered(nc *nats.Conn) bool {
	return b.cfg.Cluster.on() || b.cfg.External.NATS != "" && nc.ConnectedClusterName() != ""
}

// provision makes the streams. In a cluster it goes on until the nodes have found each other and a majority agrees: nodes are
// started one after the other, and the first cannot do anything alone.
func (b *Broker) provision(ctx context.Context, nc *nats.Conn, stopped <-chan struct{}) error {
	cluster := b.clustered(nc)
	said := time.Now()
	for {
		err := Provision(ctx, nc, &b.cfg)
		if err == nil || !cluster || errors.Is(err, errOtherwise) || errors.Is(err, notary.ErrOtherwise) || errors.Is(err, notary.ErrNewer) || errors.Is(err, notary.ErrOlder) {
			return err
		}
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			b.log.WarnContext(ctx, "waiting for the other nodes: a majority must be up, and all of them at the very first start", "err", err)
		}
		select {
		case <-time.After(leaderEvery):
		case <-stopped:
			return errors.New("run broker: NATS stopped by itself")
		case <-ctx.Done():
			return nil
		}
	}
}

// leads says whether this process does what one of them has to: keep the ledger and make consumers. In a cluster of our own
// that is the node that leads the ledger's stream, so that it moves when a node is lost, and appends are local. Two that
// believe it for a moment cannot harm: appends expect the last record, and making a consumer twice makes one.
func (b *Broker) leads() bool {
	b.mu.Lock()
	s := b.server
	b.mu.Unlock()
	if s == nil || !b.cfg.Cluster.on() {
		return true
	}
	return s.JetStreamIsStreamLeader(b.bundle.Account, notary.StreamLedger)
}

// keepLedger runs a notary for as long as this node leads, again and again, until ctx ends.
func (b *Broker) keepLedger(ctx context.Context, open func() (*notary.Notary, error), kick chan<- struct{}) error {
	tick := time.NewTicker(leaderEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		if !b.leads() {
			// Somebody else keeps it, or nobody can at the moment; this node is as ready as it can be.
			b.kept()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
			continue
		}
		if err := b.term(ctx, open, kick, tick.C); err != nil {
			return err
		}
	}
	return nil
}

// term is one time of leading.
func (b *Broker) term(ctx context.Context, open func() (*notary.Notary, error), kick chan<- struct{}, tick <-chan time.Time) error {
	n, err := open()
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := newDone(func() error { return n.Run(ctx) })
	defer done.wait()
	if b.cfg.Cluster.on() {
		b.log.InfoContext(ctx, "this node keeps the ledger", "node", b.cfg.Cluster.Node)
	}
	b.setNotary(n)
	defer b.setNotary(nil)
	select {
	case kick <- struct{}{}:
	default:
	}
	running := n.Running()
	for {
		select {
		case <-running:
			b.kept()
			running = nil
		case <-tick:
			if !b.leads() {
				b.log.InfoContext(ctx, "another node keeps the ledger", "node", b.cfg.Cluster.Node)
				return nil
			}
		case <-done.ch:
			return done.wait()
		case <-ctx.Done():
			return nil
		}
	}
}

// done is a goroutine that somebody waits for, perhaps twice.
type done struct {
	ch  chan struct{}
	err error
}

func newDone(f func() error) *done {
	d := &done{ch: make(chan struct{})}
	go func() { defer close(d.ch); d.err = f() }()
	return d
}

func (d *done) wait() error {
	<-d.ch
	return d.err
}
