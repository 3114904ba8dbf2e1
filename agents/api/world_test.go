package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
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
	"waypost/broker/brokertest"
	"waypost/deploy/examples"
	"waypost/schemas"
	"waypost/schemas/directory"
)

const (
	police = "northshire-police"
	ngo    = "harbour-ngo"
)

// canary stands for anything that a caller sends. It may appear in no refusal and in no log.
const canary = "canary7hq2"

// member is one agency's running agent and one of its tokens.
type member struct {
	id, dir, url, token string
	log                 *logBuffer
}

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

// world starts a broker and two agents; the police may refer to the NGO.
func world(t *testing.T) (p, n *member) {
	t.Helper()
	b := brokertest.Start(t)
	p, n = enrol(t, b, police, "police"), enrol(t, b, ngo, "ngo")
	b.Agree(t, directory.Agreement{From: police, To: ngo, Kinds: []schemas.Kind{schemas.KindReferral}, Purposes: schemas.Purposes(), Categories: schemas.AllCategories()})
	for _, m := range []*member{p, n} {
		m.start(t)
	}
	for _, m := range []*member{p, n} {
		eventually(t, m.id+" has a directory with both agencies and the agreement", func() bool {
			var d struct {
				Agencies   []struct{} `json:"agencies"`
				Agreements []struct{} `json:"agreements"`
			}
			r := m.call(t, "GET", "/v1/directory", nil)
			return r.status == http.StatusOK && json.Unmarshal(r.body, &d) == nil && len(d.Agencies) >= 2 && len(d.Agreements) == 1
		})
	}
	return p, n
}

func enrol(t *testing.T, b *brokertest.Broker, id string, role schemas.Role) *member {
	t.Helper()
	m := &member{id: id, dir: filepath.Join(t.TempDir(), id), log: &logBuffer{}}
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
	config := fmt.Sprintf("agency: %s\nbrokers: [%q]\napi: {listen: \"127.0.0.1:0\"}\nsinks:\n  - name: folder\n    folder: {dir: intake}\nroutes:\n  - sinks: [folder]\n", id, b.URL())
	if err := os.WriteFile(filepath.Join(m.dir, "agent.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	m.token = m.addToken(t, "all", "send", "respond", "read", "admin")
	return m
}

// withStore opens the agent's store beside the agent, as `waypost agent token` does.
func (m *member) withStore(t *testing.T, do func(*store.Tx) error) {
	t.Helper()
	st, err := store.Open(filepath.Join(m.dir, "data", agents.StoreFile))
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if err := st.Update(t.Context(), do); err != nil {
		t.Fatal(err)
	}
}

func (m *member) addToken(t *testing.T, name string, scopes ...string) string {
	t.Helper()
	secret := "wpt_secret-of-" + m.id + "-" + name
	m.withStore(t, func(tx *store.Tx) error { return tx.AddToken(name, secret, scopes, time.Now()) })
	return secret
}

func (m *member) start(t *testing.T) {
	t.Helper()
	cfg, err := agents.LoadConfig(filepath.Join(m.dir, "agent.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := agents.New(cfg, slog.New(slog.NewTextHandler(m.log, &slog.HandlerOptions{Level: slog.LevelDebug})), nil)
	if err != nil {
		t.Fatal(err)
	}
	m.url = "http://" + a.Addr()
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("agent %s: %v", m.id, err)
		}
		if strings.Contains(m.log.String(), canary) {
			t.Errorf("agent %s logged what a caller sent", m.id)
		}
		if strings.Contains(m.log.String(), "wpt_") {
			t.Errorf("agent %s logged a token", m.id)
		}
		m.storedNothingPlain(t)
	})
}

// storedNothingPlain looks through the store's files, also at what SQLite has not yet overwritten: neither what a caller sent
// nor a token is there as it was.
func (m *member) storedNothingPlain(t *testing.T) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(filepath.Join(m.dir, "data"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		for _, s := range []string{canary, "wpt_secret", "Test Person"} {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s holds %q in the clear", filepath.Base(path), s)
			}
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files looked through: %v", files, err)
	}
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) problem(t *testing.T) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Fatalf("%d: not a problem document: %v\n%s", a.status, err, a.body)
	}
	return p
}

type problem struct {
	Type     string            `json:"type"`
	Title    string            `json:"title"`
	Status   int               `json:"status"`
	Code     string            `json:"code"`
	Detail   string            `json:"detail"`
	Problems []schemas.Problem `json:"problems"`
}

// call sends a request with the member's token; headers come as pairs and may replace everything, an empty value removes.
// Host is set like any other.
func (m *member) call(t *testing.T, method, path string, body io.Reader, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, m.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		switch k, v := header[i], header[i+1]; {
		case k == "Host":
			req.Host = v
		case v == "":
			req.Header.Del(k)
		default:
			req.Header.Set(k, v)
		}
	}
	resp, err := noRedirects.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, text}
}

var noRedirects = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// refused asserts everything that holds for every refusal.
func (a answer) refused(t *testing.T, status int, code string) problem {
	t.Helper()
	if a.status != status {
		t.Fatalf("status %d, want %d %s\n%s", a.status, status, code, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type %q", got)
	}
	p := a.problem(t)
	if p.Code != code || p.Type != "urn:waypost:problem:"+code || p.Status != status || p.Title == "" || p.Detail == "" {
		t.Errorf("want code %s, status %d, and type, title and detail; got %s", code, status, a.body)
	}
	for k, vs := range a.header {
		if strings.Contains(strings.Join(vs, " "), canary) {
			t.Errorf("the header %s repeats what was sent: %q", k, vs)
		}
	}
	if strings.Contains(strings.ToLower(string(a.body)), canary) {
		t.Errorf("the answer repeats what was sent:\n%s", a.body)
	}
	for k, want := range map[string]string{"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Access-Control-Allow-Origin": ""} {
		if got := a.header.Get(k); got != want {
			t.Errorf("%s: %q, want %q", k, got, want)
		}
	}
	return p
}

// rules lists "path rule" of a problem's fields.
func (p problem) rules() (out []string) {
	for _, f := range p.Problems {
		out = append(out, f.Path+" "+f.Rule)
	}
	return out
}

type accepted struct {
	ID       string `json:"id"`
	Thread   string `json:"thread"`
	State    string `json:"state"`
	Repeated bool   `json:"repeated"`
}

func (a answer) accepted(t *testing.T) accepted {
	t.Helper()
	var out accepted
	if a.status != http.StatusAccepted || json.Unmarshal(a.body, &out) != nil || out.ID == "" {
		t.Fatalf("not accepted: %d %s", a.status, a.body)
	}
	return out
}

// submission is an example file as a caller would send it, with a recipient and changed by edit.
func submission(t *testing.T, edit func(map[string]any)) []byte {
	t.Helper()
	text, err := examples.Files.ReadFile("referral-urgent.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	doc["to"] = ngo
	if edit != nil {
		edit(doc)
	}
	out, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// ids lists a list's ids and numbers, in the order given.
func (m *member) ids(t *testing.T, path string) (ids []string, ns []int64) {
	t.Helper()
	a := m.call(t, "GET", path, nil)
	var page struct {
		Items []struct {
			ID string `json:"id"`
			N  int64  `json:"n"`
		} `json:"items"`
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &page) != nil || page.Items == nil {
		t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	for _, it := range page.Items {
		ids, ns = append(ids, it.ID), append(ns, it.N)
	}
	return ids, ns
}

// eventually polls a condition. The limit is for a machine under load; nothing here is a claim about speed.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !cond(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out waiting: %s", what)
		}
	}
}
