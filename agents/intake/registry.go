package intake

import (
	"errors"
	"log/slog"
	"slices"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
)

// Policy is what an agency does by itself when a consent is withdrawn. Stopping is not a choice.
type Policy string

// The policies.
const (
	PolicyAsk   Policy = "ask"   // our people decide
	PolicyStop  Policy = "stop"  // answer "stopped" at once; our people may say more later
	PolicyErase Policy = "erase" // erase what this agent holds and say so
)

// Registry does what must be done when something is said about a consent: stop at once, tell our systems, tell on those to
// whom we passed it on, and put it before our people. Every method works inside the caller's transaction.
type Registry struct {
	Agency    string
	Directory func() *directory.View
	Emit      *Emitter
	Courier   *Courier
	Policy    Policy
	Due       func(time.Time) time.Time // when an answer to a withdrawal is due
	Log       *slog.Logger
}

// Said is a statement with its text and the message that brought it; empty when it is our own.
type Said struct {
	*consent.Statement
	Text    string
	Message string
	Thread  string
	From    string
}

// Withdrawn acts on a withdrawal of the issuer. A repeat changes nothing, so that a circle of forwardings ends.
func (r *Registry) Withdrawn(tx *store.Tx, s Said, now time.Time) error {
	first, err := tx.AddStatement(s.Statement, s.Text, r.Agency, now)
	if err != nil || !first || !s.Ends(r.Agency) {
		return err
	}
	n, err := tx.StopUnder(s.Certificate, now)
	if err != nil {
		return err
	}
	r.Log.Info("consent withdrawn, everything under it is stopped", "certificate", s.Certificate, "by", s.By, "messages", n)
	if err := r.Emit.Event(tx, &store.Event{Type: store.EventWithdrawn, Thread: s.Thread, Message: s.Message, Kind: schemas.KindConsentWithdrawal,
		Peer: s.By, Certificate: s.Certificate, At: now}); err != nil {
		return err
	}
	// What was asked for is now decided.
	if err := tx.DecideDuties(s.Certificate, consent.ActRequested, schemas.HolderAnswer{Outcome: "withdrawn"}, now); err != nil {
		return err
	}
	if s.To == "" {
		// From us alone: those to whom we passed it on are told by the agency that took the consent, if they are concerned.
		if err := r.tell(tx, s, now); err != nil {
			return err
		}
	}
	if s.Issuer == r.Agency {
		return nil // we are asked by nobody
	}
	if _, err := tx.AddDuty(&store.Duty{Statement: s.ID, Certificate: s.Certificate, Issuer: s.Issuer, By: s.By, Act: s.Act, Message: s.Message, Thread: s.Thread,
		Received: now, Due: r.Due(now)}); err != nil {
		return err
	}
	switch r.Policy {
	case PolicyStop:
		return r.Decide(tx, s.Certificate, schemas.HolderAnswer{Outcome: schemas.HolderStopped}, now)
	case PolicyErase:
		return r.Decide(tx, s.Certificate, schemas.HolderAnswer{Outcome: schemas.HolderErased}, now)
	}
	return nil
}

// Requested acts on a request: everything stops until the issuer decides. counts is false when the request's author may not
// ask, or the issuer has decided already; it is then only kept.
func (r *Registry) Requested(tx *store.Tx, s Said, counts bool, now time.Time) error {
	first, err := tx.AddStatement(s.Statement, s.Text, r.Agency, now)
	if err != nil || !first || !counts {
		return err
	}
	n, err := tx.StopUnder(s.Certificate, now)
	if err != nil {
		return err
	}
	r.Log.Info("withdrawal of consent asked for, everything under it is stopped", "certificate", s.Certificate, "by", s.By, "messages", n)
	if err := r.Emit.Event(tx, &store.Event{Type: store.EventStopRequested, Thread: s.Thread, Message: s.Message, Kind: schemas.KindWithdrawalRequest,
		Peer: s.By, Certificate: s.Certificate, At: now}); err != nil {
		return err
	}
	if err := r.tell(tx, s, now); err != nil {
		return err
	}
	if s.Issuer != r.Agency {
		return nil
	}
	_, err = tx.AddDuty(&store.Duty{Statement: s.ID, Certificate: s.Certificate, Issuer: s.Issuer, By: s.By, Act: s.Act, Message: s.Message, Thread: s.Thread,
		Received: now, Due: r.Due(now)})
	return err
}

// Stands acts on the issuer's word that a request was a mistake. released says that nothing else stops the certificate.
func (r *Registry) Stands(tx *store.Tx, s Said, released bool, now time.Time) error {
	first, err := tx.AddStatement(s.Statement, s.Text, r.Agency, now)
	if err != nil || !first {
		return err
	}
	if released {
		if err := tx.ReleaseUnder(s.Certificate, now); err != nil {
			return err
		}
		// Stopped before it was routed and asked for by no sink: the inbox was its destination.
		routed, err := tx.Unrouted(s.Certificate, r.Agency)
		if err != nil {
			return err
		}
		for _, m := range routed {
			if err := Complete(tx, r.Emit, m, now); err != nil {
				return err
			}
		}
	}
	if err := r.Emit.Event(tx, &store.Event{Type: store.EventStands, Thread: s.Thread, Message: s.Message, Kind: schemas.KindConsent,
		Peer: s.By, Certificate: s.Certificate, At: now}); err != nil {
		return err
	}
	if err := tx.DecideDuties(s.Certificate, consent.ActRequested, schemas.HolderAnswer{Outcome: "stands"}, now); err != nil {
		return err
	}
	return r.tell(tx, s, now)
}

