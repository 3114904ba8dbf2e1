package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

func gather(t tester, w *world) *Report {
	t.Helper()
	r, err := Gather(context.Background(), w, w.root, w.now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// of is one agency's line in words, without what is zero.
func (r *Report) of(agency string) string {
	f := r.Total
	for _, x := range r.Agencies {
		if x.Agency == agency {
			f = x
		}
	}
	var out []string
	add := func(name string, c *Count) {
		if c != nil && c.String() != "0" {
			out = append(out, name+" "+c.String())
		}
	}
	add("uncollected", &f.Uncollected)
	add("unanswered", &f.Unanswered)
	add("overdue", f.Overdue)
	if f.Oldest != nil {
		out = append(out, "oldest "+f.Oldest.String())
	}
	add("expired", &f.Expired)
	for _, x := range f.Responses {
		out = append(out, fmt.Sprintf("%s %v median %v p90 %v longest %v", x.Kind, x.Answered, x.Median, x.P90, x.Longest))
	}
	for _, x := range f.Clocks {
		out = append(out, fmt.Sprintf("%s %v/%v", x.Class, x.InTime, x.Late))
	}
	for _, x := range f.Refusals {
		out = append(out, fmt.Sprintf("%s %s %v", x.Outcome, x.Code, x.Count))
	}
	for _, x := range f.Bases {
		out = append(out, fmt.Sprintf("%s %v", x.Basis, x.Count))
	}
	add("withdrawals answered", &f.Withdrawals.Answered)
	add("waiting", &f.Withdrawals.Waiting)
	add("withdrawals overdue", f.Withdrawals.Overdue)
	return strings.Join(out, "; ")
}

func TestReport(t *testing.T) {
	const day = 24 * time.Hour
	for name, c := range map[string]struct {
		what func(w *world)
		want string // of the NGO
	}{
		"nothing":     {func(*world) {}, ""},
		"uncollected": {func(w *world) { w.refer(police, ngo, time.Hour); w.after(time.Minute) }, "uncollected 1; unanswered 1; oldest 1min"},
		"overdue": {func(w *world) { w.refer(police, ngo, time.Hour); w.after(2 * time.Hour) },
			"uncollected 1; unanswered 1; overdue 1; oldest 2h; urgent-immediate 0/1"},
		"delivered": {func(w *world) { w.receipt(w.refer(police, ngo, day), schemas.OutcomeDelivered, "") }, "unanswered 1; oldest 0s"},
		"answered": {func(w *world) {
			for i := range 10 {
				m := w.refer(police, ngo, 6*time.Hour)
				w.after(time.Duration(i+1) * time.Hour).answer(m)
				w.receipt(m, schemas.OutcomeDelivered, "")
			}
		}, "referral 10 median 5h p90 9h longest 10h; routine-priority 6/4"},
		"answered twice": {func(w *world) {
			m := w.refer(police, ngo, day)
			w.receipt(m, schemas.OutcomeDelivered, "")
			w.after(time.Hour).answer(m)
			w.after(time.Hour).answer(m)
		}, "referral 1 median 1h p90 1h longest 1h; routine-priority 1/0"},
		"classes": {func(w *world) {
			for _, d := range []time.Duration{time.Hour, 3 * time.Hour, day, 3 * day} {
				m := w.refer(police, ngo, d)
				w.answer(m)
				w.receipt(m, schemas.OutcomeDelivered, "")
			}
		}, "referral 4 median 0s p90 0s longest 0s; urgent-immediate 1/0; urgent-longer 1/0; routine-priority 1/0; routine-longer 1/0"},
		"refused": {func(w *world) {
			m := w.refer(police, ngo, day)
			w.receipt(m, schemas.OutcomeQuarantined, "bad-schema")
			w.receipt(m, schemas.OutcomeRejected, "no-agreement")
			w.receipt(m, schemas.OutcomeRejected, "second-thoughts")
		}, "quarantined bad-schema 1; rejected no-agreement 1"},
		"rejected late": {func(w *world) {
			m := w.refer(police, ngo, time.Hour)
			w.after(day).receipt(m, schemas.OutcomeRejected, "x")
		}, "urgent-immediate 0/1; rejected x 1"},
		"expired":         {func(w *world) { w.refer(police, ngo, day); w.after(time.Hour).expire(schemas.LaneRoutine) }, "expired 1"},
		"expired overdue": {func(w *world) { w.refer(police, ngo, day); w.after(2 * day).expire(schemas.LaneRoutine) }, "expired 1; routine-priority 0/1"},
		"answer first": {func(w *world) {
			w.receipt(w.refer(police, ngo, day), schemas.OutcomeDelivered, "")
			w.answer(lastReferral(w))
			w.swap(1, 3)
			w.swap(2, 3)
		}, "referral 1 median 0s p90 0s longest 0s; routine-priority 1/0"},
		"consent withdrawn": {func(w *world) {
			m := w.refer(police, ngo, day)
			w.receipt(m, schemas.OutcomeDelivered, "")
			w.receipt(w.withdraw(police, ngo, "", 0), schemas.OutcomeDelivered, "")
			w.after(2 * day)
		}, ""},
		"withdrawn to other": {func(w *world) {
			m := w.refer(police, ngo, day)
			w.receipt(m, schemas.OutcomeDelivered, "")
			w.withdraw(police, shelter, "", 0)
		}, "unanswered 1; oldest 0s"},
		"withdrawn too late": {func(w *world) {
			m := w.refer(police, ngo, day)
			w.receipt(m, schemas.OutcomeDelivered, "")
			w.after(2*day).receipt(w.withdraw(police, ngo, "", 0), schemas.OutcomeDelivered, "")
		}, "routine-priority 0/1"},
		"taken back": {func(w *world) {
			w.send(envelope.Manifest{From: police, To: ngo, Kind: schemas.KindReferral, Outcome: schemas.OutcomeVoid})
		}, ""},
		"stored twice": {func(w *world) {
			m := w.refer(police, ngo, day)
			w.receipt(m, schemas.OutcomeDelivered, "")
			w.answer(m)
			w.send(m)
		}, "referral 1 median 0s p90 0s longest 0s; routine-priority 1/0"},
		"number used again": {func(w *world) {
			m := w.refer(police, ngo, day)
			m.ID = newID()
			w.send(m)
		}, "uncollected 2; unanswered 2; oldest 0s"},
		"forged": {func(w *world) {
			by := w.now.Add(time.Hour)
			w.forge(envelope.Manifest{From: police, To: ngo, Kind: schemas.KindReferral, Basis: certificate, RespondBy: &by}, ngo)
		}, ""},
		"forged answer": {func(w *world) {
			m := w.refer(police, ngo, day)
			w.forge(envelope.Manifest{From: ngo, To: police, Kind: schemas.KindReferralResponse, ReplyTo: m.ID, Basis: certificate}, police)
			w.forge(envelope.Manifest{From: ngo, To: police, Kind: schemas.KindReceipt, Lane: schemas.LaneReceipt, ReplyTo: m.ID, Outcome: schemas.OutcomeDelivered}, police)
		}, "uncollected 1; unanswered 1; oldest 0s"},
		"bases": {func(w *world) {
			for _, b := range []string{"vital-interests", "vital-interests", "public-task", certificate, ""} {
				m := w.send(envelope.Manifest{From: ngo, To: police, Kind: schemas.KindMessage, Basis: b})
				w.receipt(m, schemas.OutcomeDelivered, "")
			}
		}, "public-task 1; vital-interests 2"},
		"withdrawals": {func(w *world) {
			a := w.withdraw(ngo, police, "", time.Hour)
			w.withdraw(ngo, shelter, "", time.Hour)
			w.after(30 * time.Minute).outcome(a)
			w.after(time.Hour)
		}, "uncollected 1; withdrawals answered 1; waiting 1; withdrawals overdue 1"},
		"withdrawal expired": {func(w *world) {
			w.withdraw(ngo, police, "", time.Hour)
			w.after(2 * time.Hour).expire(schemas.LaneUrgent)
		}, "waiting 1; withdrawals overdue 1"},
		"withdrawal rejected":  {func(w *world) { w.receipt(w.withdraw(ngo, police, "", time.Hour), schemas.OutcomeRejected, "x") }, "waiting 1"},
		"withdrawal passed on": {func(w *world) { w.withdraw(ngo, police, "", 0) }, ""},
		"after the time":       {func(w *world) { w.after(time.Hour).refer(police, ngo, day); w.after(-time.Hour) }, ""},
	} {
		w := newWorld(t)
		what := c.what
		what(w)
		r := gather(t, w)
		if got := r.of(ngo); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, got, c.want)
		}
	}
}

