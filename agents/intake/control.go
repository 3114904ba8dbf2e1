package intake

import (
	"errors"
	"slices"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
)

// Codes of what serves consent and cannot be believed.
const (
	CodeStatement         = "statement-unverified"
	CodeStatementMismatch = "statement-mismatch"
	CodeNotTheIssuer      = "not-the-issuer"
	CodeUnknownWithdrawal = "unknown-withdrawal"
	CodeUnknownConsent    = "unknown-consent"
)

// checkControl decides whether a message that serves consent is what it says, before anything of it is written. It returns
// the code of a refusal. What it is about may be unknown here: lanes overtake one another, so a withdrawal of a certificate
// that is still on its way is kept and found when that comes.
func (in *Intake) checkControl(tx *store.Tx, p *plan) (string, error) {
	m := &p.manifest
	c := p.payload.(schemas.ControlPayload)
	if m.Basis != "consent:"+c.CertificateID() {
		return CodeBasis, nil
	}
	issuer, err := tx.CertificateIssuer(c.CertificateID())
	known := err == nil
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	says := func(id string, act consent.Act) (*spokenStatement, string) {
		for _, s := range p.statements {
			if s.ID == id && s.Act == act && s.Certificate == c.CertificateID() {
				if known && s.Issuer != issuer {
					return nil, CodeNotTheIssuer
				}
				return s, ""
			}
		}
		return nil, CodeStatementMismatch
	}
	switch x := p.payload.(type) {
	case *schemas.ConsentWithdrawal:
		s, code := says(x.Statement, consent.ActWithdrawn)
		if code == "" && m.RespondBy != nil && m.From != s.Issuer {
			code = CodeUrgency // whoever passes it on sets no clock
		}
		return code, nil
	case *schemas.WithdrawalRequest:
		s, code := says(x.Statement, consent.ActRequested)
		if code != "" || !known {
			return code, nil
		}
		// Somebody who never could hold anything under it asks for a stop: that would keep help from arriving.
		held, err := in.heldCertificate(tx, c.CertificateID())
		if err != nil {
			return "", err
		}
		if held != nil && !held.Covers(PartyOf(p.dir, s.By)) {
			return consent.ReasonForeign, nil
		}
		return "", nil
	case *schemas.ConsentNotice:
		if x.Change == schemas.ConsentStands {
			_, code := says(x.Statement, consent.ActStands)
			return code, nil
		}
		for _, n := range p.certificates {
			if n.ID == x.Replacement && n.Supersedes == x.Certificate {
				if n.Issuer != m.From || known && n.Issuer != issuer {
					return CodeNotTheIssuer, nil
				}
				return "", nil
			}
		}
		return CodeStatementMismatch, nil
	case *schemas.WithdrawalOutcome:
		// Whoever has our statement was told of it, by us or by whoever passed it on: that may be before we hear of the passing.
		marks, err := tx.Marks(x.Certificate)
		if err != nil {
			return "", err
		}
		if !slices.ContainsFunc(marks.Statements, func(s *consent.Statement) bool {
			return s.ID == x.Statement && s.Act == consent.ActWithdrawn && s.By == in.Agency
		}) {
			return CodeUnknownWithdrawal, nil
		}
		return "", nil
	case *schemas.Forwarding:
		if !known {
			return CodeUnknownConsent, nil
		}
		if issuer != in.Agency {
			return CodeNotTheIssuer, nil
		}
		held, err := in.heldCertificate(tx, c.CertificateID())
		if err != nil {
			return "", err
		}
		if held != nil && !held.Covers(PartyOf(p.dir, m.From)) {
			return consent.ReasonForeign, nil
		}
		return "", nil
	}
	return CodeSchema, nil
}

// heldCertificate opens a certificate that we keep; its signature was verified when it came.
func (in *Intake) heldCertificate(tx *store.Tx, id string) (*consent.Certificate, error) {
	kept, err := tx.Certificate(id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	text, err := in.Vault.Unlock(id, kept.Locked)
	if err != nil {
		return nil, err
	}
	return consent.Read(string(text))
}

// control acts on an accepted message that serves consent.
func (in *Intake) control(tx *store.Tx, p *plan) error {
	m := &p.manifest
	said := func(id string) Said {
		for _, s := range p.statements {
			if s.ID == id {
				return Said{Statement: s.Statement, Text: s.text, Message: m.ID, Thread: m.Thread, From: m.From}
			}
		}
		return Said{}
	}
	switch x := p.payload.(type) {
	case *schemas.ConsentWithdrawal:
		if err := in.Registry.Withdrawn(tx, said(x.Statement), p.now); err != nil {
			return err
		}
		return in.Registry.Again(tx, x.Certificate, p.now)
	case *schemas.WithdrawalRequest:
		s := said(x.Statement)
		held, err := in.standing(tx, p, x.Certificate, s.Statement)
		if err != nil {
			return err
		}
		if held != nil && held.Withdrawn && held.Issuer == in.Agency {
			// It is withdrawn already, and whoever asks has not heard: we may not have known that they hold something.
			return in.Registry.TellLate(tx, s, p.now)
		}
		// Unknown here: it is kept, and counts if the certificate comes.
		return in.Registry.Requested(tx, s, held != nil && held.Stopped && !held.Withdrawn, p.now)
	case *schemas.ConsentNotice:
		if x.Change != schemas.ConsentStands {
			return in.Emit.Event(tx, &store.Event{Type: store.EventReplaced, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.From,
				Code: string(x.Change), Certificate: x.Certificate, At: p.now})
		}
		s := said(x.Statement)
		held, err := in.standing(tx, p, x.Certificate, s.Statement)
		if err != nil {
			return err
		}
		return in.Registry.Stands(tx, s, held != nil && !held.Stopped && !held.Withdrawn, p.now)
	case *schemas.WithdrawalOutcome:
		message, err := tx.AnswerNotice(x.Statement, m.From, x.HolderAnswer, p.now)
		if errors.Is(err, store.ErrNotFound) {
			n := &store.Notice{Statement: x.Statement, Certificate: x.Certificate, Agency: m.From, Told: p.now, Due: &p.now}
			if _, err := tx.AddNotice(n); err != nil {
				return err
			}
			message, err = tx.AnswerNotice(x.Statement, m.From, x.HolderAnswer, p.now)
		}
		if err != nil {
			return err
		}
		if message != "" {
			if err := tx.AnsweredOutgoing(message, m.From, p.now); err != nil {
				return err
			}
		}
		return in.Emit.Event(tx, &store.Event{Type: store.EventWithdrawalOutcome, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.From,
			Code: string(x.Outcome), Certificate: x.Certificate, At: p.now})
	case *schemas.Forwarding:
		marks, err := tx.Marks(x.Certificate)
		if err != nil {
			return err
		}
		return in.Registry.Forwarded(tx, x, m.From, m.Thread, marks, p.now)
	}
	return nil
}

// standing is how a certificate that we keep stands once a statement is added; nil when we do not keep it.
func (in *Intake) standing(tx *store.Tx, p *plan, id string, also *consent.Statement) (*consent.Held, error) {
	c, err := in.heldCertificate(tx, id)
	if err != nil || c == nil {
		return nil, err
	}
	marks, err := tx.Marks(id)
	if err != nil {
		return nil, err
	}
	h := Stand(p.dir, c, marks, also)
	return &h, nil
}
