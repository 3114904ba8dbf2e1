package thread

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"waypost/schemas"
)

var (
	epoch    = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	agencies = []string{"harbour-ngo", "lantern-housing", "north-police"}
	unseen   = cmpopts.IgnoreUnexported(Thread{})
)

// say builds a thread by hand: one event a minute.
type say struct{ events []Event }

func (s *say) add(e Event) string {
	e.ID = fmt.Sprintf("m%02d", len(s.events))
	e.Sent = epoch.Add(time.Duration(len(s.events)) * time.Minute)
	s.events = append(s.events, e)
	return e.ID
}

func (s *say) refer(from, to, certificate string) string {
	return s.add(Event{Kind: schemas.KindReferral, From: from, To: to, Certificate: certificate})
}

func (s *say) answer(from, to, id string, status State) string {
	kind := schemas.KindReferralResponse
	if slices.Contains(statuses[schemas.KindReferralUpdate], status) {
		kind = schemas.KindReferralUpdate
	}
	return s.add(Event{Kind: kind, From: from, To: to, ReplyTo: id, Status: string(status)})
}

func flagOf(t *Thread, id string) string {
	for _, f := range t.Flags {
		if f.EventID == id {
			return f.Code
		}
	}
	return ""
}

const (
	a, b, c = "harbour-ngo", "lantern-housing", "north-police"
	cert    = "f47ac10b-58cc-4372-a567-0e02b2c3d479"
)

// TestWithdrawalBlocksNothing: the failures of other systems, each in its words.
func TestWithdrawalBlocksNothing(t *testing.T) {
	var s say
	r := s.refer(a, b, cert)
	s.answer(b, a, r, Accepted)
	s.add(Event{Kind: schemas.KindConsentWithdrawal, From: a, To: b, Certificate: cert})
	got := Fold(s.events).Request(r)
	if got.State() != Withdrawn || got.Work != Accepted || got.Hold != HoldWithdrawn {
		t.Errorf("an accepted referral cannot be withdrawn, or a withdrawal marks it as done: %+v", got)
	}
	s.answer(a, b, r, Cancelled)
	s.add(Event{Kind: schemas.KindWithdrawalOutcome, From: b, To: a, Certificate: cert, Status: string(schemas.HolderErased)})
	th := Fold(s.events)
	got = th.Request(r)
	if got.State() != Withdrawn || got.Work != Cancelled || len(th.Flags) > 0 || th.Consent(cert).Answers[b] != "erased" {
		t.Errorf("a withdrawal blocks: %+v, flags %v", got, th.Flags)
	}
	// A referral sent under it later is under it too; one under another certificate is not.
	later, other := s.refer(a, c, cert), s.refer(a, c, "another")
	th = Fold(s.events)
	if th.Request(later).State() != Withdrawn || th.Request(other).State() != Requested {
		t.Error("a withdrawal reaches too few referrals or too many")
	}
}

func TestStopStandsAndIsLifted(t *testing.T) {
	var s say
	r := s.refer(a, b, cert)
	s.add(Event{Kind: schemas.KindWithdrawalRequest, From: c, To: a, Certificate: cert})
	if got := Fold(s.events).Request(r); got.State() != Stopped || got.Work != Requested {
		t.Errorf("not stopped: %+v", got)
	}
	s.answer(b, a, r, Accepted)
	s.add(Event{Kind: schemas.KindConsent, From: a, To: b, Certificate: cert, Status: string(schemas.ConsentRenewed)})
	if got := Fold(s.events).Request(r); got.State() != Stopped || got.Work != Accepted {
		t.Errorf("renewal lifts a stop, or a stop keeps an answer out: %+v", got)
	}
	stands := s.add(Event{Kind: schemas.KindConsent, From: a, To: b, Certificate: cert, Status: string(schemas.ConsentStands)})
	if got := Fold(s.events).Request(r); got.State() != Accepted {
		t.Errorf("the stop stays: %+v", got)
	}
	// The withdrawal was sent before, and arrives late.
	s.events = append(s.events, Event{ID: "late", Kind: schemas.KindConsentWithdrawal, From: a, To: b, Certificate: cert, Sent: epoch.Add(90 * time.Second)})
	th := Fold(s.events)
	if th.Request(r).State() != Withdrawn || flagOf(th, stands) != FlagEnded {
		t.Errorf("a withdrawal was lifted: %+v", th.Request(r))
	}
}

