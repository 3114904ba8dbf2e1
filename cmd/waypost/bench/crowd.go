package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/schemas"
)

// attend connects a member and lets it wait for mail in every lane as an agent does, with the same heartbeats, so that the
// broker carries as many waiting members as the network has.
func (w *world) attend(ctx context.Context, b *bystander) error {
	token, err := w.bulk.user(b.id, b.req.NATSKey)
	if err != nil {
		return err
	}
	nc, err := nats.Connect(w.url, nats.UserJWT(func() (string, error) { return token, nil }, b.user.Sign), nats.CustomInboxPrefix("_INBOX_"+b.id), nats.Name(b.id), nats.Timeout(startWait))
	if err != nil {
		return fmt.Errorf("connect %s: %w", b.id, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("connect %s: %w", b.id, err)
	}
	for _, lane := range schemas.Lanes() {
		beat := 5 * time.Second
		if lane == "urgent" {
			beat = time.Second
		}
		w.crowd.Add(1)
		go func() {
			defer w.crowd.Done()
			for ctx.Err() == nil {
				waitForMail(ctx, js, broker.Stream(lane), b.id, beat, w.onMail)
			}
			nc.Close()
		}()
	}
	return nil
}

// waitForMail returns when the wait broke off. What comes is acknowledged and forgotten.
func waitForMail(ctx context.Context, js jetstream.JetStream, stream, id string, beat time.Duration, got func()) {
	consumer, err := js.Consumer(ctx, stream, id)
	if err != nil {
		return
	}
	iter, err := consumer.Messages(jetstream.PullPriorityGroup(broker.Agents), jetstream.PullMaxMessages(128), jetstream.PullExpiry(3*beat), jetstream.PullHeartbeat(beat))
	if err != nil {
		return
	}
	defer iter.Stop()
	for {
		m, err := iter.Next(jetstream.NextContext(ctx))
		if errors.Is(err, jetstream.ErrNoHeartbeat) {
			continue
		}
		if err != nil {
			return
		}
		if m.Ack() == nil && got != nil {
			got()
		}
	}
}

func randomHex() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails since Go 1.24; it ends the process instead
	return hex.EncodeToString(b)
}
