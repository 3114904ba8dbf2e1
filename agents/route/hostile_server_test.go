package route_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"waypost/agents/route"
	"waypost/agents/route/routetest"
)

func hook(t *testing.T, url string, timeout time.Duration) route.Sink {
	t.Helper()
	s, err := route.NewWebhook(route.WebhookConfig{Name: "hook", URL: url, SecretFiles: []string{secretFile(t, secret)}, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rawServer reads a request's first line and answers with these bytes.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(c))
			fmt.Fprint(c, answer)
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String() + "/"
}

// TestAnswersAreNotRepeated: a system that answers with what it was sent would put a survivor's data into our log.
func TestAnswersAreNotRepeated(t *testing.T) {
	for name, answer := range map[string]string{
		"nothing":            "",
		"not HTTP":           "CANARY was born in\r\n\r\n",
		"bad status":         "HTTP/1.1 CANARY OK\r\n\r\n",
		"bad header":         "HTTP/1.1 200 OK\r\nCANARY\r\n\r\n",
		"bad length":         "HTTP/1.1 200 OK\r\nContent-Length: CANARY\r\n\r\n",
		"bad coding":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: CANARY\r\n\r\n",
		"endless header":     "HTTP/1.1 200 OK\r\nX: " + strings.Repeat("CANARY", 400_000) + "\r\n\r\n",
		"reason in status":   "HTTP/1.1 500 CANARY\r\nContent-Length: 0\r\n\r\n",
		"body of an error":   "HTTP/1.1 422 No\r\nContent-Length: 6\r\n\r\nCANARY",
		"location elsewhere": "HTTP/1.1 302 Found\r\nLocation: http://CANARY.example/\r\nContent-Length: 0\r\n\r\n",
		"location is no url": "HTTP/1.1 302 Found\r\nLocation: ://CANARY\x7f\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			err := hook(t, rawServer(t, answer), 5*time.Second).Deliver(context.Background(), routetest.Delivery("id-1", "x"))
			if !temporary(err) || strings.Contains(err.Error(), "CANARY") || strings.Contains(err.Error(), "127.0.0.1") {
				t.Errorf("%v; want a temporary error without the answer's text or the address", err)
			}
		})
	}
}

// TestStrangersCertificate: TLS protects nothing if anybody may answer; and the error is the same on every system.
func TestStrangersCertificate(t *testing.T) {
	var reached atomic.Bool
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Store(true) }))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains of the handshake that we break off
	srv.StartTLS()
	t.Cleanup(srv.Close)
	err := hook(t, srv.URL, 5*time.Second).Deliver(context.Background(), routetest.Delivery("id-1", "x"))
	if !temporary(err) || reached.Load() || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v, delivered: %v", err, reached.Load())
	}
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) }))
	t.Cleanup(other.Close)
	for _, code := range []int{301, 302, 303, 307, 308} {
		srv := httptest.NewServer(http.RedirectHandler(other.URL, code))
		if err := hook(t, srv.URL, time.Second).Deliver(context.Background(), routetest.Delivery("id-1", "x")); !temporary(err) {
			t.Errorf("%d: %v", code, err)
		}
		srv.Close()
	}
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d deliveries went elsewhere", n)
	}
}

func TestSlowAndEndlessSystems(t *testing.T) {
	stop := make(chan struct{})
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-stop:
		case <-r.Context().Done():
		}
	}))
	const tooMuch = 64 << 20
	var readAll atomic.Bool
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for n := 0; r.Context().Err() == nil; n += 32 << 10 {
			if n > tooMuch {
				readAll.Store(true)
				return
			}
			if _, err := w.Write(make([]byte, 32<<10)); err != nil {
				return
			}
		}
	}))
	t.Cleanup(func() { close(stop); silent.Close(); endless.Close() })
	if err := hook(t, silent.URL, 50*time.Millisecond).Deliver(context.Background(), routetest.Delivery("id-1", "x")); !temporary(err) {
		t.Errorf("silent: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Millisecond, cancel)
	if err := hook(t, silent.URL, time.Minute).Deliver(ctx, routetest.Delivery("id-1", "x")); !errors.Is(err, context.Canceled) || !temporary(err) {
		t.Errorf("the agent stops: %v, want context.Canceled", err)
	}
	// The status counts; what comes after it is read up to a bound.
	if err := hook(t, endless.URL, time.Minute).Deliver(context.Background(), routetest.Delivery("id-1", "x")); err != nil || readAll.Load() {
		t.Errorf("endless: %v, read to the end: %v", err, readAll.Load())
	}
}

func TestRetryAfterOddValues(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"0": 0, "4294967295": 24 * time.Hour, "Thu, 01 Jan 1970 00:00:00 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": 24 * time.Hour,
		"-5": -1, "soon": -1, "99999999999999999999": -1, "": -1, "1.5": -1,
	} {
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", value)
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		err := hook(t, srv.URL, time.Second).Deliver(context.Background(), routetest.Delivery("id-1", "x"))
		srv.Close()
		got := time.Duration(-1) // the schedule decides
		if later, ok := errors.AsType[*route.RetryAfter](err); ok {
			got = later.After
		}
		if !temporary(err) || got != want {
			t.Errorf("Retry-After %q: %s (%v), want %s", value, got, err, want)
		}
	}
}

