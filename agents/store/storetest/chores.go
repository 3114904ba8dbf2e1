package storetest

import (
	"context"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
)

// choresAreSeen: what is asked in one go says of each list whether there is something on it. A chore that it does not see is
// never done.
func choresAreSeen(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	later := Now.Add(time.Hour)
	const most = 2
	var want store.Chores
	// agree compares what is seen with what is meant and with the lists themselves.
	agree := func(now time.Time, what string) {
		t.Helper()
		got, err := s.Chores(ctx, now, now.Add(-time.Minute), most)
		if err != nil {
			t.Fatal(err)
		}
		unsent, unrouted, err := s.LeftOver(ctx, Us, 10)
		if err != nil {
			t.Fatal(err)
		}
		silent, err := s.Silent(ctx, now, now.Add(-time.Minute), most, 10)
		if err != nil {
			t.Fatal(err)
		}
		ringing, err := s.Ringing(ctx, now, 10)
		if err != nil {
			t.Fatal(err)
		}
		if got.Clock != nil && want.Clock != nil && got.Clock.Equal(*want.Clock) {
			got.Clock = want.Clock
		}
		if got != want || got.LeftOver != (len(unsent)+len(unrouted) > 0) || got.Silent != (len(silent) > 0) || got.Ringing != (len(ringing) > 0) {
			t.Errorf("%s: %+v, want %+v; lists of %d, %d, %d and %d", what, got, want, len(unsent), len(unrouted), len(silent), len(ringing))
		}
	}
	agree(later, "empty")

	Update(t, s, func(tx *store.Tx) error { return tx.AddOutgoing(Referral(Them, &later), sign) })
	want.Clock = &later
	agree(later.Add(time.Hour), "a clock has run out")
	Update(t, s, func(tx *store.Tx) error { _, err := tx.RunOut(later.Add(time.Hour), 10); return err })
	want.Clock = nil
	agree(later.Add(time.Hour), "a clock was marked")

	timer := &store.Timer{Ref: "t", N: 1, Next: later, Locked: []byte("l")}
	Update(t, s, func(tx *store.Tx) error { return tx.AddTimer(timer) })
	agree(later.Add(-time.Millisecond), "a timer just before")
	want.Ringing = true
	agree(later, "a timer on the dot")
	Update(t, s, func(tx *store.Tx) error { _, err := tx.Rang(timer, nil); return err })
	want.Ringing = false
	agree(later, "a timer rang")

	notice := &store.Notice{Statement: schemas.NewThreadID(), Certificate: schemas.NewThreadID(), Agency: Them, Told: Now, Due: &Now}
	Update(t, s, func(tx *store.Tx) error { _, err := tx.AddNotice(notice); return err })
	agree(Now, "an answer on the dot")
	for at := later; notice.Reminders < most; at = at.Add(time.Hour) {
		want.Silent = true
		agree(at, "no answer")
		Update(t, s, func(tx *store.Tx) error { _, err := tx.Reminded(notice, "m", at); return err })
		notice.Reminders++
		want.Silent = false
		agree(at, "just reminded")
	}
	agree(later.AddDate(1, 0, 0), "reminded often enough")

	duty := &store.Duty{Statement: schemas.NewThreadID(), Certificate: schemas.NewThreadID(), Issuer: Them, By: Them, Act: consent.ActWithdrawn, Received: Now, Due: later}
	Update(t, s, func(tx *store.Tx) error { _, err := tx.AddDuty(duty); return err })
	agree(later, "a duty on the dot")
	want.Undecided = true
	agree(later.Add(time.Millisecond), "a duty ran out")
	Update(t, s, func(tx *store.Tx) error { _, err := tx.OverdueDuties(later.Add(time.Millisecond), 10); return err })
	want.Undecided = false
	agree(later.Add(time.Hour), "a duty was marked")

	cert := Stormy(t, s, sign, 1)
	Update(t, s, func(tx *store.Tx) error { _, err := tx.StopUnder(cert, Now); return err })
	agree(Now, "only asked for")
	Update(t, s, func(tx *store.Tx) error {
		_, err := tx.AddStatement(&consent.Statement{ID: schemas.NewThreadID(), Act: consent.ActWithdrawn, Certificate: cert, Issuer: Them, By: Them, At: Now}, "text", Us, Now)
		return err
	})
	want.LeftOver = true
	agree(Now, "withdrawn")
	unsent, unrouted, err := s.LeftOver(ctx, Us, 10)
	if err != nil || len(unsent) != 1 || len(unrouted) != 1 {
		t.Fatal(len(unsent), len(unrouted), err)
	}
	Update(t, s, func(tx *store.Tx) error { _, err := tx.Refuse(unrouted[0].Manifest.ID, Now); return err })
	agree(Now, "what came is refused")
	Update(t, s, func(tx *store.Tx) error { _, err := tx.TakeBack(unsent[0], "consent-withdrawn", Now, sign); return err })
	want.LeftOver = false
	agree(Now, "and what did not leave is taken back")

	other := Stormy(t, s, sign, 1)
	Update(t, s, func(tx *store.Tx) error {
		if _, err := tx.StopUnder(other, Now); err != nil {
			return err
		}
		_, err := tx.AddStatement(&consent.Statement{ID: schemas.NewThreadID(), Act: consent.ActWithdrawn, Certificate: other, Issuer: Them, By: Them, At: Now}, "text", Us, Now)
		return err
	})
	unsent, _, err = s.LeftOver(ctx, Us, 10)
	if err != nil || len(unsent) != 1 {
		t.Fatal(len(unsent), err)
	}
	Update(t, s, func(tx *store.Tx) error { _, err := tx.TakeBack(unsent[0], "consent-withdrawn", Now, sign); return err })
	want.LeftOver = true
	agree(Now, "what came is still to be refused")
}