func lastReferral(w *world) envelope.Manifest {
	for _, raw := range slices.Backward(w.records) {
		rec, err := ledger.ParseRecord(raw)
		if err != nil {
			w.t.Fatal(err)
		}
		if m, _, err := rec.Manifest(); err == nil && m.Kind == schemas.KindReferral {
			return *m
		}
	}
	w.t.Fatal("no referral")
	return envelope.Manifest{}
}

// swap exchanges two records, counted from the last.
func (w *world) swap(a, b int) {
	n := len(w.records)
	w.records[n-a], w.records[n-b] = w.records[n-b], w.records[n-a]
}

func TestReportNamesHoldersThatHaveNotAnswered(t *testing.T) {
	w := newWorld(t)
	a := w.withdraw(police, ngo, "", time.Hour)
	b := w.withdraw(police, shelter, "", time.Hour)
	w.receipt(b, schemas.OutcomeDelivered, "")
	w.outcome(a)
	w.after(2 * time.Hour)
	r := gather(t, w)
	if len(r.Open) != 1 || r.Open[0].Holder != shelter || r.Open[0].By != police || r.Open[0].Message != b.ID || !r.Open[0].Overdue || !r.Open[0].Collected {
		t.Errorf("%+v", r.Open)
	}
	if len(r.Publish().Open) != 0 {
		t.Error("a published report names messages")
	}
}