// TestWebhookMisconfigured: what would send more than was meant, or sign with half a key, is refused.
func TestWebhookMisconfigured(t *testing.T) {
	good := secretFile(t, secret)
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	// Ed25519 with a foreign public half gives signatures that nobody can verify, and two of them give the key away.
	mixed := "whsk_" + base64.StdEncoding.EncodeToString(append(private.Seed(), other...))
	for name, c := range map[string]route.WebhookConfig{
		"payload misspelt":    {URL: "https://intake.example/", SecretFiles: []string{good}, Payload: "Thin"},
		"key halves disagree": {URL: "https://intake.example/", SecretFiles: []string{secretFile(t, mixed)}},
		"other scheme":        {URL: "ftp://127.0.0.1/", SecretFiles: []string{good}},
		"loopback look-alike": {URL: "http://127.0.0.1.example/", SecretFiles: []string{good}},
		"the public key":      {URL: "https://intake.example/", SecretFiles: []string{secretFile(t, "whpk_"+base64.StdEncoding.EncodeToString(other))}},
	} {
		c.Name = "hook"
		if _, err := route.NewWebhook(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, u := range []string{"http://127.0.0.1:9/", "http://[::1]:9/", "http://localhost:9/", "https://intake.example/hook"} {
		whole := "whsk_" + base64.StdEncoding.EncodeToString(private)
		if _, err := route.NewWebhook(route.WebhookConfig{Name: "hook", URL: u, SecretFiles: []string{good, secretFile(t, whole)}, Payload: "thin"}); err != nil {
			t.Errorf("%s: %v", u, err)
		}
	}
}

// TestFolderKeepsToItself: a folder's name may hold anything; what is cleared lies in it and nowhere else.
func TestFolderKeepsToItself(t *testing.T) {
	parent := t.TempDir()
	neighbour, odd := filepath.Join(parent, "bc"), filepath.Join(parent, "b[c]*")
	for _, d := range []string{neighbour, odd} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, ".waypost-1"), []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: odd})
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, odd); len(got) != 0 {
		t.Errorf("left behind: %v", got)
	}
	if _, err := os.Stat(filepath.Join(neighbour, ".waypost-1")); err != nil {
		t.Errorf("cleared in another folder: %v", err)
	}
	// A later version of the same delivery replaces the first, whole.
	for _, text := range []string{strings.Repeat("long", 1000), "short"} {
		d := routetest.Delivery("id-1", text)
		if err := s.Deliver(context.Background(), d); err != nil {
			t.Fatal(err)
		}
		if got := read(t, odd); len(got) != 1 || got["id-1"] != string(d.Data)+"\n" {
			t.Errorf("the folder has %.80v", got)
		}
	}
}

func TestFolderUnwritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("skipped: root may write everywhere")
	}
	dir := filepath.Join(t.TempDir(), "intake")
	s, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o500); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if err := s.Deliver(context.Background(), routetest.Delivery("id-1", "CANARY")); !temporary(err) || strings.Contains(err.Error(), "id-1") {
		t.Errorf("unwritable: %v", err)
	}
	if _, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: dir}); err == nil {
		t.Error("an unwritable folder was accepted at start")
	}
}

func BenchmarkSinks(b *testing.B) {
	d := routetest.Delivery("id-1", strings.Repeat("x", 5000))
	folder, err := route.NewFolder(route.FolderConfig{Name: "folder", Dir: filepath.Join(b.TempDir(), "intake")})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("folder", func(b *testing.B) {
		for b.Loop() {
			if err := folder.Deliver(context.Background(), d); err != nil {
				b.Fatal(err)
			}
		}
	})
}
