package broker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/health/healthtest"
)

// TestCluster: three nodes are one broker. Any of them can be lost, with the ledger or without, and come back with an
// empty disk; enrolment and suspension work through whichever is up.
func TestCluster(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	if os.Getenv("WAYPOST_TEST_LOG") != "" {
		log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	c := brokertest.StartCluster(t, 3, brokertest.WithLogger(log), brokertest.WithConfig(func(c *broker.Config) { c.Health.Listen = "127.0.0.1:0" }))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	js := c.JetStream(t)
	for _, name := range []string{broker.StreamUrgent, broker.StreamRoutine, broker.StreamReceipt, "LEDGER", "CHECKPOINTS", "KV_" + broker.Bucket} {
		s, err := js.Stream(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		if info := s.CachedInfo(); info.Config.Replicas != 3 || info.Cluster == nil || len(info.Cluster.Replicas) != 2 {
			t.Errorf("%s: %d replicas, %+v", name, info.Config.Replicas, info.Cluster)
		}
	}
	a, b := c.Join(t, "northshire-police", schemas.RolePolice), c.Join(t, "harbour-ngo", schemas.RoleNGO)
	cons, err := js.Consumer(ctx, broker.StreamUrgent, b.ID())
	if err != nil {
		t.Fatal(err)
	}
	if cons.CachedInfo().Config.Replicas != 3 {
		t.Errorf("consumer has %d replicas", cons.CachedInfo().Config.Replicas)
	}
	sent := 0
	nc, err := a.TryConnect(c.URL(0)+","+c.URL(1)+","+c.URL(2), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ajs, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		t.Helper()
		// As the outbox does: until it is acknowledged, under one id. An answer is lost with the node that was to give it.
		m := nats.NewMsg("mail.urgent.harbour-ngo.northshire-police")
		m.Data = []byte("sealed")
		m.Header.Set(jetstream.MsgIDHeader, schemas.NewThreadID())
		until(ctx, t, "somebody takes a message", func() bool {
			short, cancel := context.WithTimeout(ctx, 5*time.Second)
			defer cancel()
			_, err := ajs.PublishMsg(short, m)
			return err == nil
		})
		sent++
	}
	keeper := func() int {
		t.Helper()
		k := -1
		until(ctx, t, "somebody keeps the ledger", func() bool { k = c.Keeper(); return k >= 0 })
		return k
	}
	recorded := func(want int) {
		t.Helper()
		until(ctx, t, fmt.Sprintf("%d records", want), func() bool {
			s, err := ask(ctx, js, "LEDGER")
			return err == nil && s.CachedInfo().State.Msgs >= uint64(want)
		})
	}
	send()
	first := keeper()
	c.Stop(t, first)
	send()
	if second := keeper(); second == first {
		t.Errorf("node %d is down and keeps the ledger", first)
	}
	recorded(sent)
	until(ctx, t, "whoever watches is told which node is down", func() bool { return saysDown(t, c, first) })

	// Through the nodes that are left: one agency comes, one is suspended.
	d := c.Join(t, "lantern-housing", schemas.RoleSupportProvider)
	if err := c.Authority.Suspend(a.ID()); err != nil {
		t.Fatal(err)
	}
	c.Publish(t)
	// The node that was away learns of both although nobody told it, and its empty disk is filled again.
	c.Wipe(t, first)
	c.Start(t, first)
	c.Ready(t, first)
	until(ctx, t, "the node that came back does not let the suspended agency in", func() bool {
		conn, err := a.TryConnect(c.URL(first))
		if err == nil {
			conn.Close()
		}
		return errors.Is(err, nats.ErrAuthorization)
	})
	until(ctx, t, "and lets the new one in", func() bool {
		conn, err := d.TryConnect(c.URL(first))
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	until(ctx, t, "it has all urgent messages", func() bool { return current(ctx, js, broker.StreamUrgent) })
	// Now another one may go.
	c.Stop(t, (first+1)%3)
	bnc, err := b.TryConnect(c.URL(first))
	if err != nil {
		t.Fatal(err)
	}
	defer bnc.Close()
	collect(ctx, t, bnc, broker.StreamUrgent, b.ID(), sent)
	recorded(sent)

	// One alone is no majority: it takes nothing, says so, and lives.
	l := loneNode(ctx, t, c, first, d, b)
	c.Stop(t, (first+2)%3)
	l.takesNothing(ctx, t)
	l.saysSo(ctx, t)
	statusSays(ctx, t, c, first, "stream MAIL_URGENT has no leader")
	l.takesNothing(ctx, t)
	if status, _ := healthtest.Get(t, c.HealthURL(first)+"/healthz", ""); status != http.StatusOK {
		t.Errorf("it lives, and says %d", status)
	}
	c.Start(t, (first+2)%3)
	until(ctx, t, "two of three are ready again", func() bool { _, st := healthtest.State(t, c.HealthURL(first)); return st.Ready })
}

// saysDown: of the nodes that are up exactly one speaks for all, and it says that the other is down and whose copies lag.
func saysDown(t *testing.T, c *brokertest.Cluster, down int) bool {
	t.Helper()
	var said *healthtest.Page
	leads := 0.0
	for i := range 3 {
		if i == down {
			continue
		}
		page := healthtest.Metrics(t, c.HealthURL(i), "")
		leads += page.Samples["waypost_broker_leads"]
		if page.Samples["waypost_broker_leads"] == 1 {
			said = page
		} else if _, ok := page.Samples[`waypost_broker_ledger_records`]; ok {
			t.Errorf("node %d does not lead and speaks for all", i)
		}
	}
	if leads != 1 {
		return false
	}
	up, known := said.Samples[fmt.Sprintf(`waypost_broker_node_up{node="node-%d"}`, down)]
	_, lag := said.Samples[fmt.Sprintf(`waypost_broker_stream_replica_lag_operations{node="node-%d",stream="MAIL_URGENT"}`, down)]
	led := said.Samples[`waypost_broker_stream_replicas{stream="MAIL_URGENT"}`] == 2
	return known && up == 0 && lag && led && said.Samples[`waypost_broker_stream_replicas_behind{stream="MAIL_URGENT"}`] >= 1
}

// ask looks at a stream. An answer is lost with the node that was to give it, and would be waited for as long as ctx lasts.
func ask(ctx context.Context, js jetstream.JetStream, stream string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return js.Stream(ctx, stream)
}

// current: every replica of a stream has everything.
func current(ctx context.Context, js jetstream.JetStream, stream string) bool {
	s, err := ask(ctx, js, stream)
	if err != nil || s.CachedInfo().Cluster == nil {
		return false
	}
	for _, r := range s.CachedInfo().Cluster.Replicas {
		if !r.Current || r.Offline {
			return false
		}
	}
	return true
}

func collect(ctx context.Context, t *testing.T, nc *nats.Conn, stream, agency string, want int) {
	t.Helper()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	var c jetstream.Consumer
	until(ctx, t, "somebody leads the consumer", func() bool {
		look, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		c, err = js.Consumer(look, stream, agency)
		return err == nil
	})
	for got := 0; got < want; {
		if ctx.Err() != nil {
			t.Fatalf("collected %d of %d", got, want)
		}
		msgs, err := c.Fetch(want, jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(time.Second))
		if err != nil {
			continue
		}
		for m := range msgs.Messages() {
			if err := m.DoubleAck(ctx); err == nil {
				got++
			}
		}
	}
}
