package intake

import (
	"errors"
	"slices"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
)

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

// TellLate keeps a request that came after the withdrawal and answers it with what was said.
func (r *Registry) TellLate(tx *store.Tx, s Said, now time.Time) error {
	if _, err := tx.AddStatement(s.Statement, s.Text, r.Agency, now); err != nil {
		return err
	}
	marks, err := tx.Marks(s.Certificate)
	if err != nil {
		return err
	}
	for _, w := range marks.Statements {
		if !w.Ends(s.By) {
			continue
		}
		if err := r.Notify(tx, Said{Statement: w, Text: marks.Texts[w.ID]}, store.Holder{Certificate: s.Certificate, Agency: s.By, Thread: s.Thread}, now); err != nil {
			return err
		}
	}
	return nil
}

// Again stops the clock of a withdrawal that came once more, by another carrier, after we had answered.
func (r *Registry) Again(tx *store.Tx, certificate string, now time.Time) error {
	duties, err := tx.Duties(certificate)
	if err != nil || slices.ContainsFunc(duties, func(d store.Duty) bool { return d.Act == consent.ActWithdrawn && d.Decided == nil }) {
		return err
	}
	return tx.AnsweredWithdrawals(certificate, now)
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
	if err := tx.AnsweredWithdrawals(certificate, now); err != nil {
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
		l := Letter{To: d.Issuer, Thread: d.Thread, At: now, Payload: &schemas.WithdrawalOutcome{
			Certificate: certificate, Statement: d.Statement, HolderAnswer: a}}
		if m.From == d.Issuer {
			l.ReplyTo = d.Message
		}
		_, err = r.Courier.Post(tx, l)
		if errors.Is(err, ErrUnreachable) {
			// The issuer has left the network. What was decided is done all the same; nobody is left to be told.
			r.Log.Warn("issuer cannot be told what was done after a withdrawal: no key in the directory", "certificate", certificate, "peer", d.Issuer)
			continue
		}
		if err != nil {
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
