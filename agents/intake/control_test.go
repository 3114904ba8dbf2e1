package intake_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// statement signs one, with another agency's key if signer says so.
func (w *world) statement(s consent.Statement, signer string) (string, *consent.Statement) {
	w.t.Helper()
	s.ID, s.Type = consent.NewID(), consent.StatementType
	if s.At.IsZero() {
		s.At = w.now
	}
	if signer == "" || signer == s.By {
		text, err := consent.SignStatement(s, w.vaults[s.By].Signer())
		if err != nil {
			w.t.Fatal(err)
		}
		return text, &s
	}
	s.At = envelope.Timestamp(s.At)
	raw, err := envelope.SignLine(&s, w.vaults[signer].Signer())
	if err != nil {
		w.t.Fatal(err)
	}
	return string(raw), &s
}

// control makes a message that serves consent.
func (w *world) control(from string, payload schemas.ControlPayload, statements ...string) *draft {
	w.t.Helper()
	e, _ := schemas.EntryOf(payload.Kind())
	text, err := schemas.Encode(payload)
	if err != nil {
		w.t.Fatal(err)
	}
	w.seq++
	return &draft{payload: text, statements: statements, sealTo: ngo, signer: from, manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: schemas.NewThreadID(), From: from, To: ngo, Kind: e.Kind, Schema: e.Schema, Lane: e.Lanes[0], Seq: w.seq, Sent: w.now,
		Basis: "consent:" + payload.CertificateID()}}
}

func (w *world) withdrawal(from, certificate, issuer string) *draft {
	text, s := w.statement(consent.Statement{Act: consent.ActWithdrawn, Certificate: certificate, Issuer: issuer, By: issuer}, "")
	return w.control(from, &schemas.ConsentWithdrawal{Certificate: certificate, Statement: s.ID}, text)
}

func (w *world) message(d *draft) intake.Message {
	return intake.Message{Subject: "mail." + string(d.manifest.Lane) + "." + ngo + "." + d.manifest.From, Data: w.seal(d), StreamSeq: 1}
}

func (w *world) take(drafts ...*draft) {
	w.t.Helper()
	batch := make([]intake.Message, len(drafts))
	for i, d := range drafts {
		batch[i] = w.message(d)
	}
	for i, v := range w.intake.Handle(context.Background(), batch) {
		if v.Fate != intake.Settled {
			w.t.Fatalf("message %d: %+v", i, v)
		}
	}
}

