package directory

import (
	"maps"
	"regexp"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Agreement says which kinds of message, for which purposes, with which
// categories of data, may flow from one agency to another, and until when. The
// order of the fields is the order of the members.
type Agreement struct {
	Type       string             `json:"type"`
	ID         string             `json:"id"`
	From       string             `json:"from"`
	To         string             `json:"to"`
	Kinds      []schemas.Kind     `json:"kinds"`
	Purposes   []schemas.Purpose  `json:"purposes"`
	Categories []schemas.Category `json:"categories"`
	Starts     time.Time          `json:"starts"`
	Until      *time.Time         `json:"until,omitzero"`    // the end that was agreed
	Ended      *time.Time         `json:"ended,omitzero"`    // the end that came sooner
	Document   string             `json:"document,omitzero"` // reference to the signed paper

	// RespondWithin may shorten the response clock of an urgency: whole minutes
	// or hours, "45m", "2h".
	RespondWithin map[schemas.Urgency]string `json:"respond_within,omitzero"`
}

var (
	agreementID    = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,98}[a-z0-9])?$`)
	durationSyntax = regexp.MustCompile(`^[1-9][0-9]{0,3}[mh]$`)
)

// ActiveAt reports whether the agreement is in force at t: from starts until
// the agreed or the sooner end, that moment excluded.
func (g *Agreement) ActiveAt(t time.Time) bool {
	return !t.Before(g.Starts) &&
		(g.Until == nil || t.Before(*g.Until)) &&
		(g.Ended == nil || t.Before(*g.Ended))
}

// check applies the rules of form; see Agency.check for why words of code lists
// are checked for syntax only.
func (g *Agreement) check() *Error {
	switch {
	case g.Type != AgreementType:
		return malformed("/type", "type")
	case !agreementID.MatchString(g.ID):
		return malformed("/id", "syntax")
	case !schemas.ValidAgencyID(g.From):
		return malformed("/from", "agency_id")
	case !schemas.ValidAgencyID(g.To):
		return malformed("/to", "agency_id")
	case g.From == g.To:
		return malformed("/to", "self")
	case !envelope.ValidTimestamp(g.Starts):
		return malformed("/starts", "timestamp")
	case g.Until != nil && !envelope.ValidTimestamp(*g.Until):
		return malformed("/until", "timestamp")
	case g.Until != nil && !g.Until.After(g.Starts):
		return malformed("/until", "after_starts")
	case g.Ended != nil && !envelope.ValidTimestamp(*g.Ended):
		return malformed("/ended", "timestamp")
	case !validText(g.Document, 0, 500):
		return malformed("/document", "line")
	}
	if e := checkCodes("/kinds", g.Kinds); e != nil {
		return e
	}
	if e := checkCodes("/purposes", g.Purposes); e != nil {
		return e
	}
	if e := checkCodes("/categories", g.Categories); e != nil {
		return e
	}
	if g.RespondWithin != nil && len(g.RespondWithin) == 0 {
		return malformed("/respond_within", "empty")
	}
	for _, u := range slices.Sorted(maps.Keys(g.RespondWithin)) {
		if !codeSyntax.MatchString(string(u)) || !durationSyntax.MatchString(g.RespondWithin[u]) {
			return malformed("/respond_within", "syntax")
		}
	}
	return nil
}

func checkCodes[T ~string](field string, codes []T) *Error {
	if len(codes) == 0 {
		return malformed(field, "required")
	}
	for i, c := range codes {
		if !codeSyntax.MatchString(string(c)) {
			return malformed(at(field, i), "syntax")
		}
		if slices.Contains(codes[:i], c) {
			return malformed(at(field, i), "duplicate")
		}
	}
	return nil
}

func (g *Agreement) checkKnown() *Error {
	for i, k := range g.Kinds {
		if !schemas.Known(k) {
			return malformed(at("/kinds", i), "oneof")
		}
	}
	for i, p := range g.Purposes {
		if !schemas.Known(p) {
			return malformed(at("/purposes", i), "oneof")
		}
	}
	for i, c := range g.Categories {
		if !schemas.Known(c) {
			return malformed(at("/categories", i), "oneof")
		}
	}
	for u := range g.RespondWithin {
		if !schemas.Known(u) {
			return malformed("/respond_within", "oneof")
		}
		if g.respondWithin(u) > u.RespondWithin() {
			return malformed("/respond_within/"+string(u), "may_only_shorten")
		}
	}
	return nil
}

// respondWithin is the clock the agreement sets, 0 if it sets none.
func (g *Agreement) respondWithin(u schemas.Urgency) time.Duration {
	s, ok := g.RespondWithin[u]
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0 // impossible after check
	}
	return d
}

// SignAgreement makes the note of an agreement, as SignAgency does of an agency.
func SignAgreement(g Agreement, signer note.Signer) ([]byte, error) {
	g.Type = AgreementType
	g.Starts = envelope.Timestamp(g.Starts)
	g.Until, g.Ended = timestamp(g.Until), timestamp(g.Ended)
	if len(g.RespondWithin) == 0 {
		g.RespondWithin = nil
	}
	if e := g.check(); e != nil {
		return nil, in(AgreementKey(g.ID), e)
	}
	if e := g.checkKnown(); e != nil {
		return nil, in(AgreementKey(g.ID), e)
	}
	return sign(AgreementKey(g.ID), &g, MaxEntry, signer)
}
