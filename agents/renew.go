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
