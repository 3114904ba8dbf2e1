package health_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"waypost/schemas/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	metricOne  = health.Gauge("test_one", "One.", "code")
	metricEnds = health.Gauge("test_ends_timestamp_seconds", "When.")
)

// program is a Source.
type program struct {
	state   health.State
	measure func(context.Context, health.Samples)
}

func (p program) State(context.Context) health.State { return p.state }
func (p program) Measure(ctx context.Context, out health.Samples) {
	if p.measure != nil {
		p.measure(ctx, out)
	}
}

func options() health.Options {
	return health.Options{Program: "test", Log: slog.New(slog.DiscardHandler)}
}

func ask(h http.Handler, path string, edit func(*http.Request)) (int, string) {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:1"+path, nil)
	if edit != nil {
		edit(r)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestAnswers(t *testing.T) {
	p := program{state: health.State{Ready: true, Code: "ready", Sentence: "Well.", Attention: []string{"x"}}, measure: func(_ context.Context, out health.Samples) {
		out.Set(metricOne, 3, `a"b\n`)
		out.Time(metricEnds, time.Time{})
	}}
	h := health.New(p, options())
	for path, want := range map[string]string{
		"/healthz": "ok\n", "/readyz": `{"ready":true,"code":"ready","sentence":"Well.","attention":["x"]}` + "\n",
		"/metrics": "test_one{code=\"a\\\"b\\\\n\"} 3\n", "/metrics?x": "test_ends_timestamp_seconds +Inf\n",
	} {
		if status, text := ask(h, path, nil); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d %s", path, status, text)
		}
	}
	p.state = health.State{Code: "stopping", Sentence: "It stops."}
	if status, text := ask(health.New(p, options()), "/readyz", nil); status != http.StatusServiceUnavailable || !strings.Contains(text, `"stopping"`) {
		t.Errorf("not ready: %d %s", status, text)
	}
	if status, _ := ask(h, "/", nil); status != http.StatusNotFound {
		t.Errorf("elsewhere: %d", status)
	}
}

// TestOneBadSample: what cannot be said is left out, and the rest is said.
func TestOneBadSample(t *testing.T) {
	status, text := ask(health.New(program{measure: func(_ context.Context, out health.Samples) {
		out.Set(metricOne, 1, "fine")
		out.Set(metricOne, 1, "too", "many")
	}}, options()), "/metrics", nil)
	if status != http.StatusOK || !strings.Contains(text, `test_one{code="fine"} 1`) || strings.Contains(text, "many") {
		t.Errorf("%d %s", status, text)
	}
}

// TestWhoMayAsk: no web page, no other name, and /metrics only with the token.
func TestWhoMayAsk(t *testing.T) {
	o := options()
	o.Token = "a-token-of-32-characters-........"
	h, certified := health.New(program{}, o), func() http.Handler { o := o; o.Certified = true; return health.New(program{}, o) }()
	with := func(header, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(header, value) }
	}
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	for name, tc := range map[string]struct {
		h    http.Handler
		path string
		edit func(*http.Request)
		want int
	}{
		"a page":               {h, "/healthz", with("Origin", "https://bad.example"), http.StatusForbidden},
		"a page of this host":  {h, "/readyz", with("Sec-Fetch-Site", "same-origin"), http.StatusForbidden},
		"a person's address":   {h, "/healthz", with("Sec-Fetch-Site", "none"), http.StatusOK},
		"a rebound name":       {h, "/healthz", host("bad.example:8421"), http.StatusMisdirectedRequest},
		"localhost":            {h, "/healthz", host("LOCALHOST:8421"), http.StatusOK},
		"IPv6":                 {h, "/healthz", host("[::1]:8421"), http.StatusOK},
		"a name that is shown": {certified, "/healthz", host("agent.example:8421"), http.StatusOK},
		"no token":             {h, "/metrics", nil, http.StatusUnauthorized},
		"a wrong token":        {h, "/metrics", with("Authorization", "Bearer "+o.Token+"x"), http.StatusUnauthorized},
		"half a token":         {h, "/metrics", with("Authorization", "Bearer "+o.Token[:8]), http.StatusUnauthorized},
		"another scheme":       {h, "/metrics", with("Authorization", "Basic "+o.Token), http.StatusUnauthorized},
		"the token":            {h, "/metrics", with("Authorization", "Bearer "+o.Token), http.StatusOK},
		"readyz needs none":    {h, "/readyz", nil, http.StatusServiceUnavailable},
	} {
		if status, text := ask(tc.h, tc.path, tc.edit); status != tc.want || strings.Contains(text, o.Token) {
			t.Errorf("%s: %d, want %d: %s", name, status, tc.want, text)
		}
	}
}

