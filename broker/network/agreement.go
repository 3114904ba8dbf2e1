package network

import (
	"fmt"
	"time"

	"waypost/schemas"
	"waypost/schemas/directory"
)

// AddAgreement signs what may flow from one agency to another. Type, an empty ID and an empty Starts are filled in.
// Both agencies must be known. It is one direction only.
func (a *Authority) AddAgreement(g directory.Agreement) error {
	return a.change(func() error {
		for _, agency := range []string{g.From, g.To} {
			if _, ok := a.view.Agency(agency); !ok {
				return hint(fmt.Errorf("add agreement: agency %s: %w", agency, ErrNotFound), "enrol it first; `waypost network list` shows the agencies")
			}
		}
		g.Type = directory.AgreementType
		if g.ID == "" {
			g.ID = schemas.NewThreadID() // a random UUID, as good for this
		}
		if _, ok := a.notes[directory.AgreementKey(g.ID)]; ok {
			return fmt.Errorf("add agreement: id %s is taken", g.ID)
		}
		if g.Starts.IsZero() {
			g.Starts = a.now().UTC().Truncate(time.Second)
		}
		return a.putAgreement(g)
	})
}

// EndAgreement ends an agreement at a time, which may lie ahead. It stays in the directory: what was sent under it
// must stay explainable, and answers to it still flow. Ending one that has ended is an error, so that a date on record
// is not moved unnoticed.
func (a *Authority) EndAgreement(id string, at time.Time) error {
	return a.change(func() error {
		for _, known := range a.view.Agreements() {
			if known.ID != id {
				continue
			}
			if known.Ended != nil {
				return fmt.Errorf("end agreement %s: it ended on %s", id, known.Ended.Format(time.RFC3339))
			}
			g := *known
			at = at.UTC().Truncate(time.Second)
			g.Ended = &at
			return a.putAgreement(g)
		}
		return hint(fmt.Errorf("end agreement %s: %w", id, ErrNotFound), "`waypost network agreement list` shows the ids")
	})
}

func (a *Authority) putAgreement(g directory.Agreement) error {
	signed, err := directory.SignAgreement(g, a.keys.root)
	if err != nil {
		return fmt.Errorf("sign agreement: %w", err)
	}
	return a.commit(map[string][]byte{directory.AgreementKey(g.ID): signed}, a.config.HeadTTL())
}