// tell passes a statement on to everyone we know to hold something under the certificate: those we sent it to and, if we
// took the consent, those we were told of. A request also goes to the issuer.
func (r *Registry) tell(tx *store.Tx, s Said, now time.Time) error {
	known, err := tx.Holders(s.Certificate)
	if err != nil {
		return err
	}
	if s.Issuer != r.Agency && s.Act == consent.ActRequested {
		known = append(known, store.Holder{Certificate: s.Certificate, Agency: s.Issuer, Thread: s.Thread})
	}
	for _, h := range known {
		if h.Via != "" && s.Issuer != r.Agency {
			continue
		}
		if err := r.Notify(tx, s, h, now); err != nil {
			return err
		}
	}
	return nil
}

// Notify tells one holder of a statement, once. Who made or brought the statement knows it.
func (r *Registry) Notify(tx *store.Tx, s Said, h store.Holder, now time.Time) error {
	if h.Agency == r.Agency || h.Agency == s.By || h.Agency == s.From || h.Agency == s.Issuer && s.Act != consent.ActRequested {
		return nil
	}
	if told, err := tx.Told(s.ID, h.Agency); err != nil || told {
		return err
	}
	l := Letter{To: h.Agency, Thread: h.Thread, Statements: []string{s.Text}, At: now}
	var due *time.Time
	if s.Issuer == r.Agency && s.Act == consent.ActWithdrawn {
		at := r.Due(now)
		l.RespondBy, due = &at, &at
	}
	switch s.Act {
	case consent.ActWithdrawn:
		l.Payload = &schemas.ConsentWithdrawal{Certificate: s.Certificate, Statement: s.ID}
	case consent.ActRequested:
		l.Payload = &schemas.WithdrawalRequest{Certificate: s.Certificate, Statement: s.ID}
	case consent.ActStands:
		l.Payload = &schemas.ConsentNotice{Certificate: s.Certificate, Change: schemas.ConsentStands, Statement: s.ID}
	default:
		return nil
	}
	message, err := r.Courier.Post(tx, l)
	if errors.Is(err, ErrUnreachable) {
		// It stays in the table as not told, for a person to telephone.
		r.Log.Warn("holder cannot be told of a withdrawal: no key in the directory", "certificate", s.Certificate, "peer", h.Agency)
		err = nil
	}
	if err != nil {
		return err
	}
	_, err = tx.AddNotice(&store.Notice{Statement: s.ID, Certificate: s.Certificate, Agency: h.Agency, Message: message, Told: now, Due: due})
	return err
}

// Decide answers the issuer of a withdrawn certificate: what we did with what we hold. Erasing happens here.
func (r *Registry) Decide(tx *store.Tx, certificate string, a schemas.HolderAnswer, now time.Time) error {
	if a.Outcome == schemas.HolderErased {
		n, err := tx.EraseUnder(certificate, now)
		if err != nil {
			return err
		}
		r.Log.Info("erased under a withdrawn consent", "certificate", certificate, "messages", n)
		if err := r.Emit.Event(tx, &store.Event{Type: store.EventErased, Certificate: certificate, At: now}); err != nil {
			return err
		}
	}
	duties, err := tx.Duties(certificate)
	if err != nil {
		return err
	}
	if err := tx.DecideDuties(certificate, consent.ActWithdrawn, a, now); err != nil {
		return err
	}
	for _, d := range duties {
		if d.Act != consent.ActWithdrawn {
			continue
		}
		m, err := tx.IncomingManifest(d.Message, r.Agency)
		if err != nil {
			return err
		}
		if err := tx.AnsweredIncoming(d.Message, now); err != nil {
			return err
		}
		l := Letter{To: d.Issuer, Thread: d.Thread, At: now, Payload: &schemas.WithdrawalOutcome{
			Certificate: certificate, Statement: d.Statement, HolderAnswer: a}}
		if m.From == d.Issuer {
			l.ReplyTo = d.Message
		}
		if _, err := r.Courier.Post(tx, l); err != nil {
			return err
		}
	}
	return nil
}

// Forwarded records that a holder passed something on under a certificate that we issued, and tells the new holder what was
// said about it since.
func (r *Registry) Forwarded(tx *store.Tx, f *schemas.Forwarding, from, thread string, marks *store.Marks, now time.Time) error {
	h := store.Holder{Certificate: f.Certificate, Agency: f.Agency, Via: from, Message: f.Message, Thread: thread, Kind: f.About, At: now}
	if err := tx.AddHolder(&h); err != nil {
		return err
	}
	if err := r.Emit.Event(tx, &store.Event{Type: store.EventForwarded, Thread: thread, Message: f.Message, Kind: f.About, Peer: from, Code: f.Agency,
		Certificate: f.Certificate, At: now}); err != nil {
		return err
	}
	withdrawn := slices.ContainsFunc(marks.Statements, func(s *consent.Statement) bool { return s.Ends(f.Agency) })
	for _, s := range marks.Statements {
		// After a withdrawal nothing else matters any more.
		if s.Act == consent.ActReconfirmed || withdrawn && !s.Ends(f.Agency) || s.Act == consent.ActWithdrawn && !s.Ends(f.Agency) {
			continue
		}
		if err := r.Notify(tx, Said{Statement: s, Text: marks.Texts[s.ID]}, h, now); err != nil {
			return err
		}
	}
	return nil
}
