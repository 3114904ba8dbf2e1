package link

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"waypost/agents/store"
	"waypost/schemas"
)

const (
	ackWait    = 10 * time.Second
	retryAfter = time.Second
	holdFor    = 30 * time.Second
	batchBytes = 8 << 20
	// batchLeast is from how many messages on one atomic batch, which shares one fsync, costs less than to publish them one by
	// one: for each the server makes a folder with files, syncs them and deletes them (BenchmarkPublish).
	batchLeast = 6
	// gatherFor is how many times as long as a batch took the next one gathers, gatherMost at the longest: so there are few and
	// large ones, the more so the slower the disk is.
	gatherFor    = 3
	gatherMost   = 200 * time.Millisecond
	noteWithin   = 30 * time.Second
	inProcess    = 10158 // a message of this id was taken by a leader before it was one no longer
	refusedStore = 10077 // the stream refused to store: with our limits, the quota of a pair
)

// publish drains one lane of the outbox in order, for ever. A message leaves the outbox's pending state only after the
// broker said it is on disk. When that word is lost the message is published again: the broker recognises it by its id
// for two minutes, the recipient for ever.
func (l *Link) publish(ctx context.Context, js jetstream.JetStream, lane schemas.Lane) {
	held := map[string]time.Time{}
	woken := l.cfg.Store.Woken(store.Topic("outbox-" + string(lane)))
	noter := &noter{link: l, lane: lane, nc: js.Conn()}
	defer noter.wait()
	for ctx.Err() == nil {
		if !noter.look() {
			sleep(ctx, retryAfter)
		}
		var except []string
		next := 30 * time.Second
		for peer, until := range held {
			if left := until.Sub(l.cfg.Now()); left <= 0 {
				delete(held, peer)
			} else {
				except, next = append(except, peer), min(next, left)
			}
		}
		// Before the outbox is read: what a restored broker lost is put back into it first.
		dial := js.Conn().Stats().Reconnects // before it is asked about: a later connection is not settled by that
		if !js.Conn().IsConnected() || !l.isSettled(ctx, js.Conn()) {
			sleep(ctx, 200*time.Millisecond)
			continue
		}
		noter.dial = dial
		pending, err := l.cfg.Store.PendingOutgoing(ctx, lane, l.piece(lane, l.cfg.BatchMax)+len(noter.under), except)
		if err != nil {
			if ctx.Err() == nil {
				l.log.Error("outbox not readable", "lane", string(lane), "err", err)
			}
			sleep(ctx, retryAfter)
			continue
		}
		if pending = noter.left(pending); len(pending) == 0 {
			t := time.NewTimer(next)
			select {
			case well := <-noter.done:
				if !noter.ended(well) {
					sleep(ctx, retryAfter)
				}
			case <-woken:
			case <-t.C:
			case <-ctx.Done():
			}
			t.Stop()
			continue
		}
		if !js.Conn().IsConnected() || js.Conn().Stats().Reconnects != noter.dial {
			continue
		}
		began := time.Now()
		if !l.send(ctx, js, lane, pending, held, noter) {
			sleep(ctx, retryAfter)
			continue
		}
		if lane == schemas.LaneRoutine {
			l.cfg.Store.Rest(ctx, time.Since(began))
		}
		if len(pending) >= batchLeast && len(pending) < l.cfg.BatchMax && lane != schemas.LaneUrgent && !l.cfg.Store.Pressed() {
			sleep(ctx, min(gatherFor*time.Since(began), gatherMost))
		}
	}
}

