package storetest

import (
	"context"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// storm is how many messages lie under one certificate.
const storm = 2_000

// Stormy fills a store with many messages of an agency under one certificate, each waiting for a sink, and a tenth as many of
// our own that have not left. It returns the certificate's id.
func Stormy(t testing.TB, s *store.Store, sign store.Signer, count int) string {
	t.Helper()
	cert := schemas.NewThreadID()
	err := s.Update(context.Background(), func(tx *store.Tx) error {
		if err := tx.AddCertificate(&store.Certificate{ID: cert, Issuer: Them, Issued: Now, Expires: Now.AddDate(0, 3, 0), Review: Now, Received: Now, Locked: []byte("x")}, Us); err != nil {
			return err
		}
		for i := range count {
			m := envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: Them, To: Us, Kind: schemas.KindReferral, Schema: "referral.v1",
				Lane: schemas.LaneUrgent, Seq: uint64(i + 1), Sent: Now, Basis: "consent:" + cert}
			if err := tx.AddIncoming(&store.Incoming{Manifest: m, Note: []byte("n"), Body: Sealed, Wrapped: []byte("w"), Received: Now, StreamSeq: uint64(i + 1)}); err != nil {
				return err
			}
			if err := tx.AddDelivery(&store.Delivery{Source: store.FromInbox, Ref: m.ID, Sink: "intake", Urgent: true, Required: true, Due: Now}); err != nil {
				return err
			}
			if i%10 == 0 {
				o := Referral(Them, nil)
				o.Manifest.Basis = "consent:" + cert
				if err := tx.AddOutgoing(o, sign); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// withdrawalStorm: one update stops two thousand messages; what follows for each comes in small steps that a restart
// goes on with; another basis is not touched; and all of it can be released again.
func withdrawalStorm(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	cert := Stormy(t, s, sign, storm)
	other := Referral(Them, nil)
	if err := s.Update(ctx, func(tx *store.Tx) error {
		return tx.AddOutgoing(other, sign)
	}); err != nil {
		t.Fatal(err)
	}
	stop := func(want int64) {
		t.Helper()
		err := s.Update(ctx, func(tx *store.Tx) error {
			n, err := tx.StopUnder(cert, Now)
			if n != want {
				t.Errorf("stopped %d, want %d", n, want)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	due := func() int {
		t.Helper()
		rows, err := s.DueDeliveries(ctx, "intake", true, Now.Add(time.Hour), 2*storm)
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	pending := func() int {
		t.Helper()
		rows, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 2*storm, nil)
		if err != nil {
			t.Fatal(err)
		}
		return len(rows)
	}
	stop(storm + storm/10)
	if due() != 0 || pending() != 1 {
		t.Fatalf("%d hand-overs and %d messages go on", due(), pending())
	}
	stop(0)
	if err := s.Update(ctx, func(tx *store.Tx) error { return tx.ReleaseUnder(cert, Now) }); err != nil {
		t.Fatal(err)
	}
	if due() != storm || pending() != storm/10+1 {
		t.Fatalf("released: %d hand-overs, %d messages", due(), pending())
	}
	stop(storm + storm/10)
	// Nothing is left over until the withdrawal is certain.
	if unsent, unrouted, err := s.LeftOver(ctx, Us, 10); err != nil || len(unsent)+len(unrouted) != 0 {
		t.Fatalf("left over while only stopped: %d %d %v", len(unsent), len(unrouted), err)
	}
	err := s.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.AddStatement(&consent.Statement{ID: schemas.NewThreadID(), Act: consent.ActWithdrawn, Certificate: cert, Issuer: Them, By: Them, At: Now}, "text", Us, Now)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	taken, refused, last := 0, 0, ""
	later := Now.Add(time.Hour) // the signing key may have changed meanwhile
	for {
		unsent, unrouted, err := s.LeftOver(ctx, Us, 500)
		if err != nil {
			t.Fatal(err)
		}
		if len(unsent)+len(unrouted) == 0 {
			break
		}
		err = s.Update(ctx, func(tx *store.Tx) error {
			for _, o := range unsent {
				ok, err := tx.TakeBack(o, "consent-withdrawn", later, sign)
				if err != nil || !ok {
					t.Errorf("take back: %v %v", ok, err)
				}
				taken, last = taken+1, o.Manifest.ID
			}
			for _, in := range unrouted {
				if ok, err := tx.Refuse(in.Manifest.ID, Now); err != nil || !ok {
					t.Errorf("refuse: %v %v", ok, err)
				}
				refused++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if taken != storm/10 || refused != storm {
		t.Errorf("taken back %d, refused %d", taken, refused)
	}
	void, err := s.Outgoing(ctx, Us, last)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := envelope.Parse(void.Note); err != nil || !e.Manifest.Void() || !e.Manifest.Sent.Equal(later) {
		t.Errorf("what was taken back is no void message of now: %v", err)
	}
	if pending() != storm/10+1 { // void manifests leave, so that no number is missing
		t.Errorf("%d to publish", pending())
	}
	var erased int64
	err = s.Update(ctx, func(tx *store.Tx) (err error) { erased, err = tx.EraseUnder(cert, Now); return err })
	if err != nil || erased != storm {
		t.Errorf("erased %d: %v", erased, err)
	}
	in, err := s.ListIncoming(ctx, Us, false, store.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	one, err := s.Incoming(ctx, Us, in[0].Manifest.ID)
	if err != nil || one.Body != nil || one.Wrapped != nil || one.Erased == nil {
		t.Errorf("erased message still has its body: %v", err)
	}
	gauges, err := s.Gauges(ctx, Now)
	if err != nil {
		t.Fatal(err)
	}
	counts, err := s.Count(ctx, gauges)
	if err != nil || counts.SentByBasis["vital-interests"] != 1 || counts.SentByBasis["consent"] != 0 {
		t.Errorf("counts: %+v %v", counts, err)
	}
}

// stoppedBeforeReleased: what a withdrawal stopped after it was listed is not released, what another basis carries is.
func stoppedBeforeReleased(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	first, second := Stormy(t, s, sign, 5), Stormy(t, s, sign, 5)
	due, err := s.DueDeliveries(ctx, "intake", true, Now, 20)
	if err != nil || len(due) != 10 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	released := func() (n int) {
		t.Helper()
		if err := s.Release(ctx, due, func(still func(int64) bool) {
			for _, d := range due {
				if still(d.N) {
					n++
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	if n := released(); n != 10 {
		t.Errorf("%d may be shown, want all 10", n)
	}
	for i, cert := range []string{first, second} {
		Update(t, s, func(tx *store.Tx) error { _, err := tx.StopUnder(cert, Now); return err })
		if n, want := released(), 5-5*i; n != want {
			t.Errorf("%d may be shown, want %d", n, want)
		}
	}
	ended, end := context.WithCancel(ctx)
	end()
	if err := s.Release(ended, due, func(func(int64) bool) { t.Error("shown") }); err == nil {
		t.Error("no error")
	}
}

// takenBackWhileLeaving: what the broker took while we took it back has left, and the outbox says so.
func takenBackWhileLeaving(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	cert := Stormy(t, s, sign, 1)
	rows, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)
	if err != nil || len(rows) != 1 {
		t.Fatal(err)
	}
	leaving := rows[0]
	err = s.Update(ctx, func(tx *store.Tx) error {
		if _, err := tx.StopUnder(cert, Now); err != nil {
			return err
		}
		full, err := s.Outgoing(ctx, Us, leaving.Manifest.ID)
		if err != nil {
			return err
		}
		_, err = tx.TakeBack(full, "consent-withdrawn", Now, sign)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Update(ctx, func(tx *store.Tx) error { return tx.Published([]*store.Outgoing{leaving}, []uint64{7}, Now) }); err != nil {
		t.Fatal(err)
	}
	o, err := s.Outgoing(ctx, Us, leaving.Manifest.ID)
	if err != nil || o.Manifest.Void() || o.State != store.Published || len(o.Body) == 0 || string(o.Note) != string(leaving.Note) {
		t.Errorf("%v: void %v, state %s, %d bytes", err, o.Manifest.Void(), o.State, len(o.Body))
	}
}

// erasedWhileLeaving: when the broker's word that it took a message comes after its consent was withdrawn, it was taken back and
// all under the consent was erased, the outbox says that it has left, and its body stays erased.
func erasedWhileLeaving(t *testing.T, p Place) {
	ctx := context.Background()
	s, sign := open(t, p), Signer(t)
	cert, other := Stormy(t, s, sign, 1), Stormy(t, s, sign, 1)
	rows, err := s.PendingOutgoing(ctx, schemas.LaneUrgent, 10, nil)
	if err != nil || len(rows) != 2 {
		t.Fatal(err)
	}
	Update(t, s, func(tx *store.Tx) error {
		for _, o := range rows {
			full, err := s.Outgoing(ctx, Us, o.Manifest.ID)
			if err != nil {
				return err
			}
			if _, err := tx.TakeBack(full, "consent-withdrawn", Now, sign); err != nil {
				return err
			}
		}
		d := &store.Duty{Statement: schemas.NewThreadID(), Certificate: cert, Issuer: Them, By: Them, Act: consent.ActWithdrawn, Message: schemas.NewMessageID(), Thread: schemas.NewThreadID(), Received: Now, Due: Now}
		if _, err := tx.AddDuty(d); err != nil {
			return err
		}
		if _, err := tx.EraseUnder(cert, Now); err != nil {
			return err
		}
		return tx.DecideDuties(cert, consent.ActWithdrawn, schemas.HolderAnswer{Outcome: schemas.HolderErased}, Now)
	})
	Update(t, s, func(tx *store.Tx) error { return tx.Published(rows, []uint64{7, 8}, Now) })
	for _, o := range rows {
		erased := o.Manifest.Basis == "consent:"+cert
		got, err := s.Outgoing(ctx, Us, o.Manifest.ID)
		if err != nil || got.Manifest.Void() || got.State != store.Published || (got.Body == nil) != erased || (got.Wrapped == nil) != erased || (got.Erased != nil) != erased {
			t.Errorf("%v: under %s, erased %v: void %v, state %s, %d bytes, marked %v", err, other, erased, got.Manifest.Void(), got.State, len(got.Body), got.Erased)
		}
	}
}