// TestScrapesAreBounded: a fifth at a time is sent away at once, and one that takes too long is ended.
func TestScrapesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun, ended := make(chan struct{}, 8), make(chan int, 8)
		h := health.New(program{measure: func(ctx context.Context, _ health.Samples) { begun <- struct{}{}; <-ctx.Done() }}, options())
		for range 4 {
			go func() { status, _ := ask(h, "/metrics", nil); ended <- status }()
		}
		for range 4 {
			<-begun
		}
		if status, _ := ask(h, "/metrics", nil); status != http.StatusServiceUnavailable {
			t.Errorf("the fifth: %d", status)
		}
		started := time.Now()
		for range 4 {
			<-ended
		}
		if took := time.Since(started); took > 10*time.Second { // of the bubble's clock: a scraper has given up by then
			t.Errorf("ended after %s", took)
		}
	})
}

// TestCached: read once for a while, an error too; not what one asker's own end made of it.
func TestCached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads, cost := 0, time.Millisecond
		var fail error
		c := health.NewCached(10*time.Second, 50, func(ctx context.Context) (int, error) {
			select {
			case <-time.After(cost):
			case <-ctx.Done():
				return 0, ctx.Err()
			}
			reads++
			return reads, fail
		})
		get := func(want int, wantErr error) {
			t.Helper()
			if n, err := c.Get(t.Context()); n != want || !errors.Is(err, wantErr) {
				t.Errorf("got %d %v, want %d %v", n, err, want, wantErr)
			}
		}
		get(1, nil)
		time.Sleep(9 * time.Second)
		get(1, nil)
		time.Sleep(2 * time.Second)
		fail = io.ErrUnexpectedEOF
		get(2, fail)
		fail = nil
		get(2, io.ErrUnexpectedEOF)
		time.Sleep(11 * time.Second)
		// Many at once: one reads.
		done := make(chan int, 20)
		for range 20 {
			go func() { n, _ := c.Get(t.Context()); done <- n }()
		}
		for range 20 {
			if n := <-done; n != 3 {
				t.Errorf("one of many got %d", n)
			}
		}
		// An expensive reading is kept for longer.
		time.Sleep(11 * time.Second)
		cost = 2 * time.Second
		get(4, nil)
		time.Sleep(90 * time.Second)
		get(4, nil)
		time.Sleep(20 * time.Second)
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Get(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("an asker that gave up: %v", err)
		}
		get(5, nil)
	})
}

// TestServe: it answers until its context ends; a request that was begun ends first, and nothing of it is left.
func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	begun := make(chan struct{})
	h := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { close(begun); <-r.Context().Done() })
	ln, err := health.Listen(ctx, "127.0.0.1:0", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := health.Listen(ctx, ln.Addr().String(), nil); err == nil {
		t.Error("the address was taken, and is not")
	}
	done, asked := make(chan error, 1), make(chan struct{})
	go func() { done <- health.Serve(ctx, ln, h) }()
	go func() {
		defer close(asked)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		if resp, err := client.Get("http://" + ln.Addr().String()); err == nil {
			resp.Body.Close()
		}
	}()
	<-begun
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	<-asked
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	if token, err := health.ReadToken(write("token", "  0123456789abcdef\n")); token != "0123456789abcdef" || err != nil {
		t.Errorf("token %q %v", token, err)
	}
	if _, err := health.ReadToken(write("short", "0123456789abcde\n")); !errors.Is(err, health.ErrShortToken) {
		t.Errorf("a short token: %v", err)
	}
	if token, err := health.ReadToken(""); token != "" || err != nil {
		t.Errorf("none: %q %v", token, err)
	}
	if _, err := health.ReadToken(filepath.Join(dir, "none")); err == nil {
		t.Error("a token that is not there")
	}
	server := httptest.NewUnstartedServer(nil)
	server.StartTLS()
	defer server.Close()
	later := write("some.pem", "-----BEGIN OTHER-----\nAAAA\n-----END OTHER-----\n")
	if at, err := health.CertificateFileExpiry(later); !at.IsZero() || err != nil {
		t.Errorf("no certificate in it: %v %v", at, err)
	}
	if _, err := health.CertificateFileExpiry(write("bad.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")); err == nil {
		t.Error("a certificate that is none")
	}
	if free, err := health.DiskFree(dir); err != nil || free == 0 {
		t.Errorf("free on this disk: %d %v", free, err)
	}
	if _, err := health.DiskFree(filepath.Join(dir, "none")); err == nil {
		t.Error("a disk that is not there")
	}
}