// TestAtOneMomentWhatStopsMoreCounts: the ids of messages decide nothing, because each holder gets a copy with its own.
func TestAtOneMomentWhatStopsMoreCounts(t *testing.T) {
	said := []Event{
		{Kind: schemas.KindConsent, Status: string(schemas.ConsentStands)},
		{Kind: schemas.KindWithdrawalRequest},
		{Kind: schemas.KindConsentWithdrawal},
	}
	for i, want := range []Hold{HoldNone, HoldStopped, HoldWithdrawn} {
		for _, ids := range []string{"abc", "cba"} {
			var events []Event
			for j, e := range said[:i+1] {
				e.ID, e.From, e.To, e.Certificate, e.Sent = ids[j:j+1], a, b, cert, epoch
				events = append(events, e)
			}
			if got := Fold(events).Consent(cert).Hold; got != want {
				t.Errorf("%d statements with ids %s: %q, want %q", i+1, ids, got, want)
			}
		}
	}
}

func TestReceiptsAreNoAnswers(t *testing.T) {
	var s say
	r := s.refer(a, b, "")
	receipt := func(from, to, of, outcome string) string {
		return s.add(Event{Kind: schemas.KindReceipt, From: from, To: to, ReceiptOf: of, ReplyTo: of, Receipt: outcome})
	}
	receipt(b, a, r, "quarantined")
	if got := Fold(s.events).Request(r); got.State() != Requested || got.Delivery != Quarantined {
		t.Errorf("%+v", got)
	}
	first := receipt(b, a, r, "delivered")
	if got := Fold(s.events).Request(r); got.State() != Received || got.Work != Requested {
		t.Errorf("%+v", got)
	}
	rejected, own, strange, twice := receipt(b, a, r, "rejected"), receipt(a, b, r, "delivered"), receipt(c, a, r, "delivered"), receipt(a, b, first, "delivered")
	answer := s.answer(b, a, r, Declined)
	receipt(a, b, answer, "rejected")
	th := Fold(s.events)
	for id, want := range map[string]string{first: "", rejected: FlagEnded, own: FlagStranger, strange: FlagStranger, twice: FlagStranger, answer: ""} {
		if got := flagOf(th, id); got != want {
			t.Errorf("%s has flag %q, want %q", id, got, want)
		}
	}
	if got := th.Request(r); got.Delivery != Delivered || got.Work != Declined || got.State() != Declined {
		t.Errorf("transport of the answer decides the work: %+v", got)
	}
	i := slices.IndexFunc(th.History, func(e Event) bool { return e.ID == answer })
	if got := th.DeliveryOf(&th.History[i]); got != Rejected {
		t.Errorf("the answer is %s", got)
	}
}

func TestIllegalEventsAreKeptAndFlagged(t *testing.T) {
	var s say
	r := s.refer(a, b, "")
	message := s.add(Event{Kind: "message", From: a, To: b, ReplyTo: r})
	want := map[string]string{message: ""}
	flagged := func(id, code string) { want[id] = code }
	flagged(s.answer(c, a, r, Accepted), FlagStranger)
	flagged(s.answer(a, b, r, Accepted), FlagNotTheirs)
	flagged(s.answer(b, a, "elsewhere", Accepted), FlagUnknownMessage)
	flagged(s.answer(b, a, message, Accepted), FlagNotReferral)
	flagged(s.answer(b, a, r, Completed), FlagOrder)
	flagged(s.add(Event{Kind: schemas.KindReferralResponse, From: b, To: a, ReplyTo: r, Status: "maybe"}), FlagUnknownStatus)
	flagged(s.add(Event{Kind: schemas.KindReferralResponse, From: b, To: a, ReplyTo: r, Status: string(Completed)}), FlagUnknownStatus)
	flagged(s.answer(a, b, r, Cancelled), "")
	flagged(s.answer(b, a, r, Accepted), FlagEnded)
	flagged(s.add(Event{Kind: schemas.KindConsentWithdrawal, From: a, To: b}), FlagNoCertificate)
	flagged(s.add(Event{Kind: schemas.KindWithdrawalOutcome, From: a, To: b, Certificate: cert, Status: "x"}), FlagUnknownStatus)
	flagged(s.refer(a, a, ""), FlagStranger)
	s.events = append(s.events, Event{ID: message, Kind: "message", From: b, To: a, Sent: epoch.Add(time.Hour)})
	flagged(message, FlagReused)
	th := Fold(s.events)
	for id, code := range want {
		if got := flagOf(th, id); got != code {
			t.Errorf("%s has flag %q, want %q", id, got, code)
		}
	}
	if len(th.History) != len(s.events)-1 {
		t.Errorf("%d events in, %d kept", len(s.events), len(th.History))
	}
	if got := th.Request(r); got.Work != Cancelled || len(got.Steps) != 2 {
		t.Errorf("a flagged event counted: %+v", got)
	}
}

