package notary_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"pgregory.net/rapid"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/network"
	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// keeper runs notaries of its own beside a broker that has none, so that they can be killed at every step.
type keeper struct {
	b    *brokertest.Broker
	view *directory.View
	key  *network.Bundle
	now  func() time.Time
	age  time.Duration
	rcpt time.Duration

	every    time.Duration // between checkpoints
	patience time.Duration // with a request; 0: as always
}

func newKeeper(t *testing.T) (*keeper, *sender, *sender) {
	t.Helper()
	b, police, ngo := network2(t)
	bundle, err := network.ReadBundle(b.Authority.BrokerBundle())
	if err != nil {
		t.Fatal(err)
	}
	return &keeper{b: b, view: b.Authority.View(), key: bundle, now: time.Now, age: time.Hour, rcpt: time.Hour, every: 20 * time.Millisecond}, police, ngo
}

func network2(t *testing.T) (*brokertest.Broker, *sender, *sender) {
	t.Helper()
	return networkOf(t, brokertest.WithBroker(broker.WithoutNotary()))
}

// run runs a notary until stop is called, which waits for it.
func (k *keeper) run(t *testing.T, fault func(string) error) (n *notary.Notary, stop func()) {
	t.Helper()
	n, err := notary.New(notary.Config{Conn: k.b.Admin, Root: k.b.Authority.Root(), Log: k.key.Log, View: func() *directory.View { return k.view },
		Interval: k.every, Receipt: k.rcpt, MaxAge: k.age, Now: k.now, Logger: slog.New(slog.DiscardHandler), Fault: fault})
	if err != nil {
		t.Fatal(err)
	}
	if k.patience > 0 {
		n.Patient(k.patience)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("run notary: %v", err)
			}
		})
	}
	t.Cleanup(stop)
	return n, stop
}

// TestKilledAtEveryStep: a notary that dies before or after each of its writes, "failed" and "failed but stored", leaves a
// ledger that the next one goes on with: nothing is recorded twice and nothing is left out.
func TestKilledAtEveryStep(t *testing.T) {
	for _, step := range []string{"append", "appended", "sign", "signed"} {
		for _, nth := range []int{1, 2, 3} {
			t.Run(step, func(t *testing.T) {
				t.Parallel()
				k, police, ngo := newKeeper(t)
				dead := make(chan struct{})
				var mu sync.Mutex
				seen := 0
				_, stop := k.run(t, func(s string) error {
					mu.Lock()
					defer mu.Unlock()
					select {
					case <-dead:
						return errors.New("dead")
					default:
					}
					if s == step {
						if seen++; seen == nth {
							close(dead)
							return errors.New("dies here")
						}
					}
					return nil
				})
				for i := range 6 {
					m, _ := police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
					if i%2 == 0 {
						ngo.receipt(t, k.b, m)
					}
				}
				// Steps come as work comes; what never came to pass cannot be died at.
				select {
				case <-dead:
				case <-time.After(3 * time.Second):
				}
				stop()
				police.send(t, k.b, ngo.ID(), schemas.LaneRoutine, nil)
				k.run(t, nil)
				sum, found := whole(t, k.b, 10)
				if len(found) > 0 || sum.Kinds[ledger.KindMail] != 10 {
					t.Errorf("%v, found %v", sum.Kinds, found)
				}
			})
		}
	}
}

// TestTwoNotaries: two at once cannot fork the log, and together they record everything once.
func TestTwoNotaries(t *testing.T) {
	k, police, ngo := newKeeper(t)
	k.run(t, nil)
	k.run(t, nil)
	for range 60 {
		police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
	}
	sum, found := whole(t, k.b, 60)
	if len(found) > 0 || sum.Kinds[ledger.KindMail] != 60 {
		t.Errorf("%v, found %v", sum.Kinds, found)
	}
}

// TestGap: messages that somebody deleted before they were recorded leave a gap that breaks the audit, in the middle of a
// stream and at its end.
func TestGap(t *testing.T) {
	k, police, ngo := newKeeper(t)
	var seqs []uint64
	for range 5 {
		_, seq := police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
		seqs = append(seqs, seq)
	}
	s, err := k.b.JetStream(t).Stream(t.Context(), broker.StreamUrgent)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint64{seqs[1], seqs[2], seqs[4]} {
		if err := s.DeleteMsg(t.Context(), seq); err != nil {
			t.Fatal(err)
		}
	}
	k.run(t, nil)
	for deadline := time.Now().Add(wait); ; {
		sum, found := verify(t, k.b, 0)
		if sum.Kinds[ledger.KindGap] == 2 && sum.Signed == sum.Records {
			var gaps [][2]uint64
			for _, f := range found {
				if f.Code == ledger.FindGap {
					gaps = append(gaps, [2]uint64{f.From, f.To})
				}
			}
			if want := [][2]uint64{{seqs[1], seqs[2]}, {seqs[4], seqs[4]}}; !slices.Equal(gaps, want) || sum.Clean() {
				t.Errorf("gaps %v, want %v; clean %v", gaps, want, sum.Clean())
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%v, %v", sum.Kinds, found)
		}
	}
}

// TestOddMessages: what is no envelope is recorded by its digest, however large; so is an envelope on another's subject.
func TestOddMessages(t *testing.T) {
	k, police, ngo := newKeeper(t)
	k.run(t, nil)
	js := k.b.JetStream(t)
	subject := "mail.urgent." + ngo.ID() + "." + police.ID()
	raw, m := police.message(t, ngo.ID(), schemas.LaneUrgent, nil)
	for _, odd := range [][]byte{nil, []byte("hello"), make([]byte, envelope.MaxEnvelope), append([]byte("{}\n\n"), make([]byte, 100)...), raw[:len(raw)-1]} {
		if _, err := js.Publish(t.Context(), subject, odd); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), "mail.urgent."+police.ID()+"."+ngo.ID(), raw); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), m.Subject(), raw); err != nil {
		t.Fatal(err)
	}
	sum, found := whole(t, k.b, 1)
	if sum.Kinds[ledger.KindOpaque] != 6 || sum.Kinds[ledger.KindMail] != 1 || !sum.Clean() {
		t.Errorf("%v, found %v", sum.Kinds, found)
	}
}

