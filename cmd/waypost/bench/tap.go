package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
)

// tap hears every acknowledgement that an agent gives the broker. An agent acknowledges a message when it is in its store, so
// this is the moment at which inbox row or receipt row is on disk, to the microsecond and without a line in the product. It
// costs the broker one small copy per message.
type tap struct {
	nc *nats.Conn
	js jetstream.JetStream

	mu       sync.Mutex
	at       map[string][]int64 // stream → by sequence, when the first ack was heard, in Unix nanoseconds
	receipts int
	changed  chan struct{} // closed and replaced when receipts moves
}

func (w *world) listen() (*tap, error) {
	creds, err := w.authority.IssueAdministrator("bench")
	if err != nil {
		return nil, err
	}
	t := &tap{at: map[string][]int64{}, changed: make(chan struct{})}
	if t.nc, err = nats.Connect(w.url, nats.UserCredentialBytes(creds), nats.Name("waypost bench")); err != nil {
		return nil, fmt.Errorf("connect to broker: %w", err)
	}
	if t.js, err = jetstream.New(t.nc); err != nil {
		t.nc.Close()
		return nil, fmt.Errorf("connect to broker: %w", err)
	}
	sub, err := t.nc.Subscribe("$JS.ACK.>", t.heard)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err == nil {
		err = t.nc.Flush()
	}
	if err != nil {
		t.nc.Close()
		return nil, fmt.Errorf("listen to acknowledgements: %w", err)
	}
	return t, nil
}

func (t *tap) heard(m *nats.Msg) {
	now := time.Now().UnixNano()
	if len(m.Data) > 0 && !strings.HasPrefix(string(m.Data), "+ACK") {
		return // handed back, or work in progress
	}
	stream, seq := acked(m.Subject)
	if stream == "" {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	times := t.at[stream]
	for len(times) <= seq {
		times = append(times, make([]int64, max(1024, len(times)))...)
	}
	t.at[stream] = times
	if times[seq] != 0 {
		return // a repeat
	}
	times[seq] = now
	if stream == broker.StreamReceipt {
		t.receipts++
		close(t.changed)
		t.changed = make(chan struct{})
	}
}

// acked reads stream and sequence out of an acknowledgement's subject, in either shape:
// $JS.ACK.<stream>.<consumer>.<delivered>.<sequence>… or $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sequence>…
func acked(subject string) (stream string, seq int) {
	parts := strings.Split(subject, ".")
	for _, i := range []int{2, 4} {
		if len(parts) > i+3 && strings.HasPrefix(parts[i], "MAIL_") {
			n, err := strconv.Atoi(parts[i+3])
			if err != nil || n < 1 || n > 1<<31 {
				return "", 0
			}
			return parts[i], n
		}
	}
	return "", 0
}

// errStalled: no receipt came for a long time, so some never will.
var errStalled = errors.New("no receipt has come back for a minute; --verbose shows the logs")

// wait returns when so many receipts are in their senders' stores.
func (t *tap) wait(ctx context.Context, want int, done func(int)) error {
	patience := time.NewTimer(time.Minute)
	defer patience.Stop()
	for {
		t.mu.Lock()
		n, changed := t.receipts, t.changed
		t.mu.Unlock()
		if done != nil {
			done(n)
		}
		if n >= want {
			return nil
		}
		select {
		case <-changed:
			patience.Reset(time.Minute)
		case <-patience.C:
			return errStalled
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *tap) heardAt(stream string, seq uint64) int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if times := t.at[stream]; seq < uint64(len(times)) {
		return times[seq]
	}
	return 0
}

func (t *tap) close() { t.nc.Close() }

// stored is how many messages lie in the broker's two lanes for messages.
func (t *tap) stored(ctx context.Context) (uint64, error) {
	var n uint64
	for _, s := range []string{broker.StreamUrgent, broker.StreamRoutine} {
		stream, err := t.js.Stream(ctx, s)
		if err != nil {
			return 0, fmt.Errorf("open stream: %w", err)
		}
		n += stream.CachedInfo().State.Msgs
	}
	return n, nil
}
