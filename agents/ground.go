package agents

import (
	"context"
	"time"

	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
)

// sanitise keeps the provenance of intelligence with the agency that it was told to: what is passed on is the text from
// which the source cannot be told.
func (a *Agent) sanitise(ctx context.Context, o *outgoing) error {
	i, ok := o.payload.(*schemas.Intelligence)
	if !ok || i.Provenance == nil || o.manifest.Thread == "" {
		return nil
	}
	theirs, err := a.store.Received(ctx, o.manifest.Thread, schemas.KindIntelligence)
	if err != nil || !theirs {
		return err
	}
	o.payload = i.Sanitised()
	o.cut = append(o.cut, schemas.Cut{Path: "/provenance", Category: schemas.CategoryCaseAdmin})
	return nil
}

// ground finds what the message stands on: for consent, the certificate that covers it.
func (a *Agent) ground(ctx context.Context, o *outgoing, s *schemas.Submission, now time.Time) error {
	m := &o.manifest
	s = continuing(s, m.Thread)
	certificates, err := a.gather(ctx, o, s, now)
	if err != nil {
		return err
	}
	if m.Basis != string(schemas.BasisConsent) {
		o.certificates = certificates
		return nil
	}
	if len(certificates) == 0 {
		return refuse(consent.ReasonMissing, "The message relies on consent but brings none.",
			"Add \"consent\" (what the survivor agreed to) or name \"certificates\" this agent holds; or rely on another lawful basis.",
			schemas.Problem{Path: "/consent", Rule: "required", Hint: "Needed when lawful_basis.basis is consent."})
	}
	if s.Reconfirmed {
		if err := a.reconfirm(o, certificates, now); err != nil {
			return err
		}
	}
	chosen := o.covering(certificates)
	m.Basis = chosen.Basis()
	o.certificates = []certificate{chosen} // the others say things about the survivor that this recipient need not know
	return nil
}

// continuing is the submission as one that continues a thread, if a reply made it so.
func continuing(s *schemas.Submission, thread string) *schemas.Submission {
	if s.ReplyTo == "" {
		return s
	}
	c := *s
	c.Thread = thread
	return &c
}

// reconfirm records that the survivor was asked again before this passing on: signed, and on its way with the message.
func (a *Agent) reconfirm(o *outgoing, certificates []certificate, now time.Time) error {
	for i := range certificates {
		c := &certificates[i]
		if c.Issuer == a.cfg.Agency || c.Consent.Onward != schemas.OnwardReconfirm {
			continue
		}
		st := consent.Statement{ID: consent.NewID(), Act: consent.ActReconfirmed, Certificate: c.ID, Issuer: c.Issuer, By: a.cfg.Agency, At: now, To: o.manifest.To}
		text, err := consent.SignStatement(st, a.vault.Signer())
		if err != nil {
			return err
		}
		signed, err := consent.ReadStatement(text)
		if err != nil {
			return err
		}
		o.statements, o.texts = append(o.statements, signed), append(o.texts, text)
	}
	return nil
}

// covering picks the certificate that allows the use; if none does, the one with the fewest reasons against it, which are
// then given.
func (o *outgoing) covering(certificates []certificate) certificate {
	use := o.use()
	best, fewest := certificates[0], -1
	for _, c := range certificates {
		v := consent.Evaluate([]consent.Held{o.held(c, c.marks)}, c.Basis(), use, o.manifest.Sent)
		if v.Allowed {
			return c
		}
		if fewest < 0 || len(v.Reasons) < fewest {
			best, fewest = c, len(v.Reasons)
		}
	}
	return best
}

func (o *outgoing) held(c certificate, m *store.Marks) consent.Held {
	return intake.Stand(o.dir, c.Certificate, m, o.statements...)
}

func (o *outgoing) use() consent.Use {
	use := intake.UseOf(o.manifest.From, o.manifest.To, o.dir, o.payload)
	use.Reply = intake.Answers(o.payload, o.reply)
	return use
}
