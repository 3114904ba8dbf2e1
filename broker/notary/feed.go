package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"waypost/schemas/ledger"
)

// ConsumerPrefix begins the names of the consumers with which a notary reads. They are made anew at each start and hold no
// position: that is in the ledger itself.
const ConsumerPrefix = "notary"

// pump reads one stream from a number on and makes records of it, until ctx ends.
func (n *Notary) pump(ctx context.Context, stream string, from uint64, out chan<- *ledger.Record) error {
	// A name of its own each time: one that is known would be taken up where another session, or another notary, left it.
	name := ConsumerPrefix + "-" + nuid.Next()
	c, err := n.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: from, NamePrefix: name,
		InactiveThreshold: 30 * time.Second, MaxResetAttempts: 3,
	})
	if err != nil {
		return fmt.Errorf("follow %s: %w", stream, err)
	}
	// A bound in bytes alone makes the client set up, and the garbage collector search, room for a million messages: 8 MB for
	// each stream. Few are asked for at once, because each may be as large as the streams take.
	iter, err := c.Messages(jetstream.PullMaxMessagesWithBytesLimit(64, 4<<20))
	if err != nil {
		return fmt.Errorf("follow %s: %w", stream, err)
	}
	defer iter.Stop()
	for {
		m, err := iter.Next(jetstream.NextContext(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue // an ordered consumer mends itself
		}
		if err != nil {
			return fmt.Errorf("follow %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("follow %s: %w", stream, err)
		}
		r := ledger.Message(stream, meta.Sequence.Stream, meta.Timestamp, m.Subject(), m.Data())
		select {
		case out <- r:
		case <-ctx.Done():
			return nil
		}
	}
}

// queues hold what was read and not recorded, one queue a stream.
type queues [4][]*ledger.Record

func (q *queues) push(r *ledger.Record) {
	i := indexOf(r.Stream)
	q[i] = append(q[i], r)
}

func (q *queues) size() int { return len(q[0]) + len(q[1]) + len(q[2]) + len(q[3]) }

func (q *queues) mail() bool { return len(q[1])+len(q[2])+len(q[3]) > 0 }

// reach is how far the directory has been read.
func (q *queues) reach(at positions) uint64 {
	if n := len(q[0]); n > 0 {
		return max(at[0], q[0][n-1].Seq)
	}
	return at[0]
}

// take removes the next batch: always the head with the earliest time, so that streams are merged as things happened and
// each stays in its own order, even when the clock went back. Holes become gap records; what is recorded already (a second
// reading after a failure) is left out.
func (q *queues) take(at positions) []*ledger.Record {
	var out []*ledger.Record
	size := 0
	for len(out) < maxBatch && size < maxBatchBytes {
		best := -1
		for i := range q {
			for len(q[i]) > 0 && q[i][0].Seq <= at[i] {
				q[i] = q[i][1:]
			}
			if len(q[i]) > 0 && (best < 0 || q[i][0].Time.Before(q[best][0].Time)) {
				best = i
			}
		}
		if best < 0 {
			break
		}
		r := q[best][0]
		q[best] = q[best][1:]
		if r.Seq > at[best]+1 {
			out = append(out, gap(r.Stream, at[best]+1, r.Seq-1, r.Time))
		}
		at[best] = r.Seq
		size += len(r.Note) + 256
		out = append(out, r)
	}
	return out
}

func gap(stream string, from, to uint64, at time.Time) *ledger.Record {
	return &ledger.Record{Kind: ledger.KindGap, Stream: stream, Seq: from, Last: min(to, seqMax), Time: at}
}
