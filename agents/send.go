package agents

import (
	"context"
	"errors"
	"net/http"
	"time"

	"waypost/agents/api"
	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// send asks agreement and consent, seals, signs and stores. What it returned without error is on disk.
func (a *Agent) send(ctx context.Context, o *outgoing, again *repeat, also func(*store.Tx) error) (*api.Accepted, error) {
	m := &o.manifest
	if m.To == m.From {
		return nil, refuse("own-agency", "A message to this agency itself goes nowhere.", "Name another agency in \"to\".", schemas.Problem{Path: "/to", Rule: "other-agency"})
	}
	if m.Lane == schemas.LaneUrgent {
		a.store.Press()
	}
	if err := a.allow(o); err != nil {
		return nil, err
	}
	if problem := intake.Form(m, o.payload, schemas.Categories(o.payload)); problem != nil {
		return nil, refuse(problem.Rule, "The message does not fit its kind.", problem.Hint, *problem)
	}
	recipient, ok := o.dir.Recipient(m.To, m.Sent)
	if !ok {
		return nil, refuse("no-recipient-key", "The directory lists no key to seal a message to this agency today.", "Ask the network's administrators.")
	}
	encoded, err := schemas.Encode(o.payload)
	if err != nil {
		return nil, err
	}
	texts := make([]string, len(o.certificates))
	for i, c := range o.certificates {
		texts[i] = c.text
	}
	body, err := envelope.EncodeBody(m.Header(), texts, o.texts, a.witness.Seen(), encoded)
	if err != nil {
		return nil, &api.Error{Status: http.StatusRequestEntityTooLarge, Code: "too-large", Sentence: "The message is larger than the network carries.", Hint: "Shorten the texts.", Cause: err}
	}
	sealed, wrapped, err := a.vault.Seal(recipient, m.ID, body)
	if err != nil {
		return nil, err
	}
	row := &store.Outgoing{Manifest: *m, Body: sealed, Wrapped: wrapped}
	for _, c := range o.certificates {
		row.Certificates = append(row.Certificates, c.ID)
	}
	var first string
	update := a.store.Update
	if m.Lane == schemas.LaneUrgent {
		update = a.store.UpdateUrgent
	}
	err = update(ctx, func(tx *store.Tx) error {
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
		if err := a.keep(tx, o); err != nil {
			return err
		}
		out := *row
		if err := tx.AddOutgoing(&out, a.sign); err != nil {
			return err
		}
		if err := a.tellIssuer(tx, o); err != nil {
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
	return &api.Accepted{ID: m.ID, Thread: m.Thread, State: string(store.Pending), RespondBy: m.RespondBy, Left: o.left()}, nil
}

// keep stores what is new about consent, and asks once more how the certificate stands: between asking and this update a
// withdrawal may have come, and the survivor's word comes first.
func (a *Agent) keep(tx *store.Tx, o *outgoing) error {
	m := &o.manifest
	var held []consent.Held
	for _, c := range o.certificates {
		marks := c.marks
		if !c.new { // about one that is made here and now nothing was said
			var err error
			if marks, err = tx.Marks(c.ID); err != nil {
				return err
			}
		}
		held = append(held, o.held(c, marks))
		if !c.new {
			continue
		}
		locked, err := a.vault.Lock(c.ID, []byte(c.text))
		if err != nil {
			return err
		}
		if err := tx.AddCertificate(intake.Kept(c.Certificate, locked, m.Sent), a.cfg.Agency); err != nil {
			return err
		}
		if err := a.timers.Consent(tx, c.Certificate, m.Sent); err != nil {
			return err
		}
	}
	if err := a.timers.Message(tx, m, o.payload, m.Sent); err != nil {
		return err
	}
	if m.Basis != "" {
		if v := consent.Evaluate(held, m.Basis, o.use(), m.Sent); !v.Allowed {
			return uncovered(v)
		}
	}
	for i, s := range o.statements {
		if _, err := tx.AddStatement(s, o.texts[i], a.cfg.Agency, m.Sent); err != nil {
			return err
		}
	}
	return nil
}

// tellIssuer tells the agency that took the consent to whom something was passed on under it: that it happened, not what.
func (a *Agent) tellIssuer(tx *store.Tx, o *outgoing) error {
	m := &o.manifest
	if o.reply || intake.ConsentID(m.Basis) == "" {
		return nil
	}
	for _, c := range o.certificates {
		if c.ID != intake.ConsentID(m.Basis) || c.Issuer == a.cfg.Agency || c.Issuer == m.To {
			continue
		}
		_, err := a.courier.Post(tx, intake.Letter{To: c.Issuer, Thread: m.Thread, At: m.Sent,
			Payload: &schemas.Forwarding{Certificate: c.ID, Agency: m.To, About: m.Kind, Message: m.ID}})
		if errors.Is(err, intake.ErrUnreachable) {
			// It could not withdraw from them either: whoever took the consent must be in the network while others use it.
			return refuse("issuer-unreachable", "The agency that took the consent can no longer be told that it is passed on.", "Ask the survivor, and record a consent of your own.")
		}
		if err != nil {
			return err
		}
	}
	return nil
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
