package broker_test

import (
	"context"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/schemas"
)

// TestExternal provisions a NATS that somebody else runs: a plain server in operator mode with a full resolver that
// holds the system account only. Everything else reaches it by publishing.
func TestExternal(t *testing.T) {
	for _, sync := range []bool{false, true} {
		t.Run(map[bool]string{false: "sync later", true: "sync always"}[sync], func(t *testing.T) {
			a, err := network.Init(filepath.Join(t.TempDir(), "network"), network.Options{Name: "External", URLs: []string{"nats://127.0.0.1:1"}})
			if err != nil {
				t.Fatal(err)
			}
			url := plainServer(t, a, sync)
			if err := a.SetURLs(url); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			log := new(lines)
			cfg := broker.DefaultConfig()
			cfg.Bundle, cfg.External = a.BrokerBundle(), broker.External{NATS: url, Creds: filepath.Join(a.BrokerBundle(), "broker.creds")}
			cfg.Quotas.StreamBytes, cfg.Quotas.LedgerBytes, cfg.Quotas.Disk = 64<<20, 64<<20, 512<<20
			// The network account first: the server does not know it, and the broker could not connect.
			if err := a.Publish(ctx, url); err == nil || !strings.Contains(err.Error(), "bucket") && !strings.Contains(err.Error(), "publish directory") {
				t.Fatalf("publishing before the bucket exists: %v", err)
			}
			run, err := broker.New(&cfg, broker.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
			if err != nil {
				t.Fatal(err)
			}
			start(t, run)
			if warned := log.count("acknowledges before it has synced") > 0; warned == sync {
				t.Errorf("warned about sync: %v; log:\n%s", warned, log.text.String())
			}
			if err := a.Publish(ctx, url); err != nil {
				t.Fatal(err)
			}
			agency := brokertest.NewAgency(t, "harbour-ngo")
			if agency.Grant, err = a.Enrol(agency.Request, schemas.RoleNGO, network.EnrolOptions{}); err != nil {
				t.Fatal(err)
			}
			if published, err := a.PublishIfReachable(ctx); err != nil || !published {
				t.Fatalf("published %v: %v", published, err)
			}
			if err := run.WaitDirectory(ctx, a.View().Head().Version); err != nil {
				t.Fatal(err)
			}
			nc := agency.Connect(t)
			publish(ctx, t, nc, "mail.urgent.harbour-ngo.harbour-ngo", "x")
			m, err := consumer(ctx, t, nc, broker.StreamUrgent, "harbour-ngo").Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(5*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func plainServer(t *testing.T, a *network.Authority, sync bool) (url string) {
	t.Helper()
	bundle, err := network.ReadBundle(a.BrokerBundle())
	if err != nil {
		t.Fatal(err)
	}
	op, err := jwt.DecodeOperatorClaims(bundle.Operator)
	if err != nil {
		t.Fatal(err)
	}
	resolver, err := server.NewDirAccResolver(t.TempDir(), 0, 0, server.NoDelete)
	if err != nil {
		t.Fatal(err)
	}
	for _, token := range bundle.Accounts {
		c, err := jwt.DecodeAccountClaims(token)
		if err != nil {
			t.Fatal(err)
		}
		if c.Subject == bundle.System {
			if err := resolver.Store(c.Subject, token); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), SyncAlways: sync, JetStreamMaxStore: 1 << 30, JetStreamMaxMemory: 1 << 20,
		TrustedOperators: []*jwt.OperatorClaims{op}, SystemAccount: bundle.System, AccountResolver: resolver, MaxPayload: network.MaxPayload,
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("plain server is not ready")
	}
	return s.ClientURL()
}
