package agents

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"waypost/agents/api"
	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Submit accepts a referral from the agency's own system. See api.Service for what its answer promises.
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
		return nil, refuse("invalid", "The referral does not say which agency it is for.", "Name the agency in \"to\".",
			schemas.Problem{Path: "/to", Rule: "required", Hint: "An agency id; GET /v1/directory lists them."})
	}
	if problems := s.RulesAt(now); len(problems) > 0 {
		return nil, refuse("invalid", "The submission breaks a rule.", "Mend the fields named and send it again.", problems...)
	}
	r := s.Referral
	m := envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: s.Thread, From: a.cfg.Agency, To: s.To,
		Kind: schemas.KindReferral, Schema: r.Schema(), Lane: r.Urgency.Lane(), Sent: now, Basis: string(r.LawfulBasis.Basis),
	}
	if m.Thread == "" {
		m.Thread = schemas.NewThreadID()
	}
	certificates, err := a.gather(ctx, dir, s, now)
	if err != nil {
		return nil, err
	}
	if r.LawfulBasis.Basis == schemas.BasisConsent {
		if len(certificates) == 0 {
			return nil, refuse("consent-missing", "The referral relies on consent but brings none.",
				"Add \"consent\" (what the survivor agreed to) or name \"certificates\" this agent holds; or rely on another lawful basis.",
				schemas.Problem{Path: "/consent", Rule: "required", Hint: "Needed when lawful_basis.basis is consent."})
		}
		chosen := covering(certificates, intake.UseOf(m.From, m.To, dir, r), now)
		m.Basis = "consent:" + chosen.ID
		certificates = []certificate{chosen} // the others say things about the survivor that this recipient need not know
	}
	by := now.Add(dir.RespondWithin(m.From, m.To, r.Urgency, now))
	m.RespondBy = &by
	return a.send(ctx, dir, m, r, certificates, again, nil)
}

// covering picks the certificate that allows the use; if none does, the first, whose reasons are then given.
func covering(certificates []certificate, use consent.Use, now time.Time) certificate {
	for _, c := range certificates {
		if consent.Evaluate([]*consent.Certificate{c.Certificate}, "consent:"+c.ID, use, now).Allowed {
			return c
		}
	}
	return certificates[0]
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
	m := envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: in.Manifest.Thread, ReplyTo: id, From: a.cfg.Agency, To: in.Manifest.From,
		Kind: schemas.KindReferralResponse, Schema: r.Schema(), Lane: in.Manifest.Lane, Sent: now, Basis: in.Manifest.Basis,
	}
	return a.send(ctx, dir, m, r, certificates, again, func(tx *store.Tx) error { return tx.AnsweredIncoming(id, now) })
}

// certificate is a verified consent certificate and its signed text.
type certificate struct {
	*consent.Certificate
	text string
	new  bool
}

// gather makes the certificate for a consent recorded with this submission and finds the ones it names.
func (a *Agent) gather(ctx context.Context, dir *directory.View, s *schemas.Submission, now time.Time) ([]certificate, error) {
	if s.Thread != "" {
		// A thread continues: what is passed on goes under the certificates that came with it, and no others. A certificate
		// of another thread may be another survivor's.
		known, certificates, err := a.store.ThreadCertificates(ctx, s.Thread)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, refuse("unknown-thread", "This agent has no message of the thread to continue.", "Leave \"thread\" out for a new referral.",
				schemas.Problem{Path: "/thread", Rule: "known"})
		}
		for i, id := range s.Certificates {
			if !slices.Contains(certificates, id) {
				return nil, refuse("foreign-certificate", "A certificate that the submission names belongs to another thread.", "Name one that came with this thread, or none.",
					schemas.Problem{Path: "/certificates/" + strconv.Itoa(i), Rule: "thread"})
			}
		}
		if s.Consent == nil && len(s.Certificates) == 0 && s.Referral.LawfulBasis.Basis == schemas.BasisConsent {
			return a.held(ctx, dir, certificates)
		}
	}
	if s.Consent == nil {
		held, err := a.held(ctx, dir, s.Certificates)
		for i, c := range held {
			if s.Thread == "" && c.Issuer != a.cfg.Agency {
				return nil, refuse("foreign-certificate", "A certificate that another agency took is used only in the thread that it came with.", "Name the thread in \"thread\".",
					schemas.Problem{Path: "/certificates/" + strconv.Itoa(i), Rule: "thread"})
			}
		}
		return held, err
	}
	c := *s.Consent
	c.Fill(now)
	cert := consent.Certificate{ID: schemas.NewThreadID(), Issuer: a.cfg.Agency, Issued: now, Consent: c}
	text, err := consent.Sign(cert, a.vault.Signer())
	if err != nil {
		return nil, &api.Error{Status: http.StatusUnprocessableEntity, Code: "invalid-consent", Sentence: "The consent cannot be made into a certificate.", Cause: err}
	}
	signed, err := consent.Read(text)
	if err != nil {
		return nil, err
	}
	held, err := a.held(ctx, dir, s.Certificates)
	if err != nil {
		return nil, err
	}
	return append([]certificate{{Certificate: signed, text: text, new: true}}, held...), nil
}

