package notary_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"

	"waypost/broker"
	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// handIn asks for an act to be recorded; the answer comes later.
func (s *sender) handIn(t *testing.T, act ledger.Act) <-chan *nats.Msg {
	t.Helper()
	act.ID, act.At = schemas.NewMessageID(), time.Now()
	signed, err := ledger.SignAct(act, s.Signer)
	if err != nil {
		t.Fatal(err)
	}
	nc, answer := s.Connect(t), make(chan *nats.Msg, 1)
	go func() {
		m, err := nc.RequestWithContext(context.WithoutCancel(t.Context()), ledger.ServiceSubject(ledger.VerbAct, s.ID()), signed)
		if err != nil {
			m = &nats.Msg{Header: nats.Header{micro.ErrorCodeHeader: {err.Error()}}}
		}
		answer <- m
	}()
	return answer
}

// recorded waits until an agency's act is in the ledger.
func recorded(t *testing.T, k *keeper, agency string) {
	t.Helper()
	for deadline := time.Now().Add(wait); ; {
		s, err := k.b.JetStream(t).Stream(t.Context(), notary.StreamLedger)
		if err == nil {
			_, err = s.GetLastMsgForSubject(t.Context(), "ledger.act."+agency+".*")
		}
		if err == nil {
			return
		}
		if !errors.Is(err, jetstream.ErrMsgNotFound) || time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// TestRecoveryHoldsNobodyUp: while an agency that was restored waits for the ledger, the acts of others are recorded; only so many
// wait at once that there is always somebody for them; and a notary that ends lets nobody wait.
func TestRecoveryHoldsNobodyUp(t *testing.T) {
	k, police, ngo := newKeeper(t)
	// The end of a stream was deleted before it was recorded: the ledger does not catch up before it looks, which it never does here.
	_, seq := ngo.send(t, k.b, police.ID(), schemas.LaneUrgent, nil)
	s, err := k.b.JetStream(t).Stream(t.Context(), broker.StreamUrgent)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteMsg(t.Context(), seq); err != nil {
		t.Fatal(err)
	}
	restored := []*sender{police}
	for _, id := range []string{"a-shelter", "b-shelter", "c-shelter", "d-shelter"}[:notary.RecoveriesMax] {
		restored = append(restored, join(t, k.b, id, schemas.RoleNGO))
	}
	k.view, k.every, k.patience = k.b.Authority.View(), time.Hour, time.Hour
	n, stop := k.run(t, nil)
	<-n.Running()
	since := time.Now().Add(-time.Hour)
	var waiting []<-chan *nats.Msg
	for i, a := range restored {
		answer := a.handIn(t, ledger.Act{Act: ledger.ActRecovers, Since: &since})
		recorded(t, k, a.ID())
		if i < notary.RecoveriesMax {
			waiting = append(waiting, answer)
			continue
		}
		if m := <-answer; m.Header.Get(micro.ErrorCodeHeader) != ledger.ServiceBusy {
			t.Errorf("one recovery too many was answered %v", m.Header)
		}
	}
	select {
	case m := <-ngo.handIn(t, ledger.Act{Act: ledger.ActErased, Thread: schemas.NewThreadID(), Count: 1}):
		if m.Header.Get(micro.ErrorCodeHeader) != "" {
			t.Errorf("answered %v", m.Header)
		}
	case <-time.After(wait):
		t.Fatal("another agency's act waits for a recovery")
	}
	for _, answer := range waiting {
		select {
		case m := <-answer:
			t.Errorf("a recovery was answered before the ledger had everything: %v", m.Header)
		default:
		}
	}
	stop()
	for _, answer := range waiting {
		if m := <-answer; m.Header.Get(micro.ErrorCodeHeader) != ledger.ServiceDown {
			t.Errorf("a notary that ends answered %v", m.Header)
		}
	}
}
