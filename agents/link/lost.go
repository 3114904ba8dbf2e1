package link

import (
	"errors"
	"time"

	"github.com/nats-io/nats.go"
)

// Lost says since when the broker has not been reachable; the zero time while it is.
func (l *Link) Lost() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.nc != nil && l.nc.IsConnected():
		return time.Time{}
	case l.lost.IsZero():
		return l.cfg.Now() // this very moment: the handler has not run yet
	}
	return l.lost
}

// CertificateEnds says when the first of the certificates ends that the broker showed when we connected. False while
// nobody is there to show one; the zero time for a broker without TLS.
func (l *Link) CertificateEnds() (first time.Time, known bool) {
	l.mu.Lock()
	nc := l.nc
	l.mu.Unlock()
	if nc == nil || !nc.IsConnected() {
		return time.Time{}, false
	}
	state, err := nc.TLSConnectionState()
	if err != nil {
		return time.Time{}, errors.Is(err, nats.ErrConnectionNotTLS)
	}
	for _, c := range state.PeerCertificates {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first, true
}
