package storetest

import (
	"context"
	"slices"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// numbersLeaveInOrder: what follows a message whose consent was withdrawn waits until that is taken back, in its pair and lane
// alone; where a withdrawal was only asked for, it does not.
func numbersLeaveInOrder(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	cert := Stormy(t, s, sign, 1) // number 1 to Them
	add := func(to string) string {
		t.Helper()
		o := Referral(to, nil)
		if err := s.Update(ctx, func(tx *store.Tx) error { return tx.AddOutgoing(o, sign) }); err != nil {
			t.Fatal(err)
		}
		return o.Manifest.ID
	}
	behind, elsewhere := add(Them), add("test-housing")
	leave := func(want ...string) {
		t.Helper()
		rows, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range rows {
			got = append(got, o.Manifest.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("leave now: %v, want %v", got, want)
		}
	}
	update := func(f func(tx *store.Tx) error) {
		t.Helper()
		if err := s.Update(ctx, f); err != nil {
			t.Fatal(err)
		}
	}
	update(func(tx *store.Tx) error { _, err := tx.StopUnder(cert, Now); return err })
	leave(behind, elsewhere)
	update(func(tx *store.Tx) error {
		_, err := tx.AddStatement(&consent.Statement{ID: schemas.NewThreadID(), Act: consent.ActWithdrawn, Certificate: cert, Issuer: Them, By: Them, At: Now}, "text", Us, Now)
		return err
	})
	leave(elsewhere)
	unsent, _, err := s.LeftOver(ctx, Us, 10)
	if err != nil || len(unsent) != 1 {
		t.Fatalf("%d left over: %v", len(unsent), err)
	}
	update(func(tx *store.Tx) error { _, err := tx.TakeBack(unsent[0], "consent-withdrawn", Now, sign); return err })
	leave(unsent[0].Manifest.ID, behind, elsewhere)
}

// arrivedIsNotTakenBack: the broker went back to a backup and lost what its recipient has receipted, and whose consent was
// withdrawn since. It is not put back to what waits: there it would be taken back, and with it the evidence of what was sent.
// A tombstone leaves in its place, under its number, as often as it is lost. What nobody has receipted is taken back, also when
// its body is erased.
func arrivedIsNotTakenBack(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	cert := Stormy(t, s, sign, 21) // three of ours
	rows, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)
	if err != nil || len(rows) != 3 {
		t.Fatal(len(rows), err)
	}
	for _, o := range rows {
		o.Manifest.From = Us // who leaves need not be told
	}
	arrived, lost, erased := rows[0].Manifest, rows[1].Manifest, rows[2].Manifest
	Update(t, s, func(tx *store.Tx) error {
		if err := tx.Published(rows, []uint64{7, 8, 9}, Now); err != nil {
			return err
		}
		receipt := envelope.Manifest{ID: schemas.NewMessageID(), Thread: arrived.Thread, ReplyTo: arrived.ID, From: Them, To: Us, Kind: schemas.KindReceipt,
			Lane: schemas.LaneReceipt, Seq: 1, Sent: Now, Outcome: schemas.OutcomeDelivered}
		if _, err := tx.AddReceipt(&receipt, []byte("n"), 3, Now); err != nil {
			return err
		}
		withdrawn := &consent.Statement{ID: schemas.NewThreadID(), Act: consent.ActWithdrawn, Certificate: cert, Issuer: Them, By: Them, At: Now}
		if _, err := tx.AddStatement(withdrawn, "text", Us, Now); err != nil {
			return err
		}
		if _, err := tx.StopUnder(cert, Now); err != nil {
			return err
		}
		_, err := tx.EraseThread(erased.Thread, Now)
		return err
	})
	lose := func() (again, buried []string) {
		Update(t, s, func(tx *store.Tx) error {
			again, buried = nil, nil
			for _, m := range []envelope.Manifest{arrived, lost, erased} {
				sent, err := tx.SendAgain(m.ID, m.Lane)
				if err != nil {
					return err
				}
				instead, err := tx.Bury(m, Now.Add(time.Hour), sign)
				if err != nil {
					return err
				}
				if sent {
					again = append(again, m.ID)
				}
				if instead {
					buried = append(buried, m.ID)
				}
			}
			return nil
		})
		return again, buried
	}
	if again, buried := lose(); !slices.Equal(again, []string{lost.ID, erased.ID}) || !slices.Equal(buried, []string{arrived.ID}) {
		t.Errorf("of %s, %s and %s were sent again %v, and buried %v", arrived.ID, lost.ID, erased.ID, again, buried)
	}
	unsent, _, err := s.LeftOver(ctx, Us, 10)
	if err != nil || len(unsent) != 2 || unsent[0].Manifest.ID != lost.ID || unsent[1].Manifest.ID != erased.ID {
		t.Errorf("to be taken back: %d, %v", len(unsent), err)
	}
	for seq := uint64(17); seq < 19; seq++ { // the broker loses the tombstone too
		leaves, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)
		if err != nil || len(leaves) != 1 || leaves[0].Manifest.ID != arrived.ID || !leaves[0].Tombstone || !leaves[0].Manifest.Void() || len(leaves[0].Body) != 0 {
			t.Fatalf("leaves: %+v, %v", leaves, err)
		}
		said, err := envelope.Parse(leaves[0].Raw())
		if err != nil {
			t.Fatal(err)
		}
		if m := said.Manifest; m.ID != arrived.ID || m.Seq != arrived.Seq || m.To != arrived.To || !m.Void() || m.Code != schemas.CodeLostInRestore || !m.Sent.Equal(Now.Add(time.Hour)) {
			t.Errorf("the tombstone says %+v", m)
		}
		if others, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, []string{Them}); err != nil || len(others) != 0 {
			t.Errorf("to others: %d, %v", len(others), err)
		}
		Update(t, s, func(tx *store.Tx) error { return tx.Published(leaves, []uint64{seq}, Now.Add(2*time.Hour)) })
		if more, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil); err != nil || len(more) != 0 {
			t.Errorf("after it left: %d, %v", len(more), err)
		}
		unproved, _, err := s.Unproved(ctx, store.TableOutbox, 0, 10)
		if err != nil || len(unproved) != 1 || unproved[0].Seq != seq || string(unproved[0].Note) != string(leaves[0].Note) || !unproved[0].At.Equal(Now.Add(2*time.Hour)) {
			t.Errorf("looked for in the ledger: %+v, %v", unproved, err)
		}
		if _, at, err := s.Place(ctx, arrived.ID); err != nil || at != 0 {
			t.Errorf("the message itself stands at %d, %v", at, err)
		}
		o, err := s.Outgoing(ctx, Us, arrived.ID)
		if err != nil || len(o.Body) == 0 || o.Manifest.Void() || o.State != store.Published || o.Receipt != schemas.OutcomeDelivered || string(o.Note) != string(rows[0].Note) {
			t.Errorf("what arrived: %+v, %v", o, err)
		}
		lose()
	}
	// The consent stands after all, as it can when its withdrawal was only asked for: the message itself goes, and no tombstone.
	Update(t, s, func(tx *store.Tx) error { return tx.ReleaseUnder(cert, Now) })
	again, _ := lose()
	leaves, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 1, nil)
	if err != nil || !slices.Contains(again, arrived.ID) || len(leaves) != 1 || leaves[0].Tombstone || string(leaves[0].Note) != string(rows[0].Note) {
		t.Errorf("after the consent stood again: %v %+v, %v", again, leaves, err)
	}
}