// held opens certificates that this agent keeps.
func (a *Agent) held(ctx context.Context, dir *directory.View, ids []string) ([]certificate, error) {
	var out []certificate
	for _, id := range ids {
		locked, err := a.store.Certificate(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			return nil, refuse("unknown-certificate", "This agent does not hold a certificate that the submission names.",
				"GET /v1/inbox/{id} lists the certificates that came with a message.",
				schemas.Problem{Path: "/certificates", Rule: "held", Hint: "A certificate id that this agent received or made."})
		}
		if err != nil {
			return nil, err
		}
		text, err := a.vault.Unlock(id, locked)
		if err != nil {
			return nil, err
		}
		c, err := intake.OpenCertificate(dir, string(text))
		if err != nil {
			return nil, refuse("consent-unverified", "A certificate is no longer verifiable with its issuer's key.", "Ask the issuing agency for a new one.")
		}
		out = append(out, certificate{Certificate: c, text: string(text)})
	}
	return out, nil
}

// send asks agreement and consent, seals, signs and stores. What it returned without error is on disk.
func (a *Agent) send(ctx context.Context, dir *directory.View, m envelope.Manifest, payload schemas.Payload, certificates []certificate, again *repeat, also func(*store.Tx) error) (*api.Accepted, error) {
	if m.To == m.From {
		return nil, refuse("own-agency", "A message to this agency itself goes nowhere.", "Name another agency in \"to\".", schemas.Problem{Path: "/to", Rule: "other-agency"})
	}
	use := intake.UseOf(m.From, m.To, dir, payload)
	if err := dir.Permits(directory.Flow{From: m.From, To: m.To, Kind: m.Kind, Purposes: use.Purposes, Categories: use.Categories, At: m.Sent}); err != nil {
		return nil, disallowed(err, &m)
	}
	plain := make([]*consent.Certificate, len(certificates))
	texts := make([]string, len(certificates))
	for i, c := range certificates {
		plain[i], texts[i] = c.Certificate, c.text
	}
	if v := consent.Evaluate(plain, m.Basis, use, m.Sent); !v.Allowed {
		return nil, refuse(v.Reasons[0].Code, "The survivor's consent does not cover this.",
			"Ask the survivor, record a consent that covers it, or rely on another lawful basis with its justification.", intake.ReasonProblems(v)...)
	}
	recipient, ok := dir.Recipient(m.To, m.Sent)
	if !ok {
		return nil, refuse("no-recipient-key", "The directory lists no key to seal a message to this agency today.", "Ask the network's administrators.")
	}
	encoded, err := schemas.Encode(payload)
	if err != nil {
		return nil, err
	}
	body, err := envelope.EncodeBody(m.Header(), texts, encoded)
	if err != nil {
		return nil, &api.Error{Status: http.StatusRequestEntityTooLarge, Code: "too-large", Sentence: "The message is larger than the network carries.", Hint: "Shorten the texts.", Cause: err}
	}
	sealed, wrapped, err := a.vault.Seal(recipient, m.ID, body)
	if err != nil {
		return nil, err
	}
	o := &store.Outgoing{Manifest: m, Body: sealed, Wrapped: wrapped}
	for _, c := range certificates {
		o.Certificates = append(o.Certificates, c.ID)
	}
	var first string
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		first = "" // the store may run this twice
		if again != nil {
			request, message, err := tx.Repeated(again.key)
			if err == nil {
				first = message
				return again.same(request)
			}
			if !errors.Is(err, store.ErrNotFound) {
				return err
			}
			if err := tx.AddIdempotency(again.key, again.request, m.ID, m.Sent); err != nil {
				return err
			}
		}
		for _, c := range certificates {
			if !c.new {
				continue
			}
			locked, err := a.vault.Lock(c.ID, []byte(c.text))
			if err != nil {
				return err
			}
			if err := tx.AddCertificate(c.ID, c.Issuer, locked, m.Sent); err != nil {
				return err
			}
		}
		if err := tx.AddOutgoing(o, a.sign); err != nil {
			return err
		}
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		// History only: the agency's systems need not be told what they just sent.
		return tx.AddEvent(&store.Event{Type: store.EventSubmitted, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.To, At: m.Sent})
	})
	switch {
	case errors.Is(err, store.ErrFull):
		return nil, &api.Error{Status: http.StatusInsufficientStorage, Code: "store-full", Sentence: "This agent's disk is full; nothing was stored or sent.",
			Hint: "Free space, then send the same again with the same Idempotency-Key.", Cause: err}
	case err != nil:
		return nil, err
	case first != "":
		return a.accepted(ctx, first)
	}
	a.log.Info("message accepted", "message", m.ID, "thread", m.Thread, "kind", string(m.Kind), "lane", string(m.Lane), "peer", m.To)
	return &api.Accepted{ID: m.ID, Thread: m.Thread, State: string(store.Pending), RespondBy: m.RespondBy}, nil
}

// freshDirectory refuses to decide on the word of a directory that has run out.
func (a *Agent) freshDirectory(now time.Time) (*directory.View, error) {
	dir := a.directory.View()
	if dir == nil {
		return nil, &api.Error{Status: http.StatusServiceUnavailable, Code: intake.CodeNoDirectory, Sentence: "This agent has not received the directory yet; nothing was sent.",
			Hint: "It comes with the first connection to the broker. GET /v1/status says whether there is one."}
	}
	if dir.Expired(now) {
		return nil, &api.Error{Status: http.StatusServiceUnavailable, Code: intake.CodeExpiredHead, Sentence: "The directory has expired; nothing was sent.",
			Hint: "Telephone the agency now if it is urgent, and ask the network's administrators to run `waypost network sign`."}
	}
	return dir, nil
}
