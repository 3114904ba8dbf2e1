package storetest

import (
	"context"
	"slices"
	"testing"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
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
