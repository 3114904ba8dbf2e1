package broker_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/schemas"
	"waypost/schemas/health/healthtest"
)

// alone is a node of a cluster that the others have left, and everybody who could be told by it that something is stored.
type alone struct {
	health  string
	admin   jetstream.JetStream // may do everything
	agency  jetstream.JetStream
	id      string
	fetched jetstream.Msg // collected while there was a majority, and not acknowledged
}

// loneNode connects to node i, which still has a second one beside it, and has one agency collect a message of another there.
func loneNode(ctx context.Context, t *testing.T, c *brokertest.Cluster, i int, from, to *brokertest.Agency) *alone {
	t.Helper()
	fromConn, err := from.TryConnect(c.URL(i))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fromConn.Close)
	l := &alone{health: c.HealthURL(i), id: from.ID(), admin: administrator(t, c.Authority, c.URL(i))}
	if l.agency, err = jetstream.New(fromConn); err != nil {
		t.Fatal(err)
	}
	toConn, err := to.TryConnect(c.URL(i))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(toConn.Close)
	m := nats.NewMsg("mail.urgent." + to.ID() + "." + from.ID())
	m.Data = []byte("sealed")
	m.Header.Set(jetstream.MsgIDHeader, schemas.NewThreadID())
	until(ctx, t, "two of three take a message", func() bool {
		ask, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		_, err := l.agency.PublishMsg(ask, m)
		return err == nil
	})
	cons := consumer(ctx, t, toConn, broker.StreamUrgent, to.ID())
	until(ctx, t, "and hand it out", func() bool {
		batch, err := cons.Fetch(1, jetstream.FetchPriorityGroup(broker.Agents), jetstream.FetchMaxWait(time.Second))
		if err != nil {
			return false
		}
		for got := range batch.Messages() {
			l.fetched = got
		}
		return l.fetched != nil
	})
	return l
}

// administrator is JetStream at one address with every right.
func administrator(t *testing.T, a *network.Authority, url string) jetstream.JetStream {
	t.Helper()
	creds, err := a.IssueAdministrator("alone")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(url, nats.UserCredentialBytes(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// takesNothing: no message, record, checkpoint or directory entry is acknowledged, no acknowledgement confirmed, no stream and
// no consumer made.
func (l *alone) takesNothing(ctx context.Context, t *testing.T) {
	t.Helper()
	attempt := func(what string, f func(context.Context) error) {
		t.Helper()
		ask, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if f(ask) == nil {
			t.Errorf("one node alone: %s", what)
		}
	}
	publish := func(js jetstream.JetStream, subject string) {
		t.Helper()
		attempt("took "+subject, func(ctx context.Context) error {
			_, err := js.Publish(ctx, subject, []byte("x"))
			return err
		})
	}
	for _, lane := range schemas.Lanes() {
		publish(l.agency, fmt.Sprintf("mail.%s.harbour-ngo.%s", lane, l.id))
	}
	for _, subject := range []string{"ledger.mail.x", "checkpoint.log", "$KV." + broker.Bucket + ".agency.nobody", "probe"} {
		publish(l.admin, subject)
	}
	attempt("confirmed an acknowledgement", l.fetched.DoubleAck)
	attempt("made a stream", func(ctx context.Context) error {
		_, err := l.admin.CreateStream(ctx, jetstream.StreamConfig{Name: "ALONE", Subjects: []string{"alone"}, MaxBytes: 1 << 10, Replicas: 1})
		return err
	})
	attempt("made a consumer", func(ctx context.Context) error {
		_, err := l.admin.CreateConsumer(ctx, broker.StreamUrgent, jetstream.ConsumerConfig{Durable: "alone"})
		return err
	})
}

// saysSo: in time the process is not ready, and stays so. First NATS does not answer; then it knows that nobody leads, and
// answers what it is asked about a stream from its own copy.
func (l *alone) saysSo(ctx context.Context, t *testing.T) {
	t.Helper()
	lost := time.Now()
	notReady := func() bool {
		_, st := healthtest.State(t, l.health)
		return !st.Ready && st.Code == broker.CodeNotAnswering
	}
	until(ctx, t, "one node alone is not ready", notReady)
	if d := time.Since(lost); d > 15*time.Second {
		t.Errorf("one node alone said for %v that it is ready", d)
	}
	until(ctx, t, "NATS answers although nobody leads", func() bool {
		s, err := ask(ctx, l.admin, broker.StreamUrgent)
		return err == nil && s.CachedInfo().Cluster.Leader == ""
	})
	for end := time.Now().Add(12 * time.Second); time.Now().Before(end); time.Sleep(200 * time.Millisecond) { // two probes and more
		if !notReady() {
			t.Fatal("one node alone is ready")
		}
	}
	page := healthtest.Metrics(t, l.health, "")
	if page.Value(t, "waypost_broker_ready") != 0 || page.Value(t, "waypost_broker_leads") != 0 {
		t.Error("one node alone is ready or leads, by its metrics")
	}
}

// statusSays: a person who asks node i for the status is told a problem.
func statusSays(ctx context.Context, t *testing.T, c *brokertest.Cluster, i int, problem string) {
	t.Helper()
	bundle, err := network.ReadBundle(c.Authority.BrokerBundle())
	if err != nil {
		t.Fatal(err)
	}
	asking, closing, err := broker.Connect(c.URL(i), "", bundle)
	if err != nil {
		t.Fatal(err)
	}
	defer closing()
	short, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	st, err := asking.ReadStatus(short)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(st.Problems, func(p string) bool { return strings.HasPrefix(p, problem) }) {
		t.Errorf("the problems are %q", st.Problems)
	}
}
