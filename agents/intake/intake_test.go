package intake_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

func TestAcceptedOnceForEver(t *testing.T) {
	w := newWorld(t)
	raw := w.seal(w.draft())
	for i := range 3 {
		if v := w.receive(raw); v.Fate != intake.Settled {
			t.Fatalf("time %d: %+v", i, v)
		}
	}
	// With no rule that asks for it the inbox is its destination: one row, one receipt, whatever was redelivered.
	if got := w.receipts(); len(w.inbox()) != 1 || len(got) != 1 || got[0][:9] != "delivered" {
		t.Errorf("%d rows, receipts %v", len(w.inbox()), got)
	}
}

func TestOneBatchWithARepeat(t *testing.T) {
	w := newWorld(t)
	good, other := w.seal(w.draft()), w.seal(w.draft())
	subject := "mail.urgent." + ngo + "." + police
	out := w.intake.Handle(context.Background(), []intake.Message{{Subject: subject, Data: good}, {Subject: subject, Data: good}, {Subject: subject, Data: nil}, {Subject: subject, Data: other}})
	for i, v := range out {
		if v.Fate != intake.Settled {
			t.Errorf("message %d: %+v", i, v)
		}
	}
	if len(w.inbox()) != 2 || len(w.quarantined()) != 1 {
		t.Errorf("%d in the inbox, %d in quarantine", len(w.inbox()), len(w.quarantined()))
	}
}

func TestReceiptWaitsForRequiredSinks(t *testing.T) {
	w := newWorld(t)
	w.sinks = []intake.Target{{Sink: "folder", Required: true}, {Sink: "pager"}}
	w.receive(w.seal(w.draft()))
	if got := w.receipts(); len(got) != 0 {
		t.Fatalf("receipt before the sink took it: %v", got)
	}
	due, err := w.store.DueDeliveries(context.Background(), "folder", true, w.now, 10)
	if err != nil || len(due) != 1 {
		t.Fatalf("%d deliveries due, %v", len(due), err)
	}
	// An optional sink alone is no reason to wait.
	w.sinks = w.sinks[1:]
	w.receive(w.seal(w.draft()))
	if got := w.receipts(); len(got) != 1 {
		t.Errorf("receipts %v, want one", got)
	}
}

func TestTemporaryStoresNothing(t *testing.T) {
	broken := errors.New("disk")
	tests := map[string]struct {
		bend func(w *world)
		mend func(w *world)
		code string
	}{
		"expired directory": {func(w *world) { w.expires = w.now.Add(-time.Second); w.publish() }, func(w *world) { w.expires = w.now.Add(time.Hour); w.publish() }, intake.CodeExpiredHead},
		"no directory yet":  {func(w *world) { w.view = nil }, func(w *world) { w.publish() }, intake.CodeNoDirectory},
		"own clock behind":  {func(w *world) { w.now, w.behind = w.now.Add(-time.Hour), time.Hour }, func(w *world) { w.now, w.behind = w.now.Add(time.Hour), 0 }, intake.CodeOwnClock},
		"store fails":       {func(w *world) { w.store.BeforeCommit = func() error { return broken } }, func(w *world) { w.store.BeforeCommit = nil }, intake.CodeStore},
		"disk full":         {func(w *world) { w.limit(1) }, func(w *world) { w.limit(1 << 30) }, intake.CodeStoreFull},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			raw := w.seal(w.draft())
			tc.bend(w)
			v := w.receive(raw)
			if v.Fate != intake.Later || v.Code != tc.code || v.Delay <= 0 {
				t.Fatalf("got %+v, want later %s", v, tc.code)
			}
			tc.mend(w)
			if len(w.inbox()) != 0 || len(w.receipts()) != 0 {
				t.Fatal("something was stored")
			}
			if v := w.receive(raw); v.Fate != intake.Settled || len(w.inbox()) != 1 {
				t.Errorf("when it passed: %+v", v)
			}
		})
	}
}

func (w *world) limit(n int64) {
	if err := w.store.LimitSize(context.Background(), n); err != nil {
		w.t.Fatal(err)
	}
}

