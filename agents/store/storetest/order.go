package storetest

import (
	"context"
	"slices"
	"testing"

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
	update(func(tx *store.Tx) error { _, err := tx.TakeBack(unsent[0], "consent-withdrawn", sign); return err })
	leave(unsent[0].Manifest.ID, behind, elsewhere)
}

// arrivedIsNotTakenBack: the broker went back to a backup and lost what its recipient has receipted, and whose consent was
// withdrawn since. It is not put back to what waits: there it would be taken back, and with it the evidence of what was sent.
func arrivedIsNotTakenBack(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	cert := Stormy(t, s, sign, 11) // two of ours
	rows, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)
	if err != nil || len(rows) != 2 {
		t.Fatal(len(rows), err)
	}
	arrived, lost := rows[0].Manifest, rows[1].Manifest
	again := map[string]bool{}
	err = s.Update(ctx, func(tx *store.Tx) error {
		if err := tx.Published(rows, []uint64{7, 8}, Now); err != nil {
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
		for _, m := range []envelope.Manifest{arrived, lost} {
			if again[m.ID], err = tx.SendAgain(m.ID, m.Lane); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || again[arrived.ID] || !again[lost.ID] {
		t.Errorf("sent again: the one that arrived %v, the one that did not %v, %v", again[arrived.ID], again[lost.ID], err)
	}
	unsent, _, err := s.LeftOver(ctx, Us, 10)
	if err != nil || len(unsent) != 1 || unsent[0].Manifest.ID != lost.ID {
		t.Errorf("to be taken back: %d, %v", len(unsent), err)
	}
	o, err := s.Outgoing(ctx, Us, arrived.ID)
	if err != nil || len(o.Body) == 0 || o.Manifest.Void() {
		t.Errorf("what arrived: %d bytes, void %v, %v", len(o.Body), o.Manifest.Void(), err)
	}
}