// TestReportForgetsWhatIsDone: the memory of a report does not grow with the ledger.
func TestReportForgetsWhatIsDone(t *testing.T) {
	w := newWorld(t)
	for range 200 {
		m := w.refer(police, ngo, time.Hour)
		w.receipt(m, schemas.OutcomeDelivered, "")
		w.receipt(w.answer(m), schemas.OutcomeDelivered, "")
		x := w.withdraw(police, ngo, "", time.Hour)
		w.receipt(x, schemas.OutcomeDelivered, "")
		w.receipt(w.outcome(x), schemas.OutcomeDelivered, "")
	}
	g := newGatherer(w.now)
	reader := ledger.NewReader(w.root)
	for it, err := range reader.Read(t.Context(), w.Records(t.Context()), side, nil) {
		if err != nil {
			t.Fatal(err)
		}
		g.take(&it)
	}
	if n := len(g.open) + len(g.places) + len(g.under) + len(g.withdrawals) + len(g.early.waiting); n != 0 {
		t.Errorf("open %d, places %d, under %d, withdrawals %d, early %d are still held", len(g.open), len(g.places), len(g.under), len(g.withdrawals), len(g.early.waiting))
	}
	for pair, n := range g.numbers {
		if len(n.spans) != 1 {
			t.Errorf("%v: %d spans", pair, len(n.spans))
		}
	}
	// What waits for a message that never comes is given up.
	var e early
	e.waiting = map[about][]*Event{}
	for range 3 * patience {
		e.keep(about{id: newID()}, &Event{})
	}
	if len(e.waiting) > patience || len(e.queue) > patience {
		t.Errorf("%d wait", len(e.waiting))
	}
}

func TestNumbersAreThoseOfASet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n numbers
		seen := map[uint64]bool{}
		for range rapid.IntRange(0, 100).Draw(t, "n") {
			seq := rapid.Uint64Range(1, 40).Draw(t, "seq")
			if n.add(seq) == seen[seq] {
				t.Fatalf("%d: seen before is %v", seq, seen[seq])
			}
			seen[seq] = true
			holes := 0
			for s := range uint64(41) {
				if seen[s] && !seen[s+1] {
					holes++
				}
			}
			if len(n.spans) != holes {
				t.Fatalf("%v for %v", n.spans, seen)
			}
		}
	})
}

// TestReportAddsUp: against a plain count over the events of a replay, and totals against agencies.
func TestReportAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		r := gather(t, w)
		receipted, sent := map[string]bool{}, int64(0)
		events := w.replay(Filter{})
		for _, e := range events {
			if e.Type == TypeReceipt && e.Signed {
				receipted[e.ReplyTo] = true
			}
		}
		backlog, answered, unanswered := map[string]int64{}, int64(0), int64(0)
		for i, e := range events {
			if e.Type != TypeMessage || !e.Signed {
				continue
			}
			sent++
			if !receipted[e.Message] {
				backlog[e.To]++
			}
			if !isReferral(e.Kind) {
				continue
			}
			fate := ""
			for _, x := range events[i+1:] {
				if !x.Signed {
					continue
				}
				switch {
				case fate != "":
				case x.Type == TypeMessage && answers(&x, &e):
					fate = "answered"
					answered++
				case isWithdrawal(x.Kind) && x.Basis == e.Basis && (x.From == e.To || x.To == e.To):
					fate = "withdrawn"
				case x.Type == TypeReceipt && x.ReplyTo == e.Message && x.Kind == "delivered":
					e.State = "final"
				case x.Type == TypeReceipt && x.ReplyTo == e.Message && x.Kind == "rejected" && e.State == "":
					fate = "rejected"
				}
			}
			if fate == "" {
				unanswered++
			}
		}
		if n, _ := r.Total.Sent.Exact(); n != sent {
			t.Fatalf("%d messages, report says %d", sent, n)
		}
		sum := Count{}
		for _, f := range r.Agencies {
			if n, _ := f.Uncollected.Exact(); n != backlog[f.Agency] {
				t.Fatalf("%s: %d without receipt, report says %d", f.Agency, backlog[f.Agency], n)
			}
			sum = sum.plus(f.Uncollected)
		}
		if sum != r.Total.Uncollected {
			t.Fatalf("agencies %v, total %v", sum, r.Total.Uncollected)
		}
		if n, _ := r.Total.Unanswered.Exact(); n != unanswered {
			t.Fatalf("%d unanswered, report says %d", unanswered, n)
		}
		got := int64(0)
		for _, x := range r.Total.Responses {
			if isReferral(x.Kind) {
				got, _ = x.Answered.Exact()
			}
		}
		if got != answered {
			t.Fatalf("%d answered, report says %d", answered, got)
		}
	})
}
