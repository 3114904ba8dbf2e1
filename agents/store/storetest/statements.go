package storetest

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// transcript is what every statement answers in the story below, one line each, the same on every database.
//
//go:embed transcript.txt
var transcript string

var updateTranscript = flag.Bool("update-transcript", false, "write storetest/transcript.txt anew, in agents/store")

// teller runs statements and writes down what they answer.
type teller struct {
	t     *testing.T
	s     *store.Store
	ctx   context.Context
	lines []string
	told  map[string]bool
}

// tell notes what a method of the store or of an update answered. The name says which: Store.X or Tx.X.
func (w *teller) tell(name string, answers ...any) {
	w.told[name] = true
	line := name
	for _, a := range answers {
		switch a := a.(type) {
		case error:
			switch {
			case errors.Is(a, store.ErrNotFound):
				line += " not-found"
			case errors.Is(a, store.ErrExists):
				line += " exists"
			default:
				w.t.Errorf("%s: %v", name, a)
			}
		case nil:
		default:
			text, err := json.Marshal(a)
			if err != nil {
				w.t.Fatal(err)
			}
			line += " " + string(text)
		}
	}
	w.lines = append(w.lines, line)
}

func (w *teller) update(f func(tx *store.Tx)) {
	w.t.Helper()
	Update(w.t, w.s, func(tx *store.Tx) error { f(tx); return nil })
}

// number makes a valid id that is the same in every run.
func messageID(n int) string { return fmt.Sprintf("0195500%d-0000-7000-8000-000000000000", n) }
func threadID(n int) string  { return fmt.Sprintf("%08d-0000-4000-8000-000000000000", n) }

// bare leaves out what differs from run to run: signatures.
func bareOut(os ...*store.Outgoing) (out []*store.Outgoing) {
	for _, o := range os {
		if o != nil {
			c := *o
			c.Note = nil
			out = append(out, &c)
		}
	}
	return out
}

func bareEvents(es []store.Event) []store.Event {
	for i := range es {
		es[i].ID = ""
	}
	return es
}

