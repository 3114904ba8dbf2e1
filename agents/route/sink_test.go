package route_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"waypost/agents/route"
	"waypost/agents/route/routetest"
)

var secret = "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("s"), 32))

func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// receiver is a system that keeps what an independent library finds well signed.
type receiver struct {
	mu      sync.Mutex
	taken   map[string]string
	headers []http.Header
	bodies  [][]byte
	answer  func(w http.ResponseWriter)
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.headers, r.bodies = append(r.headers, req.Header.Clone()), append(r.bodies, body)
	hook, err := standardwebhooks.NewWebhook(secret)
	if err == nil {
		err = hook.Verify(body, req.Header)
	}
	if err != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.answer != nil {
		r.answer(w)
		return
	}
	r.taken[req.Header.Get("webhook-id")] = string(body)
}

func webhook(t *testing.T, payload string, secrets ...string) (route.Sink, *receiver, *httptest.Server) {
	t.Helper()
	r := &receiver{taken: map[string]string{}}
	srv := httptest.NewServer(r)
	t.Cleanup(srv.Close)
	if len(secrets) == 0 {
		secrets = []string{secret}
	}
	var files []string
	for _, s := range secrets {
		files = append(files, secretFile(t, s))
	}
	s, err := route.NewWebhook(route.WebhookConfig{Name: "hook", URL: srv.URL, SecretFiles: files, Payload: payload, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return s, r, srv
}

func TestConformance(t *testing.T) {
	t.Run("folder", func(t *testing.T) {
		routetest.Sink(t, func(t *testing.T) (route.Sink, routetest.Taken) {
			dir := filepath.Join(t.TempDir(), "intake")
			s, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { read(t, dir) }) // nothing is left behind
			return s, func(t *testing.T) map[string]string { return seen(t, dir) }
		})
	})
	t.Run("webhook", func(t *testing.T) {
		routetest.Sink(t, func(t *testing.T) (route.Sink, routetest.Taken) {
			s, r, _ := webhook(t, "full")
			return s, func(*testing.T) map[string]string { r.mu.Lock(); defer r.mu.Unlock(); return r.taken }
		})
	})
}

// seen is what whoever picks files up from a folder sink sees.
func seen(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	files, err := filepath.Glob(filepath.Join(dir, "[^.]*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out[strings.TrimSuffix(filepath.Base(f), ".json")] = string(text)
	}
	return out
}

// read lists a folder sink by delivery id; anything that is not a whole delivery is an error.
func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		id, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok || !json.Valid(text) {
			t.Errorf("left behind: %s", e.Name())
		}
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v (%v)", e.Name(), info.Mode(), err)
		}
		out[id] = string(text)
	}
	return out
}

func TestFolderTrouble(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"a file in its place": file, "no parent": filepath.Join(t.TempDir(), "a", "b")} {
		if _, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: dir}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	dir := filepath.Join(t.TempDir(), "intake")
	s, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	err = s.Deliver(context.Background(), routetest.Delivery("id-1", "CANARY"))
	var stop *route.Permanent
	if err == nil || errors.As(err, &stop) || strings.Contains(err.Error(), "id-1") || strings.Contains(err.Error(), "CANARY") {
		t.Errorf("folder gone: %v; want a temporary error without id or content", err)
	}
	// What a crash left half written is cleared at the next start.
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, ".waypost-123"), []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: dir}); err != nil {
		t.Fatal(err)
	}
	if got := read(t, dir); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
}

func TestWebhookBody(t *testing.T) {
	s, r, _ := webhook(t, "full")
	d := routetest.Delivery("id-1", "first")
	if err := s.Deliver(context.Background(), d); err != nil {
		t.Fatal(err)
	}
	var ev map[string]any
	if err := json.Unmarshal(r.bodies[0], &ev); err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{"specversion": "1.0", "id": "id-1", "source": "waypost:test-ngo", "type": d.Event, "time": "2026-03-01T12:00:00Z", "datacontenttype": "application/json"} {
		if ev[k] != want {
			t.Errorf("%s is %v, want %s (CloudEvents 1.0)", k, ev[k], want)
		}
	}
	if ct := r.headers[0].Get("Content-Type"); !strings.HasPrefix(ct, "application/cloudevents+json") {
		t.Errorf("content type %q", ct)
	}
	thin, r, _ := webhook(t, "thin")
	about := routetest.Delivery("id-2", "CANARY")
	about.Message, about.Thread, about.Code = "message-2", "thread-2", "code-2"
	if err := thin.Deliver(context.Background(), about); err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(r.bodies[0], []byte("CANARY")) || !bytes.Contains(r.bodies[0], []byte("id-2")) ||
		!bytes.Contains(r.bodies[0], []byte(`"message":"message-2","thread":"thread-2","code":"code-2"`)) {
		t.Errorf("thin body: %s", r.bodies[0])
	}
}