// waiting are the messages that a sink would get now.
func (w *world) waiting() int {
	w.t.Helper()
	rows, err := w.store.DueDeliveries(context.Background(), "intake", true, w.now.Add(time.Hour), 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	n := 0
	for _, d := range rows {
		if d.Source == store.FromInbox { // events are handed over too
			n++
		}
	}
	return n
}

// posted are the kinds that wait to leave.
func (w *world) posted() (out []string) {
	w.t.Helper()
	for _, lane := range []schemas.Lane{schemas.LaneUrgent, schemas.LaneRoutine} {
		rows, err := w.store.PendingOutgoing(context.Background(), lane, 500, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, r := range rows {
			out = append(out, string(r.Manifest.Kind)+" "+r.Manifest.To)
		}
	}
	return out
}

func (w *world) quarantineCode() string {
	w.t.Helper()
	rows := w.quarantined()
	if len(rows) == 0 {
		return ""
	}
	return rows[0].Code
}

func sinked(w *world) *world {
	w.sinks = []intake.Target{{Sink: "intake", Required: true}}
	return w
}

// TestWithdrawalComesFirst: lanes overtake one another. A withdrawal of a certificate that nobody has seen yet counts when
// it comes, in whatever order and batch; but only if it is the issuer's.
func TestWithdrawalComesFirst(t *testing.T) {
	for name, order := range map[string]func(w *world, withdrawal, referral *draft){
		"withdrawal first":            func(w *world, a, b *draft) { w.take(a); w.take(b) },
		"one batch, withdrawal first": func(w *world, a, b *draft) { w.take(a, b) },
	} {
		t.Run(name, func(t *testing.T) {
			w := sinked(newWorld(t))
			d := w.draft()
			order(w, w.withdrawal(police, d.certificate.ID, police), d)
			if inbox := w.inbox(); len(inbox) != 1 || inbox[0].Manifest.Kind != schemas.KindConsentWithdrawal {
				t.Fatalf("%d in the inbox", len(inbox))
			}
			if got := w.receipts(); !slices.Contains(got, "rejected consent-withdrawn "+d.manifest.ID) {
				t.Errorf("receipts %v", got)
			}
		})
	}
	for name, order := range map[string]func(w *world, withdrawal, referral *draft){
		"referral first":            func(w *world, a, b *draft) { w.take(b); w.take(a) },
		"one batch, referral first": func(w *world, a, b *draft) { w.take(b, a) },
	} {
		t.Run(name, func(t *testing.T) {
			w := sinked(newWorld(t))
			d := w.draft()
			order(w, w.withdrawal(police, d.certificate.ID, police), d)
			in, err := w.store.Incoming(context.Background(), ngo, d.manifest.ID)
			if err != nil || in.Stopped == nil {
				t.Fatalf("not stopped: %v", err)
			}
			if n := w.waiting(); n != 1 { // the withdrawal itself
				t.Errorf("%d hand-overs wait", n)
			}
			_, unrouted, err := w.store.LeftOver(context.Background(), ngo, 10)
			if err != nil || len(unrouted) != 1 {
				t.Errorf("%d to refuse, %v", len(unrouted), err)
			}
		})
	}
	t.Run("another issuer's withdrawal", func(t *testing.T) {
		w := sinked(newWorld(t))
		d := w.draft()
		w.take(w.withdrawal(housing, d.certificate.ID, housing)) // unknown here: kept
		w.take(d)
		if in, err := w.store.Incoming(context.Background(), ngo, d.manifest.ID); err != nil || in.Stopped != nil {
			t.Errorf("stopped by an agency that did not take the consent: %v", err)
		}
	})
}

// TestForgedConsentMessages: what is not signed by whom it must be, or not about what it says, is set aside and stops nothing.
func TestForgedConsentMessages(t *testing.T) {
	for name, c := range map[string]struct {
		make func(w *world, cert string) *draft
		code string
	}{
		"a third agency in its own name": {func(w *world, cert string) *draft { return w.withdrawal(housing, cert, housing) }, intake.CodeNotTheIssuer},
		"in the issuer's name": {func(w *world, cert string) *draft {
			text, s := w.statement(consent.Statement{Act: consent.ActWithdrawn, Certificate: cert, Issuer: police, By: police}, housing)
			return w.control(housing, &schemas.ConsentWithdrawal{Certificate: cert, Statement: s.ID}, text)
		}, intake.CodeStatement},
		"a statement about another certificate": {func(w *world, cert string) *draft {
			text, s := w.statement(consent.Statement{Act: consent.ActWithdrawn, Certificate: consent.NewID(), Issuer: police, By: police}, "")
			return w.control(police, &schemas.ConsentWithdrawal{Certificate: cert, Statement: s.ID}, text)
		}, intake.CodeStatementMismatch},
		"another statement": {func(w *world, cert string) *draft {
			text, _ := w.statement(consent.Statement{Act: consent.ActWithdrawn, Certificate: cert, Issuer: police, By: police}, "")
			return w.control(police, &schemas.ConsentWithdrawal{Certificate: cert, Statement: consent.NewID()}, text)
		}, intake.CodeStatementMismatch},
		"no statement": {func(w *world, cert string) *draft {
			return w.control(police, &schemas.ConsentWithdrawal{Certificate: cert, Statement: consent.NewID()})
		}, intake.CodeStatementMismatch},
		"a request as a withdrawal": {func(w *world, cert string) *draft {
			text, s := w.statement(consent.Statement{Act: consent.ActRequested, Certificate: cert, Issuer: police, By: housing}, "")
			return w.control(housing, &schemas.ConsentWithdrawal{Certificate: cert, Statement: s.ID}, text)
		}, intake.CodeStatementMismatch},
		"another basis": {func(w *world, cert string) *draft {
			d := w.withdrawal(police, cert, police)
			d.manifest.Basis = "consent:" + consent.NewID()
			return d
		}, intake.CodeBasis},
		"a request by a stranger to the consent": {func(w *world, cert string) *draft {
			text, s := w.statement(consent.Statement{Act: consent.ActRequested, Certificate: cert, Issuer: police, By: housing}, "")
			return w.control(housing, &schemas.WithdrawalRequest{Certificate: cert, Statement: s.ID}, text)
		}, consent.ReasonForeign},
		"it stands, says a holder": {func(w *world, cert string) *draft {
			return w.control(housing, &schemas.ConsentNotice{Certificate: cert, Change: schemas.ConsentStands, Statement: consent.NewID()})
		}, intake.CodeStatementMismatch},
		"replaced by another agency": {func(w *world, cert string) *draft {
			d := w.draft()
			next := *d.certificate
			next.ID, next.Issuer, next.Supersedes = consent.NewID(), housing, cert
			text, err := consent.Sign(next, w.vaults[housing].Signer())
			if err != nil {
				t.Fatal(err)
			}
			x := w.control(housing, &schemas.ConsentNotice{Certificate: cert, Change: schemas.ConsentRenewed, Replacement: next.ID})
			x.certificates = []string{text}
			return x
		}, intake.CodeNotTheIssuer},
		"an answer from who was not asked": {func(w *world, cert string) *draft {
			return w.control(housing, &schemas.WithdrawalOutcome{Certificate: cert, Statement: consent.NewID(), HolderAnswer: schemas.HolderAnswer{Outcome: schemas.HolderErased}})
		}, intake.CodeUnknownWithdrawal},
		"passed on under another's consent": {func(w *world, cert string) *draft {
			return w.control(housing, &schemas.Forwarding{Certificate: cert, Agency: police, About: schemas.KindReferral, Message: schemas.NewMessageID()})
		}, intake.CodeNotTheIssuer},
		"passed on under an unknown consent": {func(w *world, _ string) *draft {
			return w.control(housing, &schemas.Forwarding{Certificate: consent.NewID(), Agency: police, About: schemas.KindReferral, Message: schemas.NewMessageID()})
		}, intake.CodeUnknownConsent},
		"a clock by who only passes it on": {func(w *world, cert string) *draft {
			d := w.withdrawal(police, cert, police)
			d.manifest.From, d.signer = housing, housing
			by := w.now.Add(time.Hour)
			d.manifest.RespondBy = &by
			return d
		}, intake.CodeUrgency},
	} {
		t.Run(name, func(t *testing.T) {
			w := sinked(newWorld(t))
			d := w.draft()
			d.certificate.Consent.Recipients = schemas.Recipients{Agencies: []string{ngo}} // housing is covered by nothing
			w.take(d)
			if w.waiting() != 1 {
				t.Fatal("the referral does not wait for its sink")
			}
			w.take(c.make(w, d.certificate.ID))
			if got := w.quarantineCode(); got != c.code {
				t.Errorf("code %q, want %q", got, c.code)
			}
			if in, err := w.store.Incoming(context.Background(), ngo, d.manifest.ID); err != nil || in.Stopped != nil {
				t.Errorf("stopped by a forgery: %v", err)
			}
			marks, err := w.store.Marks(context.Background(), d.certificate.ID)
			if err != nil || len(marks.Statements) != 0 {
				t.Errorf("kept %d statements, %v", len(marks.Statements), err)
			}
		})
	}
}

// TestWithdrawnTwice: the same word by two carriers, and a second word, change nothing; a circle of forwardings ends.
func TestWithdrawnTwice(t *testing.T) {
	w := sinked(newWorld(t))
	d := w.draft()
	w.take(d)
	cert := d.certificate.ID
	// We passed it on to the housing provider.
	err := w.store.Update(context.Background(), func(tx *store.Tx) error {
		return tx.AddHolder(&store.Holder{Certificate: cert, Agency: housing, Message: schemas.NewMessageID(), Thread: d.manifest.Thread, Kind: schemas.KindReferral, At: w.now})
	})
	if err != nil {
		t.Fatal(err)
	}
	first := w.withdrawal(police, cert, police)
	w.take(first)
	if got := w.posted(); !slices.Equal(got, []string{"consent-withdrawal " + housing}) {
		t.Fatalf("posted %v", got)
	}
	again := *first
	again.manifest.ID, again.manifest.From, again.signer = schemas.NewMessageID(), housing, housing // comes back in a circle
	w.seq++
	again.manifest.Seq = w.seq
	w.take(&again)
	w.take(w.withdrawal(police, cert, police)) // a second word of the issuer
	if got := w.posted(); len(got) != 2 {      // housing is told of the second statement too; nothing goes round
		t.Errorf("posted %v", got)
	}
	duties, err := w.store.Duties(context.Background(), cert)
	if err != nil || len(duties) != 2 {
		t.Errorf("%d duties, %v", len(duties), err)
	}
	if code := w.quarantineCode(); code != "" {
		t.Errorf("quarantined %s", code)
	}
}

// TestRequestStopsAndStandsReleases: exactly what the request stopped goes on.
func TestRequestStopsAndStandsReleases(t *testing.T) {
	w := sinked(newWorld(t))
	d, other := w.draft(), w.draft()
	w.take(d, other)
	cert := d.certificate.ID
	text, asked := w.statement(consent.Statement{Act: consent.ActRequested, Certificate: cert, Issuer: police, By: housing}, "")
	w.take(w.control(housing, &schemas.WithdrawalRequest{Certificate: cert, Statement: asked.ID}, text))
	stopped := func(x *draft) bool {
		in, err := w.store.Incoming(context.Background(), ngo, x.manifest.ID)
		if err != nil {
			t.Fatal(err)
		}
		return in.Stopped != nil
	}
	if !stopped(d) || stopped(other) {
		t.Fatalf("stopped %v, another consent's %v", stopped(d), stopped(other))
	}
	// What comes meanwhile is kept and not handed over, and nobody is told that it was delivered.
	late := w.draft()
	late.certificate, late.manifest.Basis = d.certificate, d.manifest.Basis
	w.take(late)
	if !stopped(late) || w.waiting() != 2 { // other's referral, and the request itself
		t.Errorf("came while stopped: stopped %v, %d wait", stopped(late), w.waiting())
	}
	for _, r := range w.receipts() {
		if strings.HasSuffix(r, late.manifest.ID) {
			t.Errorf("receipt %s", r)
		}
	}
	text, stands := w.statement(consent.Statement{Act: consent.ActStands, Certificate: cert, Issuer: police, By: police, Answers: asked.ID}, "")
	w.take(w.control(police, &schemas.ConsentNotice{Certificate: cert, Change: schemas.ConsentStands, Statement: stands.ID}, text))
	if stopped(d) || stopped(late) {
		t.Error("still stopped")
	}
	if n := w.waiting(); n != 5 { // three referrals, the request, the notice
		t.Errorf("%d wait after it stood", n)
	}
}

// TestExcessData: a well-meaning sender whose own check failed sends more than the consent covers.
func TestExcessData(t *testing.T) {
	w := sinked(newWorld(t))
	d := w.draft()
	d.certificate.Consent.Categories = slices.DeleteFunc(d.certificate.Consent.Categories, func(c schemas.Category) bool { return c == schemas.CategoryRisk })
	w.take(d)
	rows := w.quarantined()
	if len(rows) != 1 || rows[0].Code != consent.ReasonCategory || w.waiting() != 0 {
		t.Fatalf("%d set aside", len(rows))
	}
	if got := w.receipts(); !slices.Equal(got, []string{"quarantined consent-category " + d.manifest.ID}) {
		t.Errorf("receipts %v", got)
	}
}

// TestWithdrawalUnderFaults: whichever commit fails, and in whichever way, asking again ends in the same state.
func TestWithdrawalUnderFaults(t *testing.T) {
	ctx := context.Background()
	for _, stored := range []bool{false, true} {
		for at := range 4 {
			w := sinked(newWorld(t))
			first := w.draft()
			drafts := []*draft{first}
			for range 9 {
				x := w.draft()
				x.certificate, x.manifest.Basis = first.certificate, first.manifest.Basis
				drafts = append(drafts, x)
			}
			commits := 0
			fail := func() error {
				if commits++; commits-1 == at {
					return errors.New("disk trouble")
				}
				return nil
			}
			s := w.store
			if stored {
				s.AfterCommit = fail
			} else {
				s.BeforeCommit = fail
			}
			all := append(slices.Clone(drafts), w.withdrawal(police, first.certificate.ID, police))
			todo := make([]intake.Message, len(all))
			for i, d := range all {
				todo[i] = w.message(d)
			}
			for tries := 0; len(todo) > 0; tries++ {
				if tries > 10 {
					t.Fatal("never settled")
				}
				var left []intake.Message
				for i, v := range w.intake.Handle(ctx, todo) {
					if v.Fate == intake.Later {
						left = append(left, todo[i])
					}
				}
				todo = left
			}
			s.BeforeCommit, s.AfterCommit = nil, nil
			_, unrouted, err := s.LeftOver(ctx, ngo, 100)
			if err != nil {
				t.Fatal(err)
			}
			duties, err := s.Duties(ctx, first.certificate.ID)
			if err != nil {
				t.Fatal(err)
			}
			marks, err := s.Marks(ctx, first.certificate.ID)
			if err != nil {
				t.Fatal(err)
			}
			refused := 0
			for _, r := range w.receipts() {
				if strings.HasPrefix(r, "rejected consent-withdrawn") {
					refused++
				}
			}
			// Every referral is stopped in the inbox or was refused at the door: none goes on.
			if len(unrouted)+refused != len(drafts) || len(duties) != 1 || len(marks.Statements) != 1 || w.waiting() != 1 {
				t.Errorf("commit %d, stored %v: %d stopped, %d refused, %d duties, %d statements, %d wait", at, stored, len(unrouted), refused, len(duties), len(marks.Statements), w.waiting())
			}
		}
	}
}

// TestAnswerOvertakesForwarding: we took the consent. A holder that we do not know of yet was told by whoever passed the
// data on, and answers; that counts, and when the note about the passing comes it is not asked again. One that asks for a
// withdrawal that was made already is told.
func TestAnswerOvertakesForwarding(t *testing.T) {
	w := sinked(newWorld(t))
	ctx := context.Background()
	cert := w.draft().certificate
	cert.Issuer, cert.Consent.Recipients = ngo, schemas.Recipients{Agencies: []string{police, housing}}
	locked, err := w.vaults[ngo].Lock(cert.ID, []byte(w.sign(*cert)))
	if err != nil {
		t.Fatal(err)
	}
	text, s := w.statement(consent.Statement{Act: consent.ActWithdrawn, Certificate: cert.ID, Issuer: ngo, By: ngo}, "")
	err = w.store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.AddCertificate(intake.Kept(cert, locked, w.now), ngo); err != nil {
			return err
		}
		return w.intake.Registry.Withdrawn(tx, intake.Said{Statement: s, Text: text, Thread: schemas.NewThreadID()}, w.now)
	})
	if err != nil {
		t.Fatal(err)
	}
	w.take(w.control(housing, &schemas.WithdrawalOutcome{Certificate: cert.ID, Statement: s.ID, HolderAnswer: schemas.HolderAnswer{Outcome: schemas.HolderErased}}))
	if code := w.quarantineCode(); code != "" {
		t.Fatalf("the answer was set aside: %s", code)
	}
	w.take(w.control(police, &schemas.Forwarding{Certificate: cert.ID, Agency: housing, About: schemas.KindReferral, Message: schemas.NewMessageID()}))
	notices, err := w.store.Notices(ctx, cert.ID)
	if err != nil || len(notices) != 1 || notices[0].Agency != housing || notices[0].Answer.Outcome != schemas.HolderErased {
		t.Errorf("%+v %v", notices, err)
	}
	if got := w.posted(); len(got) != 0 {
		t.Errorf("asked again: %v", got)
	}
	if code := w.quarantineCode(); code != "" {
		t.Fatalf("the note was set aside: %s", code)
	}
	text, asked := w.statement(consent.Statement{Act: consent.ActRequested, Certificate: cert.ID, Issuer: ngo, By: police}, "")
	w.take(w.control(police, &schemas.WithdrawalRequest{Certificate: cert.ID, Statement: asked.ID}, text))
	if got := w.posted(); !slices.Equal(got, []string{"consent-withdrawal " + police}) {
		t.Errorf("who asks late is told %v", got)
	}
}

