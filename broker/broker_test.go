package broker_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"go.uber.org/goleak"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/directory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// TestSuspend: an agency's live connection ends, its credentials are worth nothing, and after a restore the same
// credentials work again.
func TestSuspend(t *testing.T) {
	b := brokertest.Start(t)
	a := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	other := b.Join(t, "north-police", schemas.RolePolice)
	nc := a.Connect(t, nats.NoReconnect())
	otherConn := other.Connect(t, nats.NoReconnect())
	closed := nc.StatusChanged(nats.CLOSED)
	if err := b.Authority.Suspend(a.ID()); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	select {
	case <-closed:
	case <-time.After(5 * time.Second):
		t.Fatal("the suspended agency is still connected")
	}
	if nc, err := a.TryConnect(b.URL()); err == nil {
		nc.Close()
		t.Fatal("a suspended agency connected")
	} else if !errors.Is(err, nats.ErrAuthorization) {
		t.Fatalf("refused with %v", err)
	}
	if err := otherConn.Flush(); err != nil {
		t.Errorf("another agency lost its connection: %v", err)
	}
	// It survives a restart of the broker, whose bundle and store agree.
	b.Restart(t)
	if nc, err := a.TryConnect(b.URL()); err == nil {
		nc.Close()
		t.Fatal("a suspended agency connected after a restart")
	}
	if err := b.Authority.Restore(a.ID()); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	publish(ctx, t, a.Connect(t), "mail.urgent.north-police.harbour-ngo", "x")
}

// TestPublishInterrupted: whoever is suspended is out even if nothing else can be published; nobody is let in before the directory
// says so, or the others would set aside what it sends.
func TestPublishInterrupted(t *testing.T) {
	b := brokertest.Start(t)
	a := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	admin := filepath.Join(b.Authority.Dir(), "keys", "admin.creds")
	interrupted := func() {
		t.Helper()
		if err := os.Rename(admin, admin+".away"); err != nil {
			t.Fatal(err)
		}
		if err := b.Authority.Publish(ctx, b.URL()); err == nil {
			t.Error("a directory was published without credentials")
		}
		if err := os.Rename(admin+".away", admin); err != nil {
			t.Fatal(err)
		}
	}
	in := func(want bool) {
		t.Helper()
		nc, err := a.TryConnect(b.URL())
		if err == nil {
			nc.Close()
		}
		if (err == nil) != want {
			t.Errorf("let in: %v, want %v", err == nil, want)
		}
	}
	if err := b.Authority.Suspend(a.ID()); err != nil {
		t.Fatal(err)
	}
	interrupted()
	in(false)
	b.Publish(t)
	if err := b.Authority.Restore(a.ID()); err != nil {
		t.Fatal(err)
	}
	interrupted()
	in(false)
	b.Publish(t)
	in(true)
}

// TestOldFolderReadmitsNobody: a copy of the network's folder from before a suspension cannot be published at all.
func TestOldFolderReadmitsNobody(t *testing.T) {
	b := brokertest.Start(t)
	a := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	old := filepath.Join(t.TempDir(), "network")
	copyFolder(t, b.Authority.Dir(), old)
	if err := b.Authority.Suspend(a.ID()); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	copied, err := network.Open(old)
	if err != nil {
		t.Fatal(err)
	}
	if err := copied.Publish(t.Context(), b.URL()); err == nil || !strings.Contains(err.Error(), "this folder holds") {
		t.Errorf("an old copy was published: %v", err)
	}
	if nc, err := a.TryConnect(b.URL()); err == nil {
		nc.Close()
		t.Error("an old copy readmitted a suspended agency")
	}
}

// TestOldBundleReadmitsNobody: a broker machine with a bundle from before a suspension keeps the pushed claims.
func TestOldBundleReadmitsNobody(t *testing.T) {
	var bundle string
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) {
		bundle = filepath.Join(t.TempDir(), "broker")
		copyFolder(t, c.Bundle, bundle)
		c.Bundle = bundle
	}))
	a := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	copyFolder(t, b.Authority.BrokerBundle(), bundle)
	if err := b.Authority.Suspend(a.ID()); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	b.Restart(t)
	if nc, err := a.TryConnect(b.URL()); err == nil {
		nc.Close()
		t.Fatal("an old bundle readmitted a suspended agency")
	}
}

