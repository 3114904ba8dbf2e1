package thread

import (
	"cmp"
	"maps"
	"slices"

	"waypost/schemas"
)

// Hold is what consent says about a referral.
type Hold string

// The holds. HoldStopped is until the agency that took the consent confirms the withdrawal or says that the consent stands.
const (
	HoldNone      Hold = ""
	HoldStopped   Hold = "stopped"
	HoldWithdrawn Hold = "withdrawn"
)

// hold is the machine of consent. A withdrawal is final: whoever consents again gives a new consent.
func hold(now Hold, kind schemas.Kind, status string) (Hold, string) {
	switch kind {
	case schemas.KindConsentWithdrawal:
		return HoldWithdrawn, ""
	case schemas.KindWithdrawalRequest:
		if now == HoldNone {
			return HoldStopped, ""
		}
		return now, ""
	case schemas.KindConsent:
		switch schemas.ConsentChange(status) {
		case schemas.ConsentStands:
			if now == HoldWithdrawn {
				return now, FlagEnded
			}
			return HoldNone, ""
		case schemas.ConsentRenewed, schemas.ConsentNarrowed:
			return now, "" // the replacement speaks for messages to come; a stop is lifted by name only
		}
		return now, FlagUnknownStatus
	}
	return now, ""
}

// Consent is what the thread says about one certificate.
type Consent struct {
	Certificate string `json:"certificate"`
	Hold        Hold   `json:"hold,omitempty"`
	// Answers are the last outcomes that holders gave after a withdrawal, by agency.
	Answers map[string]string `json:"answers,omitempty"`
}

// Consent returns what the thread says about a certificate, nil when it says nothing.
func (t *Thread) Consent(certificate string) *Consent {
	for _, c := range t.Consents {
		if c.Certificate == certificate {
			return c
		}
	}
	return nil
}

// consents runs the machine of consent for each certificate, apart from the order of the history: copies of one statement
// go to each agency under ids of their own, so only the time may count between them, and at one moment what stops more.
func (f *folder) consents() {
	about := map[string][]*Event{}
	for i := range f.History {
		e := &f.History[i]
		entry, ok := schemas.EntryOf(e.Kind)
		if !ok || !entry.Control {
			continue
		}
		if e.Certificate == "" {
			f.flag(e, nil, FlagNoCertificate)
			continue
		}
		about[e.Certificate] = append(about[e.Certificate], e)
	}
	for _, id := range slices.Sorted(maps.Keys(about)) {
		c := &Consent{Certificate: id}
		events := about[id]
		slices.SortStableFunc(events, func(a, b *Event) int {
			return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(rank(a), rank(b)), cmp.Compare(a.ID, b.ID))
		})
		for _, e := range events {
			if e.Kind == schemas.KindWithdrawalOutcome {
				if !schemas.Known(schemas.HolderOutcome(e.Status)) {
					f.flag(e, nil, FlagUnknownStatus)
					continue
				}
				if c.Answers == nil {
					c.Answers = map[string]string{}
				}
				c.Answers[e.From] = e.Status
				continue
			}
			var flag string
			c.Hold, flag = hold(c.Hold, e.Kind, e.Status)
			f.flag(e, nil, flag)
		}
		f.Consents = append(f.Consents, c)
	}
}

// rank orders what was said about a consent at one moment.
func rank(e *Event) int {
	return slices.Index([]schemas.Kind{schemas.KindConsent, schemas.KindWithdrawalRequest, schemas.KindConsentWithdrawal}, e.Kind)
}