// everyStatement tells a story in which every method of Store and Tx has a part. A method without one fails the test: on
// one of the databases it was never tried.
func everyStatement(t *testing.T, p Place) {
	w := &teller{t: t, s: open(t, p), ctx: context.Background(), told: map[string]bool{}}
	w.fill()
	w.end()
	for _, of := range []reflect.Type{reflect.TypeFor[*store.Store](), reflect.TypeFor[*store.Tx]()} {
		for i := range of.NumMethod() {
			name := of.Elem().Name() + "." + of.Method(i).Name
			if !w.told[name] && !slices.Contains([]string{"Store.Close", "Store.Update", "Store.UpdateUrgent", "Store.UpdateAhead", "Store.Press", "Store.Woken", "Store.Watch", "Store.Pressed", "Store.Rest",
				"Store.LimitSize", "Store.ScrubSoon", "Store.Shared", "Store.StandBy", "Store.TakeLead", "Store.GaugePlans", "Store.Plans", "Store.Queued"}, name) {
				t.Errorf("%s has no part in this story: give it one, so that both databases run it", name)
			}
		}
	}
	got := strings.Join(w.lines, "\n") + "\n"
	if *updateTranscript {
		if err := os.WriteFile("storetest/transcript.txt", []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(transcript, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("not what is written down (-want +got); if it is meant: go test ./agents/store -run Conformance -update-transcript\n%s", diff)
	}
}

func (w *teller) fill() {
	w.out()
	w.in()
	w.handOver()
	w.consents()
	w.people()
	w.ledger()
	w.heals()
}

// Fill tells the story up to where something is erased: the store then has rows of every kind.
func Fill(t *testing.T, s *store.Store) {
	t.Helper()
	(&teller{t: t, s: s, ctx: context.Background(), told: map[string]bool{}}).fill()
}

// out: what we send.
func (w *teller) out() {
	sign := Signer(w.t)
	by := Now.Add(time.Hour)
	w.update(func(tx *store.Tx) {
		for i := 1; i <= 3; i++ {
			o := Referral(Them, &by)
			o.Manifest.ID, o.Manifest.Thread, o.Certificates = messageID(i), threadID(i), []string{threadID(90)}
			o.Manifest.Basis = "consent:" + threadID(90)
			w.tell("Tx.AddOutgoing", tx.AddOutgoing(o, sign))
		}
		sent, err := tx.Sent(messageID(1))
		w.tell("Tx.Sent", sent, err)
		_, err = tx.Sent(messageID(9))
		w.tell("Tx.Sent", err)
		w.tell("Tx.Hold", tx.Hold(Them, schemas.LaneUrgent, "quota"))
		w.tell("Tx.LinkCertificate", tx.LinkCertificate(messageID(1), threadID(91)))
		thread, err := tx.ThreadUnder(threadID(90))
		w.tell("Tx.ThreadUnder", len(thread), err)
	})
	rows, err := w.s.PendingOutgoing(w.ctx, schemas.LaneUrgent, 10, []string{"test-other", "test-another"})
	w.tell("Store.PendingOutgoing", bareOut(rows...), err)
	none, err := w.s.PendingOutgoing(w.ctx, schemas.LaneUrgent, 10, []string{Them})
	w.tell("Store.PendingOutgoing", len(none), err)
	third, err := w.s.Outgoing(w.ctx, Us, messageID(3))
	if err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx *store.Tx) {
		w.tell("Tx.Published", tx.Published(rows[:2], []uint64{11, 12}, Now))
		back, err := tx.TakeBack(third, "changed", Now, sign)
		w.tell("Tx.TakeBack", back, err)
		receipt := &envelope.Manifest{ID: messageID(8), ReplyTo: messageID(1), From: Them, Outcome: schemas.OutcomeDelivered, Sent: Now}
		thread, err := tx.AddReceipt(receipt, []byte("r"), 21, Now)
		w.tell("Tx.AddReceipt", thread, err)
		w.tell("Tx.AnsweredOutgoing", tx.AnsweredOutgoing(messageID(1), Them, Now))
	})
	one, err := w.s.Outgoing(w.ctx, Us, messageID(1))
	w.tell("Store.Outgoing", bareOut(one), err)
	list, err := w.s.ListOutgoing(w.ctx, Us, store.Page{Limit: 10})
	w.tell("Store.ListOutgoing", bareOut(list...), err)
	receipts, err := w.s.Receipts(w.ctx, messageID(1))
	w.tell("Store.Receipts", receipts, err)
	due, err := w.s.Chores(w.ctx, Now, Now, 3)
	w.tell("Store.Chores", due, err)
	history, err := w.s.History(w.ctx, threadID(1))
	w.tell("Store.History", bareEvents(history), err)
}

