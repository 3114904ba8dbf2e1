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

// state signs what this agency says about a certificate.
func (a *Agent) state(st consent.Statement, c *consent.Certificate, now time.Time) (intake.Said, error) {
	st.ID, st.Certificate, st.Issuer, st.By, st.At = consent.NewID(), c.ID, c.Issuer, a.cfg.Agency, now
	text, err := consent.SignStatement(st, a.vault.Signer())
	if err != nil {
		return intake.Said{}, err
	}
	s, err := consent.ReadStatement(text)
	return intake.Said{Statement: s, Text: text}, err
}

// Withdraw ends a consent, or asks for it: the one named and every other that it renewed or that renewed it. To the survivor
// they are one, and what went under an older one is held all the same.
func (a *Agent) Withdraw(ctx context.Context, id string) (*api.ConsentDetail, error) {
	chain, err := a.chain(ctx, id)
	if err != nil {
		return nil, err
	}
	now := a.now()
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		for _, c := range chain {
			if err := a.withdraw(tx, c, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.Consent(ctx, id)
}

func (a *Agent) withdraw(tx *store.Tx, c *certificate, now time.Time) error {
	marks, err := tx.Marks(c.ID)
	if err != nil {
		return err
	}
	act := consent.ActRequested
	if c.Issuer == a.cfg.Agency {
		act = consent.ActWithdrawn
	}
	// Again, by a second click or another caseworker: everybody was told the first time.
	if h := a.stand(c.Certificate, marks); h.Withdrawn || act == consent.ActRequested && a.asked(marks, &h) {
		return nil
	}
	said, err := a.state(consent.Statement{Act: act}, c.Certificate, now)
	if err != nil {
		return err
	}
	if said.Thread, err = tx.ThreadUnder(c.ID); err != nil {
		return err
	}
	if act == consent.ActWithdrawn {
		return a.registry.Withdrawn(tx, said, now)
	}
	return a.registry.Requested(tx, said, true, now)
}

// chain is a certificate with all that it replaced and that replaced it, as far as we keep them.
func (a *Agent) chain(ctx context.Context, id string) ([]*certificate, error) {
	first, err := a.known(ctx, id)
	if err != nil {
		return nil, err
	}
	out, next := []*certificate{first}, []string{first.Supersedes}
	for _, n := range first.marks.Newer {
		next = append(next, n.ID)
	}
	for len(next) > 0 {
		id := next[0]
		next = next[1:]
		if id == "" || slices.ContainsFunc(out, func(c *certificate) bool { return c.ID == id }) {
			continue
		}
		c, err := a.known(ctx, id)
		var missing *api.Error
		if errors.As(err, &missing) {
			continue // never sent to us
		}
		if err != nil {
			return nil, err
		}
		if c.Issuer != first.Issuer {
			continue // whoever copies an id into "supersedes" must not be able to drag another's consent along
		}
		out, next = append(out, c), append(next, c.Supersedes)
		for _, n := range c.marks.Newer {
			next = append(next, n.ID)
		}
	}
	return out, nil
}

// asked reports whether this agency has asked for the withdrawal already and it is not decided.
func (a *Agent) asked(marks *store.Marks, h *consent.Held) bool {
	return h.Stopped && slices.ContainsFunc(marks.Statements, func(s *consent.Statement) bool {
		return s.Act == consent.ActRequested && s.By == a.cfg.Agency && !slices.ContainsFunc(marks.Statements, func(x *consent.Statement) bool {
			return x.Act == consent.ActStands && x.Answers == s.ID
		})
	})
}

// Stands answers every open request to withdraw a consent that this agency took.
func (a *Agent) Stands(ctx context.Context, id string) (*api.ConsentDetail, error) {
	c, err := a.known(ctx, id)
	if err != nil {
		return nil, err
	}
	if c.Issuer != a.cfg.Agency {
		return nil, refuse(intake.CodeNotTheIssuer, "Only the agency that took a consent can say that it stands.", "Telephone that agency.")
	}
	now := a.now()
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		marks, err := tx.Marks(id)
		if err != nil {
			return err
		}
		h := a.stand(c.Certificate, marks)
		switch {
		case h.Withdrawn:
			return refuse(consent.ReasonWithdrawn, "The consent is withdrawn, and that is for ever.", "If the survivor agrees again, record a new consent.")
		case !h.Stopped:
			return nil
		}
		thread, err := tx.ThreadUnder(id)
		if err != nil {
			return err
		}
		answers := map[string]bool{}
		for _, s := range marks.Statements {
			if s.Act == consent.ActStands {
				answers[s.Answers] = true
			}
		}
		for _, s := range marks.Statements {
			if s.Act != consent.ActRequested || answers[s.ID] {
				continue
			}
			said, err := a.state(consent.Statement{Act: consent.ActStands, Answers: s.ID}, c.Certificate, now)
			if err != nil {
				return err
			}
			said.Thread = thread
			marks.Statements = append(marks.Statements, said.Statement)
			h := a.stand(c.Certificate, marks)
			if err := a.registry.Stands(tx, said, !h.Stopped, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.Consent(ctx, id)
}

// Replace signs a renewed or narrowed consent and tells the holders.
func (a *Agent) Replace(ctx context.Context, id string, record *schemas.Consent) (*api.ConsentDetail, error) {
	c, err := a.known(ctx, id)
	if err != nil {
		return nil, err
	}
	now := a.now()
	dir, err := a.freshDirectory(now)
	if err != nil {
		return nil, err
	}
	if c.Issuer != a.cfg.Agency {
		return nil, refuse(intake.CodeNotTheIssuer, "Only the agency that took a consent can renew or narrow it.", "Ask that agency, or record a new consent of your own.")
	}
	if record.Survivor != c.Certificate.Consent.Survivor {
		return nil, refuse("another-survivor", "The new consent is about another survivor.", "Keep the pseudonym of the consent that it replaces.",
			schemas.Problem{Path: "/survivor", Rule: "same"})
	}
	next, err := a.certify(*record, id, now)
	if err != nil {
		return nil, err
	}
	change := schemas.ConsentRenewed
	if narrower(&c.Certificate.Consent, &next.Certificate.Consent) {
		change = schemas.ConsentNarrowed
	}
	locked, err := a.vault.Lock(next.ID, []byte(next.text))
	if err != nil {
		return nil, err
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		marks, err := tx.Marks(id)
		if err != nil {
			return err
		}
		switch h := a.stand(c.Certificate, marks); {
		case h.Withdrawn:
			return refuse(consent.ReasonWithdrawn, "The consent is withdrawn; there is nothing to renew.", "Record a new consent.")
		case !h.Superseded.IsZero():
			return refuse(consent.ReasonSuperseded, "The consent was replaced before.", "Replace the newer one.")
		}
		if err := tx.AddCertificate(intake.Kept(next.Certificate, locked, now), a.cfg.Agency); err != nil {
			return err
		}
		if err := a.timers.Consent(tx, next.Certificate, now); err != nil {
			return err
		}
		holders, err := tx.Holders(id)
		if err != nil {
			return err
		}
		return a.spread(tx, dir, c, next, change, holders, now)
	})
	if err != nil {
		return nil, err
	}
	return a.Consent(ctx, next.ID)
}

// spread brings a replacement to the holders it still covers, and withdraws the old one from the others: for them nothing
// is left to stand on.
func (a *Agent) spread(tx *store.Tx, dir *directory.View, old, next *certificate, change schemas.ConsentChange, holders []store.Holder, now time.Time) error {
	thread, err := tx.ThreadUnder(old.ID)
	if err != nil {
		return err
	}
	if err := a.emit.Event(tx, &store.Event{Type: store.EventReplaced, Thread: thread, Kind: schemas.KindConsent, Code: string(change), Certificate: old.ID, At: now}); err != nil {
		return err
	}
	done := map[string]bool{}
	for _, h := range holders {
		if done[h.Agency] || h.Agency == a.cfg.Agency {
			continue
		}
		done[h.Agency] = true
		if next.Covers(intake.PartyOf(dir, h.Agency)) {
			_, err := a.courier.Post(tx, intake.Letter{To: h.Agency, Thread: h.Thread, At: now, Certificates: []intake.Paper{{ID: next.ID, Text: next.text}},
				Payload: &schemas.ConsentNotice{Certificate: old.ID, Change: change, Replacement: next.ID}})
			if err != nil && !errors.Is(err, intake.ErrUnreachable) {
				return err
			}
			continue
		}
		said, err := a.state(consent.Statement{Act: consent.ActWithdrawn, To: h.Agency}, old.Certificate, now)
		if err != nil {
			return err
		}
		if _, err := tx.AddStatement(said.Statement, said.Text, a.cfg.Agency, now); err != nil {
			return err
		}
		if err := a.registry.Notify(tx, said, h, now); err != nil {
			return err
		}
	}
	return nil
}

// narrower reports whether a consent allows less than another did in any respect.
func narrower(old, next *schemas.Consent) bool {
	return missingFrom(old.Purposes, next.Purposes) || missingFrom(old.Categories, next.Categories) ||
		missingFrom(old.Recipients.Agencies, next.Recipients.Agencies) || missingFrom(old.Recipients.Classes, next.Recipients.Classes) ||
		len(next.Withheld) > len(old.Withheld) || next.Onward != old.Onward && next.Onward != schemas.OnwardNamed
}

func missingFrom[T comparable](old, next []T) bool {
	return slices.ContainsFunc(old, func(x T) bool { return !slices.Contains(next, x) })
}

// Answer says what this agency did after a withdrawal.
func (a *Agent) Answer(ctx context.Context, id string, answer *schemas.HolderAnswer) (*api.ConsentDetail, error) {
	if _, err := a.known(ctx, id); err != nil {
		return nil, err
	}
	now := a.now()
	if answer.Until != "" && string(answer.Until) < now.Format(time.DateOnly) {
		return nil, refuse("invalid", "What is kept cannot be kept until a day that is past.", "Give a day to come.", schemas.Problem{Path: "/until", Rule: schemas.RuleDateOrder})
	}
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		duties, err := tx.Duties(id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(duties, func(d store.Duty) bool { return d.Act == consent.ActWithdrawn }) {
			return refuse("not-withdrawn", "No withdrawal of this consent waits for an answer from this agency.", "`waypost agent consent list` shows how each stands.")
		}
		return a.registry.Decide(tx, id, *answer, now)
	})
	if errors.Is(err, intake.ErrUnreachable) {
		return nil, refuse("issuer-unreachable", "The agency that took the consent cannot be told: the directory lists no key for it.", "Ask the network's administrators.")
	}
	if err != nil {
		return nil, err
	}
	return a.Consent(ctx, id)
}
