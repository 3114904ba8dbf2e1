// Package api is an agent's local HTTP API: what the agency's own systems and the command line use. It is a thin layer over
// Service: it authenticates, decodes strictly, and turns refusals into problem documents (RFC 9457) that name fields and
// rules and never values.
//
// It is made for machines on the same host or network as the agent. Browsers are kept out: requests from web pages and
// with foreign Host headers are refused.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"waypost/schemas"
)

// Scopes of a token. A token has those it was given, and no scope implies another.
const (
	ScopeSend    = "send"
	ScopeRespond = "respond"
	ScopeRead    = "read"
	ScopeAdmin   = "admin"
	ScopeCustody = "custody"
)

// Scopes lists all scopes.
func Scopes() []string { return []string{ScopeSend, ScopeRespond, ScopeRead, ScopeAdmin, ScopeCustody} }

// Options are what the API needs beside its Service.
type Options struct {
	Log *slog.Logger
	// Hosts are names under which the API may be addressed beside loopback and IP addresses.
	Hosts []string
	// Standby says that another agent of the agency works: reads are answered, everything else is refused. Nil: never.
	Standby func() bool
}

const (
	bodyTimeout  = 30 * time.Second
	drainTimeout = 10 * time.Second
)

type server struct {
	service Service
	log     *slog.Logger
	hosts   map[string]bool
	standby func() bool
	huma    huma.API
	spec    []byte
}

// New makes the handler.
func New(service Service, o Options) http.Handler {
	s := &server{service: service, log: o.Log, hosts: map[string]bool{"localhost": true}}
	for _, h := range o.Hosts {
		s.hosts[strings.ToLower(h)] = true
	}
	if s.standby = o.Standby; s.standby == nil {
		s.standby = func() bool { return false }
	}
	mux := http.NewServeMux()
	config := huma.DefaultConfig("Waypost agent", "1")
	config.Info.Description = "Submit referrals and answers, read what came, see how far each message has got. A 202 means that the message is sealed, signed and on this agent's disk; nothing more."
	config.DocsPath = ""     // its page loads scripts from elsewhere
	config.SchemasPath = ""  // the schemas are in the description itself
	config.CreateHooks = nil // no $schema links in answers
	config.OpenAPIPath = ""  // served below, with the payloads' own JSON Schemas
	config.Formats = map[string]huma.Format{"application/json": format, "json": format}
	config.DefaultFormat = "application/json"
	config.RejectUnknownQueryParameters = true
	config.Transformers = []huma.Transformer{problemTransformer}
	config.Components.SecuritySchemes = map[string]*huma.SecurityScheme{"token": {Type: "http", Scheme: "bearer", Description: "made by `waypost agent token add`"}}
	s.huma = humago.New(mux, config)
	s.huma.UseMiddleware(s.authenticate)
	s.routes()
	s.spec = s.description()
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.spec)
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("ok\n"))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		if methods := allowed(mux, r); len(methods) > 0 {
			w.Header().Set("Allow", strings.Join(methods, ", "))
			writeProblem(w, &Error{Status: http.StatusMethodNotAllowed, Code: "method-not-allowed", Sentence: "This address does not take that method.", Hint: "GET /openapi.json describes the API."})
			return
		}
		writeProblem(w, noSuchPath())
	})
	return s.guard(mux)
}

// Serve answers on ln until ctx ends, then lets requests under way finish.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	srv := &http.Server{
		Handler: h, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * bodyTimeout, WriteTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve API: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve API: %w", err)
	}
	return nil
}

// guard keeps browsers out and sets headers that hold for every answer.
func (s *server) guard(next http.Handler) http.Handler {
	cross := http.NewCrossOriginProtection()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		defer func() {
			if p := recover(); p != nil {
				// The panic's value may hold payload: the stack, which holds none, goes to the log alone.
				s.log.Error("request ended in a panic", "code", "internal", "path", route(r), "stack", string(debug.Stack()))
				writeProblem(w, &Error{Status: http.StatusInternalServerError, Code: "internal", Sentence: "Something went wrong inside the agent.", Hint: "Its log has an entry."})
			}
		}()
		// DNS rebinding: a page that made its own name point here would send that name.
		if !s.knownHost(r.Host) {
			writeProblem(w, &Error{Status: http.StatusMisdirectedRequest, Code: "unknown-host", Sentence: "This API is not addressed by that name."})
			return
		}
		// The check of net/http lets pages read with GET; here they may not even learn that there is an agent.
		site := r.Header.Get("Sec-Fetch-Site")
		if cross.Check(r) != nil || r.Header.Get("Origin") != "" || site != "" && site != "none" {
			writeProblem(w, &Error{Status: http.StatusForbidden, Code: "browser-refused", Sentence: "Web pages may not use this API."})
			return
		}
		if r.ContentLength > schemas.MaxDocument {
			writeProblem(w, tooLarge())
			return
		}
		// A body read as something else than its sender says it is must not be acted on.
		if e := r.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
			writeProblem(w, &Error{Status: http.StatusUnsupportedMediaType, Code: "unsupported-encoding", Sentence: "The body must not be compressed.", Hint: "Leave Content-Encoding out."})
			return
		}
		// The mux would redirect to the tidied path, in a page that repeats it.
		if !strings.HasPrefix(r.URL.Path, "/") || path.Clean(r.URL.Path) != r.URL.Path {
			writeProblem(w, noSuchPath())
			return
		}
		next.ServeHTTP(w, r)
	})
}

// allowed lists the methods that the address of a request takes. The mux does not say, because "/" takes them all.
func allowed(mux *http.ServeMux, r *http.Request) (methods []string) {
	for _, m := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		try := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(try); pattern != "/" {
			methods = append(methods, m)
		}
	}
	return methods
}

func noSuchPath() *Error {
	return &Error{Status: http.StatusNotFound, Code: "no-such-path", Sentence: "There is nothing at this address.", Hint: "GET /openapi.json describes the API."}
}

func route(r *http.Request) string {
	if r.Pattern != "" {
		return r.Pattern
	}
	return "unmatched"
}

func (s *server) knownHost(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.Trim(strings.ToLower(name), "[]")
	return net.ParseIP(name) != nil || s.hosts[name]
}