// in: what comes.
func (w *teller) in() {
	by := Now.Add(2 * time.Hour)
	w.update(func(tx *store.Tx) {
		for i := 4; i <= 6; i++ {
			in := Incoming(schemas.LaneRoutine)
			in.Manifest.ID, in.Manifest.Thread, in.Manifest.Seq, in.Manifest.RespondBy, in.StreamSeq = messageID(i), threadID(i), uint64(i), &by, uint64(30+i)
			in.Manifest.Basis, in.Certificates = "consent:"+threadID(92), []string{threadID(92)}
			if i == 6 { // one whose body stays
				in.Manifest.Basis, in.Certificates = "vital-interests", nil
			}
			w.tell("Tx.AddIncoming", tx.AddIncoming(in))
			missing, err := tx.Saw(Them, in.Manifest.Lane, in.Manifest.Seq, Now)
			w.tell("Tx.Saw", missing, err)
		}
		w.tell("Tx.Decide", tx.Decide(messageID(4), Them, "void", "", Now))
		peer, err := tx.Decided(messageID(4))
		w.tell("Tx.Decided", peer, err)
		open, err := tx.WaitsForAnswer(messageID(4))
		w.tell("Tx.WaitsForAnswer", open, err)
		m, err := tx.IncomingManifest(messageID(4), Us)
		w.tell("Tx.IncomingManifest", m, err)
		w.tell("Tx.AnsweredIncoming", tx.AnsweredIncoming(messageID(4), Now))
		for range 2 {
			added, err := tx.AddQuarantined(&store.Quarantined{ID: messageID(7), Thread: threadID(4), Peer: Them, Lane: schemas.LaneUrgent, Kind: schemas.KindReferral, Code: "x", Verified: true, Problems: []byte("p"), Raw: []byte("raw"), Received: Now, StreamSeq: 40})
			w.tell("Tx.AddQuarantined", added, err)
		}
	})
	one, err := w.s.Incoming(w.ctx, Us, messageID(4))
	w.tell("Store.Incoming", one, err)
	for _, open := range []bool{false, true} {
		list, err := w.s.ListIncoming(w.ctx, Us, open, store.Page{Before: 3, Limit: 10})
		w.tell("Store.ListIncoming", list, err)
	}
	latest, err := w.s.Latest(w.ctx, Us, schemas.KindReferral)
	w.tell("Store.Latest", latest, err)
	came, err := w.s.Received(w.ctx, threadID(4), schemas.KindReferral)
	w.tell("Store.Received", came, err)
	gaps, err := w.s.Gaps(w.ctx)
	w.tell("Store.Gaps", gaps, err)
	q, err := w.s.Quarantined(w.ctx, 1)
	w.tell("Store.Quarantined", q, err)
	qs, err := w.s.ListQuarantined(w.ctx, store.Page{Limit: 10})
	w.tell("Store.ListQuarantined", qs, err)
	out, in, receipts, err := w.s.Exchange(w.ctx, Us, threadID(1))
	w.tell("Store.Exchange", bareOut(out...), in, receipts, err)
	var ran []store.Clock
	w.update(func(tx *store.Tx) { ran, err = tx.RunOut(by.Add(time.Second), 1) })
	w.tell("Tx.RunOut", ran, err)
}

// handOver: what the agency's own systems get.
func (w *teller) handOver() {
	due := Now.Add(time.Minute)
	w.update(func(tx *store.Tx) {
		w.tell("Tx.AddEvent", tx.AddEvent(&store.Event{ID: threadID(60), Thread: threadID(4), Type: store.EventGap, Peer: Them, Code: "c", At: Now}))
		for i, d := range []store.Delivery{
			{Source: store.FromInbox, Ref: messageID(4), Sink: "a", Urgent: true, Required: true, Due: Now},
			{Source: store.FromInbox, Ref: messageID(4), Sink: "b", Due: due},
			{Source: store.FromInbox, Ref: messageID(5), Sink: "a", Urgent: true, Required: true, Due: due},
			{Source: store.FromEvent, Ref: threadID(60), Sink: "b", Due: Now},
			{Source: store.FromEvent, Ref: threadID(60), Sink: "b", Due: due}, // a repeat
		} {
			w.tell("Tx.AddDelivery", i, tx.AddDelivery(&d))
		}
	})
	event, err := w.s.Event(w.ctx, threadID(60))
	w.tell("Store.Event", event, err)
	for _, urgent := range []bool{true, false} {
		for _, sink := range []string{"a", "b"} {
			ready, err := w.s.DueDeliveries(w.ctx, sink, urgent, Now, 10)
			w.tell("Store.DueDeliveries", ready, err)
			next, err := w.s.NextDue(w.ctx, sink, urgent)
			w.tell("Store.NextDue", next, err)
		}
	}
	all, err := w.s.ListDeliveries(w.ctx, messageID(4))
	w.tell("Store.ListDeliveries", len(all), err)
	second, err := w.s.ListDeliveries(w.ctx, messageID(5))
	if err != nil || len(all) != 2 || len(second) != 1 {
		w.t.Fatalf("%d and %d hand-overs: %v", len(all), len(second), err)
	}
	w.update(func(tx *store.Tx) {
		w.tell("Tx.DeliveryFailed", tx.DeliveryFailed(second[0].N, due, "sink-failed", true))
		for range 2 {
			ref, complete, err := tx.Delivered(all[0].N, Now)
			w.tell("Tx.Delivered", ref, complete, err)
		}
		first, err := tx.MarkRouted(messageID(6), Now)
		w.tell("Tx.MarkRouted", first, err)
	})
	for _, d := range all {
		still, err := w.s.StillDue(w.ctx, []*store.Delivery{d})
		w.tell("Store.StillDue", still, err)
		w.tell("Store.Release", w.s.Release(w.ctx, []*store.Delivery{d}, func(still func(int64) bool) { w.tell("still", still(d.N), still(d.N+1)) }))
	}
	dead, err := w.s.DeadDeliveries(w.ctx, 10)
	w.tell("Store.DeadDeliveries", len(dead), err)
	sinks, err := w.s.PendingSinks(w.ctx)
	w.tell("Store.PendingSinks", sinks, err)
	w.update(func(tx *store.Tx) {
		n, err := tx.RetryDeliveries("a", due)
		w.tell("Tx.RetryDeliveries", n, err)
		n, err = tx.Redrive("a", Now.Add(-time.Hour), due)
		w.tell("Tx.Redrive", n, err)
		ref, complete, err := tx.Delivered(second[0].N, Now)
		w.tell("Tx.Delivered", ref, complete, err)
		added, err := tx.AddRedelivery(&store.Redelivery{ID: "r1", Since: Now, Asked: Now, Note: []byte("n")})
		w.tell("Tx.AddRedelivery", added, err)
		decided, err := tx.DecideRedelivery("r1", "redelivers", 2, Now)
		w.tell("Tx.DecideRedelivery", decided, err)
	})
	asked, err := w.s.Redeliveries(w.ctx, 10)
	w.tell("Store.Redeliveries", asked, err)
}