func TestStoredButVerdictLost(t *testing.T) {
	w := newWorld(t)
	raw := w.seal(w.draft())
	w.store.AfterCommit = func() error { return errors.New("connection lost") }
	if v := w.receive(raw); v.Fate != intake.Later {
		t.Fatalf("got %+v", v)
	}
	w.store.AfterCommit = nil
	if v := w.receive(raw); v.Fate != intake.Settled || v.Code != intake.CodeReplay {
		t.Errorf("the second time: %+v", v)
	}
	if len(w.inbox()) != 1 || len(w.receipts()) != 1 {
		t.Errorf("%d rows, %d receipts", len(w.inbox()), len(w.receipts()))
	}
}

// A newly admitted agency must not be set aside because our copy of the directory is older than its message.
func TestFreshDirectoryBeforeRefusal(t *testing.T) {
	w := newWorld(t)
	old := w.view
	w.newKeys(police) // re-keyed; the directory we hold does not know yet
	raw := w.seal(w.draft())
	asked := 0
	w.intake.Refresh = func(context.Context) (bool, error) { asked++; w.publish(); return true, nil }
	w.view = old
	if v := w.receive(raw); v.Fate != intake.Settled || v.Code != "" || len(w.inbox()) != 1 {
		t.Errorf("got %+v", v)
	}
	if asked != 1 {
		t.Errorf("asked %d times for a newer directory", asked)
	}
}

// A newer directory that came by itself, after the first look and before anybody asked, counts although asking brings nothing new.
func TestDirectoryThatCameByItself(t *testing.T) {
	w := newWorld(t)
	old := w.view
	w.newKeys(police)
	raw := w.seal(w.draft())
	w.intake.Refresh = func(context.Context) (bool, error) { w.publish(); return false, nil }
	w.view = old
	if v := w.receive(raw); v.Fate != intake.Settled || v.Code != "" || len(w.inbox()) != 1 {
		t.Errorf("got %+v: refused on the word of an old directory while a newer one was there", v)
	}
}

// If nobody can be asked for a newer directory, nobody is refused on the word of an old one.
func TestNoRefusalWhileTheDirectoryCannotBeAsked(t *testing.T) {
	w := newWorld(t)
	old := w.view
	w.newKeys(police)
	raw := w.seal(w.draft())
	w.publish()
	current := w.view
	w.view = old
	w.intake.Refresh = func(context.Context) (bool, error) { return false, errors.New("timeout") }
	if v := w.receive(raw); v.Fate != intake.Later || len(w.quarantined()) != 0 {
		t.Fatalf("got %+v", v)
	}
	w.view = current
	if v := w.receive(raw); v.Fate != intake.Settled || len(w.inbox()) != 1 {
		t.Errorf("when it could: %+v", v)
	}
}

// An agency that knows another's ids must not be able to make its message vanish, nor to put its own consent in the other's
// place.
func TestTakenIDs(t *testing.T) {
	w := newWorld(t)
	victim, other := w.draft(), w.draft()
	squatter := w.draft()
	if err := w.store.Update(context.Background(), func(tx *store.Tx) error {
		if err := tx.AddCertificate(&store.Certificate{ID: other.certificate.ID, Issuer: housing, Locked: []byte("x"), Received: w.now}, ngo); err != nil {
			return err
		}
		return tx.Decide(victim.manifest.ID, housing, "accepted", "", w.now)
	}); err != nil {
		t.Fatal(err)
	}
	if v := w.receive(w.seal(victim)); v.Code != intake.CodeIDTaken || len(w.quarantined()) != 1 || len(w.receipts()) != 1 {
		t.Errorf("message id taken: %+v, receipts %v", v, w.receipts())
	}
	if v := w.receive(w.seal(other)); v.Code != intake.CodeCertificateConflict || len(w.quarantined()) != 2 {
		t.Errorf("certificate id taken: %+v", v)
	}
	if v := w.receive(w.seal(squatter)); v.Code != "" || len(w.inbox()) != 1 {
		t.Errorf("an honest one: %+v", v)
	}
}

