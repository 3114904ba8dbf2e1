package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"waypost/broker"
	"waypost/schemas"
)

// member is one who waits: an agency without an agent, with what it needs to connect.
type member struct {
	ID    string `json:"id"`
	Token string `json:"token"` // the user JWT
	Seed  []byte `json:"seed"`  // of a key that this run made and forgets
}

// crowdOrder is what the process of those who wait reads.
type crowdOrder struct {
	URL     string   `json:"url"`
	Members []member `json:"members"`
}

const crowdReady = "all wait"

// Crowd reads from in who is to wait where, connects them, says on out when all wait, and lets them wait until ctx ends. It is
// the whole work of a process that `waypost bench --apart` starts.
func Crowd(ctx context.Context, in io.Reader, out io.Writer) error {
	var order crowdOrder
	if err := json.NewDecoder(in).Decode(&order); err != nil {
		return fmt.Errorf("read members: %w", err)
	}
	var c crowd
	defer c.wait()
	run, stop := context.WithCancel(ctx)
	defer stop()
	for _, m := range order.Members {
		if err := c.attend(run, order.URL, m); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, crowdReady)
	<-ctx.Done()
	return nil
}

// crowd is those who wait.
type crowd struct {
	waiting sync.WaitGroup
	onMail  func() // told of every message that one of them gets
}

// wait returns when nobody waits any more, after the end of the context they wait with.
func (c *crowd) wait() { c.waiting.Wait() }

// attend connects a member and lets it wait for mail in every lane as an agent does, with the same heartbeats, so that the
// broker carries as many waiting members as the network has.
func (c *crowd) attend(ctx context.Context, url string, m member) error {
	user, err := nkeys.FromSeed(m.Seed)
	if err != nil {
		return fmt.Errorf("connect %s: %w", m.ID, err)
	}
	nc, err := nats.Connect(url, nats.UserJWT(func() (string, error) { return m.Token, nil }, user.Sign), nats.CustomInboxPrefix("_INBOX_"+m.ID), nats.Name(m.ID), nats.Timeout(startWait))
	if err != nil {
		return fmt.Errorf("connect %s: %w", m.ID, err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		nc.Close()
		return fmt.Errorf("connect %s: %w", m.ID, err)
	}
	for _, lane := range schemas.Lanes() {
		beat := 5 * time.Second
		if lane == "urgent" {
			beat = time.Second
		}
		c.waiting.Add(1)
		go func() {
			defer c.waiting.Done()
			for ctx.Err() == nil {
				waitForMail(ctx, js, broker.Stream(lane), m.ID, beat, c.onMail)
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
