package brokertest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/schemas"
)

func TestStart(t *testing.T) {
	b := brokertest.Start(t)
	police := b.Join(t, "north-police", schemas.RolePolice)
	ngo := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	send(ctx, t, police.Connect(t), "mail.urgent.harbour-ngo.north-police")
	nc := ngo.Connect(t)
	c := consumer(ctx, t, nc, "MAIL_URGENT", "harbour-ngo")
	m, err := c.Next(jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestRestart: the same address, and what was stored is still there.
func TestRestart(t *testing.T) {
	b := brokertest.Start(t)
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	police := b.Join(t, "north-police", schemas.RolePolice)
	url := b.URL()
	nc := police.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	send(ctx, t, nc, "mail.routine.harbour-ngo.north-police")
	b.Stop(t)
	if nc2, err := police.TryConnect(url); err == nil {
		nc2.Close()
		t.Fatal("connected to a stopped broker")
	}
	b.Restart(t)
	if b.URL() != url {
		t.Fatalf("address changed from %s to %s", url, b.URL())
	}
	if n := b.Stored(t, schemas.LaneRoutine, "mail.routine.harbour-ngo.north-police"); n != 1 {
		t.Fatalf("%d messages after the restart, want 1", n)
	}
	for !nc.IsConnected() {
		select {
		case <-nc.StatusChanged(nats.CONNECTED):
		case <-time.After(10 * time.Millisecond): // the change may have come before the channel
		case <-ctx.Done():
			t.Fatal("agency does not reconnect")
		}
	}
	send(ctx, t, nc, "mail.routine.harbour-ngo.north-police")
}

// TestStoredButAckLost is the fault that agents must survive without a second delivery.
func TestStoredButAckLost(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithProxy())
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	police := b.Join(t, "north-police", schemas.RolePolice)
	nc := police.Connect(t, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	const subject = "mail.urgent.harbour-ngo.north-police"
	b.Proxy().DropReplies()
	short, cancelShort := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancelShort()
	_, err = js.Publish(short, subject, []byte("x"), jetstream.WithMsgID("1"))
	if err == nil {
		t.Fatal("an acknowledgement came through")
	}
	b.Proxy().WaitDropped(1)
	if n := b.Stored(t, schemas.LaneUrgent, subject); n != 1 {
		t.Fatalf("%d stored, want 1", n)
	}
	b.Proxy().Pass()
	for {
		try, cancelTry := context.WithTimeout(ctx, 500*time.Millisecond)
		ack, err := js.Publish(try, subject, []byte("x"), jetstream.WithMsgID("1"))
		cancelTry()
		if err == nil {
			if !ack.Duplicate {
				t.Fatal("stored twice")
			}
			return
		}
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
}

func TestProxyHoldAndCut(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithProxy())
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	police := b.Join(t, "north-police", schemas.RolePolice)
	nc := police.Connect(t, nats.NoReconnect())
	closed := nc.StatusChanged(nats.CLOSED)
	const subject = "mail.urgent.harbour-ngo.north-police"
	b.Proxy().Hold()
	if err := nc.Publish(subject, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := nc.FlushTimeout(100 * time.Millisecond); err == nil {
		t.Fatal("the proxy did not hold")
	}
	b.Proxy().Pass()
	if err := nc.FlushTimeout(5 * time.Second); err != nil {
		t.Fatalf("what was held got lost: %v", err)
	}
	if n := b.Stored(t, schemas.LaneUrgent, subject); n != 1 {
		t.Fatalf("%d stored, want 1", n)
	}
	b.Proxy().Cut()
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Fatal("the connection survived a cut")
	}
	if nc2, err := police.TryConnect(b.Proxy().URL()); err == nil {
		nc2.Close()
		t.Fatal("connected through a cut")
	}
}

func send(ctx context.Context, t *testing.T, nc *nats.Conn, subject string) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, subject, []byte("x")); err != nil {
		t.Fatal(err)
	}
}

func consumer(ctx context.Context, t *testing.T, nc *nats.Conn, stream, name string) jetstream.Consumer {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c, err := js.Consumer(ctx, stream, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestPublicationStrandsNobody: an agency that waits for mail while the directory is published gets what comes afterwards at
// once. A broker that is told account claims anew forgets who waits, even when they are the same.
func TestPublicationStrandsNobody(t *testing.T) {
	b := brokertest.Start(t)
	police := b.Join(t, "north-police", schemas.RolePolice)
	ngo := b.Join(t, "harbour-ngo", schemas.RoleNGO)
	b.Publish(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := consumer(ctx, t, ngo.Connect(t), "MAIL_URGENT", "harbour-ngo")
	batch, err := c.Fetch(1, jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(8*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	for waits := false; !waits; {
		info, err := c.Info(ctx)
		if err != nil {
			t.Fatal(err)
		}
		waits = info.NumWaiting > 0
	}
	b.Publish(t)
	send(ctx, t, police.Connect(t), "mail.urgent.harbour-ngo.north-police")
	got := 0
	for range batch.Messages() {
		got++
	}
	if got != 1 {
		t.Errorf("%d messages: whoever waited was forgotten (%v)", got, batch.Error())
	}
}
