package store

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// due opens a store with one message under a consent that waits for a sink. stop withdraws the consent; it returns at once, and
// sends the answer.
func due(t *testing.T) (s *Store, list []*Delivery, stop func() <-chan error) {
	t.Helper()
	s, err := Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	at, cert := time.Now(), schemas.NewThreadID()
	m := envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: "test-ngo", To: "test-police", Kind: schemas.KindReferral, Schema: "referral.v1",
		Lane: schemas.LaneUrgent, Seq: 1, Sent: at, Basis: envelope.ConsentPrefix + cert}
	err = s.Update(t.Context(), func(tx *Tx) error {
		if err := tx.AddIncoming(&Incoming{Manifest: m, Note: []byte("n"), Body: []byte("b"), Wrapped: []byte("w"), Received: at, StreamSeq: 1}); err != nil {
			return err
		}
		return tx.AddDelivery(&Delivery{Source: FromInbox, Ref: m.ID, Sink: "intake", Urgent: true, Required: true, Due: at})
	})
	if err != nil {
		t.Fatal(err)
	}
	if list, err = s.DueDeliveries(t.Context(), "intake", true, at, 10); err != nil || len(list) != 1 {
		t.Fatalf("%d due, %v", len(list), err)
	}
	return s, list, func() <-chan error {
		answer := make(chan error, 1)
		go func() {
			answer <- s.Update(context.WithoutCancel(t.Context()), func(tx *Tx) error { _, err := tx.StopUnder(cert, at); return err })
		}()
		return answer
	}
}

func answered(answer <-chan error) bool {
	synctest.Wait()
	select {
	case <-answer:
		return true
	default:
		return false
	}
}

// TestReleaseBeforeWithdrawal: while something is shown to a system no withdrawal is answered; once it was, nothing is shown.
func TestReleaseBeforeWithdrawal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, list, stop := due(t)
		var answer <-chan error
		err := s.Release(t.Context(), list, func(still func(int64) bool) {
			answer = stop()
			if answered(answer) {
				t.Error("answered while something is being shown")
			}
			if !still(list[0].N) {
				t.Error("not due, although nothing was withdrawn yet")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if !answered(answer) {
			t.Error("not answered although nothing is in its way")
		}
		if err := s.Release(t.Context(), list, func(still func(int64) bool) {
			if still(list[0].N) {
				t.Error("shown after the withdrawal was answered")
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestReleaseWaitsForWithdrawal: who asks while a withdrawal is being committed is told what it stopped.
func TestReleaseWaitsForWithdrawal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, list, stop := due(t)
		first, second := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(first)
			_ = s.Release(t.Context(), list, func(func(int64) bool) { <-second })
		}()
		synctest.Wait()
		answer := stop()
		synctest.Wait() // it waits at the gate
		late := make(chan bool)
		go func() {
			_ = s.Release(t.Context(), list, func(still func(int64) bool) { late <- still(list[0].N) })
		}()
		// Who does not want to wait that long need not.
		ended, end := context.WithTimeout(t.Context(), time.Second)
		defer end()
		if err := s.Release(ended, list, func(func(int64) bool) { t.Error("shown beside a commit") }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want a deadline", err)
		}
		close(second)
		<-first
		if err := <-answer; err != nil {
			t.Fatal(err)
		}
		if <-late {
			t.Error("shown after the withdrawal was answered")
		}
	})
}

// TestReleaseOvertaken: a drive that hangs keeps a withdrawal for two seconds and no longer, and shows nothing more afterwards.
func TestReleaseOvertaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, list, stop := due(t)
		var answer <-chan error
		err := s.Release(t.Context(), list, func(still func(int64) bool) {
			began := time.Now()
			if answer = stop(); answered(answer) {
				t.Error("answered at once")
			}
			if err := <-answer; err != nil {
				t.Error(err)
			}
			if waited := time.Since(began); waited != gatePatience {
				t.Errorf("waited %v, want %v", waited, gatePatience)
			}
			if still(list[0].N) {
				t.Error("more is shown after the withdrawal was answered")
			}
		})
		if !errors.Is(err, ErrOvertaken) {
			t.Errorf("%v, want ErrOvertaken", err)
		}
		// The gate works as before.
		if err := s.Release(t.Context(), list, func(still func(int64) bool) {}); err != nil {
			t.Error(err)
		}
	})
}

// TestNothingStoppedWaitsForNobody: an update that stops no hand-over goes past one that is being shown.
func TestNothingStoppedWaitsForNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, list, stop := due(t)
		if err := <-stop(); err != nil {
			t.Fatal(err)
		}
		if err := s.Release(t.Context(), list, func(func(int64) bool) {
			if again := stop(); !answered(again) {
				t.Error("a second withdrawal, with nothing to stop, waits")
			}
		}); err != nil {
			t.Fatal(err)
		}
	})
}
