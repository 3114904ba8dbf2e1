package link

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/agents/intake"
	"waypost/schemas"
)

const (
	collectMax = 64 // messages decided in one transaction
	acksMax    = 16 // double acks under way at once
)

// collect fetches one lane for ever and settles what it fetched.
func (l *Link) collect(ctx context.Context, js jetstream.JetStream, lane schemas.Lane) {
	for ctx.Err() == nil {
		err := l.drain(ctx, js, lane)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, jetstream.ErrNoHeartbeat) {
			l.log.Debug("mail not fetched, trying again", "stream", streams[lane], "code", reason(err))
		}
		sleep(ctx, retryAfter)
	}
}

// heartbeat is how often the broker says that it still knows we are waiting. It forgets without a word when account claims
// change, which every publication of the directory may do: two missing heartbeats tell us, and until then what arrives lies
// there. An urgent referral must not; each heartbeat costs the broker one message per agency and lane.
var heartbeat = map[schemas.Lane]time.Duration{schemas.LaneUrgent: time.Second, schemas.LaneRoutine: 5 * time.Second, schemas.LaneReceipt: 5 * time.Second}

func (l *Link) drain(ctx context.Context, js jetstream.JetStream, lane schemas.Lane) error {
	look, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	consumer, err := js.Consumer(look, streams[lane], l.cfg.Agency)
	if err != nil {
		return err
	}
	beat := heartbeat[lane]
	iter, err := consumer.Messages(jetstream.PullMaxMessages(2*collectMax), jetstream.PullExpiry(3*beat), jetstream.PullHeartbeat(beat))
	if err != nil {
		return err
	}
	defer iter.Stop()
	for {
		first, err := iter.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		batch := []jetstream.Msg{first}
		size := len(first.Data())
		for len(batch) < collectMax && size < batchBytes {
			more, err := iter.Next(jetstream.NextMaxWait(time.Millisecond))
			if err != nil {
				break
			}
			batch, size = append(batch, more), size+len(more.Data())
		}
		l.settle(ctx, lane, batch)
	}
}

// settle is the one place where an outcome becomes an ack or a nak. Acks are confirmed ("double"): an unconfirmed one that
// is lost means a redelivery, which intake recognises; it never means a loss.
func (l *Link) settle(ctx context.Context, lane schemas.Lane, batch []jetstream.Msg) {
	in := make([]intake.Message, len(batch))
	for i, m := range batch {
		in[i] = intake.Message{Subject: m.Subject(), Data: m.Data()}
		if meta, err := m.Metadata(); err == nil {
			in[i].StreamSeq, in[i].Stored = meta.Sequence.Stream, meta.Timestamp
		}
	}
	verdicts := l.cfg.Handle(ctx, in)
	var wg sync.WaitGroup
	limit := make(chan struct{}, acksMax)
	for i, v := range verdicts {
		wg.Add(1)
		limit <- struct{}{}
		go func() {
			defer func() { <-limit; wg.Done() }()
			switch v.Fate {
			case intake.Settled:
				ack, cancel := context.WithTimeout(ctx, ackWait)
				defer cancel()
				if err := batch[i].DoubleAck(ack); err != nil && ctx.Err() == nil {
					l.log.Debug("acknowledgement not confirmed; it will come again", "stream", streams[lane], "code", reason(err))
				}
			case intake.Later:
				l.rough()
				if err := batch[i].NakWithDelay(v.Delay); err != nil && ctx.Err() == nil {
					l.log.Debug("message not handed back; it will come again", "stream", streams[lane], "code", reason(err))
				}
			}
		}()
	}
	wg.Wait()
}
