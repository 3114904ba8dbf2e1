package intake

import (
	"log/slog"
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
