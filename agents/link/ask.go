package link

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"waypost/schemas/ledger"
)

// Refusal is what the ledger's services answer when they do not give what was asked for. Code is one of package ledger's
// Service codes.
type Refusal struct{ Code string }

func (r *Refusal) Error() string { return "ledger answered " + r.Code }

// ErrOffline: the broker is not reachable, so nothing can be said about it.
var ErrOffline = errors.New("not connected to broker")

// Ask asks one of the ledger's services. ErrOffline when we are not connected; a *Refusal when it refuses; any other error
// means that it did not answer.
func (l *Link) Ask(ctx context.Context, verb string, request []byte) ([]byte, error) {
	l.mu.Lock()
	nc := l.nc
	l.mu.Unlock()
	if nc == nil || !nc.IsConnected() {
		return nil, ErrOffline
	}
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, ledger.ServiceSubject(verb, l.cfg.Agency), request)
	if err != nil {
		if !nc.IsConnected() {
			return nil, ErrOffline
		}
		if errors.Is(err, nats.ErrNoResponders) {
			return nil, &Refusal{Code: ledger.ServiceDown}
		}
		return nil, fmt.Errorf("ask ledger: %w", err)
	}
	if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
		return nil, &Refusal{Code: code}
	}
	return m.Data, nil
}

// Since says since when the connection has stood without a break, and our own work without trouble: what came late in that
// time was held back by somebody else. The zero time when it does not stand.
func (l *Link) Since() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nc == nil || !l.nc.IsConnected() {
		return time.Time{}
	}
	return l.smooth
}

// rough notes that messages were late by our own doing, or that the connection began anew.
func (l *Link) rough() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.smooth = l.cfg.Now()
}