// consents: what survivors allowed and took back.
func (w *teller) consents() {
	statement := &consent.Statement{Type: consent.StatementType, ID: threadID(70), Act: consent.ActWithdrawn, Certificate: threadID(92), Issuer: Them, By: Them, At: Now}
	answer := schemas.HolderAnswer{Outcome: schemas.HolderStopped}
	due := Now.Add(time.Minute)
	w.update(func(tx *store.Tx) {
		added, err := tx.AddStatement(statement, "text", Us, Now) // before the certificate: lanes overtake one another
		w.tell("Tx.AddStatement", added, err)
		c := store.Certificate{ID: threadID(92), Issuer: Them, Issued: Now, Expires: Now.AddDate(0, 1, 0), Review: Now, Received: Now, Locked: []byte("l")}
		w.tell("Tx.AddCertificate", tx.AddCertificate(&c, Us))
		c.Issuer = "test-other"
		w.tell("Tx.AddCertificate", tx.AddCertificate(&c, Us))
		newer := store.Certificate{ID: threadID(93), Issuer: Them, Supersedes: threadID(92), Issued: Now, Expires: Now, Review: Now, Received: Now, Locked: []byte("l")}
		w.tell("Tx.AddCertificate", tx.AddCertificate(&newer, Us))
		issuer, err := tx.CertificateIssuer(threadID(92))
		w.tell("Tx.CertificateIssuer", issuer, err)
		kept, err := tx.Certificate(threadID(92))
		w.tell("Tx.Certificate", kept, err)
		marks, err := tx.Marks(threadID(92))
		w.tell("Tx.Marks", marks, err)
		for _, kind := range []schemas.Kind{schemas.KindReferral, schemas.KindReferralResponse} {
			w.tell("Tx.AddHolder", tx.AddHolder(&store.Holder{Certificate: threadID(92), Agency: "test-other", Via: Them, Message: messageID(5), Thread: threadID(5), Kind: kind, At: Now}))
		}
		holders, err := tx.Holders(threadID(92))
		w.tell("Tx.Holders", holders, err)
		for range 2 {
			added, err = tx.AddNotice(&store.Notice{Statement: threadID(70), Certificate: threadID(92), Agency: "test-other", Message: messageID(5), Told: Now, Due: &due})
			w.tell("Tx.AddNotice", added, err)
		}
		told, err := tx.Told(threadID(70), "test-other")
		w.tell("Tx.Told", told, err)
		added, err = tx.AddDuty(&store.Duty{Statement: threadID(70), Certificate: threadID(92), Issuer: Them, By: Them, Act: consent.ActWithdrawn, Message: messageID(5), Thread: threadID(5), Received: Now, Due: due})
		w.tell("Tx.AddDuty", added, err)
		duties, err := tx.Duties(threadID(92))
		w.tell("Tx.Duties", duties, err)
		over, err := tx.OverdueDuties(due.Add(time.Second), 10)
		w.tell("Tx.OverdueDuties", over, err)
		w.tell("Tx.DecideDuties", tx.DecideDuties(threadID(92), consent.ActWithdrawn, answer, Now))
		w.tell("Tx.AnsweredWithdrawals", tx.AnsweredWithdrawals(threadID(92), Now))
		stopped, err := tx.StopUnder(threadID(92), Now)
		w.tell("Tx.StopUnder", stopped, err)
		w.tell("Tx.ReleaseUnder", tx.ReleaseUnder(threadID(92), Now))
		unrouted, err := tx.Unrouted(threadID(92), Us)
		w.tell("Tx.Unrouted", len(unrouted), err)
		w.tell("Tx.StopMessage", tx.StopMessage(messageID(4), Now))
	})
	silent, err := w.s.Silent(w.ctx, due.Add(time.Second), Now, 3, 10)
	w.tell("Store.Silent", silent, err)
	if len(silent) != 1 {
		w.t.Fatal("the holder who has not answered is not found")
	}
	w.update(func(tx *store.Tx) {
		for range 2 {
			again, err := tx.Reminded(&silent[0], messageID(6), Now)
			w.tell("Tx.Reminded", again, err)
		}
		message, err := tx.AnswerNotice(threadID(70), "test-other", answer, Now)
		w.tell("Tx.AnswerNotice", message, err)
		_, err = tx.AnswerNotice(threadID(71), "test-other", answer, Now)
		w.tell("Tx.AnswerNotice", err)
	})
	kept, err := w.s.Certificate(w.ctx, threadID(92))
	w.tell("Store.Certificate", kept, err)
	all, err := w.s.Certificates(w.ctx, 10)
	w.tell("Store.Certificates", all, err)
	known, ids, err := w.s.ThreadCertificates(w.ctx, threadID(1))
	w.tell("Store.ThreadCertificates", known, ids, err)
	marks, err := w.s.Marks(w.ctx, threadID(92))
	w.tell("Store.Marks", len(marks.Statements), len(marks.Newer), err)
	holders, err := w.s.Holders(w.ctx, threadID(92))
	w.tell("Store.Holders", len(holders), err)
	notices, err := w.s.Notices(w.ctx, threadID(92))
	w.tell("Store.Notices", notices, err)
	duties, err := w.s.Duties(w.ctx, "")
	w.tell("Store.Duties", duties, err)
	unsent, unrouted, err := w.s.LeftOver(w.ctx, Us, 10)
	w.tell("Store.LeftOver", len(unsent), len(unrouted), err)
	w.update(func(tx *store.Tx) {
		refused, err := tx.Refuse(messageID(4), Now)
		w.tell("Tx.Refuse", refused, err)
		erased, err := tx.EraseUnder(threadID(92), Now)
		w.tell("Tx.EraseUnder", erased, err)
	})
}

