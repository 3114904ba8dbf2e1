package consent

import (
	"slices"
	"time"

	"waypost/schemas/envelope"
)

// Held is a certificate and how it stands: what was said about it since it was issued.
type Held struct {
	*Certificate
	Withdrawn  bool      // for ever
	From       []string  // agencies from which alone it is withdrawn
	Stopped    bool      // a withdrawal was asked for and is not decided
	Superseded time.Time // since when a newer certificate replaces it; zero: it is the latest

	// Reconfirmed are the passings-on before which the survivor was asked again.
	Reconfirmed []Reconfirmation
}

// Reconfirmation is one asking again.
type Reconfirmation struct {
	By, To string
	At     time.Time
}

// skew is how far the clock of whoever said something may be ahead, as for messages ([envelope.MaxSkew]).
const skew = envelope.MaxSkew

// ReconfirmedFor is how long asking again counts: one decision, not a new consent.
const ReconfirmedFor = 7 * 24 * time.Hour

// Stand applies verified statements and newer certificates to a certificate. It is pure, and the order in which they came
// does not matter: messages overtake one another, and every holder must come to the same answer.
//
//   - A statement about another certificate, or one that names another issuer, counts for nothing.
//   - Withdrawn once is withdrawn for ever, whatever the date says: a fast clock must not delay a stop.
//   - Withdrawn from one agency alone (the consent was narrowed) ends every use from or to that agency.
//   - A request counts if its author may itself hold what the certificate covers ([Certificate.Covers]); anyone else could
//     otherwise stop help from arriving. It counts until the issuer says, naming it, that the consent stands.
//   - A newer certificate of the same issuer that supersedes this one does so from its issue on.
func Stand(c *Certificate, statements []*Statement, newer []*Certificate, party func(agency string) Party) Held {
	h := Held{Certificate: c}
	if c == nil {
		return h
	}
	var answered []string
	for _, s := range statements {
		if s != nil && s.Certificate == c.ID && s.Issuer == c.Issuer && s.By == c.Issuer {
			switch s.Act {
			case ActWithdrawn:
				if s.To == "" {
					h.Withdrawn = true
				} else {
					h.From = append(h.From, s.To)
				}
			case ActStands:
				answered = append(answered, s.Answers)
			}
		}
	}
	for _, s := range statements {
		if s == nil || s.Certificate != c.ID || s.Issuer != c.Issuer {
			continue
		}
		switch s.Act {
		case ActRequested:
			if c.Covers(party(s.By)) && !slices.Contains(answered, s.ID) {
				h.Stopped = true
			}
		case ActReconfirmed:
			h.Reconfirmed = append(h.Reconfirmed, Reconfirmation{By: s.By, To: s.To, At: s.At})
		}
	}
	for _, n := range newer {
		if n != nil && n.Supersedes == c.ID && n.Issuer == c.Issuer && (h.Superseded.IsZero() || n.Issued.Before(h.Superseded)) {
			h.Superseded = n.Issued
		}
	}
	slices.SortFunc(h.Reconfirmed, func(a, b Reconfirmation) int { return a.At.Compare(b.At) })
	return h
}

// Reconfirms reports whether the survivor was asked again, not long before at, about passing on from one agency to another.
func (h *Held) reconfirms(from, to string, at time.Time) bool {
	for _, r := range h.Reconfirmed {
		// A little ahead is one agency's clock against another's.
		if r.By == from && r.To == to && !r.At.After(at.Add(skew)) && at.Sub(r.At) <= ReconfirmedFor {
			return true
		}
	}
	return false
}