// TestAnswersFollowWhatTheyAnswer: the responder's clock is five minutes slow, and the acceptance of the first message
// is older than the referral.
func TestAnswersFollowWhatTheyAnswer(t *testing.T) {
	slow := epoch.Add(-5 * time.Minute)
	events := []Event{
		{ID: "r", Kind: schemas.KindReferral, From: a, To: b, Sent: epoch},
		{ID: "x", Kind: schemas.KindReferralResponse, From: b, To: a, ReplyTo: "r", Status: "accepted", Sent: slow.Add(time.Minute)},
		{ID: "y", Kind: schemas.KindReferralUpdate, From: b, To: a, ReplyTo: "x", Status: "completed", Sent: slow}, // to the wrong message
		{ID: "z", Kind: schemas.KindReferralUpdate, From: b, To: a, ReplyTo: "r", Status: "in-progress", Sent: slow.Add(2 * time.Minute)},
	}
	th := Fold(events)
	if got := th.Request("r"); got.Work != InProgress || len(got.Flags) > 0 || flagOf(th, "y") != FlagNotReferral {
		t.Errorf("%+v, flags %v", got, th.Flags)
	}
	if th := Fold(events[1:]); len(th.Requests) > 0 || len(th.Flags) != 3 || flagOf(th, "x") != FlagUnknownMessage {
		t.Errorf("the referral is not here yet: %+v", th)
	}
}

// drawEvents makes a thread of several agencies: likely enough to be legal, and everything else.
func drawEvents(rt *rapid.T) []Event {
	kinds := []schemas.Kind{schemas.KindReferral, schemas.KindReferralResponse, schemas.KindReferralResponse, schemas.KindReferralUpdate, schemas.KindReferralUpdate,
		schemas.KindReceipt, schemas.KindConsent, schemas.KindConsentWithdrawal, schemas.KindWithdrawalRequest, schemas.KindWithdrawalOutcome,
		schemas.KindForwarding, "message", ""}
	var all []string
	for _, s := range append(States(), Received, "stands", "renewed", "narrowed", "erased", "stopped", "") {
		all = append(all, string(s))
	}
	n := rapid.IntRange(0, 24).Draw(rt, "events")
	var events []Event
	for i := range n {
		e := Event{
			ID:          fmt.Sprintf("m%02d", i),
			Kind:        rapid.SampledFrom(kinds).Draw(rt, "kind"),
			From:        rapid.SampledFrom(agencies).Draw(rt, "from"),
			To:          rapid.SampledFrom(agencies).Draw(rt, "to"),
			Sent:        epoch.Add(time.Duration(rapid.IntRange(0, 10).Draw(rt, "minute")) * time.Minute),
			Status:      rapid.SampledFrom(all).Draw(rt, "status"),
			Certificate: rapid.SampledFrom([]string{"", cert, "another"}).Draw(rt, "certificate"),
			Receipt:     rapid.SampledFrom([]string{"delivered", "quarantined", "rejected", "void", ""}).Draw(rt, "receipt"),
		}
		if len(events) > 0 && rapid.IntRange(0, 5).Draw(rt, "answers") > 0 {
			// Mostly from whom the message went to.
			of := rapid.SampledFrom(events).Draw(rt, "of")
			if rapid.Bool().Draw(rt, "the first") {
				of = events[0]
			}
			e.ReplyTo, e.ReceiptOf = of.ID, of.ID
			if rapid.IntRange(0, 4).Draw(rt, "party") > 0 {
				e.From, e.To = of.To, of.From
			}
		}
		if legal := statuses[e.Kind]; len(legal) > 0 && rapid.IntRange(0, 3).Draw(rt, "legal") > 0 {
			e.Status = string(rapid.SampledFrom(legal).Draw(rt, "word"))
		}
		if e.Kind == schemas.KindConsent && rapid.Bool().Draw(rt, "legal") {
			e.Status = rapid.SampledFrom([]string{"stands", "stands", "renewed", "narrowed"}).Draw(rt, "word")
		}
		if i == 0 && rapid.Bool().Draw(rt, "begins") {
			e.Kind = schemas.KindReferral
		}
		switch rapid.IntRange(0, 19).Draw(rt, "odd") {
		case 0:
			e.ReplyTo = fmt.Sprintf("m%02d", rapid.IntRange(0, 24).Draw(rt, "any")) // perhaps later, perhaps itself
		case 1:
			e.ID = fmt.Sprintf("m%02d", rapid.IntRange(0, 24).Draw(rt, "id")) // perhaps used already
		}
		events = append(events, e)
	}
	return events
}

