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
)

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
	err = a.store.UpdateUrgent(ctx, func(tx *store.Tx) error {
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
	err = a.store.UpdateUrgent(ctx, func(tx *store.Tx) error {
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

// Answer says what this agency did after a withdrawal.
func (a *Agent) Answer(ctx context.Context, id string, answer *schemas.HolderAnswer) (*api.ConsentDetail, error) {
	if _, err := a.known(ctx, id); err != nil {
		return nil, err
	}
	now := a.now()
	if answer.Until != "" && string(answer.Until) < now.Format(time.DateOnly) {
		return nil, refuse("invalid", "What is kept cannot be kept until a day that is past.", "Give a day to come.", schemas.Problem{Path: "/until", Rule: schemas.RuleDateOrder})
	}
	err := a.store.UpdateUrgent(ctx, func(tx *store.Tx) error {
		duties, err := tx.Duties(id)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(duties, func(d store.Duty) bool { return d.Act == consent.ActWithdrawn }) {
			return refuse("not-withdrawn", "No withdrawal of this consent waits for an answer from this agency.", "`waypost agent consent list` shows how each stands.")
		}
		return a.registry.Decide(tx, id, *answer, now)
	})
	if err != nil {
		return nil, err
	}
	return a.Consent(ctx, id)
}