// send publishes what fits into one batch. false asks for a pause before the next try.
func (l *Link) send(ctx context.Context, js jetstream.JetStream, lane schemas.Lane, pending []*store.Outgoing, held map[string]time.Time, noter *noter) bool {
	size := 0
	for i, o := range pending {
		size += len(o.Note) + len(o.Body)
		if i > 0 && size > batchBytes {
			pending = pending[:i]
			break
		}
	}
	if len(pending) >= batchLeast {
		if last, err := l.batch(ctx, js, lane, pending); err == nil {
			seqs := make([]uint64, len(pending))
			for i := range seqs {
				seqs[i] = last - uint64(len(pending)-1-i)
			}
			return noter.note(ctx, pending, seqs)
		} else if ctx.Err() != nil {
			return false
		}
		// Refused or unknown: a single publish per message tells which, and the ids make a repeat harmless.
	}
	// Several of one pair stay in order: after a failure the rest of that pair waits. What was stored is noted together at the
	// end: should we die before that, the broker and the recipient know it again by its id.
	var stored []*store.Outgoing
	var seqs []uint64
	for _, o := range pending {
		if _, waits := held[o.Manifest.To]; waits {
			continue
		}
		ack, err := l.one(ctx, js, lane, o)
		if err == nil {
			stored, seqs = append(stored, o), append(seqs, ack.Sequence)
		}
		if len(stored) == batchLeast || err != nil {
			if !noter.note(ctx, stored, seqs) {
				return false
			}
			stored, seqs = nil, nil
		}
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return false
		}
		code := ""
		var api *jetstream.APIError
		switch {
		case !errors.As(err, &api):
		case api.ErrorCode == refusedStore:
			code = "quota"
		case api.ErrorCode == inProcess, api.Code == http.StatusServiceUnavailable:
			// A cluster that has just changed its leader: it does not know yet whether it has this message.
		default:
			code = "broker-refused"
		}
		if code == "" {
			return false // no answer: the connection or the cluster is the trouble, not the message
		}
		held[o.Manifest.To] = l.cfg.Now().Add(holdFor)
		l.log.Warn("broker does not take more for this agency now", "code", code, "peer", o.Manifest.To, "lane", string(lane), "message", o.Manifest.ID)
		if err := l.cfg.Store.Update(ctx, func(tx *store.Tx) error { return tx.Hold(o.Manifest.To, lane, code) }); err != nil {
			return false
		}
	}
	return noter.note(ctx, stored, seqs)
}

func (l *Link) message(o *store.Outgoing) *nats.Msg {
	msg := nats.NewMsg("mail." + string(o.Manifest.Lane) + "." + o.Manifest.To + "." + l.cfg.Agency)
	id := o.Manifest.ID
	if o.Manifest.Void() {
		// Nobody knows whether what is taken back was stored after all, its acknowledgement lost. Then both are, and the
		// recipient decides: to be told "a duplicate" would make us believe that it never left.
		id += ".void"
	}
	msg.Header.Set(jetstream.MsgIDHeader, id)
	msg.Data = o.Raw()
	return msg
}

func (l *Link) batch(ctx context.Context, js jetstream.JetStream, lane schemas.Lane, pending []*store.Outgoing) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	msgs := make([]*nats.Msg, len(pending))
	for i, o := range pending {
		msgs[i] = l.message(o)
	}
	msgs[0].Header.Set(jetstream.ExpectedStreamHeader, streams[lane])
	ack, err := jetstreamext.PublishMsgBatch(ctx, js, msgs)
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (l *Link) one(ctx context.Context, js jetstream.JetStream, lane schemas.Lane, o *store.Outgoing) (*jetstream.PubAck, error) {
	ctx, cancel := context.WithTimeout(ctx, ackWait)
	defer cancel()
	return js.PublishMsg(ctx, l.message(o), jetstream.WithExpectStream(streams[lane]), jetstream.WithRetryAttempts(0))
}

func (l *Link) published(ctx context.Context, lane schemas.Lane, sent []*store.Outgoing, seqs []uint64) bool {
	update := l.cfg.Store.UpdateAhead // its receipt is on the way
	if lane == schemas.LaneUrgent {
		update = l.cfg.Store.UpdateUrgent
	}
	// Also when the agent is being stopped: what has left is not to be sent a second time after the next start.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), noteWithin)
	defer cancel()
	err := update(ctx, func(tx *store.Tx) error { return tx.Published(sent, seqs, l.cfg.Now()) })
	if err != nil && ctx.Err() == nil {
		l.log.Error("published, but not noted; will publish again", "err", err)
	}
	return err == nil
}
