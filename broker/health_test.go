package broker_test

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/health/healthtest"
)

// TestHealth: a broker says that it is ready, what waits for whom and since when, and nothing to whom has no token.
func TestHealth(t *testing.T) {
	const token = "a-token-of-enough-characters"
	dir := t.TempDir()
	file := filepath.Join(dir, "health.token")
	if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) { c.Health = broker.Health{Listen: "127.0.0.1:0", TokenFile: file} }))
	p, n := b.Join(t, "northshire-police", schemas.RolePolice), b.Join(t, "harbour-ngo", schemas.RoleNGO)
	url, asked := b.HealthURL(), time.Now()
	if status, text := healthtest.Get(t, url+"/healthz", ""); status != http.StatusOK || text != "ok\n" {
		t.Errorf("healthz: %d %s", status, text)
	}
	eventually(t, "ready", func() bool { status, st := healthtest.State(t, url); return status == http.StatusOK && st.Ready })
	// However often it is asked, the disk is seldom written to.
	for range 30 {
		healthtest.State(t, url)
	}
	if s, err := b.JetStream(t).Stream(t.Context(), "PROBE"); err != nil {
		t.Error(err)
	} else if st := s.CachedInfo().State; st.LastSeq == 0 || st.Msgs != 1 || st.LastSeq > 1+uint64(time.Since(asked)/(4*time.Second)) {
		t.Errorf("%d probes in %v, %d kept", st.LastSeq, time.Since(asked), st.Msgs)
	}
	for _, wrong := range []string{"", token + "x"} {
		if status, text := healthtest.Get(t, url+"/metrics", wrong); status != http.StatusUnauthorized || strings.Contains(text, "waypost_") {
			t.Errorf("with the token %q: %d", wrong, status)
		}
	}
	before := time.Now()
	js, err := jetstream.New(p.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"mail.urgent." + n.ID() + "." + p.ID(), "mail.urgent." + n.ID() + "." + p.ID(), "mail.routine." + n.ID() + "." + p.ID()} {
		if _, err := js.Publish(t.Context(), subject, []byte("sealed Quibblewort")); err != nil {
			t.Fatal(err)
		}
	}
	n.Connect(t)
	var page *healthtest.Page
	eventually(t, "the status is read", func() bool {
		page = healthtest.Metrics(t, url, token)
		return page.Samples[`waypost_broker_agency_waiting_messages{agency="harbour-ngo",lane="urgent"}`] == 2 &&
			page.Samples[`waypost_broker_agency_connections{agency="harbour-ngo"}`] == 1
	})
	for sample, want := range map[string]float64{
		`waypost_broker_ready`: 1, `waypost_broker_leads`: 1, `waypost_broker_keeps_ledger`: 1, `waypost_broker_status_read`: 1, `waypost_broker_node_up{node="waypost"}`: 1,
		`waypost_broker_node_sync_always{node="waypost"}`:                                            1,
		`waypost_broker_agency_waiting_messages{agency="harbour-ngo",lane="routine"}`:                1,
		`waypost_broker_agency_waiting_messages{agency="northshire-police",lane="urgent"}`:           0,
		`waypost_broker_agency_oldest_waiting_age_seconds{agency="northshire-police",lane="urgent"}`: 0,
		`waypost_broker_agency_suspended{agency="harbour-ngo"}`:                                      0,
		`waypost_broker_stream_messages{stream="MAIL_URGENT"}`:                                       2,
	} {
		if got := page.Value(t, sample); got != want {
			t.Errorf("%s is %v, want %v", sample, got, want)
		}
	}
	if age := page.Value(t, `waypost_broker_agency_oldest_waiting_age_seconds{agency="harbour-ngo",lane="urgent"}`); age < 0 || age > time.Since(before).Seconds()+1 {
		t.Errorf("the oldest is %v s old", age)
	}
	if free := page.Value(t, "waypost_broker_disk_free_bytes"); free <= 0 {
		t.Errorf("%v bytes free", free)
	}
	if at := page.Value(t, "waypost_broker_directory_expiry_timestamp_seconds"); at < float64(time.Now().Unix()) {
		t.Errorf("the directory ends at %v", at)
	}
	if strings.Contains(page.Text, "Quibblewort") {
		t.Error("a payload is among the metrics")
	}
	b.Stop(t)
	if resp, err := http.Get(url + "/healthz"); err == nil {
		resp.Body.Close()
		t.Error("answers after it has stopped")
	}
}

// TestHealthBeforeTheDirectory: what a start waits for is said while it waits; over TLS the end of the certificate as well.
func TestHealthBeforeTheDirectory(t *testing.T) {
	dir := t.TempDir()
	a, err := network.Init(filepath.Join(dir, "network"), network.Options{Name: "Test network", URLs: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	cfg := broker.DefaultConfig()
	cfg.Listen, cfg.Data, cfg.Bundle = "127.0.0.1:0", filepath.Join(dir, "data"), a.BrokerBundle()
	cfg.TLS.Cert, cfg.TLS.Key, _ = brokertest.Certificates(t, dir)
	cfg.Health.Listen = "127.0.0.1:0"
	run, err := broker.New(&cfg, broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- run.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	eventually(t, "it listens", func() bool { return run.HealthURL() != "" })
	url := run.HealthURL()
	if !strings.HasPrefix(url, "https://") {
		t.Fatalf("answers at %s", url)
	}
	if status, text := healthtest.Get(t, url+"/healthz", ""); status != http.StatusOK {
		t.Errorf("alive: %d %s", status, text)
	}
	eventually(t, "it waits for a directory", func() bool {
		status, st := healthtest.State(t, url)
		if st.Ready || status != http.StatusServiceUnavailable {
			t.Fatalf("ready without a directory: %d %+v", status, st)
		}
		return st.Code == broker.CodeNoDirectory && strings.Contains(st.Sentence, "waypost network publish")
	})
	ends := healthtest.Metrics(t, url, "").Value(t, `waypost_broker_certificate_expiry_timestamp_seconds{code="listener"}`)
	if left := ends - float64(time.Now().Unix()); left < 80_000 || left > 87_000 {
		t.Errorf("the certificate ends in %v s, want a day", left)
	}
}

func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
