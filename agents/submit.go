package agents

import (
	"context"
	"errors"
	"slices"
	"time"

	"waypost/agents/api"
	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Submit accepts a message from the agency's own system. See api.Service for what its answer promises.
func (a *Agent) Submit(ctx context.Context, s *schemas.Submission, key api.Key) (*api.Accepted, error) {
	request, err := schemas.Encode(s)
	if err != nil {
		return nil, err
	}
	again := a.idempotency(key, "referral", request)
	if done, err := a.repeated(ctx, again); done != nil || err != nil {
		return done, err
	}
	now := a.now()
	dir, err := a.freshDirectory(now)
	if err != nil {
		return nil, err
	}
	if s.To == "" {
		return nil, refuse("invalid", "The message does not say which agency it is for.", "Name the agency in \"to\".",
			schemas.Problem{Path: "/to", Rule: "required", Hint: "An agency id; GET /v1/directory lists them."})
	}
	if problems := s.RulesAt(now); len(problems) > 0 {
		return nil, refuse("invalid", "The submission breaks a rule.", "Mend the fields named and send it again.", problems...)
	}
	payload := s.Payload()
	if payload == nil {
		return nil, refuse("invalid", "The submission is not one message.", "Give exactly one of its message members.", s.Rules()...)
	}
	o := &outgoing{dir: dir, payload: payload, minimise: s.Minimise, manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: s.Thread, ReplyTo: s.ReplyTo, From: a.cfg.Agency, To: s.To,
		Kind: payload.Kind(), Schema: payload.Schema(), Lane: laneOf(payload, s.Urgent), Sent: now,
	}}
	m := &o.manifest
	if err := a.sanitise(ctx, o); err != nil {
		return nil, err
	}
	if err := a.follow(ctx, o); err != nil {
		return nil, err
	}
	if m.Thread == "" {
		m.Thread = schemas.NewThreadID()
	}
	if r, ok := payload.(*schemas.Referral); ok {
		by := now.Add(dir.RespondWithin(m.From, m.To, r.Urgency, now))
		m.RespondBy = &by
	}
	if sharer, ok := payload.(schemas.Sharer); ok {
		m.Basis = string(sharer.Ground().Basis)
		if err := a.ground(ctx, o, s, now); err != nil {
			return nil, err
		}
	}
	return a.send(ctx, o, again, nil)
}

// outgoing is a message on its way to the outbox.
type outgoing struct {
	dir          *directory.View
	manifest     envelope.Manifest
	payload      schemas.Payload
	certificates []certificate
	statements   []*consent.Statement
	texts        []string // of the statements
	reply        bool     // goes back to who sent us what it replies to
	minimise     bool     // leave out what is not covered
	cut          []schemas.Cut
}

// laneOf is the lane a kind travels in: a referral's by its urgency, another's by what is in it or what was asked for.
func laneOf(payload schemas.Payload, urgent bool) schemas.Lane {
	if r, ok := payload.(*schemas.Referral); ok {
		return r.Urgency.Lane()
	}
	e, _ := schemas.EntryOf(payload.Kind())
	if u, ok := payload.(schemas.Urgenter); ok && u.MustBeUrgent() {
		urgent = true
	}
	if urgent && slices.Contains(e.Lanes, schemas.LaneUrgent) {
		return schemas.LaneUrgent
	}
	return e.Lanes[0]
}

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

// follow finds the message that this one replies to and takes its thread.
func (a *Agent) follow(ctx context.Context, o *outgoing) error {
	m := &o.manifest
	entry, _ := schemas.EntryOf(m.Kind)
	if m.ReplyTo == "" {
		if entry.Answer {
			return refuse(intake.CodeUnknownMessage, "An answer names the message that it answers.", "Add \"reply_to\".", schemas.Problem{Path: "/reply_to", Rule: "required"})
		}
		return nil
	}
	unknown := refuse(intake.CodeUnknownMessage, "The message replied to was not exchanged with that agency, or belongs to another thread.", "GET /v1/inbox and /v1/outbox list messages.",
		schemas.Problem{Path: "/reply_to", Rule: "known"})
	var peer, thread string
	var kind schemas.Kind
	in, err := a.store.Incoming(ctx, a.cfg.Agency, m.ReplyTo)
	switch {
	case err == nil:
		peer, thread, kind, o.reply = in.Manifest.From, in.Manifest.Thread, in.Manifest.Kind, true
	case errors.Is(err, store.ErrNotFound):
		out, err := a.store.Outgoing(ctx, a.cfg.Agency, m.ReplyTo)
		if errors.Is(err, store.ErrNotFound) {
			return unknown
		}
		if err != nil {
			return err
		}
		peer, thread, kind = out.Manifest.To, out.Manifest.Thread, out.Manifest.Kind
	default:
		return err
	}
	if peer != m.To || m.Thread != "" && m.Thread != thread || entry.Answer && (!o.reply || kind != entry.Follows) {
		return unknown
	}
	m.Thread = thread
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

// Respond accepts an answer to a referral that this agency received.
func (a *Agent) Respond(ctx context.Context, id string, r *schemas.ReferralResponse, key api.Key) (*api.Accepted, error) {
	request, err := schemas.Encode(r)
	if err != nil {
		return nil, err
	}
	again := a.idempotency(key, "response/"+id, request)
	if done, err := a.repeated(ctx, again); done != nil || err != nil {
		return done, err
	}
	in, err := a.store.Incoming(ctx, a.cfg.Agency, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("There is no such message in the inbox.")
	}
	if err != nil {
		return nil, err
	}
	if in.Manifest.Kind != schemas.KindReferral {
		return nil, refuse("not-a-referral", "Only a referral can be answered this way.", "Answer the referral that this message belongs to.")
	}
	now := a.now()
	dir, err := a.freshDirectory(now)
	if err != nil {
		return nil, err
	}
	certificates, err := a.held(ctx, dir, in.Certificates)
	if err != nil {
		return nil, err
	}
	o := &outgoing{dir: dir, payload: r, certificates: certificates, reply: true, manifest: envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: in.Manifest.Thread, ReplyTo: id, From: a.cfg.Agency, To: in.Manifest.From,
		Kind: schemas.KindReferralResponse, Schema: r.Schema(), Lane: in.Manifest.Lane, Sent: now, Basis: in.Manifest.Basis,
	}}
	return a.send(ctx, o, again, func(tx *store.Tx) error { return tx.AnsweredIncoming(id, now) })
}
