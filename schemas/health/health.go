// Package health is the small HTTP server on which a broker or an agent says how it is:
//
//	GET /healthz   200 while the process is alive
//	GET /readyz    200 or 503, with a code for machines and a plain sentence for people, as JSON
//	GET /metrics   Prometheus' text format
//
// It knows nothing of brokers and agents: both hand it a Source. Nothing of a person may come out of it: labels are ids of
// agencies, lanes, urgencies, sinks, nodes, streams and codes; never the id of a message, a thread or a consent.
package health

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// State is whether a program can do its work now.
type State struct {
	Ready    bool   `json:"ready"`
	Code     string `json:"code"`     // "ready", or why not; its spelling never changes
	Sentence string `json:"sentence"` // for people
	// Attention are codes of what a person should look at and what is no reason to send the work elsewhere, because
	// elsewhere it would be no better.
	Attention []string `json:"attention,omitempty"`
}

// Source is the program that is asked. Both methods are called concurrently and end soon after their context does.
type Source interface {
	State(ctx context.Context) State
	// Measure hands over what is known now. What cannot be learned is left out: an old number would look like a new one.
	Measure(ctx context.Context, out Samples)
}

// Options are what a handler needs beside its Source.
type Options struct {
	// Token is what a scraper must show as a bearer token to read /metrics; empty: none is asked for.
	Token string
	// Certified says that clients check a certificate. Without one, only loopback and IP addresses are known as hosts.
	Certified bool
	// Program is "agent" or "broker".
	Program string
	Log     *slog.Logger
}

const (
	stateWithin   = 3 * time.Second
	measureWithin = 8 * time.Second // a scraper gives up after ten
	scrapesMost   = 4               // at a time
)

type server struct {
	source Source
	o      Options
	own    *prometheus.Registry // of the process itself
}

// New makes the handler.
func New(source Source, o Options) http.Handler {
	s := &server{source: source, o: o, own: prometheus.NewRegistry()}
	s.own.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build(o.Program))
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("GET /readyz", s.ready)
	turns := make(chan struct{}, scrapesMost)
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		select {
		case turns <- struct{}{}:
			defer func() { <-turns }()
			s.metrics(w, r)
		default:
			http.Error(w, "Too many scrapes at a time.", http.StatusServiceUnavailable)
		}
	})
	return s.guard(mux)
}

// guard keeps web pages out: a page that made its own name point to loopback would send that name, or its origin.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		if !s.o.Certified && !knownHost(r.Host) {
			http.Error(w, "This server is not addressed by that name.", http.StatusMisdirectedRequest)
			return
		}
		site := r.Header.Get("Sec-Fetch-Site")
		if r.Header.Get("Origin") != "" || site != "" && site != "none" {
			http.Error(w, "Web pages may not ask here.", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func knownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(strings.ToLower(host), "[]")
	return host == "localhost" || net.ParseIP(host) != nil
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), stateWithin)
	defer cancel()
	st := s.source.State(ctx)
	w.Header().Set("Content-Type", "application/json")
	if !st.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	_ = json.NewEncoder(w).Encode(st)
}

func (s *server) metrics(w http.ResponseWriter, r *http.Request) {
	if !s.allowed(r) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "Show the token of health.token_file.", http.StatusUnauthorized)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), measureWithin)
	defer cancel()
	// A registry of its own for each scrape, because a registered collector could not know the scrape's context.
	once := prometheus.NewRegistry()
	once.MustRegister(scrape{ctx, s.source})
	promhttp.HandlerFor(prometheus.Gatherers{s.own, once}, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
	}).ServeHTTP(w, r)
}

func (s *server) allowed(r *http.Request) bool {
	if s.o.Token == "" {
		return true
	}
	shown, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	// Of digests, so that not even the length can be learned from the time it takes.
	a, b := sha256.Sum256([]byte(shown)), sha256.Sum256([]byte(s.o.Token))
	return ok && subtle.ConstantTimeCompare(a[:], b[:]) == 1
}
