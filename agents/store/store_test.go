package store_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

const us, them = "test-police", "test-ngo"

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func open(t *testing.T) *store.Store {
	t.Helper()
	return openAt(t, filepath.Join(t.TempDir(), "agent.db"))
}

func openAt(t *testing.T, path string) *store.Store {
	t.Helper()
	s, err := store.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func signer(t *testing.T) store.Signer {
	t.Helper()
	skey, _, err := note.GenerateKey(nil, us)
	if err != nil {
		t.Fatal(err)
	}
	s, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	return func(m envelope.Manifest, body []byte) ([]byte, error) { return envelope.Sign(m, body, s) }
}

var sealed = append([]byte("age-encryption.org/v1\n"), make([]byte, 100)...)

func referral(to string, respondBy *time.Time) *store.Outgoing {
	return &store.Outgoing{Body: sealed, Wrapped: []byte("w"), Manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: us, To: to, Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: schemas.LaneUrgent, Sent: now, RespondBy: respondBy, Basis: "vital-interests",
	}}
}

func incoming(lane schemas.Lane) *store.Incoming {
	return &store.Incoming{Note: []byte("n"), Body: sealed, Wrapped: []byte("w"), Received: now, StreamSeq: 1, Manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: them, To: us, Kind: schemas.KindReferral, Schema: "referral.v1", Lane: lane, Seq: 1, Sent: now,
	}}
}

func update(t *testing.T, s *store.Store, f func(*store.Tx) error) {
	t.Helper()
	if err := s.Update(context.Background(), f); err != nil {
		t.Fatal(err)
	}
}

func TestSequenceHasNoHoles(t *testing.T) {
	s, sign := open(t), signer(t)
	var wg sync.WaitGroup
	for i := range 100 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			err := s.Update(context.Background(), func(tx *store.Tx) error {
				if err := tx.AddOutgoing(referral(them, nil), sign); err != nil {
					return err
				}
				if i%3 == 0 {
					return errors.New("changed my mind") // takes its number back with it
				}
				return nil
			})
			if (err != nil) != (i%3 == 0) {
				t.Errorf("update %d: %v", i, err)
			}
		}()
	}
	wg.Wait()
	out, err := s.PendingOutgoing(context.Background(), schemas.LaneUrgent, 500, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != 66 {
		t.Fatalf("%d messages stored, want 66", len(out))
	}
	for i, o := range out {
		if o.Manifest.Seq != uint64(i+1) {
			t.Fatalf("message %d has sequence %d", i, o.Manifest.Seq)
		}
	}
}

func TestFailedCommitStoresNothing(t *testing.T) {
	s, sign := open(t), signer(t)
	broken := errors.New("power cut")
	var fail error
	s.BeforeCommit = func() error { return fail }
	fail = broken
	if err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.AddOutgoing(referral(them, nil), sign) }); !errors.Is(err, broken) {
		t.Fatalf("got %v", err)
	}
	fail = nil
	update(t, s, func(tx *store.Tx) error { return tx.AddOutgoing(referral(them, nil), sign) })
	out, err := s.PendingOutgoing(context.Background(), schemas.LaneUrgent, 10, nil)
	if err != nil || len(out) != 1 || out[0].Manifest.Seq != 1 {
		t.Fatalf("after a failed commit: %d messages, %v", len(out), err)
	}
}

func TestFailedButStoredIsRecognised(t *testing.T) {
	s := open(t)
	in := incoming(schemas.LaneUrgent)
	lost := errors.New("answer lost")
	s.AfterCommit = func() error { return lost }
	add := func(tx *store.Tx) error { return tx.AddIncoming(in) }
	if err := s.Update(context.Background(), add); !errors.Is(err, lost) {
		t.Fatalf("got %v", err)
	}
	s.AfterCommit = nil
	if err := s.Update(context.Background(), add); !errors.Is(err, store.ErrExists) {
		t.Fatalf("a second time: %v, want ErrExists", err)
	}
}

func TestFullDiskIsTemporary(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	if err := s.LimitSize(ctx, 400<<10); err != nil {
		t.Fatal(err)
	}
	var stored int
	var err error
	for range 200 {
		in := incoming(schemas.LaneUrgent)
		in.Body = make([]byte, 16<<10)
		if err = s.Update(ctx, func(tx *store.Tx) error { return tx.AddIncoming(in) }); err != nil {
			break
		}
		stored++
	}
	if !errors.Is(err, store.ErrFull) {
		t.Fatalf("after %d messages: %v, want ErrFull", stored, err)
	}
	if err := s.LimitSize(ctx, 64<<20); err != nil {
		t.Fatal(err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.AddIncoming(incoming(schemas.LaneUrgent)) })
	rows, err := s.ListIncoming(ctx, us, false, store.Page{Limit: 500})
	if err != nil || len(rows) != stored+1 {
		t.Fatalf("%d rows, want %d (%v)", len(rows), stored+1, err)
	}
}