// people: who may ask, and what they asked before.
func (w *teller) people() {
	w.update(func(tx *store.Tx) {
		w.tell("Tx.AddToken", tx.AddToken("desk", "secret", []string{"read", "send"}, Now))
		w.tell("Tx.AddToken", tx.AddToken("desk", "other", nil, Now))
		w.tell("Tx.RemoveToken", tx.RemoveToken("nobody"))
		w.tell("Tx.AddIdempotency", tx.AddIdempotency([]byte("k"), []byte("r"), messageID(1), Now))
		request, message, err := tx.Repeated([]byte("k"))
		w.tell("Tx.Repeated", request, message, err)
		w.tell("Tx.ForgetIdempotency", tx.ForgetIdempotency(Now))
		w.tell("Tx.SaveDirectory", tx.SaveDirectory(map[string][]byte{"head": []byte("h"), "a": []byte("b")}))
		timer := &store.Timer{Ref: messageID(4), N: 1, Thread: threadID(4), Next: Now, Locked: []byte("l")}
		w.tell("Tx.AddTimer", tx.AddTimer(timer))
		next := Now.Add(time.Minute)
		rang, err := tx.Rang(timer, &next)
		w.tell("Tx.Rang", rang, err)
	})
	token, err := w.s.TokenFor(w.ctx, "secret")
	w.tell("Store.TokenFor", token, err)
	tokens, err := w.s.Tokens(w.ctx)
	w.tell("Store.Tokens", tokens, err)
	request, message, err := w.s.Repeated(w.ctx, []byte("k"))
	w.tell("Store.Repeated", request, message, err)
	directory, err := w.s.Directory(w.ctx)
	w.tell("Store.Directory", directory, err)
	ringing, err := w.s.Ringing(w.ctx, Now.Add(time.Hour), 10)
	w.tell("Store.Ringing", ringing, err)
}