// shuffled returns the events in another order, some of them more than once, some in another time zone.
func shuffled(rt *rapid.T, events []Event) []Event {
	out := slices.Clone(events)
	if len(events) == 0 {
		return out
	}
	for range rapid.IntRange(0, 5).Draw(rt, "repeats") {
		e := rapid.SampledFrom(events).Draw(rt, "again")
		e.Sent = e.Sent.In(time.FixedZone("", 3600))
		out = append(out, e)
	}
	return rapid.Permutation(out).Draw(rt, "order")
}

func TestFoldConverges(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := drawEvents(rt)
		if diff := cmp.Diff(Fold(events), Fold(shuffled(rt, events)), unseen); diff != "" {
			rt.Fatalf("the order of arrival matters:\n%s", diff)
		}
	})
}

// TestFoldKeepsEverything: nothing is dropped, nothing changes, and what is known already stays in its order when more comes.
func TestFoldKeepsEverything(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		events := drawEvents(rt)
		before := slices.Clone(events)
		th := Fold(events)
		if diff := cmp.Diff(before, events); diff != "" {
			rt.Fatalf("the argument changed:\n%s", diff)
		}
		at := map[place]int{}
		for i, e := range th.History {
			if _, ok := at[placeOf(e.ID, &e)]; ok {
				rt.Fatalf("%s is in the history twice", e.ID)
			}
			at[placeOf(e.ID, &e)] = i
		}
		for _, e := range events {
			if _, ok := at[placeOf(e.ID, &e)]; !ok {
				rt.Fatalf("%s is not in the history", e.ID)
			}
		}
		for _, r := range th.Requests {
			if r.Steps[0].State != Requested || r.Steps[len(r.Steps)-1].State != r.Work {
				rt.Fatalf("steps %v end in %s", r.Steps, r.Work)
			}
			for i, s := range r.Steps[1:] {
				if s.By != r.Requester && s.By != r.Responder || s.By == r.Requester && s.State != Cancelled {
					rt.Fatalf("%s set %s", s.By, s.State)
				}
				if r.Steps[i].State.Ended() && s.State != r.Steps[i].State {
					rt.Fatalf("%s after %s", s.State, r.Steps[i].State)
				}
			}
		}
		// Cut off the end of the history: the beginning is the same without it, flags for what is missing aside.
		k := rapid.IntRange(0, len(th.History)).Draw(rt, "known")
		for _, e := range th.History[:k] {
			if i, ok := at[placeOf(e.answers(), &e)]; ok && i >= k {
				return // a part of a circle of answers, or waiting for what is cut off
			}
		}
		if diff := cmp.Diff(th.History[:k:k], Fold(th.History[:k]).History, cmpopts.EquateEmpty()); diff != "" {
			rt.Fatalf("history was rewritten:\n%s", diff)
		}
	})
}

