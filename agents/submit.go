package agents

import (
	"context"
	"errors"
	"slices"

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
	again, err := a.idempotency(key, "referral", s)
	if err != nil {
		return nil, err
	}
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

// Respond accepts an answer to a referral that this agency received.
func (a *Agent) Respond(ctx context.Context, id string, r *schemas.ReferralResponse, key api.Key) (*api.Accepted, error) {
	again, err := a.idempotency(key, "response/"+id, r)
	if err != nil {
		return nil, err
	}
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
