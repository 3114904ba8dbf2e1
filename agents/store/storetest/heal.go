package storetest

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

// heals: what is left of restores, of this store and of the broker.
func (w *teller) heals() {
	own := envelope.Manifest{Type: envelope.ManifestType, ID: "01955fff-0000-7000-8000-000000000000", Thread: threadID(9), From: Us, To: Them, Kind: schemas.KindReferral,
		Schema: "referral.v1", Lane: schemas.LaneUrgent, Seq: 90, Sent: Now, Basis: "vital-interests"}
	receipt := own
	receipt.ID, receipt.Kind, receipt.Lane, receipt.ReplyTo, receipt.Basis, receipt.Outcome = "01955ffe-0000-7000-8000-000000000000", schemas.KindReceipt, schemas.LaneReceipt, messageID(7), "", schemas.OutcomeDelivered
	arrived, err := w.s.Outgoing(w.ctx, Us, messageID(1))
	if err != nil {
		w.t.Fatal(err)
	}
	sign := Signer(w.t)
	w.update(func(tx *store.Tx) {
		w.tell("Tx.SaveCheckpoint", tx.SaveCheckpoint([]byte("older"), 5, Now), tx.SaveCheckpoint([]byte("newer"), 9, Now.Add(time.Second)))
		w.tell("Tx.AddHealing", tx.AddHealing(&store.Healing{ID: "h1", What: store.HealBroker, Subject: "ours", At: Now, Size: 5, Next: 5}))
		w.tell("Tx.Unprove", tx.Unprove(5))
		w.tell("Tx.HealingRead", tx.HealingRead("h1", 7))
		w.tell("Tx.HealingDone", tx.HealingDone("h1", Now))
		for _, m := range []*envelope.Manifest{&own, &own, &receipt} {
			forgot, err := tx.Forgotten(m, []byte("n"), 70, Now, Now)
			w.tell("Tx.Forgotten", forgot, err)
		}
		again, err := tx.SendAgain(own.ID, own.Lane) // there is no body of it any more
		w.tell("Tx.SendAgain", again, err)
		again, err = tx.SendAgain(receipt.ID, receipt.Lane)
		w.tell("Tx.SendAgain", again, err)
		for _, m := range []envelope.Manifest{own, arrived.Manifest} { // nobody said that the first one arrived
			buried, err := tx.Bury(m, Now.Add(time.Minute), sign)
			w.tell("Tx.Bury", buried, err)
		}
		w.tell("Tx.Misplaced", tx.Misplaced(store.TableOutbox, own.ID), tx.Misplaced(store.TableInbox, messageID(5)), tx.Misplaced(store.TableReceipts, messageID(8)))
		w.tell("Tx.Placed", tx.Placed(store.TableInbox, messageID(5), []byte("n"), 71), tx.Placed(store.TableReceipts, messageID(8), []byte("n"), 72))
		stands, err := tx.ReceiptStands(messageID(7))
		w.tell("Tx.ReceiptStands", stands, err)
	})
	var kept []string
	err = w.s.Checkpoints(w.ctx, func(raw []byte) (bool, error) {
		kept = append(kept, string(raw))
		return true, nil
	})
	w.tell("Store.Checkpoints", kept, err)
	w.update(func(tx *store.Tx) {
		w.tell("Tx.ForgetCheckpoints", tx.ForgetCheckpoints(8))
		w.tell("Tx.Restored", tx.Restored(Now))
		w.tell("Tx.Provisional", tx.Provisional())
	})
	w.tell("Store.Keep", w.s.Keep(w.ctx), w.s.Keep(w.ctx))
	discarded, err := w.s.Discard(w.ctx) // it was kept
	w.tell("Store.Discard", discarded, err)
	broker, err := w.s.Healings(w.ctx, store.HealBroker)
	w.tell("Store.Healings", broker, err)
	open, err := w.s.Healings(w.ctx, store.HealStore)
	if err != nil || len(open) != 1 {
		w.t.Fatal(open, err)
	}
	w.tell("Store.Healings", open[0].At, open[0].Size, open[0].Done)
	w.tell("Store.Recovered", w.s.Recovered(w.ctx, open[0].ID, Now, func(*store.Tx) error { return nil }))
	w.tell("Store.Recovering", w.s.Recovering())
	w.update(func(tx *store.Tx) {
		stands, err := tx.ReceiptStands(messageID(7))
		w.tell("Tx.ReceiptStands", stands, err)
	})
	rows := map[string]int{}
	err = w.s.Dump(w.ctx, func(table string, row []byte) error {
		rows[table]++
		return nil
	})
	w.tell("Store.Dump", rows, err)
	err = w.s.Load(w.ctx, func() (string, []byte, error) { return "", nil, io.EOF }, nil)
	w.tell("Store.Load", errors.Is(err, store.ErrNotEmpty))
}

// provisionalIsDiscarded: a restore that did not come to its end leaves nothing in a database that is loaded again; a store that was
// kept, that an agent has worked on, or that was never restored, is never emptied.
func provisionalIsDiscarded(t *testing.T, p Place) {
	ctx, s := context.Background(), open(t, p)
	rows := func() (n int) {
		t.Helper()
		if err := s.Dump(ctx, func(string, []byte) error { n++; return nil }); err != nil {
			t.Fatal(err)
		}
		return n
	}
	discard := func(want bool) {
		t.Helper()
		had := rows()
		done, err := s.Discard(ctx)
		if err != nil || done != want {
			t.Fatalf("discarded: %v, %v", done, err)
		}
		if left := rows(); done && left != 0 || !done && left != had {
			t.Fatalf("%d rows of %d are left", left, had)
		}
	}
	fill := func() {
		t.Helper()
		Update(t, s, func(tx *store.Tx) error {
			if err := tx.AddToken("test", "a-token", []string{"read"}, Now); err != nil {
				return err
			}
			if err := tx.AddIncoming(Incoming(schemas.LaneUrgent)); err != nil {
				return err
			}
			if err := tx.Restored(Now); err != nil {
				return err
			}
			return tx.Provisional()
		})
	}
	fill()
	if !s.Shared() {
		discard(false) // a file vanishes with its folder
		return
	}
	discard(true)
	discard(false)
	if s.Recovering() {
		t.Error("an empty store waits for the ledger")
	}
	fill() // as if nothing had been there
	if err := s.Keep(ctx); err != nil {
		t.Fatal(err)
	}
	discard(false)
	if err := s.Keep(ctx); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("kept twice: %v", err)
	}
	Update(t, s, func(tx *store.Tx) error { return tx.Provisional() })
	l, err := s.TakeLead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	discard(false) // an agent works on it
	l.Release()
}
