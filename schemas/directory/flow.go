package directory

import (
	"slices"
	"strings"
	"time"

	"waypost/schemas"
)

// Flow is one message, as far as agreements are concerned.
type Flow struct {
	From, To   string
	Kind       schemas.Kind
	Purposes   []schemas.Purpose
	Categories []schemas.Category
	At         time.Time
}

// Permits reports whether agreements let a message flow: nil, or an Error with
// one of the codes unknown-agency, suspended-agency, role-kind, no-agreement,
// agreement-purpose, agreement-category. Both ends ask it, each with its own
// copy of the directory.
//
//   - Both agencies must be listed; receipts and the kinds that serve consent
//     then always flow, also to and from a suspended agency: what was delivered
//     must not go unproved, and nothing may keep a withdrawal from its holders.
//   - Both must be active, and their roles must be ones between which the kind
//     may travel (schemas.MayTravel).
//   - One agreement in force must list the kind, all purposes and all categories.
//     What two agreements allow together, neither of them allows.
//   - case-admin, which is not about the survivor, needs no listing.
//   - A kind that follows another (an answer follows the referral) also flows
//     under an agreement on that other kind: in the opposite direction, even after
//     it has ended, for who was asked may answer; and, if it is no answer, in its
//     direction while it is in force.
//   - A kind about a survivor that is no answer must have a purpose; here that is
//     checked for referrals, and by schemas for every other.
func (v *View) Permits(f Flow) error {
	from, to := v.agencies[f.From], v.agencies[f.To]
	if from == nil {
		return &Error{Code: CodeUnknownAgency, Field: agencyField(f.From)}
	}
	if to == nil {
		return &Error{Code: CodeUnknownAgency, Field: agencyField(f.To)}
	}
	entry, _ := schemas.EntryOf(f.Kind)
	if f.Kind == schemas.KindReceipt || entry.Control {
		return nil
	}
	for _, m := range []*member{from, to} {
		if m.State != StateActive {
			return &Error{Code: CodeSuspendedAgency, Field: m.ID}
		}
	}
	if entry.Kind != "" && !schemas.MayTravel(f.Kind, from.Role, to.Role) {
		return &Error{Code: CodeRoleKind, Field: string(f.Kind)}
	}
	candidates := v.candidates(f)
	if len(candidates) == 0 {
		return &Error{Code: CodeNoAgreement, Field: f.From + " " + f.To}
	}
	if len(f.Purposes) == 0 && f.Kind == schemas.KindReferral {
		return &Error{Code: CodeAgreementPurpose}
	}

	// Explain by the agreement that comes closest.
	var purposes, categories []string
	purposeMet := false
	for _, g := range candidates {
		missing := missing(f.Purposes, g.Purposes, "")
		if len(missing) > 0 {
			if purposes == nil || len(missing) < len(purposes) {
				purposes = missing
			}
			continue
		}
		uncovered := missingCategories(f.Categories, g.Categories)
		if len(uncovered) == 0 {
			return nil
		}
		if !purposeMet || len(uncovered) < len(categories) {
			categories = uncovered
		}
		purposeMet = true
	}
	if purposeMet {
		return &Error{Code: CodeAgreementCategory, Field: strings.Join(categories, " ")}
	}
	return &Error{Code: CodeAgreementPurpose, Field: strings.Join(purposes, " ")}
}

func (v *View) candidates(f Flow) []*Agreement {
	var out []*Agreement
	entry, _ := schemas.EntryOf(f.Kind)
	follows := followed(entry)
	lists := func(g *Agreement, kinds []schemas.Kind) bool {
		return slices.ContainsFunc(kinds, func(k schemas.Kind) bool { return slices.Contains(g.Kinds, k) })
	}
	for _, g := range v.flows[pair{f.From, f.To}] {
		if g.ActiveAt(f.At) && (slices.Contains(g.Kinds, f.Kind) || !entry.Answer && lists(g, follows)) {
			out = append(out, g)
		}
	}
	for _, g := range v.flows[pair{f.To, f.From}] {
		if !f.At.Before(g.Starts) && lists(g, follows) {
			out = append(out, g)
		}
	}
	return out
}

// followed is what a kind follows, and what that follows: an answer to a question
// that was asked under an agreement on referrals needs no other.
func followed(e schemas.Entry) (out []schemas.Kind) {
	for e.Follows != "" && !slices.Contains(out, e.Follows) {
		out = append(out, e.Follows)
		e, _ = schemas.EntryOf(e.Follows)
	}
	return out
}

// Kinds lists what one agency may send to another today, whatever the purposes
// and categories: those are in the agreements.
func (v *View) Kinds(from, to string, at time.Time) []schemas.Kind {
	a, b := v.agencies[from], v.agencies[to]
	if a == nil || b == nil || a.State != StateActive || b.State != StateActive {
		return nil
	}
	var out []schemas.Kind
	for _, e := range schemas.Catalogue() {
		if e.Control || e.Kind == schemas.KindReceipt {
			continue
		}
		if schemas.MayTravel(e.Kind, a.Role, b.Role) && len(v.candidates(Flow{From: from, To: to, Kind: e.Kind, At: at})) > 0 {
			out = append(out, e.Kind)
		}
	}
	return out
}

func missingCategories(want, have []schemas.Category) []string {
	return missing(want, have, schemas.CategoryCaseAdmin)
}

// missing lists what is wanted and not there, save the exempt one. What is not
// written like a code is listed as "?": it came from a message, and the list is
// shown and logged.
func missing[T ~string](want, have []T, exempt T) []string {
	var out []string
	for _, w := range want {
		if slices.Contains(have, w) || exempt != "" && w == exempt {
			continue
		}
		word := "?"
		if codeSyntax.MatchString(string(w)) {
			word = string(w)
		}
		if !slices.Contains(out, word) {
			out = append(out, word)
		}
	}
	return out
}

func agencyField(id string) string {
	if schemas.ValidAgencyID(id) {
		return id
	}
	return ""
}
