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
// one of the codes unknown-agency, suspended-agency, no-agreement,
// agreement-purpose, agreement-category. Both ends ask it, each with its own
// copy of the directory.
//
//   - Both agencies must be listed; receipts then always flow, also to and from
//     a suspended agency: what was delivered must not go unproved.
//   - Both must be active.
//   - One agreement in force must list the kind, all purposes and all categories.
//     What two agreements allow together, neither of them allows.
//   - case-admin, which is not about the survivor, needs no listing.
//   - A referral-response also flows under an agreement on referrals in the
//     opposite direction, and it does so after that agreement has ended: who was
//     asked may answer.
//   - A referral must have a purpose.
func (v *View) Permits(f Flow) error {
	from, to := v.agencies[f.From], v.agencies[f.To]
	if from == nil {
		return &Error{Code: CodeUnknownAgency, Field: agencyField(f.From)}
	}
	if to == nil {
		return &Error{Code: CodeUnknownAgency, Field: agencyField(f.To)}
	}
	if f.Kind == schemas.KindReceipt {
		return nil
	}
	for _, m := range []*member{from, to} {
		if m.State != StateActive {
			return &Error{Code: CodeSuspendedAgency, Field: m.ID}
		}
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
	for _, g := range v.flows[pair{f.From, f.To}] {
		if g.ActiveAt(f.At) && slices.Contains(g.Kinds, f.Kind) {
			out = append(out, g)
		}
	}
	if f.Kind == schemas.KindReferralResponse {
		for _, g := range v.flows[pair{f.To, f.From}] {
			if !f.At.Before(g.Starts) && slices.Contains(g.Kinds, schemas.KindReferral) {
				out = append(out, g)
			}
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