func TestReceiptOnlyFromTheRecipient(t *testing.T) {
	s, sign := open(t), signer(t)
	o := referral(them, nil)
	update(t, s, func(tx *store.Tx) error { return tx.AddOutgoing(o, sign) })
	receipt := func(from, about string, outcome schemas.Outcome) error {
		return s.Update(context.Background(), func(tx *store.Tx) error {
			_, err := tx.AddReceipt(&envelope.Manifest{ID: schemas.NewMessageID(), ReplyTo: about, From: from, Outcome: outcome, Sent: now}, []byte("note"), 1, now)
			return err
		})
	}
	if err := receipt("test-other", o.Manifest.ID, schemas.OutcomeDelivered); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("receipt from a third agency: %v", err)
	}
	if err := receipt(them, schemas.NewMessageID(), schemas.OutcomeDelivered); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("receipt for a message never sent: %v", err)
	}
	if err := receipt(them, o.Manifest.ID, schemas.OutcomeDelivered); err != nil {
		t.Fatal(err)
	}
	if err := receipt(them, o.Manifest.ID, schemas.OutcomeRejected); err != nil {
		t.Fatal(err)
	}
	got, err := s.Outgoing(context.Background(), us, o.Manifest.ID)
	if err != nil {
		t.Fatal(err)
	}
	if got.Receipt != schemas.OutcomeDelivered || got.State != store.Published {
		t.Errorf("state %s, receipt %s: the first outcome must stand, and a receipt proves publication", got.State, got.Receipt)
	}
	all, err := s.Receipts(context.Background(), o.Manifest.ID)
	if err != nil || len(all) != 2 {
		t.Errorf("%d receipts kept as evidence, want 2 (%v)", len(all), err)
	}
}

func TestRoutedOnceWhenAllRequiredSinksTookIt(t *testing.T) {
	s := open(t)
	in := incoming(schemas.LaneRoutine)
	update(t, s, func(tx *store.Tx) error {
		if err := tx.AddIncoming(in); err != nil {
			return err
		}
		for _, d := range []store.Delivery{{Sink: "a", Required: true}, {Sink: "b", Required: true}, {Sink: "c"}} {
			d.Source, d.Ref, d.Due = store.FromInbox, in.Manifest.ID, now
			if err := tx.AddDelivery(&d); err != nil {
				return err
			}
		}
		return nil
	})
	done := func(sink string) bool {
		t.Helper()
		rows, err := s.ListDeliveries(context.Background(), in.Manifest.ID)
		if err != nil {
			t.Fatal(err)
		}
		var complete bool
		for _, d := range rows {
			if d.Sink == sink {
				update(t, s, func(tx *store.Tx) (err error) { _, complete, err = tx.Delivered(d.N, now); return err })
			}
		}
		return complete
	}
	got := []bool{done("a"), done("a"), done("b"), done("b"), done("c")}
	if diff := cmp.Diff([]bool{false, false, true, false, false}, got); diff != "" {
		t.Errorf("complete after each hand-over (-want +got):\n%s", diff)
	}
}

func TestClockRunsOutOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	s, sign := openAt(t, path), signer(t)
	by := now.Add(time.Hour)
	late, answered := referral(them, &by), referral(them, &by)
	update(t, s, func(tx *store.Tx) error {
		return errors.Join(tx.AddOutgoing(late, sign), tx.AddOutgoing(answered, sign), tx.AnsweredOutgoing(answered.Manifest.ID, them, now))
	})
	run := func(at time.Time) (ran []store.Clock) {
		t.Helper()
		update(t, s, func(tx *store.Tx) (err error) { ran, err = tx.RunOut(at, 10); return err })
		return ran
	}
	if ran := run(by); len(ran) != 0 {
		t.Fatalf("%d clocks ran out on the dot", len(ran))
	}
	if next, err := s.NextClock(context.Background()); err != nil || next == nil || !next.Equal(by) {
		t.Fatalf("next clock %v, %v", next, err)
	}
	ran := run(by.Add(time.Millisecond))
	if len(ran) != 1 || ran[0].ID != late.Manifest.ID || !ran[0].Ours {
		t.Fatalf("ran out: %+v", ran)
	}
	s.Close()
	s = openAt(t, path)
	if ran := run(by.Add(time.Hour)); len(ran) != 0 {
		t.Fatalf("again after a restart: %+v", ran)
	}
}

