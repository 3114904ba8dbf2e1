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
)

// Consents lists the certificates that this agency took or was sent.
func (a *Agent) Consents(ctx context.Context) ([]api.ConsentItem, error) {
	kept, err := a.store.Certificates(ctx, 500)
	if err != nil {
		return nil, err
	}
	out := make([]api.ConsentItem, 0, len(kept))
	for _, k := range kept {
		c, err := a.openKept(k)
		if err != nil {
			return nil, err
		}
		marks, err := a.store.Marks(ctx, k.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, a.consentItem(c.Certificate, marks))
	}
	return out, nil
}

// openKept opens a certificate that we keep. Its signature was verified when it came, and the vault's lock keeps it from
// being exchanged since.
func (a *Agent) openKept(k *store.Certificate) (*certificate, error) {
	text, err := a.vault.Unlock(k.ID, k.Locked)
	if err != nil {
		return nil, err
	}
	c, err := consent.Read(string(text))
	if err != nil {
		return nil, err
	}
	return &certificate{Certificate: c, text: string(text)}, nil
}

func (a *Agent) consentItem(c *consent.Certificate, marks *store.Marks) api.ConsentItem {
	now := a.now()
	it := api.ConsentItem{ID: c.ID, Issuer: c.Issuer, Issued: c.Issued, Expires: c.Consent.Expires, Review: c.Consent.Review, Supersedes: c.Supersedes, Standing: "valid"}
	h := a.stand(c, marks)
	switch {
	case h.Withdrawn || slices.Contains(h.From, a.cfg.Agency):
		it.Standing = "withdrawn"
	case h.Stopped:
		it.Standing = "stopped"
	case !h.Superseded.IsZero():
		it.Standing = "superseded"
	case !now.Before(c.Consent.Expires):
		it.Standing = "expired"
	}
	return it
}

func (a *Agent) stand(c *consent.Certificate, marks *store.Marks) consent.Held {
	dir := a.directory.View()
	if dir == nil {
		// Without a directory nobody's role is known: whoever is named by id still counts.
		return consent.Stand(c, marks.Statements, marks.Newer, func(id string) consent.Party { return consent.Party{ID: id} })
	}
	return intake.Stand(dir, c, marks)
}

// Consent shows one.
func (a *Agent) Consent(ctx context.Context, id string) (*api.ConsentDetail, error) {
	c, err := a.known(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &api.ConsentDetail{ConsentItem: a.consentItem(c.Certificate, c.marks), Text: c.text}
	if out.Record, err = schemas.Encode(&c.Certificate.Consent); err != nil {
		return nil, err
	}
	for _, s := range c.marks.Statements {
		out.Statements = append(out.Statements, *s)
	}
	for _, n := range c.marks.Newer {
		if n.Issuer == c.Issuer {
			out.ReplacedBy = append(out.ReplacedBy, n.ID)
		}
	}
	if out.Holders, err = a.holders(ctx, c); err != nil {
		return nil, err
	}
	duties, err := a.store.Duties(ctx, id)
	if err != nil {
		return nil, err
	}
	for _, d := range duties {
		out.Duties = append(out.Duties, dutyItem(d))
		if d.Decided == nil && d.Act == consent.ActWithdrawn {
			out.Notice = "The survivor has withdrawn. Decide what happens with what you hold and say so: stopped, erased or retained."
		}
		if d.Decided == nil && d.Act == consent.ActRequested {
			out.Notice = d.By + " says that the survivor has withdrawn. Ask the survivor; then withdraw, or say that the consent stands."
		}
	}
	return out, nil
}

func dutyItem(d store.Duty) api.Duty {
	out := api.Duty{Statement: d.Statement, Certificate: d.Certificate, Act: d.Act, By: d.By, Thread: d.Thread, Received: d.Received, Due: d.Due,
		Overdue: d.Overdue != nil && d.Decided == nil, Decided: d.Decided}
	if d.Answer.Outcome != "" {
		out.Answer = &d.Answer
	}
	return out
}

// holders joins who holds something with who was told of the withdrawal.
func (a *Agent) holders(ctx context.Context, c *certificate) ([]api.Holder, error) {
	known, err := a.store.Holders(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	notices, err := a.store.Notices(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	var out []api.Holder
	of := func(agency string) *api.Holder {
		i := slices.IndexFunc(out, func(h api.Holder) bool { return h.Agency == agency })
		if i < 0 {
			out = append(out, api.Holder{Agency: agency})
			i = len(out) - 1
		}
		return &out[i]
	}
	for _, h := range known {
		if h.Agency == a.cfg.Agency || h.Agency == c.Issuer {
			continue
		}
		x := of(h.Agency)
		if h.Via != "" {
			x.Via = append(x.Via, h.Via)
		}
		if h.At.After(x.Since) {
			x.Since = h.At
		}
	}
	now := a.now()
	for _, n := range notices {
		s := slices.IndexFunc(c.marks.Statements, func(s *consent.Statement) bool { return s.ID == n.Statement })
		if s < 0 || c.marks.Statements[s].Act != consent.ActWithdrawn {
			continue
		}
		x := of(n.Agency)
		told := n.Told
		x.Told, x.Due, x.Answered, x.Reminders, x.State = &told, n.Due, n.Answered, n.Reminders, "told"
		switch {
		case n.Answered != nil:
			answer := n.Answer
			x.State, x.Answer = "answered", &answer
		case n.Message == "":
			x.State, x.Told = "not-told", nil
		case n.Due != nil && n.Due.Before(now):
			x.State = "overdue"
		}
	}
	return out, nil
}

// known finds a certificate that this agency keeps.
func (a *Agent) known(ctx context.Context, id string) (*certificate, error) {
	kept, err := a.store.Certificate(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("This agent knows no consent of that id.")
	}
	if err != nil {
		return nil, err
	}
	c, err := a.openKept(kept)
	if err != nil {
		return nil, err
	}
	c.marks, err = a.store.Marks(ctx, id)
	return c, err
}