// TestTamperedDirectory: whoever can write the bucket still gets no consumer for an agency that the root did not sign,
// and the broker keeps serving the others.
func TestTamperedDirectory(t *testing.T) {
	log := new(lines)
	b := brokertest.Start(t, brokertest.WithLogger(slog.New(slog.NewTextHandler(log, nil))))
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	kv, err := b.JetStream(t).KeyValue(ctx, broker.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	head, err := kv.Get(ctx, directory.HeadKey)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := kv.Get(ctx, directory.AgencyKey("harbour-ngo"))
	if err != nil {
		t.Fatal(err)
	}
	forger, err := network.Init(t.TempDir()+"/forger", network.Options{Name: "Forger", URLs: []string{b.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := forger.Enrol(brokertest.NewAgency(t, "evil-member").Request, schemas.RoleNGO, network.EnrolOptions{}); err != nil {
		t.Fatal(err)
	}
	forged := func(key string) []byte {
		text, err := os.ReadFile(filepath.Join(forger.Dir(), "directory", key))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	put := func(key string, value []byte) {
		t.Helper()
		if _, err := kv.Put(ctx, key, value); err != nil {
			t.Fatal(err)
		}
	}
	for i, tamper := range []func(){
		func() { put(directory.AgencyKey("evil-member"), forged(directory.AgencyKey("evil-member"))) },
		func() { put(directory.HeadKey, forged(directory.HeadKey)) },
		func() { put(directory.HeadKey, []byte("{}")) },
		func() {
			put(directory.AgencyKey("harbour-ngo"), bytes.Replace(entry.Value(), []byte("active"), []byte("Active"), 1))
		},
		func() {
			if err := kv.Delete(ctx, directory.AgencyKey("harbour-ngo")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		n := log.count("directory not applied")
		tamper()
		put(directory.HeadKey, append([]byte(nil), lastHead(i, head.Value(), forged(directory.HeadKey))...))
		log.wait(ctx, t, "directory not applied", n+1)
		for _, l := range schemas.Lanes() {
			if _, err := b.JetStream(t).Consumer(ctx, broker.Stream(l), "evil-member"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
				t.Fatalf("tampering %d made a consumer (%v)", i, err)
			}
			if _, err := b.JetStream(t).Consumer(ctx, broker.Stream(l), "harbour-ngo"); err != nil {
				t.Fatalf("tampering %d: %v", i, err)
			}
		}
	}
	// The root's next publication repairs everything that it owns; the forged entry has to be removed by hand.
	if err := kv.Purge(ctx, directory.AgencyKey("evil-member")); err != nil {
		t.Fatal(err)
	}
	b.Join(t, "housing-first", schemas.RoleSupportProvider)
}

// lastHead alternates, so that a head follows every kind of tampering.
func lastHead(i int, real, forged []byte) []byte {
	if i == 1 {
		return forged
	}
	return real
}

// TestQuota: one agency cannot fill a lane for others, a batch is refused as a whole, and old messages stay.
func TestQuota(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) { c.Quotas.PerPair = 3 }))
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	flood := b.Join(t, "north-police", schemas.RolePolice)
	other := b.Join(t, "south-police", schemas.RolePolice)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	nc := flood.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	const subject = "mail.urgent.harbour-ngo.north-police"
	publish(ctx, t, nc, subject, "1")
	publish(ctx, t, nc, subject, "2")
	batch := []*nats.Msg{nats.NewMsg(subject), nats.NewMsg(subject)}
	if _, err := jetstreamext.PublishMsgBatch(ctx, js, batch); err == nil {
		t.Error("a batch past the quota was stored")
	}
	if n := b.Stored(t, schemas.LaneUrgent, subject); n != 2 {
		t.Errorf("%d stored after the refused batch, want 2", n)
	}
	publish(ctx, t, nc, subject, "3")
	var api *jetstream.APIError
	if _, err := js.Publish(ctx, subject, []byte("4")); !errors.As(err, &api) || api.ErrorCode != 10077 {
		t.Errorf("past the quota: %v", err)
	}
	if n := b.Stored(t, schemas.LaneUrgent, subject); n != 3 {
		t.Errorf("%d stored, want the first 3", n)
	}
	publish(ctx, t, other.Connect(t), "mail.urgent.harbour-ngo.south-police", "1")
	publish(ctx, t, nc, "mail.routine.harbour-ngo.north-police", "1")
}

// TestOversize: an envelope of the largest size fits, a larger one is refused.
func TestOversize(t *testing.T) {
	b := brokertest.Start(t)
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	nc := b.Join(t, "north-police", schemas.RolePolice).Connect(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	publish(ctx, t, nc, "mail.routine.harbour-ngo.north-police", strings.Repeat("x", 1<<20+8<<10))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "mail.routine.harbour-ngo.north-police", make([]byte, 1<<20+13<<10)); err == nil {
		t.Error("an oversize message was stored")
	}
}

// TestProvision: what the server runs is what the design says, repeating changes nothing, and a stream that somebody
// changed by hand is corrected.
func TestProvision(t *testing.T) {
	b := brokertest.Start(t)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	cfg := broker.DefaultConfig()
	cfg.Quotas.StreamBytes = 64 << 20
	s, err := b.JetStream(t).Stream(ctx, broker.StreamUrgent)
	if err != nil {
		t.Fatal(err)
	}
	changed := s.CachedInfo().Config
	changed.MaxAge, changed.AllowDirect = time.Hour, true
	if _, err := b.JetStream(t).UpdateStream(ctx, changed); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := broker.Provision(ctx, b.Admin, &cfg); err != nil {
			t.Fatal(err)
		}
	}
	info, err := s.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if c := info.Config; c.MaxAge != 0 || c.AllowDirect || c.MaxBytes != 64<<20 || !c.DiscardNewPerSubject || !c.AllowAtomicPublish || c.Discard != jetstream.DiscardNew {
		t.Errorf("stream is %+v", c)
	}
}

// TestAtRest: with a key, the store holds neither subjects nor bodies to read; a restart with the key reads everything,
// without it the broker does not come up on top of a store that it cannot read.
func TestAtRest(t *testing.T) {
	key := filepath.Join(t.TempDir(), "at-rest.key")
	if err := os.WriteFile(key, []byte(strings.Repeat("0123456789abcdef", 4)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ cipher, keyFile string }{{"chacha20", key}, {"aes", key}, {"chacha20", ""}} {
		t.Run(c.cipher+" "+filepath.Base(c.keyFile), func(t *testing.T) {
			b := brokertest.Start(t, brokertest.WithConfig(func(cfg *broker.Config) { cfg.AtRest = broker.AtRest{KeyFile: c.keyFile, Cipher: c.cipher} }))
			b.Join(t, "harbour-ngo", schemas.RoleNGO)
			nc := b.Join(t, "north-police", schemas.RolePolice).Connect(t)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			publish(ctx, t, nc, "mail.urgent.harbour-ngo.north-police", "Test Person A")
			b.Restart(t)
			if n := b.Stored(t, schemas.LaneUrgent, "mail.urgent.harbour-ngo.north-police"); n != 1 {
				t.Errorf("%d stored after the restart", n)
			}
			b.Stop(t)
			// The unsealed text that this test sent stands for what a real envelope shows: its manifest.
			if found := search(t, b.Data(), "Test Person A"); found == (c.keyFile != "") {
				t.Errorf("readable in the store: %v", found)
			}
		})
	}
}

// TestAckShapeV2: agencies' permissions also fit the acknowledgement subjects that a later server may use.
func TestAckShapeV2(t *testing.T) {
	b := brokertest.Start(t)
	a := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	b.Stop(t)
	cfg := broker.DefaultConfig()
	cfg.Listen, cfg.Data, cfg.Bundle = b.Addr(), b.Data(), b.Authority.BrokerBundle()
	cfg.Quotas.StreamBytes, cfg.Quotas.LedgerBytes, cfg.Quotas.Disk = 256<<20, 256<<20, 2<<30
	run, err := broker.New(&cfg, broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	run.SetFeature(server.FeatureFlagJsAckFormatV2)
	start(t, run)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	nc := a.Connect(t)
	publish(ctx, t, nc, "mail.urgent.harbour-ngo.harbour-ngo", "x")
	m, err := consumer(ctx, t, nc, broker.StreamUrgent, "harbour-ngo").Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(m.Reply(), "$JS.ACK._.") {
		t.Fatalf("the server does not use the second shape: %s", m.Reply())
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestTLSAndWebSocket: both listeners speak TLS 1.3 with the configured certificate, and the grant's CA verifies it.
func TestTLSAndWebSocket(t *testing.T) {
	dir := t.TempDir()
	cert, key := certificate(t, dir)
	var ws string
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) {
		c.WebSocket.Listen = "127.0.0.1:0"
	}))
	a := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	b.Stop(t)
	cfg := broker.DefaultConfig()
	cfg.Listen, cfg.Data, cfg.Bundle = "127.0.0.1:0", b.Data(), b.Authority.BrokerBundle()
	cfg.WebSocket.Listen = "127.0.0.1:0"
	cfg.Quotas.StreamBytes, cfg.Quotas.LedgerBytes, cfg.Quotas.Disk = 256<<20, 256<<20, 2<<30
	cfg.TLS = broker.TLS{Cert: cert, Key: key}
	run, err := broker.New(&cfg, broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	start(t, run)
	ws = run.WebSocketURL()
	if !strings.HasPrefix(run.URL(), "tls://") || !strings.HasPrefix(ws, "wss://") {
		t.Fatalf("addresses %s and %s", run.URL(), ws)
	}
	for _, url := range []string{run.URL(), ws} {
		nc, err := a.TryConnect(url, nats.RootCAs(cert))
		if err != nil {
			t.Fatalf("connect to %s: %v", url, err)
		}
		if err := nc.Flush(); err != nil {
			t.Error(err)
		}
		nc.Close()
		if nc, err := a.TryConnect(url); err == nil {
			nc.Close()
			t.Errorf("%s: connected without knowing the CA", url)
		}
		if nc, err := a.TryConnect(url, nats.RootCAs(cert), func(o *nats.Options) error { o.TLSConfig.MaxVersion = tls.VersionTLS12; return nil }); err == nil {
			nc.Close()
			t.Errorf("%s: connected with TLS 1.2", url)
		}
	}
}

// TestRunErrors: what is wrong is found before or at start, and nothing is left running.
func TestRunErrors(t *testing.T) {
	b := brokertest.Start(t)
	cfg := broker.DefaultConfig()
	cfg.Data, cfg.Bundle = t.TempDir(), b.Authority.BrokerBundle()
	cfg.Listen = b.Addr() // taken
	run, err := broker.New(&cfg, broker.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Run(t.Context()); err == nil {
		t.Error("two brokers on one port")
	}
	if err := run.Run(t.Context()); err == nil {
		t.Error("a broker ran twice")
	}
	cfg.Bundle = t.TempDir()
	if _, err := broker.New(&cfg); err == nil {
		t.Error("started without a bundle")
	}
	// A bundle in which one account is not the operator's.
	other, err := network.Init(t.TempDir()+"/other", network.Options{Name: "Other", URLs: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	mixed := t.TempDir()
	copyFolder(t, other.BrokerBundle(), mixed)
	x, _ := os.ReadFile(filepath.Join(b.Authority.BrokerBundle(), "bundle.json"))
	y, _ := os.ReadFile(filepath.Join(mixed, "bundle.json"))
	cut := func(b []byte) string {
		_, s, _ := strings.Cut(string(b), `"accounts":["`)
		s, _, _ = strings.Cut(s, `"`)
		return s
	}
	if cut(x) == "" || cut(y) == "" {
		t.Fatal("bundle format changed")
	}
	if err := os.WriteFile(filepath.Join(mixed, "bundle.json"), bytes.Replace(y, []byte(cut(y)), []byte(cut(x)), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Bundle = mixed
	if _, err := broker.New(&cfg); err == nil || !strings.Contains(err.Error(), "not signed by the operator") {
		t.Errorf("mixed bundle: %v", err)
	}
}

// start runs a broker until the test ends.
func start(t *testing.T, b *broker.Broker) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run broker: %v", err)
		}
	})
	select {
	case <-b.Ready():
	case err := <-done:
		done <- nil
		t.Fatalf("run broker: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("run broker: not ready")
	}
}

func copyFolder(t *testing.T, from, to string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	// CopyFS makes files 0666 less umask and keeps the execution bits only; keys must be their owner's alone.
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		return os.Chmod(filepath.Join(to, rel), info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
}

func search(t *testing.T, dir, text string) bool {
	t.Helper()
	found, files := false, 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		found = found || bytes.Contains(b, []byte(text))
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("searched %d files: %v", files, err)
	}
	return found
}

// lines collects a log and lets a test wait for a line.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.more != nil {
		close(l.more)
		l.more = nil
	}
	return l.text.Write(b)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.text.String(), s)
}

func (l *lines) wait(ctx context.Context, t *testing.T, s string, n int) {
	t.Helper()
	for {
		l.mu.Lock()
		have := strings.Count(l.text.String(), s)
		if l.more == nil {
			l.more = make(chan struct{})
		}
		more := l.more
		l.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-more:
		case <-ctx.Done():
			t.Fatalf("%q logged %d times, want %d", s, have, n)
		}
	}
}