func TestWebhookSignatures(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := "whsec_" + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("o"), 32))
	// While a key is rotated both sign, and whoever knows either of them is served.
	s, r, _ := webhook(t, "full", other, secret, "whsk_"+base64.StdEncoding.EncodeToString(private.Seed()))
	if err := s.Deliver(context.Background(), routetest.Delivery("id-1", "x")); err != nil {
		t.Fatal(err)
	}
	h := r.headers[0]
	found := false
	for _, sig := range strings.Fields(h.Get("webhook-signature")) {
		if v, ok := strings.CutPrefix(sig, "v1a,"); ok {
			raw, err := base64.StdEncoding.DecodeString(v)
			found = err == nil && ed25519.Verify(public, []byte(h.Get("webhook-id")+"."+h.Get("webhook-timestamp")+"."+string(r.bodies[0])), raw)
		}
	}
	if !found {
		t.Error("no valid v1a signature")
	}
	wrong, r, _ := webhook(t, "full", other)
	if err := wrong.Deliver(context.Background(), routetest.Delivery("id-1", "x")); err == nil || len(r.taken) != 0 {
		t.Errorf("a wrong secret was taken: %v", err)
	}
}

func TestWebhookAnswers(t *testing.T) {
	tests := map[string]struct {
		answer func(http.ResponseWriter)
		check  func(error) bool
	}{
		"204":                {func(w http.ResponseWriter) { w.WriteHeader(204) }, func(err error) bool { return err == nil }},
		"410 disables":       {func(w http.ResponseWriter) { w.WriteHeader(410) }, func(err error) bool { var d *route.Disabled; return errors.As(err, &d) }},
		"500 is temporary":   {func(w http.ResponseWriter) { w.WriteHeader(500) }, temporary},
		"404 is temporary":   {func(w http.ResponseWriter) { w.WriteHeader(404) }, temporary},
		"redirect is not it": {func(w http.ResponseWriter) { w.Header().Set("Location", "/elsewhere"); w.WriteHeader(307) }, temporary},
		"retry in seconds": {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "120"); w.WriteHeader(503) }, func(err error) bool {
			var r *route.RetryAfter
			return errors.As(err, &r) && r.After == 2*time.Minute
		}},
		"retry at a date": {func(w http.ResponseWriter) {
			w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
			w.WriteHeader(429)
		}, func(err error) bool {
			var r *route.RetryAfter
			return errors.As(err, &r) && r.After > 50*time.Minute && r.After <= time.Hour
		}},
		"retry next year is tomorrow": {func(w http.ResponseWriter) { w.Header().Set("Retry-After", "31536000"); w.WriteHeader(503) }, func(err error) bool {
			var r *route.RetryAfter
			return errors.As(err, &r) && r.After == 24*time.Hour
		}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			s, r, _ := webhook(t, "full")
			r.answer = tc.answer
			if err := s.Deliver(context.Background(), routetest.Delivery("id-1", "x")); !tc.check(err) {
				t.Errorf("got %v", err)
			}
			if len(r.bodies) != 1 {
				t.Errorf("%d requests", len(r.bodies))
			}
		})
	}
	t.Run("nobody answers", func(t *testing.T) {
		s, _, srv := webhook(t, "full")
		srv.Close()
		err := s.Deliver(context.Background(), routetest.Delivery("id-1", "CANARY"))
		if !temporary(err) || strings.Contains(err.Error(), "127.0.0.1") {
			t.Errorf("got %v; want a temporary error without the address", err)
		}
	})
}

func temporary(err error) bool {
	var p *route.Permanent
	var d *route.Disabled
	return err != nil && !errors.As(err, &p) && !errors.As(err, &d)
}

func TestWebhookRefusedAtStart(t *testing.T) {
	good := secretFile(t, secret)
	loose := secretFile(t, secret)
	if err := os.Chmod(loose, 0o644); err != nil {
		t.Fatal(err)
	}
	tests := map[string]route.WebhookConfig{
		"plain http beyond loopback": {URL: "http://intake.example/", SecretFiles: []string{good}},
		"password in the url":        {URL: "https://u:CANARY@intake.example/", SecretFiles: []string{good}},
		"not a url":                  {URL: "intake", SecretFiles: []string{good}},
		"no secret":                  {URL: "https://intake.example/"},
		"secret missing":             {URL: "https://intake.example/", SecretFiles: []string{good + "x"}},
		"secret readable by others":  {URL: "https://intake.example/", SecretFiles: []string{loose}},
		"secret of another kind":     {URL: "https://intake.example/", SecretFiles: []string{secretFile(t, "CANARY")}},
		"secret too short":           {URL: "https://intake.example/", SecretFiles: []string{secretFile(t, "whsec_Q0FOQVJZ")}},
	}
	for name, c := range tests {
		c.Name = "hook"
		if _, err := route.NewWebhook(c); err == nil || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "Q0FOQVJZ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
