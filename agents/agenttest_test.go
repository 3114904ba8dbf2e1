package agents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waypost/agents"
	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/broker/brokertest"
	"waypost/deploy/examples"
	"waypost/schemas"
	"waypost/schemas/directory"
)

const (
	police  = "northshire-police"
	ngo     = "harbour-ngo"
	housing = "lantern-housing"
)

// clock is a clock that tests move.
type clock struct {
	mu     sync.Mutex
	offset time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.offset)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.offset += d
}

// member is one agency with a running agent.
type member struct {
	id, dir, token, url string
	config              string
	health              string // where the health listener answers, if it is configured
	clock               *clock
	log                 *logBuffer
	stop                context.CancelFunc
	done                chan struct{}
	err                 error
}

// logBuffer keeps everything an agent logged, to look for what must not be there.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// enrolled makes an agency with keys and grant, and a config with one folder sink.
func enrolled(t testing.TB, b *brokertest.Broker, id string, role schemas.Role, sinks string) *member {
	t.Helper()
	m := &member{id: id, dir: filepath.Join(t.TempDir(), id), clock: &clock{}, log: &logBuffer{}}
	made, err := agents.Init(m.dir, agents.InitOptions{Agency: id, Name: id})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(made.RequestFile)
	if err != nil {
		t.Fatal(err)
	}
	req, err := directory.ParseRequest(text)
	if err != nil {
		t.Fatal(err)
	}
	grant, err := b.Enrol(t, req, role).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := agents.Join(m.dir, grant, nil); err != nil {
		t.Fatal(err)
	}
	if sinks == "" {
		sinks = "sinks:\n  - name: folder\n    folder: {dir: systems/intake}\nroutes:\n  - sinks: [folder]\n"
	}
	m.config = filepath.Join(m.dir, "agent.yaml")
	write(t, m.config, fmt.Sprintf("agency: %s\nbrokers: [%q]\napi: {listen: \"127.0.0.1:0\"}\n%s", id, b.URL(), sinks))
	m.token = "token-of-" + id
	if everywherePostgres != nil {
		m.onPostgres(t, everywherePostgres)
	}
	st := m.openStore(t)
	defer st.Close()
	err = st.Update(context.Background(), func(tx *store.Tx) error {
		return tx.AddToken("test", m.token, []string{"send", "respond", "read", "admin"}, time.Now())
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// everywherePostgres is the server on which every agent of these tests has its store: WAYPOST_TEST_STORE=postgres.
var everywherePostgres *postgrestest.Server

// fileOnly skips what rests on the store being a file: a backup is restored into one.
func fileOnly(t testing.TB) {
	t.Helper()
	if everywherePostgres != nil {
		t.Skip("WAYPOST_TEST_STORE=postgres: this is about a store in a file")
	}
}

// onPostgres gives an agent that was never started a store on a server.
func (m *member) onPostgres(t testing.TB, server *postgrestest.Server) {
	t.Helper()
	text, err := os.ReadFile(m.config)
	if err != nil {
		t.Fatal(err)
	}
	url, _ := server.Schema(t)
	write(t, filepath.Join(m.dir, "postgres.url"), url+"\n")
	write(t, m.config, "store: {postgres: {url_file: postgres.url}}\n"+string(text))
}

// openStore opens the agent's store beside it.
func (m *member) openStore(t testing.TB) *store.Store {
	t.Helper()
	cfg, err := agents.LoadConfig(m.config)
	if err != nil {
		t.Fatal(err)
	}
	st, err := agents.OpenStore(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func (m *member) start(t testing.TB) {
	t.Helper()
	cfg, err := agents.LoadConfig(m.config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := agents.New(cfg, slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug})), m.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	a.KeepNoHealth()
	m.health = a.HealthURL()
	ctx, stop := context.WithCancel(context.Background())
	m.url, m.stop, m.done = "http://"+a.Addr(), stop, make(chan struct{})
	go func() {
		defer close(m.done)
		m.err = a.Run(ctx)
	}()
	t.Cleanup(func() { m.halt(t) })
}

func (m *member) halt(t testing.TB) {
	if m.stop == nil {
		return
	}
	m.stop()
	<-m.done
	m.stop = nil
	if m.err != nil {
		t.Errorf("agent %s: %v", m.id, m.err)
	}
}

// ready waits until the agent has the directory.
func (m *member) ready(t testing.TB) *member {
	t.Helper()
	eventually(t, m.id+" ready", func() bool {
		var st struct {
			Connected bool   `json:"connected"`
			Version   uint64 `json:"directory_version"`
		}
		code, _ := m.call(t, "GET", "/v1/status", nil, &st)
		return code == 200 && st.Connected && st.Version > 0
	})
	return m
}

type problem struct {
	Code     string            `json:"code"`
	Problems []schemas.Problem `json:"problems"`
}

func (m *member) call(t testing.TB, method, path string, body []byte, into any, header ...string) (int, problem) {
	t.Helper()
	req, err := http.NewRequest(method, m.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, problem{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, problem{}
	}
	var p problem
	if resp.StatusCode >= 400 {
		_ = json.Unmarshal(text, &p)
	} else if into != nil {
		if err := json.Unmarshal(text, into); err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
	}
	return resp.StatusCode, p
}

type accepted struct {
	ID       string `json:"id"`
	Thread   string `json:"thread"`
	Repeated bool   `json:"repeated"`
}

// submit sends the example referral, changed by edit.
func (m *member) submit(t testing.TB, to string, edit func(map[string]any), header ...string) (accepted, int, problem) {
	t.Helper()
	var a accepted
	code, p := m.call(t, "POST", "/v1/referrals", submission(t, to, edit), &a, header...)
	return a, code, p
}

func (m *member) mustSubmit(t testing.TB, to string, edit func(map[string]any), header ...string) accepted {
	t.Helper()
	a, code, p := m.submit(t, to, edit, header...)
	if code != http.StatusAccepted {
		t.Fatalf("submit to %s: %d %+v", to, code, p)
	}
	return a
}

func submission(t testing.TB, to string, edit func(map[string]any)) []byte {
	t.Helper()
	text, err := examples.Files.ReadFile("referral-urgent.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	doc["to"] = to
	if edit != nil {
		edit(doc)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

type item struct {
	ID           string   `json:"id"`
	ReplyTo      string   `json:"reply_to"`
	State        string   `json:"state"`
	Hold         string   `json:"hold"`
	ReceiptCode  string   `json:"receipt_code"`
	Overdue      bool     `json:"overdue"`
	Kind         string   `json:"kind"`
	Thread       string   `json:"thread"`
	Certificates []string `json:"certificates"`
	Payload      json.RawMessage
}

func (m *member) out(t testing.TB, id string) item {
	t.Helper()
	var it item
	m.call(t, "GET", "/v1/outbox/"+id, nil, &it)
	return it
}

func (m *member) waitState(t testing.TB, id, state string) item {
	t.Helper()
	var it item
	t.Cleanup(func() {
		if it.State != state {
			t.Logf("%s: message %s was last seen in state %q (hold %q)", m.id, id, it.State, it.Hold)
		}
	})
	eventually(t, "message in state "+state, func() bool { it = m.out(t, id); return it.State == state })
	return it
}

// files lists the ids in the folder sink.
func (m *member) files(t testing.TB) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	entries, err := os.ReadDir(filepath.Join(m.dir, "systems", "intake"))
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			out[id] = true
		}
	}
	return out
}

// startWatchful starts an agent that looks at the ledger all the time.
func (m *member) startWatchful(t testing.TB) {
	t.Helper()
	write(t, m.config, read(t, m.config)+"ledger: {every: 200ms}\n")
	m.start(t)
	m.ready(t)
}

// eventually polls a condition. The limit is for a machine under load; nothing here is a claim about speed.
func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for !cond() {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting: %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// agreeAll lets a refer to b for everything.
func agreeAll(t testing.TB, b *brokertest.Broker, from, to string) directory.Agreement {
	t.Helper()
	return b.Agree(t, directory.Agreement{From: from, To: to, Kinds: []schemas.Kind{schemas.KindReferral}, Purposes: schemas.Purposes(), Categories: schemas.AllCategories()})
}

// trio starts a broker and the three agencies of the story.
func trio(t testing.TB) (b *brokertest.Broker, p, n, h *member) {
	t.Helper()
	b = brokertest.Start(t)
	p = enrolled(t, b, police, "police", "")
	n = enrolled(t, b, ngo, "ngo", "")
	h = enrolled(t, b, housing, "support-provider", "")
	agreeAll(t, b, police, ngo)
	agreeAll(t, b, ngo, housing)
	agreeAll(t, b, police, housing)
	for _, m := range []*member{p, n, h} {
		m.start(t)
	}
	for _, m := range []*member{p, n, h} {
		m.ready(t)
	}
	return b, p, n, h
}

// tryStart opens the agent without running it.
func (m *member) tryStart(t testing.TB) error {
	t.Helper()
	cfg, err := agents.LoadConfig(m.config)
	if err != nil {
		return err
	}
	_, err = agents.New(cfg, slog.New(slog.DiscardHandler), nil)
	return err
}
