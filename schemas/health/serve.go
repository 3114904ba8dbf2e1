package health

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

const drainTimeout = 3 * time.Second

// Listen opens the address, with TLS if conf is not nil.
func Listen(ctx context.Context, address string, conf *tls.Config) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for health: %w", err)
	}
	if conf != nil {
		ln = tls.NewListener(ln, conf)
	}
	return ln, nil
}

// Serve answers on ln until ctx ends, ends requests under way, and returns when nothing of it runs any
// more. It closes ln. An error means that it ended by itself.
func Serve(ctx context.Context, ln net.Listener, h http.Handler) error {
	// Shutdown gives up after a while and Close does not wait: this does, for every request that was begun.
	var busy sync.RWMutex
	defer func() {
		busy.Lock() // to have had it is the purpose
		defer busy.Unlock()
	}()
	srv := &http.Server{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			busy.RLock()
			defer busy.RUnlock()
			if ctx.Err() == nil {
				h.ServeHTTP(w, r)
			}
		}),
		BaseContext:       func(net.Listener) context.Context { return ctx }, // what a scrape waits for ends with the program
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	select {
	case err := <-done:
		return fmt.Errorf("serve health: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	if err := srv.Shutdown(drain); err != nil {
		srv.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve health: %w", err)
	}
	return nil
}

// tokenLeast is the length below which a token could be guessed.
const tokenLeast = 16

// ErrShortToken: the token in the file is too short to be one.
var ErrShortToken = errors.New("holds fewer than 16 characters")

// ReadToken reads the bearer token in a file; empty without a path.
func ReadToken(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read health token: %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < tokenLeast {
		return "", ErrShortToken
	}
	return token, nil
}
