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
	"waypost/schemas/ledger"
)

// TestRewindWhileMailFlows: a consumer with copies begins anew while its agency collects. What the agency has not decided is never
// counted as acknowledged: the server's own reset counts deliveries from before it after it, and the floor passes them by. It
// depends on what is on its way at that moment: with that reset this failed in three runs of nine.
func TestRewindWhileMailFlows(t *testing.T) {
	c := brokertest.StartCluster(t, 3)
	_, ngo := c.Join(t, "north-police", schemas.RolePolice), c.Join(t, "harbour-ngo", schemas.RoleNGO)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	js := c.JetStream(t)
	const mails, undecided = 2000, 50
	var last jetstream.PubAckFuture
	for i := range mails {
		f, err := js.PublishAsync("mail.urgent.harbour-ngo.north-police", fmt.Appendf(nil, "%d", i))
		if err != nil {
			t.Fatal(err)
		}
		last = f
	}
	select {
	case <-last.Ok():
	case err := <-last.Err():
		t.Fatal(err)
	}
	to, err := ngo.TryConnect(c.URL(0)+","+c.URL(1)+","+c.URL(2), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(to.Close)
	recovered := make(chan error, 1)
	since := time.Now().Add(-time.Hour)
	act, err := ledger.SignAct(ledger.Act{ID: schemas.NewMessageID(), At: time.Now(), Act: ledger.ActRecovers, Since: &since}, ngo.Signer)
	if err != nil {
		t.Fatal(err)
	}
	recover := func() {
		m, err := to.RequestWithContext(ctx, ledger.ServiceSubject(ledger.VerbAct, ngo.ID()), act)
		if err == nil {
			if code := m.Header.Get("Nats-Service-Error-Code"); code != "" {
				err = errors.New(code)
			}
		}
		recovered <- err
	}
	seen, again, begun := 0, map[uint64]bool{}, false
	cons := consumer(ctx, t, to, broker.StreamUrgent, ngo.ID())
	for len(again) < mails {
		it, err := cons.Messages(jetstream.PullPriorityGroup(broker.Agents), jetstream.PullMaxMessages(16), jetstream.PullExpiry(3*time.Second), jetstream.PullHeartbeat(time.Second))
		if err != nil {
			t.Fatal(err)
		}
		for len(again) < mails {
			m, err := it.Next(jetstream.NextContext(ctx))
			if ctx.Err() != nil {
				t.Fatalf("of %d mails %d came", mails, len(again))
			}
			if err != nil {
				break // the consumer was deleted under us
			}
			meta, err := m.Metadata()
			if err != nil {
				t.Fatal(err)
			}
			if seen++; seen == 100 {
				go recover()
			}
			if meta.Sequence.Consumer == 1 && seen > 1 { // its deliveries are counted anew
				begun = true
			}
			if begun {
				again[meta.Sequence.Stream] = true
			}
			if meta.Sequence.Stream == undecided {
				err = m.NakWithDelay(time.Hour)
			} else {
				err = m.Ack()
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		it.Stop()
	}
	if err := <-recovered; err != nil {
		t.Fatal(err)
	}
	until(ctx, t, "everything else is acknowledged", func() bool {
		ask, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		info, err := cons.Info(ask)
		return err == nil && info.NumAckPending == 1 && info.NumPending == 0
	})
	info, err := cons.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.AckFloor.Stream >= undecided {
		t.Errorf("all up to %d counts as acknowledged, and %d was not", info.AckFloor.Stream, undecided)
	}
}