// held lists the numbers that a mail stream still holds.
func (k *keeper) held(t *testing.T, lane schemas.Lane) (seqs []uint64) {
	t.Helper()
	s, err := k.b.JetStream(t).Stream(t.Context(), broker.Stream(lane))
	if err != nil {
		t.Fatal(err)
	}
	info, err := s.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq && seq > 0; seq++ {
		if _, err := s.GetMsg(t.Context(), seq); err == nil {
			seqs = append(seqs, seq)
		} else if !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Fatal(err)
		}
	}
	return seqs
}

// until waits for a condition of the broker's, or fails.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(wait); !done(); {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

// TestReceiptDeletes: ciphertext goes after its recipient's receipt and the grace time. A forged receipt, one of another
// agency, and one for another message delete nothing.
func TestReceiptDeletes(t *testing.T) {
	k, police, ngo := newKeeper(t)
	var clock sync.Mutex
	now := time.Now()
	k.now = func() time.Time { clock.Lock(); defer clock.Unlock(); return now }
	k.age = 100 * time.Hour
	evil := join(t, k.b, "evil-member", schemas.RoleNGO)
	k.view = k.b.Authority.View()
	k.run(t, nil)
	a, _ := police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
	b, _ := police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
	c, _ := police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
	evil.receipt(t, k.b, b)
	// In the NGO's name, with another key.
	forged := brokertest.NewAgency(t, ngo.ID())
	raw, m := (&sender{forged, map[string]uint64{police.ID() + "receipt": 50}}).message(t, police.ID(), schemas.LaneReceipt, func(r *envelope.Manifest) {
		r.ReplyTo, r.Thread, r.Outcome = c.ID, c.Thread, schemas.OutcomeDelivered
	})
	if _, err := k.b.JetStream(t).Publish(t.Context(), m.Subject(), raw); err != nil {
		t.Fatal(err)
	}
	ngo.receipt(t, k.b, a) // the last one: when it has its effect, the others have had theirs
	whole(t, k.b, 6)
	if got := k.held(t, schemas.LaneUrgent); len(got) != 3 {
		t.Fatalf("held %v before the grace time was over", got)
	}
	clock.Lock()
	now = now.Add(61 * time.Minute)
	clock.Unlock()
	until(t, "what was receipted was not deleted", func() bool { return len(k.held(t, schemas.LaneUrgent)) < 3 })
	if got := k.held(t, schemas.LaneUrgent); !slices.Equal(got, []uint64{2, 3}) {
		t.Errorf("held %v, want the two that nobody receipted", got)
	}
}

// TestNothingElseIsDeleted is the rule itself, over many orders: what has neither a receipt of its recipient nor its
// maximum age is still there; what has reached that age unreceipted is in the ledger as expired.
func TestNothingElseIsDeleted(t *testing.T) {
	if testing.Short() {
		t.Skip("runs a broker for each case")
	}
	k, police, ngo := newKeeper(t)
	var clock sync.Mutex
	now := time.Now()
	k.now = func() time.Time { clock.Lock(); defer clock.Unlock(); return now }
	k.rcpt, k.age = 10*time.Minute, 100*time.Hour
	k.run(t, nil)
	type sent struct {
		seq       uint64
		receipted bool
	}
	var all []sent
	mail := int64(0)
	rapid.Check(t, func(rt *rapid.T) {
		for range rapid.IntRange(1, 4).Draw(rt, "messages") {
			m, seq := police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
			mail++
			s := sent{seq: seq, receipted: rapid.Bool().Draw(rt, "receipted")}
			if s.receipted {
				ngo.receipt(t, k.b, m)
				mail++
			}
			all = append(all, s)
		}
		if len(all) > 30 {
			return
		}
	})
	whole(t, k.b, mail)
	clock.Lock()
	now = now.Add(11 * time.Minute)
	clock.Unlock()
	want := 0
	for _, s := range all {
		if !s.receipted {
			want++
		}
	}
	until(t, "receipted messages were not deleted", func() bool { return len(k.held(t, schemas.LaneUrgent)) == want })
	held := k.held(t, schemas.LaneUrgent)
	for _, s := range all {
		if s.receipted == slices.Contains(held, s.seq) {
			t.Errorf("message %d receipted %v, held %v", s.seq, s.receipted, !s.receipted)
		}
	}
	clock.Lock()
	now = now.Add(101 * time.Hour)
	clock.Unlock()
	until(t, "old messages were not deleted", func() bool { return len(k.held(t, schemas.LaneUrgent)) == 0 })
	sum, found := whole(t, k.b, mail)
	if sum.Kinds[ledger.KindExpired] != int64(want) || !sum.Clean() {
		t.Errorf("%d expired, want %d; %v", sum.Kinds[ledger.KindExpired], want, found)
	}
}
