package audit

import (
	"context"
	"errors"
	"iter"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// titles are events in short.
func titles(events []Event) (out []string) {
	for _, e := range events {
		s := e.title()
		if e.Signed {
			s += " ok"
		}
		out = append(out, s)
	}
	return out
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

// story is a ledger with one event of every type.
func story(t tester) (w *world, first envelope.Manifest) {
	w = newWorld(t)
	first = w.refer(police, ngo, time.Hour)
	w.after(time.Minute).receipt(first, schemas.OutcomeQuarantined, "unknown-schema")
	w.after(time.Minute).answer(first)
	w.after(time.Minute).forge(envelope.Manifest{From: ngo, To: police, Kind: schemas.KindMessage, Basis: "public-task", Thread: first.Thread}, shelter)
	w.after(time.Minute).send(envelope.Manifest{From: shelter, To: ngo, Kind: schemas.KindMessage, Outcome: schemas.OutcomeVoid, Code: "withdrawn"})
	w.after(time.Minute).refer(shelter, ngo, 0)
	w.expire(schemas.LaneRoutine)
	w.act(police, ledger.Act{Act: ledger.ActDisclosed, Message: first.ID})
	w.act(ngo, ledger.Act{Act: ledger.ActErased, Thread: first.Thread, Count: 2})
	w.act(directory.RootName, ledger.Act{Act: ledger.ActRedeliver, Agency: shelter, Since: &start})
	w.after(time.Minute).store(ledger.StreamRoutine, "mail.routine.x.y", []byte("nonsense"))
	w.record(&ledger.Record{Kind: ledger.KindGap, Stream: ledger.StreamRoutine, Seq: w.streams[ledger.StreamRoutine] + 1, Last: w.streams[ledger.StreamRoutine] + 3})
	w.records = append(w.records, []byte("no record"))
	return w, first
}

func TestReplayTellsEverythingInOrder(t *testing.T) {
	w, first := story(t)
	events := w.replay(Filter{})
	same(t, "events", titles(events), []string{"directory: agency ok", "directory: agency ok", "directory: agency ok", "directory: head ok",
		"referral ok", "= quarantined ok", "referral-response ok", "message", "taken back ok", "referral ok", "expired uncollected",
		"act: disclosed ok", "act: erased ok", "act: redeliver ok", "opaque", "gap", "malformed"})
	for i, e := range events {
		if e.Record != int64(i) {
			t.Errorf("event %d is of record %d", i, e.Record)
		}
	}
	if e := events[10]; e.From != shelter || e.To != ngo || e.Kind != "referral" || e.Message != events[9].Message || e.Thread != events[9].Thread {
		t.Errorf("expiry does not say of what: %+v", e)
	}
	if e := events[11]; e.Thread != first.Thread || e.From != police || e.To != ngo {
		t.Errorf("disclosure does not say of what: %+v", e)
	}
}

func TestReplayFilters(t *testing.T) {
	w, first := story(t)
	for name, c := range map[string]struct {
		f    Filter
		want []string
	}{
		"thread":        {Filter{Thread: first.Thread}, []string{"referral ok", "= quarantined ok", "referral-response ok", "message", "act: disclosed ok", "act: erased ok"}},
		"agency":        {Filter{Agency: shelter}, []string{"directory: agency ok", "taken back ok", "referral ok", "expired uncollected", "act: redeliver ok"}},
		"kind":          {Filter{Kind: "referral"}, []string{"referral ok", "referral ok", "expired uncollected"}},
		"outcome":       {Filter{Kind: "quarantined"}, []string{"= quarantined ok"}},
		"type":          {Filter{Kind: "act"}, []string{"act: disclosed ok", "act: erased ok", "act: redeliver ok"}},
		"lane":          {Filter{Lane: "receipt"}, []string{"= quarantined ok"}},
		"lane of birth": {Filter{Lane: "urgent"}, []string{"referral ok", "referral-response ok"}},
		"from":          {Filter{From: start.Add(6 * time.Minute)}, []string{"opaque", "gap"}},
		"to":            {Filter{To: start.Add(time.Minute), Kind: "message"}, []string{"referral ok"}},
		"between":       {Filter{From: start.Add(time.Minute), To: start.Add(3 * time.Minute)}, []string{"= quarantined ok", "referral-response ok"}},
	} {
		same(t, name, titles(w.replay(c.f)), c.want)
	}
}

// TestReplayKeepsWhatNamesAMessageWithItsThread: a receipt or an answer that claims another thread is about its message.
func TestReplayKeepsWhatNamesAMessageWithItsThread(t *testing.T) {
	w := newWorld(t)
	m := w.refer(police, ngo, time.Hour)
	w.send(envelope.Manifest{From: ngo, To: police, ReplyTo: m.ID, Kind: schemas.KindReceipt, Lane: schemas.LaneReceipt, Outcome: schemas.OutcomeDelivered})
	w.refer(police, ngo, time.Hour)
	same(t, "thread", titles(w.replay(Filter{Thread: m.Thread})), []string{"referral ok", "= delivered ok"})
}

// TestReplayForgedMessagePullsNothingIn: whoever writes a thread's id into a message of its own, without a signature that
// holds, does not get what is about that message shown as the thread's.
func TestReplayForgedMessagePullsNothingIn(t *testing.T) {
	w := newWorld(t)
	m := w.refer(police, ngo, time.Hour)
	forged := w.forge(envelope.Manifest{From: ngo, To: shelter, Thread: m.Thread, Kind: schemas.KindMessage, Basis: "public-task"}, police)
	w.send(envelope.Manifest{From: shelter, To: ngo, ReplyTo: forged.ID, Kind: schemas.KindReceipt, Lane: schemas.LaneReceipt, Outcome: schemas.OutcomeDelivered})
	same(t, "thread", titles(w.replay(Filter{Thread: m.Thread})), []string{"referral ok", "message"})
}

// TestReplayShowsADeletionInTheDirectory: a key that was deleted leaves no entry to read, only its name.
func TestReplayShowsADeletionInTheDirectory(t *testing.T) {
	w := newWorld(t)
	w.store(ledger.StreamDirectory, ledger.DirectoryPrefix+directory.AgencyKey(ngo), nil)
	same(t, "agency", titles(w.replay(Filter{Agency: ngo})), []string{"directory: agency ok", "opaque"})
}

func TestFilterSaysWhatIsWrong(t *testing.T) {
	for flag, f := range map[string]Filter{"to": {From: start, To: start}, "agency": {Agency: "Police"}, "thread": {Thread: newID()}, "kind": {Kind: "referal"}, "lane": {Lane: "fast"}} {
		var e *FilterError
		err := Replay(context.Background(), newWorld(t), Options{Filter: f}, nil)
		if !errors.As(err, &e) || e.Flag != flag || e.Rule == "" || e.Hint() == "" {
			t.Errorf("%s: got %v", flag, err)
		}
	}
	for _, k := range KindNames() {
		if err := (&Filter{Kind: k}).Check(); err != nil {
			t.Errorf("kind %s: %v", k, err)
		}
	}
}

func TestSpeed(t *testing.T) {
	for s, want := range map[string]Speed{"max": 0, "1": 1, "0.5": 0.5, "3600": 3600} {
		if got, err := ParseSpeed(s); err != nil || got != want {
			t.Errorf("%q: %v %v", s, got, err)
		}
	}
	for _, s := range []string{"", "0", "-1", "fast", "NaN", "Inf", "1e12"} {
		if _, err := ParseSpeed(s); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
	w := newWorld(t)
	w.refer(police, ngo, time.Hour)
	w.after(10*time.Minute).refer(police, ngo, time.Hour)
	w.after(-time.Minute).refer(police, ngo, time.Hour) // another stream's record may lie before
	w.after(2*time.Minute).refer(police, ngo, time.Hour)
	var slept []time.Duration
	sleep := func(_ context.Context, d time.Duration) error { slept = append(slept, d); return nil }
	err := Replay(t.Context(), w, Options{Root: w.root, Speed: 60, Sleep: sleep, Filter: Filter{Kind: "referral"}}, func(Event) error { return nil })
	if err != nil || !slices.Equal(slept, []time.Duration{10 * time.Second, time.Second}) {
		t.Errorf("slept %v, %v", slept, err)
	}
	stop := errors.New("stop")
	if err := Replay(t.Context(), w, Options{Root: w.root, Speed: 1, Sleep: func(context.Context, time.Duration) error { return stop }}, func(Event) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("an interrupted sleep: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := sleepFor(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("the timer: %v", err)
	}
}

func TestReplayEndsWithTheError(t *testing.T) {
	w := newWorld(t)
	w.refer(police, ngo, time.Hour)
	stop := errors.New("stop")
	if err := Replay(t.Context(), w, Options{Root: w.root}, func(Event) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("emit's error: %v", err)
	}
	w.fail = stop
	if err := Replay(t.Context(), w, Options{Root: w.root}, func(Event) error { return nil }); !errors.Is(err, stop) {
		t.Errorf("the source's error: %v", err)
	}
	if _, err := Thread(t.Context(), w, w.root, newThread(), start); !errors.Is(err, stop) {
		t.Errorf("the source's error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w.fail = nil
	if err := Replay(ctx, w, Options{Root: w.root}, func(Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("a context that has ended: %v", err)
	}
}

func TestReplayFollows(t *testing.T) {
	w := newWorld(t)
	first := w.refer(police, ngo, time.Hour)
	ctx, cancel := context.WithCancel(t.Context())
	seen := make(chan Event, 100)
	grown := make(chan []byte)
	follow := func(ctx context.Context, from int64) iter.Seq2[ledger.Stored, error] {
		return func(yield func(ledger.Stored, error) bool) {
			for {
				select {
				case raw := <-grown:
					if !yield(ledger.Stored{Index: from, Raw: raw}, nil) {
						return
					}
					from++
				case <-ctx.Done():
					yield(ledger.Stored{}, ctx.Err())
					return
				}
			}
		}
	}
	done := make(chan error)
	go func() {
		done <- Replay(ctx, w, Options{Root: w.root, Follow: follow, Filter: Filter{Thread: first.Thread}}, func(e Event) error { seen <- e; return nil })
	}()
	if e := <-seen; e.Message != first.ID {
		t.Errorf("first: %+v", e)
	}
	later := &world{t: t, root: w.root, keys: w.keys, streams: w.streams, numbers: w.numbers, now: w.now}
	later.receipt(first, schemas.OutcomeDelivered, "")
	grown <- later.records[0]
	// It arrives before anything else is recorded, with its signature verified and its number.
	if e := <-seen; e.Kind != "delivered" || !e.Signed || e.Record != 5 {
		t.Errorf("followed: %+v", e)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("the end of following: %v", err)
	}
}

func newThread() string { return schemas.NewThreadID() }

// TestReplayFilterIsTheSameAsFilteringAll: a filter shows exactly what a full replay shows of it, whatever the ledger holds.
func TestReplayFilterIsTheSameAsFilteringAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := randomWorld(t)
		f := Filter{Agency: rapid.SampledFrom(append([]string{""}, agencies...)).Draw(t, "agency"), Lane: rapid.SampledFrom([]string{"", "urgent", "routine", "receipt"}).Draw(t, "lane"),
			Kind: rapid.SampledFrom([]string{"", "referral", "receipt", "act", "delivered", "expired"}).Draw(t, "kind")}
		if rapid.Bool().Draw(t, "from?") {
			f.From = start.Add(time.Duration(rapid.IntRange(0, 40).Draw(t, "from")) * 10 * time.Minute)
		}
		var want []Event
		for _, e := range w.replay(Filter{}) {
			if (f.Agency == "" || e.From == f.Agency || e.To == f.Agency || e.Entry == "agency."+f.Agency) && (f.Lane == "" || e.Lane == f.Lane) &&
				(f.Kind == "" || f.Kind == string(e.Type) || f.Kind == e.Kind) && (f.From.IsZero() || !e.Time.Before(f.From)) {
				want = append(want, e)
			}
		}
		got := w.replay(f)
		if !slices.Equal(titles(got), titles(want)) {
			t.Fatalf("%+v:\n got %q\nwant %q", f, titles(got), titles(want))
		}
	})
}

// randomWorld draws a ledger.
func randomWorld(t *rapid.T) *world {
	w := newWorld(t)
	var sent []envelope.Manifest
	for range rapid.IntRange(0, 40).Draw(t, "events") {
		w.after(time.Duration(rapid.IntRange(0, 90).Draw(t, "minutes")) * time.Minute)
		from := rapid.SampledFrom(agencies).Draw(t, "from")
		to := rapid.SampledFrom(agencies).Filter(func(a string) bool { return a != from }).Draw(t, "to")
		what := rapid.IntRange(0, 9).Draw(t, "what")
		var of envelope.Manifest
		if len(sent) > 0 {
			of = rapid.SampledFrom(sent).Draw(t, "of")
		}
		switch {
		case what <= 2 || len(sent) == 0:
			within := time.Duration(rapid.SampledFrom([]int{30, 60, 180, 1440, 4320}).Draw(t, "clock")) * time.Minute
			sent = append(sent, w.refer(from, to, within))
		case what == 3:
			w.receipt(of, rapid.SampledFrom(schemas.ReceiptOutcomes()).Draw(t, "outcome"), "code")
		case what == 4:
			w.receipt(of, schemas.OutcomeDelivered, "")
		case what == 5 && of.Kind == schemas.KindReferral:
			w.answer(of)
		case what == 6:
			sent = append(sent, w.withdraw(from, to, of.Thread, 24*time.Hour))
		case what == 7 && of.Kind == schemas.KindConsentWithdrawal:
			w.outcome(of)
		case what == 8:
			w.forge(envelope.Manifest{From: from, To: to, Kind: schemas.KindMessage, Basis: "public-task", Thread: of.Thread}, to)
		default:
			w.act(from, ledger.Act{Act: ledger.ActErased, Thread: of.Thread})
		}
	}
	return w
}
