package audit

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
	"waypost/schemas/thread"
)

func rebuild(t tester, w *world, id string, now time.Time) *ThreadState {
	t.Helper()
	s, err := Thread(tContext(t), w, w.root, id, now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stateOf(t tester, w *world, m envelope.Manifest) string {
	t.Helper()
	for _, s := range rebuild(t, w, m.Thread, w.now).Messages {
		if s.Message == m.ID {
			return s.State
		}
	}
	return "not there"
}

// TestThreadSays follows referrals through everything that can become of one. The clock is one hour.
func TestThreadSays(t *testing.T) {
	for want, what := range map[string]func(w *world, m envelope.Manifest){
		"sent, not yet collected, answer due in 1h": func(*world, envelope.Manifest) {},
		"sent, not yet collected, overdue by 3h":    func(w *world, m envelope.Manifest) { w.after(4 * time.Hour) },
		"delivered, answer due in 59min":            func(w *world, m envelope.Manifest) { w.after(time.Minute).receipt(m, schemas.OutcomeDelivered, "") },
		"delivered, overdue by 1h 1min": func(w *world, m envelope.Manifest) {
			w.receipt(m, schemas.OutcomeDelivered, "")
			w.after(121 * time.Minute)
		},
		"quarantined (bad-schema), answer due in 1h": func(w *world, m envelope.Manifest) { w.receipt(m, schemas.OutcomeQuarantined, "bad-schema") },
		"rejected (no-agreement)": func(w *world, m envelope.Manifest) {
			w.receipt(m, schemas.OutcomeRejected, "no-agreement")
			w.after(5 * time.Hour)
		},
		"answered":               func(w *world, m envelope.Manifest) { w.after(time.Hour).answer(m); w.after(time.Hour) },
		"answered, late by 1min": func(w *world, m envelope.Manifest) { w.after(61 * time.Minute).answer(m) },
		"expired uncollected":    func(w *world, m envelope.Manifest) { w.after(5 * time.Hour).expire(schemas.LaneUrgent) },
		"sent, not yet collected, consent withdrawn": func(w *world, m envelope.Manifest) { w.withdraw(police, ngo, "", time.Hour); w.after(4 * time.Hour) },
		"answered, consent withdrawn":                func(w *world, m envelope.Manifest) { w.answer(m); w.withdraw(police, ngo, m.Thread, time.Hour) },
		"answered, erased by " + ngo: func(w *world, m envelope.Manifest) {
			w.answer(m)
			w.act(ngo, ledger.Act{Act: ledger.ActErased, Thread: m.Thread})
		},
		"delivered, answer due in 1h, erased by " + ngo: func(w *world, m envelope.Manifest) {
			w.receipt(m, schemas.OutcomeQuarantined, "x")
			w.receipt(m, schemas.OutcomeDelivered, "")
			w.receipt(m, schemas.OutcomeRejected, "too-late")
			w.act(ngo, ledger.Act{Act: ledger.ActErased, Thread: m.Thread})
			w.act(shelter, ledger.Act{Act: ledger.ActErased, Thread: m.Thread}) // it holds nothing of this message
		},
		"sent, not yet collected, overdue by 3h, consent withdrawn, recipient not told": func(w *world, m envelope.Manifest) {
			w.withdraw(police, shelter, "", time.Hour)
			w.after(4 * time.Hour)
		},
	} {
		w := newWorld(t)
		m := w.refer(police, ngo, time.Hour)
		what(w, m)
		if got := stateOf(t, w, m); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestThreadBelievesOnlyThoseConcerned: none of these changes how a referral stands.
func TestThreadBelievesOnlyThoseConcerned(t *testing.T) {
	for name, what := range map[string]func(w *world, m envelope.Manifest){
		"a receipt by a stranger": func(w *world, m envelope.Manifest) {
			w.send(envelope.Manifest{From: shelter, To: police, Thread: m.Thread, ReplyTo: m.ID, Kind: schemas.KindReceipt, Lane: schemas.LaneReceipt, Outcome: schemas.OutcomeDelivered})
		},
		"a forged receipt": func(w *world, m envelope.Manifest) {
			w.forge(envelope.Manifest{From: ngo, To: police, Thread: m.Thread, ReplyTo: m.ID, Kind: schemas.KindReceipt, Lane: schemas.LaneReceipt, Outcome: schemas.OutcomeDelivered}, police)
		},
		"an answer by a stranger": func(w *world, m envelope.Manifest) {
			w.send(envelope.Manifest{From: shelter, To: police, Thread: m.Thread, ReplyTo: m.ID, Kind: schemas.KindReferralResponse, Basis: m.Basis})
		},
		"a forged answer": func(w *world, m envelope.Manifest) {
			w.forge(envelope.Manifest{From: ngo, To: police, Thread: m.Thread, ReplyTo: m.ID, Kind: schemas.KindReferralResponse, Basis: m.Basis}, shelter)
		},
		"a message that names it": func(w *world, m envelope.Manifest) {
			w.send(envelope.Manifest{From: ngo, To: police, Thread: m.Thread, ReplyTo: m.ID, Kind: schemas.KindMessage, Basis: m.Basis})
		},
		"an answer taken back": func(w *world, m envelope.Manifest) {
			w.send(envelope.Manifest{From: ngo, To: police, Thread: m.Thread, ReplyTo: m.ID, Kind: schemas.KindReferralResponse, Outcome: schemas.OutcomeVoid})
		},
		"a forged withdrawal": func(w *world, m envelope.Manifest) {
			w.forge(envelope.Manifest{From: police, To: ngo, Kind: schemas.KindConsentWithdrawal, Basis: m.Basis, Lane: schemas.LaneUrgent}, shelter)
		},
		"the withdrawal of another consent": func(w *world, m envelope.Manifest) {
			w.send(envelope.Manifest{From: police, To: ngo, Thread: m.Thread, Kind: schemas.KindConsentWithdrawal, Basis: "consent:" + schemas.NewThreadID(), Lane: schemas.LaneUrgent})
		},
		"a request to withdraw": func(w *world, m envelope.Manifest) {
			w.send(envelope.Manifest{From: ngo, To: police, Thread: m.Thread, Kind: schemas.KindWithdrawalRequest, Basis: m.Basis, Lane: schemas.LaneUrgent})
		},
	} {
		w := newWorld(t)
		m := w.refer(police, ngo, time.Hour)
		what(w, m)
		if got := stateOf(t, w, m); got != "sent, not yet collected, answer due in 1h" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestThreadTimeline(t *testing.T) {
	w, first := story(t)
	s := rebuild(t, w, first.Thread, w.now)
	var got []string
	for _, e := range s.Timeline {
		got = append(got, e.title()+" | "+e.State)
	}
	same(t, "timeline", got, []string{
		"referral | sent, not yet collected, answer due in 1h",
		"= quarantined | quarantined (unknown-schema), answer due in 59min",
		"referral-response | sent, not yet collected",
		"message | not signed by its sender: counts for nothing",
		"act: disclosed | key of this message disclosed by " + police,
		"act: erased | erased by " + ngo,
	})
	if s.Unsigned != 1 || len(s.Messages) != 2 || !s.Messages[0].Disclosed {
		t.Errorf("%+v", s)
	}
	if s := rebuild(t, w, newThread(), w.now); len(s.Messages) != 0 || len(s.Timeline) != 0 {
		t.Errorf("a thread nobody knows: %+v", s)
	}
}

// TestThreadWithdrawalElsewhere: the withdrawal of a consent may be sent on another thread, before or after.
func TestThreadWithdrawalElsewhere(t *testing.T) {
	for _, before := range []bool{true, false} {
		w := newWorld(t)
		if before {
			w.withdraw(police, ngo, "", time.Hour)
		}
		m := w.refer(police, ngo, time.Hour)
		if !before {
			w.withdraw(police, ngo, "", time.Hour)
		}
		s := rebuild(t, w, m.Thread, w.now)
		if len(s.Timeline) != 2 || len(s.Messages) != 1 || s.Messages[0].Told == nil {
			t.Errorf("before=%v: %+v", before, s)
		}
	}
}

// TestThreadAnswerRecordedFirst: the lanes are streams of their own, so an answer may be recorded before what it answers.
func TestThreadAnswerRecordedFirst(t *testing.T) {
	w := newWorld(t)
	m := w.refer(police, ngo, time.Hour)
	w.answer(m)
	w.receipt(m, schemas.OutcomeDelivered, "")
	n := len(w.records)
	w.records[n-3], w.records[n-1] = w.records[n-1], w.records[n-3]
	s := rebuild(t, w, m.Thread, w.now)
	i := slices.IndexFunc(s.Messages, func(x *MessageState) bool { return x.Message == m.ID })
	if s.Messages[i].State != "answered" || s.Messages[i].Delivery != thread.Delivered {
		t.Errorf("%+v", s.Messages[i])
	}
}

// TestThreadDeliveryIsThatOfPackageThread: what agencies make of receipts, an auditor makes of them too.
func TestThreadDeliveryIsThatOfPackageThread(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		m := w.refer(police, ngo, time.Hour)
		events := []thread.Event{{ID: m.ID, Kind: m.Kind, From: m.From, To: m.To, Sent: m.Sent}}
		for range rapid.IntRange(0, 6).Draw(t, "receipts") {
			r := w.after(time.Second).receipt(m, rapid.SampledFrom(schemas.ReceiptOutcomes()).Draw(t, "outcome"), "code")
			events = append(events, thread.Event{ID: r.ID, Kind: r.Kind, From: r.From, To: r.To, Sent: r.Sent, ReceiptOf: m.ID, Receipt: string(r.Outcome)})
		}
		want := thread.Fold(events).Request(m.ID).Delivery
		if got := rebuild(t, w, m.Thread, w.now).Messages[0].Delivery; got != want {
			t.Fatalf("got %s, package thread says %s", got, want)
		}
	})
}

func TestThreadRefusesWhatIsNoThread(t *testing.T) {
	w := newWorld(t)
	if _, err := Thread(t.Context(), w, w.root, directory.RootName, start); err == nil {
		t.Error("no thread id, and no error")
	}
}

func TestLength(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 59 * time.Second: "59s", 119 * time.Second: "1min", 3 * time.Hour: "3h", 3*time.Hour + 59*time.Second: "3h",
		25*time.Hour + 59*time.Minute: "1d 1h", -90 * time.Minute: "-1h 30min", 48 * time.Hour: "2d"} {
		if got := length(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
