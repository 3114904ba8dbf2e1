package audit

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas/ledger"
)

// Names of a running broker's ledger; package notary documents them.
const (
	streamLedger      = "LEDGER"
	streamCheckpoints = "CHECKPOINTS"
	hashesHeader      = "Waypost-Hashes"
)

// Live reads the ledger of a running broker with an auditor's credentials, which can read it and nothing else. It is a
// [ledger.Source] of what was there when it was opened, and Follow goes on from there.
type Live struct {
	nc                   *nats.Conn
	js                   jetstream.JetStream
	records, checkpoints uint64 // last numbers when opened
}

// ErrUnreachable: no broker answers.
var ErrUnreachable = errors.New("broker cannot be reached")

// Open connects to a broker. credentials is a file that `waypost network init` made: keys/auditor.creds. ca names a PEM file
// with the broker's CA, or is empty.
func Open(ctx context.Context, url, credentials, ca string) (*Live, error) {
	o := []nats.Option{nats.UserCredentials(credentials), nats.CustomInboxPrefix("_INBOX_auditor"), nats.Name("waypost audit"), nats.Timeout(5 * time.Second), nats.MaxReconnects(10)}
	if ca != "" {
		o = append(o, nats.RootCAs(ca))
	}
	nc, err := nats.Connect(url, o...)
	if errors.Is(err, nats.ErrNoServers) || errors.Is(err, nats.ErrTimeout) {
		return nil, fmt.Errorf("open ledger: %w: %w", ErrUnreachable, err)
	}
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l, err := OpenConn(ctx, nc)
	if err != nil {
		nc.Close()
		return nil, err
	}
	return l, nil
}

// OpenConn is Open on a connection that the caller has and closes.
func OpenConn(ctx context.Context, nc *nats.Conn) (*Live, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	l := &Live{nc: nc, js: js}
	// Checkpoints first: records that come meanwhile are then more than the checkpoints speak of, never fewer.
	if l.checkpoints, err = l.last(ctx, streamCheckpoints, "checkpoint.>"); err == nil {
		l.records, err = l.last(ctx, streamLedger, "ledger.>")
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Close ends the connection that Open made.
func (l *Live) Close() { l.nc.Close() }

// Size is the number of records when it was opened.
func (l *Live) Size() int64 { return int64(l.records) } //nolint:gosec // a count

func (l *Live) last(ctx context.Context, stream, subjects string) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	m, err := l.nc.RequestWithContext(ctx, "$JS.API.DIRECT.GET."+stream, []byte(`{"last_by_subj":"`+subjects+`"}`))
	if errors.Is(err, nats.ErrNoResponders) {
		return 0, fmt.Errorf("read end of %s: the broker keeps no ledger", stream)
	}
	if err != nil {
		return 0, fmt.Errorf("read end of %s: %w", stream, err)
	}
	if m.Header.Get("Status") == "404" {
		return 0, nil
	}
	var seq uint64
	if _, err := fmt.Sscanf(m.Header.Get(jetstream.SequenceHeader), "%d", &seq); err != nil {
		return 0, fmt.Errorf("read end of %s: no number in the answer", stream)
	}
	return seq, nil
}

const batch = 1000

// batches yields messages from..to of a stream in order, without regard to holes.
func (l *Live) batches(ctx context.Context, stream string, from, to uint64) iter.Seq2[*jetstream.RawStreamMsg, error] {
	return func(yield func(*jetstream.RawStreamMsg, error) bool) {
		for from <= to && ctx.Err() == nil {
			seq, err := jetstreamext.GetBatch(ctx, l.js, stream, batch, jetstreamext.GetBatchSeq(from), jetstreamext.GetBatchMaxBytes(4<<20))
			if err != nil {
				yield(nil, fmt.Errorf("read %s: %w", stream, err))
				return
			}
			before := from
			for m, err := range seq {
				if errors.Is(err, jetstreamext.ErrNoMessages) {
					return
				}
				if err != nil {
					yield(nil, fmt.Errorf("read %s: %w", stream, err))
					return
				}
				if m.Sequence > to {
					return
				}
				from = m.Sequence + 1
				if !yield(m, nil) {
					return
				}
			}
			if from == before {
				yield(nil, fmt.Errorf("read %s: the broker does not answer", stream))
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(nil, err)
		}
	}
}

func stored(m *jetstream.RawStreamMsg) ledger.Stored {
	hashes, err := ledger.DecodeHashes(m.Header.Get(hashesHeader))
	if err != nil {
		hashes = []tlog.Hash{} // not nil: an audit must see that they are wrong
	}
	return ledger.Stored{Index: int64(m.Sequence) - 1, Raw: m.Data, Hashes: hashes} //nolint:gosec // a number of a message
}

// Records implements ledger.Source.
func (l *Live) Records(ctx context.Context) iter.Seq2[ledger.Stored, error] {
	return func(yield func(ledger.Stored, error) bool) {
		for m, err := range l.batches(ctx, streamLedger, 1, l.records) {
			if err != nil {
				yield(ledger.Stored{}, err)
				return
			}
			if !yield(stored(m), nil) {
				return
			}
		}
	}
}

// Checkpoints implements ledger.Source.
func (l *Live) Checkpoints(ctx context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for m, err := range l.batches(ctx, streamCheckpoints, 1, l.checkpoints) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(m.Data, nil) {
				return
			}
		}
	}
}

// followEvery is how often Follow looks for new records.
const followEvery = 500 * time.Millisecond

// Follow yields records from a number on as they are recorded, until ctx ends.
func (l *Live) Follow(ctx context.Context, from int64) iter.Seq2[ledger.Stored, error] {
	return func(yield func(ledger.Stored, error) bool) {
		tick := time.NewTicker(followEvery)
		defer tick.Stop()
		for {
			end, err := l.last(ctx, streamLedger, "ledger.>")
			if err != nil && ctx.Err() == nil && !l.nc.IsReconnecting() {
				yield(ledger.Stored{}, err)
				return
			}
			for m, err := range l.batches(ctx, streamLedger, uint64(from)+1, end) { //nolint:gosec // not negative
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					yield(ledger.Stored{}, err)
					return
				}
				from = int64(m.Sequence) //nolint:gosec // a number of a message
				if !yield(stored(m), nil) {
					return
				}
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	}
}