func TestGapsAreSeenAndHeal(t *testing.T) {
	s := open(t)
	saw := func(n uint64) (missing []uint64) {
		t.Helper()
		update(t, s, func(tx *store.Tx) (err error) { missing, err = tx.Saw(them, schemas.LaneUrgent, n, now); return err })
		return missing
	}
	if m := saw(1); len(m) != 0 {
		t.Errorf("first: missing %v", m)
	}
	if m := saw(4); !cmp.Equal(m, []uint64{2, 3}) {
		t.Errorf("4 after 1: missing %v", m)
	}
	saw(3)
	gaps, err := s.Gaps(context.Background())
	if err != nil || len(gaps) != 1 || gaps[0].Seq != 2 {
		t.Errorf("gaps %+v, %v", gaps, err)
	}
	if m := saw(1 << 62); len(m) != 1000 {
		t.Errorf("a hostile number makes us write %d rows", len(m))
	}
}

func TestOtherStoresAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	s := openAt(t, path)
	s.Close()
	if err := store.SetVersion(path, store.Version+1); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path); !errors.Is(err, store.ErrNewer) {
		t.Fatalf("got %v, want ErrNewer", err)
	}
	if err := store.SetVersion(path, store.Version-1); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path); !errors.Is(err, store.ErrOlder) {
		t.Fatalf("got %v, want ErrOlder", err)
	}
}

func TestOneAgentPerStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.lock")
	l, err := store.Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.Acquire(path); !errors.Is(err, store.ErrInUse) {
		t.Fatalf("second agent: %v, want ErrInUse", err)
	}
	l.Release()
	l, err = store.Acquire(path)
	if err != nil {
		t.Fatalf("after release: %v", err)
	}
	l.Release()
}

func TestTwoStartersMigrateOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			s, err := store.Open(path)
			if err != nil {
				t.Error(err)
				return
			}
			s.Close()
		}()
	}
	wg.Wait()
}

func TestFilesAreOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agent.db")
	s := openAt(t, path)
	update(t, s, func(tx *store.Tx) error { return tx.AddIncoming(incoming(schemas.LaneUrgent)) })
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("agent.db%s is readable by others: %v", suffix, info.Mode())
		}
	}
}

func TestTokensAndKeys(t *testing.T) {
	s := open(t)
	ctx := context.Background()
	update(t, s, func(tx *store.Tx) error { return tx.AddToken("desk", "secret", []string{"read", "send"}, now) })
	if err := s.Update(ctx, func(tx *store.Tx) error { return tx.AddToken("desk", "other", nil, now) }); !errors.Is(err, store.ErrExists) {
		t.Errorf("same name twice: %v", err)
	}
	got, err := s.TokenFor(ctx, "secret")
	if err != nil || !cmp.Equal(got.Scopes, []string{"read", "send"}) {
		t.Errorf("token %+v, %v", got, err)
	}
	if _, err := s.TokenFor(ctx, "Secret"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("wrong secret: %v", err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.RemoveToken("desk") })
	if _, err := s.TokenFor(ctx, "secret"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("revoked token: %v", err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.AddIdempotency([]byte("k"), []byte("r"), "m", now) })
	update(t, s, func(tx *store.Tx) error { return tx.ForgetIdempotency(now) })
	if _, m, err := s.Repeated(ctx, []byte("k")); err != nil || m != "m" {
		t.Errorf("key: %q, %v", m, err)
	}
	update(t, s, func(tx *store.Tx) error { return tx.ForgetIdempotency(now.Add(time.Second)) })
	if _, _, err := s.Repeated(ctx, []byte("k")); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("forgotten key: %v", err)
	}
}

// BenchmarkUpdate compares single commits with group commit: the ratio of the two is what sharing an fsync is worth.
//
//	go test ./agents/store -bench Update
func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := store.Open(filepath.Join(b.TempDir(), "agent.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			work := make(chan struct{})
			var wg sync.WaitGroup
			for range writers {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for range work {
						in := incoming(schemas.LaneRoutine)
						in.Body = make([]byte, 6<<10)
						if err := s.Update(context.Background(), func(tx *store.Tx) error { return tx.AddIncoming(in) }); err != nil {
							b.Error(err)
						}
					}
				}()
			}
			for b.Loop() {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
		})
	}
}
