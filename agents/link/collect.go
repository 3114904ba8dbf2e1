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
	acksMax    = 16 // confirmations under way at once
	// succeedWait bounds how long mail is not fetched because the broker does not answer succeed.
	succeedWait = 2 * time.Second
	agents      = "agents" // the priority group, as the broker names it: mail goes to one agent of a pair at a time
)

// collect fetches one lane for ever and settles what it fetched.
func (l *Link) collect(ctx context.Context, js jetstream.JetStream, lane schemas.Lane) {
	l.succeed(ctx, js, lane)
	// One for all drains: it knows by which name the broker holds mail for us.
	var consumer jetstream.Consumer
	for ctx.Err() == nil {
		err := l.drain(ctx, js, lane, &consumer)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !errors.Is(err, jetstream.ErrNoHeartbeat) {
			l.log.Debug("mail not fetched, trying again", "stream", streams[lane], "code", reason(err))
		}
		sleep(ctx, retryAfter)
	}
}

// succeed asks the broker to hold mail no longer for the agent that worked before us: it died, or lost the lead. Without an
// answer the broker finds out by itself within seconds. Measured: from SIGKILL to the receipt 0.30 s with it, 4.0 s without
// (BenchmarkTakeover in package agents).
func (l *Link) succeed(ctx context.Context, js jetstream.JetStream, lane schemas.Lane) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	for !js.Conn().IsConnected() {
		if !sleep(ctx, 20*time.Millisecond) {
			return
		}
	}
	ask, done := context.WithTimeout(ctx, succeedWait)
	defer done()
	_, err := js.Conn().RequestWithContext(ask, "$JS.API.CONSUMER.UNPIN."+streams[lane]+"."+l.cfg.Agency, []byte(`{"group":"`+agents+`"}`))
	if err != nil && ctx.Err() == nil {
		l.log.Debug("broker not told that this agent works now", "stream", streams[lane], "code", reason(err))
	}
}

// heartbeat is how often the broker says that it still knows we are waiting. It forgets without a word when account claims
// change, which every publication of the directory may do: two missing heartbeats tell us, and until then what arrives lies
// there. An urgent referral must not; each heartbeat costs the broker one message per agency and lane.
var heartbeat = map[schemas.Lane]time.Duration{schemas.LaneUrgent: time.Second, schemas.LaneRoutine: 5 * time.Second, schemas.LaneReceipt: 5 * time.Second}

func (l *Link) drain(ctx context.Context, js jetstream.JetStream, lane schemas.Lane, consumer *jetstream.Consumer) error {
	if *consumer == nil {
		look, cancel := context.WithTimeout(ctx, ackWait)
		defer cancel()
		c, err := js.Consumer(look, streams[lane], l.cfg.Agency)
		if err != nil {
			return err
		}
		*consumer = c
	}
	beat := heartbeat[lane]
	iter, err := (*consumer).Messages(jetstream.PullPriorityGroup(agents), jetstream.PullMaxMessages(2*collectMax), jetstream.PullExpiry(3*beat), jetstream.PullHeartbeat(beat))
	if err != nil {
		return err
	}
	defer iter.Stop()
	ctx, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait() // after stop: a confirmation that is not there yet is given up, and the message comes again
	defer stop()
	fetched := make(chan jetstream.Msg, collectMax)
	failed := make(chan error, 1)
	wg.Add(1)
	go func() { defer wg.Done(); failed <- feed(ctx, iter, fetched) }()
	acks := make(chan struct{}, acksMax)
	for first := range fetched {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if lane == schemas.LaneUrgent {
			l.cfg.Store.Press()
		}
		began := time.Now()
		l.settle(ctx, lane, together(first, fetched, l.piece(lane, collectMax)), acks, &wg)
		if lane == schemas.LaneRoutine {
			l.cfg.Store.Rest(ctx, time.Since(began))
		}
	}
	return <-failed
}

// feed reads on while a batch is being settled, until an error; then it closes out.
func feed(ctx context.Context, iter jetstream.MessagesContext, out chan<- jetstream.Msg) error {
	defer close(out)
	for {
		m, err := iter.Next(jetstream.NextContext(ctx))
		if err != nil {
			return err
		}
		select {
		case out <- m:
		case <-ctx.Done():
			return ctx.Err() // not acknowledged: it comes again
		}
	}
}

// together takes what is there and waits for nothing: a message that comes alone is not held up, and what arrives while one
// batch is settled makes the next.
func together(first jetstream.Msg, fetched <-chan jetstream.Msg, most int) []jetstream.Msg {
	batch, size := []jetstream.Msg{first}, len(first.Data())
	for len(batch) < most && size < batchBytes {
		select {
		case m, ok := <-fetched:
			if !ok {
				return batch
			}
			batch, size = append(batch, m), size+len(m.Data())
		default:
			return batch
		}
	}
	return batch
}

// settle is the one place where an outcome becomes an ack or a nak. The last ack of a batch is confirmed ("double"), and with it
// those before it: they went over the same connection to the same consumer. One that is lost all the same means a redelivery,
// which intake recognises; it never means a loss. The next batch does not wait for the confirmation: it is awaited in a
// goroutine that wg counts, and as many of them at once as limit holds.
func (l *Link) settle(ctx context.Context, lane schemas.Lane, batch []jetstream.Msg, limit chan struct{}, wg *sync.WaitGroup) {
	in := make([]intake.Message, len(batch))
	for i, m := range batch {
		in[i] = intake.Message{Subject: m.Subject(), Data: m.Data()}
		if meta, err := m.Metadata(); err == nil {
			in[i].StreamSeq, in[i].Stored = meta.Sequence.Stream, meta.Timestamp
		}
	}
	verdicts := l.cfg.Handle(ctx, in)
	last := -1
	for i, v := range verdicts {
		switch v.Fate {
		case intake.Settled:
			if last >= 0 {
				if err := batch[last].Ack(); err != nil && ctx.Err() == nil {
					l.log.Debug("message not acknowledged; it will come again", "stream", streams[lane], "code", reason(err))
				}
			}
			last = i
		case intake.Later:
			l.rough()
			if err := batch[i].NakWithDelay(v.Delay); err != nil && ctx.Err() == nil {
				l.log.Debug("message not handed back; it will come again", "stream", streams[lane], "code", reason(err))
			}
		}
	}
	if last < 0 {
		return
	}
	wg.Add(1)
	limit <- struct{}{}
	go func() {
		defer func() { <-limit; wg.Done() }()
		ack, cancel := context.WithTimeout(ctx, ackWait)
		defer cancel()
		if err := batch[last].DoubleAck(ack); err != nil && ctx.Err() == nil {
			l.log.Debug("acknowledgement not confirmed; it will come again", "stream", streams[lane], "code", reason(err))
		}
	}()
}
