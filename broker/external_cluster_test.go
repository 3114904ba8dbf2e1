package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/health/healthtest"
)

// TestExternalCluster: three plain nats-server processes, configured by the example that operators copy, and a Waypost that
// only provisions them. One is killed; enrolment, suspension and mail go on. Two are killed; Waypost says that it is not ready.
func TestExternalCluster(t *testing.T) {
	program := filepath.Join(t.TempDir(), "nats-server")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		if os.Getenv("WAYPOST_REQUIRE") == "all" {
			t.Fatalf("build nats-server: %v\n%s", err, out)
		}
		t.Skipf("nats-server cannot be built here: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	clients, routes := brokertest.Ports(t, 3), brokertest.Ports(t, 3)
	var urls []string
	for _, c := range clients {
		urls = append(urls, "nats://"+c)
	}
	all := strings.Join(urls, ",")
	a, err := network.Init(filepath.Join(t.TempDir(), "network"), network.Options{Name: "External", URLs: urls})
	if err != nil {
		t.Fatal(err)
	}
	var nodes []*exec.Cmd
	for i := range 3 {
		nodes = append(nodes, plainNode(t, program, a, i, clients, routes))
	}
	cfg := broker.DefaultConfig()
	cfg.Bundle, cfg.External = a.BrokerBundle(), broker.External{NATS: all, Creds: filepath.Join(a.BrokerBundle(), "broker.creds")}
	cfg.Quotas.StreamBytes, cfg.Quotas.LedgerBytes, cfg.Quotas.Disk, cfg.Replicas = 64<<20, 64<<20, 512<<20, 3
	cfg.Ledger.Interval, cfg.Health.Listen = 100*time.Millisecond, "127.0.0.1:0"
	// First the account: the servers know the system account only. Publishing fails at the bucket, which is not there yet.
	until(ctx, t, "accounts are pushed", func() bool {
		short, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		err := a.Publish(short, urls[0])
		return err != nil && strings.Contains(err.Error(), "publish directory")
	})
	log := new(lines)
	run, err := broker.New(&cfg, broker.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	if err != nil {
		t.Fatal(err)
	}
	start(t, run)
	if log.count("acknowledges before it has synced") > 0 {
		t.Error("the example does not sync")
	}
	agencies := map[string]*brokertest.Agency{}
	join := func(id string, url string) *brokertest.Agency {
		t.Helper()
		g := brokertest.NewAgency(t, id)
		if g.Grant, err = a.Enrol(g.Request, schemas.RoleNGO, network.EnrolOptions{}); err != nil {
			t.Fatal(err)
		}
		until(ctx, t, "published", func() bool { return a.Publish(ctx, url) == nil })
		if err := run.WaitDirectory(ctx, a.View().Head().Version); err != nil {
			t.Fatal(err)
		}
		agencies[id] = g
		return g
	}
	first := join("harbour-ngo", urls[0])
	if err := nodes[0].Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = nodes[0].Wait()
	second := join("lantern-housing", urls[1])
	nc, err := second.TryConnect(urls[2], nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "message is stored", func() bool {
		_, err := js.Publish(ctx, "mail.urgent.harbour-ngo.lantern-housing", []byte("sealed"), jetstream.WithMsgID("one"))
		return err == nil
	})
	fnc, err := first.TryConnect(urls[1])
	if err != nil {
		t.Fatal(err)
	}
	defer fnc.Close()
	collect(ctx, t, fnc, broker.StreamUrgent, first.ID(), 1)
	// Suspended while the first node is down, which learns of it when it is back.
	if err := a.Suspend(first.ID()); err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "published", func() bool { return a.Publish(ctx, urls[2]) == nil })
	nodes[0] = startPlain(t, program, nodes[0].Args[2])
	until(ctx, t, "the node that was down refuses who was suspended", func() bool {
		conn, err := first.TryConnect(urls[0])
		if err == nil {
			conn.Close()
		}
		return err != nil && strings.Contains(err.Error(), "Authorization")
	})
	// Through one alone nothing is stored, whatever it says of the streams.
	ready := func() bool { _, st := healthtest.State(t, run.HealthURL()); return st.Ready }
	until(ctx, t, "three are ready", ready)
	for _, n := range nodes[:2] {
		if err := n.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = n.Wait()
	}
	l := &alone{health: run.HealthURL(), admin: administrator(t, a, urls[2])}
	l.saysSo(ctx, t)
	nodes[0] = startPlain(t, program, nodes[0].Args[2])
	until(ctx, t, "two are ready again", ready)
}

func until(ctx context.Context, t *testing.T, what string, f func() bool) {
	t.Helper()
	for !f() {
		select {
		case <-time.After(20 * time.Millisecond): // to look without a pause takes the processor from what is waited for
		case <-ctx.Done():
			t.Fatalf("not in time: %s", what)
		}
	}
}

func plainNode(t *testing.T, program string, a *network.Authority, i int, clients, routes []string) *exec.Cmd {
	t.Helper()
	bundle, err := network.ReadBundle(a.BrokerBundle())
	if err != nil {
		t.Fatal(err)
	}
	system := ""
	for _, token := range bundle.Accounts {
		if c, err := jwt.DecodeAccountClaims(token); err == nil && c.Subject == bundle.System {
			system = token
		}
	}
	text, err := os.ReadFile("../deploy/examples/nats-server.conf")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	operator := filepath.Join(dir, "operator.jwt")
	if err := os.WriteFile(operator, []byte(bundle.Operator), 0o600); err != nil {
		t.Fatal(err)
	}
	quoted := []string{}
	for _, r := range routes {
		quoted = append(quoted, fmt.Sprintf("%q", "nats-route://"+r))
	}
	filled := strings.NewReplacer("CLUSTER_LISTEN", routes[i], "LISTEN", clients[i], "NODE", fmt.Sprintf("node-%d", i), "OPERATOR_FILE", operator,
		"SYSTEM_ACCOUNT", bundle.System, "SYSTEM_JWT", system, "DATA", filepath.Join(dir, "data"), "ROUTES", strings.Join(quoted, ", ")).Replace(string(text))
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte(filled), 0o600); err != nil {
		t.Fatal(err)
	}
	return startPlain(t, program, path)
}

func startPlain(t *testing.T, program, config string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, "-c", config) //nolint:noctx // ended below, also after the test's context
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s:\n%s", config, out.String())
		}
	})
	return cmd
}