func TestVoidFillsTheHole(t *testing.T) {
	w := newWorld(t)
	first := w.draft()
	taken := w.draft()
	last := w.draft()
	w.receive(w.seal(first))
	w.receive(w.seal(last))
	gaps, err := w.store.Gaps(context.Background())
	if err != nil || len(gaps) != 1 || gaps[0].Seq != taken.manifest.Seq {
		t.Fatalf("gaps %+v, %v", gaps, err)
	}
	m := taken.manifest
	m.Outcome, m.RespondBy, m.Basis = schemas.OutcomeVoid, nil, ""
	raw, err := envelope.Sign(m, nil, w.vaults[police].Signer())
	if err != nil {
		t.Fatal(err)
	}
	if v := w.receive(raw); v.Fate != intake.Settled || v.Code != "" {
		t.Fatalf("void: %+v", v)
	}
	if gaps, err = w.store.Gaps(context.Background()); err != nil || len(gaps) != 0 {
		t.Errorf("gaps after the void message: %+v, %v", gaps, err)
	}
	if len(w.inbox()) != 2 {
		t.Errorf("%d in the inbox: a void message is no message", len(w.inbox()))
	}
}

// A receipt can settle our message only if it comes from the agency the message went to.
func TestForgedReceipt(t *testing.T) {
	w := newWorld(t)
	ours := &store.Outgoing{Body: []byte("age-encryption.org/v1\nx"), Manifest: envelope.Manifest{ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: ngo, To: housing,
		Kind: schemas.KindReferral, Schema: "referral.v1", Lane: schemas.LaneUrgent, Sent: w.now, Basis: "vital-interests"}}
	err := w.store.Update(context.Background(), func(tx *store.Tx) error { return tx.AddOutgoing(ours, w.intake.Emit.Sign) })
	if err != nil {
		t.Fatal(err)
	}
	receipt := func(from string) intake.Verdict {
		raw, err := envelope.Sign(envelope.Manifest{ID: schemas.NewMessageID(), Thread: ours.Manifest.Thread, ReplyTo: ours.Manifest.ID, From: from, To: ngo,
			Kind: schemas.KindReceipt, Schema: "receipt.v1", Lane: schemas.LaneReceipt, Seq: 1, Sent: w.now, Outcome: schemas.OutcomeDelivered}, nil, w.vaults[from].Signer())
		if err != nil {
			t.Fatal(err)
		}
		return w.receiveOn("mail.receipt."+ngo+"."+from, raw)
	}
	if v := receipt(police); v.Code != intake.CodeUnknownReceipts {
		t.Errorf("from a third agency: %+v", v)
	}
	o, err := w.store.Outgoing(context.Background(), ngo, ours.Manifest.ID)
	if err != nil || o.Receipt != "" {
		t.Fatalf("receipt %q, %v", o.Receipt, err)
	}
	if v := receipt(housing); v.Code != "" {
		t.Errorf("from the recipient: %+v", v)
	}
	if o, err = w.store.Outgoing(context.Background(), ngo, ours.Manifest.ID); err != nil || o.Receipt != schemas.OutcomeDelivered {
		t.Errorf("receipt %q, %v", o.Receipt, err)
	}
}

func TestKeysOfTheTime(t *testing.T) {
	w := newWorld(t)
	d := w.draft()
	d.manifest.Sent = w.now.Add(-48 * time.Hour) // before the police's key was listed
	if v := w.receive(w.seal(d)); v.Code != envelope.CodeBadSignature {
		t.Errorf("got %+v", v)
	}
}

// FuzzHandle feeds intake anything at all: it must settle it, never panic, never let it through.
func FuzzHandle(f *testing.F) {
	w := newWorld(f)
	seeds := 0
	for _, tc := range []string{"truncated", "not-age", "deep", "thread-changed"} {
		f.Add(hostiles[tc].make(w, w.draft()))
		seeds++
	}
	if seeds != 4 {
		f.Fatal("the seed corpus is gone")
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		w.t = t
		v := w.receive(raw)
		if v.Fate != intake.Settled || v.Code == "" {
			t.Fatalf("got %+v", v)
		}
		if len(w.inbox()) != 0 {
			t.Fatal("let through")
		}
	})
}