// TestTwoAgenciesSeeTheSame: each folds what it holds, with all its messages to and from others, and both have the same
// referral between them. Statements about consent are told to everybody at once, as copies with ids of their own.
func TestTwoAgenciesSeeTheSame(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var events []Event
		for _, e := range drawEvents(rt) {
			entry, _ := schemas.EntryOf(e.Kind)
			if !entry.Control {
				events = append(events, e)
				continue
			}
			for i, to := range agencies {
				for j, from := range agencies {
					copied := e
					copied.ID, copied.From, copied.To = fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, e.ID, i, j))), from, to
					events = append(events, copied)
				}
			}
		}
		one := rapid.SampledFrom(agencies).Draw(rt, "one")
		two := rapid.SampledFrom(agencies).Filter(func(s string) bool { return s != one }).Draw(rt, "two")
		mine, theirs := Fold(shuffled(rt, HeldBy(events, one))), Fold(shuffled(rt, HeldBy(events, two)))
		between := func(t *Thread) (requests []*Request, history []Event) {
			for _, r := range t.Requests {
				if r.Requester == one && r.Responder == two || r.Requester == two && r.Responder == one {
					requests = append(requests, r)
				}
			}
			return requests, Between(t.History, one, two)
		}
		r1, h1 := between(mine)
		r2, h2 := between(theirs)
		if diff := cmp.Diff(r1, r2); diff != "" {
			rt.Fatalf("%s (-) and %s (+) see different referrals:\n%s", one, two, diff)
		}
		if diff := cmp.Diff(h1, h2); diff != "" {
			rt.Fatalf("%s (-) and %s (+) see different histories:\n%s", one, two, diff)
		}
		for i := range h1 {
			if x, y := mine.DeliveryOf(&h1[i]), theirs.DeliveryOf(&h2[i]); x != y {
				rt.Fatalf("%s is %s and %s", h1[i].ID, x, y)
			}
		}
		// And what they hold in common, folded alone, is that too, but for what others told them of consent.
		r3, h3 := between(Fold(Between(events, one, two)))
		for i := range r3 {
			r3[i].Hold = r1[i].Hold
		}
		if diff := cmp.Diff(r1, r3) + cmp.Diff(h1, h3); diff != "" {
			rt.Fatalf("messages with others change what two see:\n%s", diff)
		}
	})
}

// TestGeneratorReachesEveryState keeps the properties from being tested on nothing.
func TestGeneratorReachesEveryState(t *testing.T) {
	seen := map[State]int{}
	flags := map[string]int{}
	gen := rapid.Custom(drawEvents)
	for seed := range 3000 {
		th := Fold(gen.Example(seed))
		for _, r := range th.Requests {
			seen[r.Work]++
			seen[r.State()]++
		}
		for _, f := range th.Flags {
			flags[f.Code]++
		}
	}
	for _, s := range append(States(), Received, Stopped, Withdrawn) {
		if seen[s] == 0 {
			t.Errorf("no thread with a referral that is %s", s)
		}
	}
	for _, f := range []string{FlagUnknownMessage, FlagStranger, FlagNotReferral, FlagNotTheirs, FlagOrder, FlagEnded, FlagUnknownStatus, FlagNoCertificate, FlagReused} {
		if flags[f] == 0 {
			t.Errorf("no flag %s", f)
		}
	}
}

// FuzzFold: whatever arrives, nothing panics and the order of arrival does not matter.
func FuzzFold(f *testing.F) {
	f.Add([]byte(nil))
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(rapid.MakeFuzz(func(rt *rapid.T) {
		text := rapid.OneOf(rapid.SampledFrom([]string{"", "a", "b", "m1", "referral", "accepted", "receipt", "delivered", "referral-response"}), rapid.String())
		events := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) Event {
			return Event{ID: text.Draw(rt, "id"), Kind: schemas.Kind(text.Draw(rt, "kind")), From: text.Draw(rt, "from"), To: text.Draw(rt, "to"),
				ReplyTo: text.Draw(rt, "reply"), Sent: time.Unix(rapid.Int64().Draw(rt, "sent"), 0), Seq: rapid.Uint64().Draw(rt, "seq"),
				Status: text.Draw(rt, "status"), Certificate: text.Draw(rt, "certificate"), Receipt: text.Draw(rt, "receipt"), ReceiptOf: text.Draw(rt, "of")}
		}), 0, 12).Draw(rt, "events")
		th := Fold(events)
		slices.Reverse(events)
		if diff := cmp.Diff(th, Fold(append(events, events...)), unseen); diff != "" {
			rt.Fatalf("the order of arrival matters:\n%s", diff)
		}
	}))
}
