package main

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// hookReceiver is the NGO's own intake system in the demo: a webhook that believes only what is signed (Standard Webhooks).
type hookReceiver struct {
	url        string
	secretFile string

	mu   sync.Mutex
	seen map[string]bool // webhook-id
}

func startHook(ctx context.Context, n *demoNetwork, secretFile string) (*hookReceiver, error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make webhook secret: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(secretFile), 0o700); err != nil {
		return nil, fmt.Errorf("make demo folder: %w", err)
	}
	if err := os.WriteFile(secretFile, []byte("whsec_"+base64.StdEncoding.EncodeToString(secret)+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("write webhook secret: %w", err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for webhook: %w", err)
	}
	h := &hookReceiver{url: "http://" + ln.Addr().String() + "/waypost", secretFile: secretFile, seen: map[string]bool{}}
	srv := &http.Server{Handler: h.handler(secret), ReadHeaderTimeout: 10 * time.Second}
	n.run(func() error {
		if err := srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	n.run(func() error {
		<-ctx.Done()
		return srv.Close()
	})
	return h, nil
}

func (h *hookReceiver) handler(secret []byte) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, 4<<20))
		id := r.Header.Get("webhook-id")
		if err != nil || !signed(secret, id, r.Header.Get("webhook-timestamp"), r.Header.Get("webhook-signature"), body) {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		h.mu.Lock()
		h.seen[id] = true
		h.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})
}

func signed(secret []byte, id, at, signatures string, body []byte) bool {
	mac := hmac.New(sha256.New, secret)
	fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
	want := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	for _, s := range strings.Fields(signatures) {
		if v, ok := strings.CutPrefix(s, "v1,"); ok && hmac.Equal([]byte(v), []byte(want)) {
			return true
		}
	}
	return false
}

func (h *hookReceiver) got(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for seen := range h.seen {
		if seen == id || strings.HasPrefix(seen, id) {
			return true
		}
	}
	return false
}