// tombstonesKeepTheirTurn: what leaves in the place of a lost message leaves in its order among what waits in the lane.
func tombstonesKeepTheirTurn(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	var ids []string
	for range 3 {
		o := Referral(Them, nil)
		Update(t, s, func(tx *store.Tx) error { return tx.AddOutgoing(o, sign) })
		ids = append(ids, o.Manifest.ID)
	}
	rows, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)
	if err != nil || len(rows) != 3 {
		t.Fatal(len(rows), err)
	}
	lost := rows[1].Manifest
	lost.From = Us
	Update(t, s, func(tx *store.Tx) error {
		if err := tx.Published(rows[1:2], []uint64{7}, Now); err != nil {
			return err
		}
		receipt := envelope.Manifest{ID: schemas.NewMessageID(), Thread: lost.Thread, ReplyTo: lost.ID, From: Them, To: Us, Kind: schemas.KindReceipt,
			Lane: schemas.LaneReceipt, Seq: 1, Sent: Now, Outcome: schemas.OutcomeDelivered}
		if _, err := tx.AddReceipt(&receipt, []byte("n"), 3, Now); err != nil {
			return err
		}
		buried, err := tx.Bury(lost, Now, sign)
		if err == nil && !buried {
			t.Error("not buried")
		}
		return err
	})
	for limit := 1; limit <= 4; limit++ {
		leaves, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, limit, []string{"test-housing"})
		if err != nil || len(leaves) != min(limit, 3) {
			t.Fatalf("of at most %d leave %d, %v", limit, len(leaves), err)
		}
		for i, o := range leaves {
			if o.Manifest.ID != ids[i] || o.Tombstone != (i == 1) || o.Manifest.Void() != (i == 1) {
				t.Errorf("of at most %d, place %d: %+v", limit, i, o)
			}
		}
	}
	for lane, except := range map[schemas.Lane][]string{schemas.LaneUrgent: {"test-housing", Them}, schemas.LaneRoutine: nil} {
		if leaves, err := s.PendingOutgoing(ctx, lane, 10, except); err != nil || len(leaves) != 0 {
			t.Errorf("lane %s but for %v: %d leave, %v", lane, except, len(leaves), err)
		}
	}
}