// ledger: what is seen of it.
func (w *teller) ledger() {
	w.update(func(tx *store.Tx) {
		w.tell("Tx.SaveAsked", tx.SaveAsked(7))
		w.tell("Tx.AddAct", tx.AddAct(&store.Act{ID: "a1", Act: "erased", Subject: threadID(4), At: Now, Note: []byte("n")}))
		w.tell("Tx.AddAct", tx.AddAct(&store.Act{ID: "a1", Act: "erased", Subject: threadID(4), At: Now, Note: []byte("n")}))
	})
	raw, err := w.s.Checkpoint(w.ctx)
	w.tell("Store.Checkpoint", raw, err)
	open, err := w.s.OpenActs(w.ctx, 10)
	w.tell("Store.OpenActs", open, err)
	for _, table := range []store.Table{store.TableOutbox, store.TableInbox, store.TableReceipts} {
		rows, last, err := w.s.Unproved(w.ctx, table, 0, 10)
		for i := range rows {
			rows[i].Note = nil
		}
		w.tell("Store.Unproved", rows, last, err)
	}
	w.update(func(tx *store.Tx) {
		w.tell("Tx.Recorded", tx.Recorded(store.TableReceipts, messageID(8), 5))
		w.tell("Tx.ActRecorded", tx.ActRecorded("a1", 6, []byte("answer")))
		w.tell("Tx.SaveCheckpoint", tx.SaveCheckpoint([]byte("c"), 7, Now))
	})
	unproved, err := w.s.CountUnproved(w.ctx)
	w.tell("Store.CountUnproved", unproved, err)
	raw, err = w.s.Checkpoint(w.ctx)
	w.tell("Store.Checkpoint", raw, err)
	asked, err := w.s.Asked(w.ctx)
	w.tell("Store.Asked", asked, err)
	acts, err := w.s.Acts(w.ctx, 10)
	w.tell("Store.Acts", acts, err)
	act, err := w.s.Act(w.ctx, "a1")
	w.tell("Store.Act", act, err)
	lane, seq, err := w.s.Place(w.ctx, messageID(5))
	w.tell("Store.Place", lane, seq, err)
}

// end: counted and erased.
func (w *teller) end() {
	gauges, err := w.s.Gauges(w.ctx, Now)
	w.tell("Store.Gauges", gauges, err)
	counts, err := w.s.Count(w.ctx, gauges)
	w.tell("Store.Count", counts, err)
	w.tell("Store.Probe", w.s.Probe(w.ctx, Now))
	size, err := w.s.Size(w.ctx)
	w.tell("Store.Size", size > 0, err)
	w.update(func(tx *store.Tx) {
		under, err := tx.UnderWay(threadID(4))
		w.tell("Tx.UnderWay", under, err)
		n, err := tx.EraseThread(threadID(4), Now)
		w.tell("Tx.EraseThread", n, err)
		n, err = tx.EraseThread(threadID(99), Now)
		w.tell("Tx.EraseThread", n, err)
	})
	w.tell("Store.Scrub", w.s.Scrub(w.ctx))
	outcome, err := w.s.OutcomeSent(w.ctx, messageID(4))
	w.tell("Store.OutcomeSent", outcome, err)
}