func (w *world) sign(c consent.Certificate) string {
	w.t.Helper()
	text, err := consent.Sign(c, w.vaults[c.Issuer].Signer())
	if err != nil {
		w.t.Fatal(err)
	}
	return text
}

// TestOneAnswerForAllCarriers: a withdrawal that also comes from the issuer itself, after we answered the copy that somebody
// passed on, leaves no clock running.
func TestOneAnswerForAllCarriers(t *testing.T) {
	w := sinked(newWorld(t))
	d := w.draft()
	w.take(d)
	cert := d.certificate.ID
	text, s := w.statement(consent.Statement{Act: consent.ActWithdrawn, Certificate: cert, Issuer: police, By: police}, "")
	w.take(w.control(housing, &schemas.ConsentWithdrawal{Certificate: cert, Statement: s.ID}, text))
	answer := func() {
		t.Helper()
		err := w.store.Update(context.Background(), func(tx *store.Tx) error {
			return w.intake.Registry.Decide(tx, cert, schemas.HolderAnswer{Outcome: schemas.HolderStopped}, w.now)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	answer()
	if got := w.posted(); !slices.Equal(got, []string{"withdrawal-outcome " + police}) {
		t.Fatalf("answered %v", got)
	}
	direct := w.control(police, &schemas.ConsentWithdrawal{Certificate: cert, Statement: s.ID}, text)
	by := w.now.Add(time.Hour)
	direct.manifest.RespondBy = &by
	w.take(direct)
	if due, err := w.store.Chores(context.Background(), w.now, w.now, 3); err != nil || due.Clock != nil {
		t.Errorf("a clock still runs until %v (%v)", due.Clock, err)
	}
}

// TestPolicies: an agency may answer by itself, and what it says it did is done.
func TestPolicies(t *testing.T) {
	for policy, want := range map[intake.Policy]struct {
		posted []string
		erased bool
	}{
		intake.PolicyAsk:   {nil, false},
		intake.PolicyStop:  {[]string{"withdrawal-outcome " + police}, false},
		intake.PolicyErase: {[]string{"withdrawal-outcome " + police}, true},
	} {
		t.Run(string(policy), func(t *testing.T) {
			w := sinked(newWorld(t))
			w.intake.Registry.Policy = policy
			d := w.draft()
			w.take(d)
			w.take(w.withdrawal(police, d.certificate.ID, police))
			if got := w.posted(); !slices.Equal(got, want.posted) {
				t.Errorf("posted %v", got)
			}
			in, err := w.store.Incoming(context.Background(), ngo, d.manifest.ID)
			if err != nil || (in.Erased != nil) != want.erased || (in.Body == nil) != want.erased {
				t.Errorf("erased %v, %v", in.Erased, err)
			}
			duties, err := w.store.Duties(context.Background(), d.certificate.ID)
			if err != nil || len(duties) != 1 || (duties[0].Decided != nil) == (policy == intake.PolicyAsk) {
				t.Errorf("duties %+v %v", duties, err)
			}
		})
	}
	t.Run("the issuer has left", func(t *testing.T) {
		w := sinked(newWorld(t))
		w.intake.Registry.Policy = intake.PolicyErase
		d := w.draft()
		w.take(d)
		withdrawal := w.message(w.withdrawal(police, d.certificate.ID, police))
		gone := *w.intake.Registry.Courier
		gone.Directory = func() *directory.View { return nil }
		w.intake.Registry.Courier = &gone
		if v := w.intake.Handle(context.Background(), []intake.Message{withdrawal}); v[0].Fate != intake.Settled {
			t.Fatalf("a withdrawal that nobody can be told about stays for ever: %+v", v)
		}
		if in, err := w.store.Incoming(context.Background(), ngo, d.manifest.ID); err != nil || in.Erased == nil {
			t.Errorf("not erased: %v", err)
		}
	})
}
