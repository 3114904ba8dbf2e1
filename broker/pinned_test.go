package broker_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/schemas"
)

// TestPinned: of two agents of an agency one gets all its mail, until the other says that it works now.
func TestPinned(t *testing.T) {
	b := brokertest.Start(t)
	police := b.Join(t, "north-police", schemas.RolePolice)
	ngo := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	from := police.Connect(t)
	sent := 0
	send := func() {
		t.Helper()
		sent++
		publish(ctx, t, from, "mail.urgent.harbour-ngo.north-police", fmt.Sprint("mail ", sent))
	}
	got := make(chan string, 100)
	wait := func(who string) *nats.Conn {
		nc := ngo.Connect(t)
		iter, err := consumer(ctx, t, nc, broker.StreamUrgent, "harbour-ngo").Messages(jetstream.PullPriorityGroup(broker.Agents), jetstream.PullMaxMessages(10), jetstream.PullExpiry(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for {
				m, err := iter.Next()
				if err != nil {
					return
				}
				if err := m.Ack(); err == nil {
					got <- who
				}
			}
		}()
		t.Cleanup(func() { iter.Stop(); <-ended })
		return nc
	}
	next := func() string {
		t.Helper()
		select {
		case who := <-got:
			return who
		case <-ctx.Done():
			t.Fatalf("mail %d went to nobody", sent)
			return ""
		}
	}
	wait("first")
	send()
	if who := next(); who != "first" {
		t.Fatal(who)
	}
	second := wait("second")
	for range 5 {
		send()
		if who := next(); who != "first" {
			t.Fatalf("mail %d went to the %s", sent, who)
		}
	}
	if _, err := second.RequestWithContext(ctx, "$JS.API.CONSUMER.UNPIN."+broker.StreamUrgent+".harbour-ngo", []byte(`{"group":"`+broker.Agents+`"}`)); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		send()
		if who := next(); who != "second" {
			t.Fatalf("mail %d went to the %s after the second said that it works", sent, who)
		}
	}
}

// TestConsumersAreCorrected: consumers that were made without the group get it when the broker starts, and keep what waits.
func TestConsumersAreCorrected(t *testing.T) {
	b := brokertest.Start(t)
	police := b.Join(t, "north-police", schemas.RolePolice)
	ngo := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	js := b.JetStream(t)
	c, err := js.Consumer(ctx, broker.StreamUrgent, "harbour-ngo")
	if err != nil {
		t.Fatal(err)
	}
	old := c.CachedInfo().Config
	old.PriorityPolicy, old.PriorityGroups, old.PinnedTTL = jetstream.PriorityPolicyNone, nil, 0
	if _, err := js.UpdateConsumer(ctx, broker.StreamUrgent, old); err != nil {
		t.Fatal(err)
	}
	publish(ctx, t, police.Connect(t), "mail.urgent.harbour-ngo.north-police", "waits")
	b.Restart(t)
	for {
		c, err := b.JetStream(t).Consumer(ctx, broker.StreamUrgent, "harbour-ngo")
		if err == nil && c.CachedInfo().Config.PriorityPolicy == jetstream.PriorityPolicyPinned {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the consumer stays as it was: %v", errors.Join(err, ctx.Err()))
		}
	}
	m, err := consumer(ctx, t, ngo.Connect(t), broker.StreamUrgent, "harbour-ngo").Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(5*time.Second))
	if err != nil || string(m.Data()) == "" {
		t.Fatal(err)
	}
}
