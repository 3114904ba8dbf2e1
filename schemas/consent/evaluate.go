package consent

import (
	"slices"
	"strings"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Reason codes of a [Verdict]. They appear in receipts, so their spelling never
// changes.
const (
	ReasonMissing     = "consent-missing"       // the certificate that the basis names is not there
	ReasonRecipient   = "consent-recipient"     // the recipient is not covered, or the survivor refused it
	ReasonPurpose     = "consent-purpose"       // a purpose is not covered
	ReasonCategory    = "consent-category"      // a category of data is not covered
	ReasonExpired     = "consent-expired"       // the consent has ended
	ReasonNotYetValid = "consent-not-yet-valid" // the consent was not given yet
	ReasonOnward      = "consent-onward"        // the survivor allowed no passing on
	ReasonForeign     = "consent-foreign"       // the sender neither took the consent nor was given it
	ReasonBasis       = "basis-unknown"         // the basis is none that is known
)

// Use is what somebody wants to do: send data of these categories from one
// agency to another for these purposes.
type Use struct {
	From       string
	FromRole   schemas.Role // as the directory lists From; "" covers From by its id only
	To         string
	ToRole     schemas.Role
	Purposes   []schemas.Purpose
	Categories []schemas.Category
	Reply      bool // an answer to an agency that already holds the message
}

// Verdict is the answer. When Allowed is false, Reasons holds every reason that
// was found, each once, in a fixed order; when it is true there are none.
type Verdict struct {
	Allowed bool
	Reasons []Reason
}

// Reason explains one thing that is not covered. Detail holds ids and words of
// code lists only, never anything a person wrote.
type Reason struct {
	Code   string
	Detail string
}

// Code returns the first reason's code, "" when allowed: what a receipt says.
func (v Verdict) Code() string {
	if len(v.Reasons) == 0 {
		return ""
	}
	return v.Reasons[0].Code
}

// Evaluate decides whether use is allowed at a time, under a manifest's basis
// and the certificates at hand. Both ends call it and neither relies on the
// other. The certificates must be verified ([Open]); the basis picks the one
// that counts, the others are ignored: what several consents allow together,
// none of them allows.
//
// It is pure and total: no clock, no I/O, no panic on any input, and its
// arguments are not changed. What is unknown or absent is never allowed.
//
// The rules for a basis consent:<id>, all of which must hold:
//   - a certificate with that id is there;
//   - From is its issuer, or is itself covered as a recipient, and then, unless
//     the use is a reply, the consent allows passing on to those it names;
//   - To is the issuer, or is named by id or by its role, and is not withheld:
//     an agency refused by name, or any police force that is not named when the
//     survivor wanted nothing shared with the police;
//   - every purpose is covered; a use that is no reply has at least one;
//   - every category is covered, save case-admin, which is not about the survivor;
//   - given ≤ at < expires.
//
// A reply that holds case-admin only says nothing about the survivor and is
// always allowed: that a consent has ended must never keep an agency from
// answering "we decline".
//
// For another basis that is on the list, no certificate is needed: it is
// reasoned and authorised inside the payload, and counted. Any other basis is
// refused.
func Evaluate(certificates []*Certificate, basis string, use Use, at time.Time) Verdict {
	id, consent := strings.CutPrefix(basis, envelope.ConsentPrefix)
	if !consent {
		if b := schemas.Basis(basis); b != schemas.BasisConsent && slices.Contains(schemas.Bases(), b) {
			return Verdict{Allowed: true}
		}
		return refuse(Reason{Code: ReasonBasis, Detail: word(basis)})
	}
	if use.Reply && adminOnly(use.Categories) {
		return Verdict{Allowed: true}
	}
	var reasons []Reason
	found := false
	for _, c := range certificates {
		if c == nil || c.ID != id || id == "" {
			continue
		}
		// Ids are unique unless an issuer copied another's. Then all of them
		// must allow: an added certificate can only take away.
		found = true
		reasons = append(reasons, c.evaluate(use, at)...)
	}
	if !found {
		return refuse(Reason{Code: ReasonMissing, Detail: word(id)})
	}
	if len(reasons) == 0 {
		return Verdict{Allowed: true}
	}
	return refuse(reasons...)
}

func (c *Certificate) evaluate(use Use, at time.Time) (reasons []Reason) {
	add := func(code, detail string) { reasons = append(reasons, Reason{Code: code, Detail: detail}) }
	k := &c.Consent

	// Time first: the commonest reason, and the one to act on.
	if at.Before(k.Given) {
		add(ReasonNotYetValid, stamp(k.Given))
	}
	if !at.Before(k.Expires) {
		add(ReasonExpired, stamp(k.Expires))
	}
	if use.From != c.Issuer {
		if !c.covers(use.From, use.FromRole) {
			add(ReasonForeign, word(use.From))
		} else if !use.Reply && k.Onward != schemas.OnwardNamed {
			add(ReasonOnward, word(use.From))
		}
	}
	if !c.covers(use.To, use.ToRole) {
		add(ReasonRecipient, word(use.To))
	}
	if len(use.Purposes) == 0 && !use.Reply {
		add(ReasonPurpose, "")
	}
	for _, p := range use.Purposes {
		if !slices.Contains(k.Purposes, p) {
			add(ReasonPurpose, word(string(p)))
		}
	}
	for _, g := range use.Categories {
		if g != schemas.CategoryCaseAdmin && !slices.Contains(k.Categories, g) {
			add(ReasonCategory, word(string(g)))
		}
	}
	return reasons
}

// covers reports whether an agency may hold what the consent covers.
func (c *Certificate) covers(agency string, role schemas.Role) bool {
	if agency == "" {
		return false
	}
	if agency == c.Issuer {
		return true
	}
	r := &c.Consent.Recipients
	named := slices.Contains(r.Agencies, agency)
	for _, w := range c.Consent.Withheld {
		// A role is a class. A refusal by name is more particular and wins; "not
		// the police" wins over the class, not over a force that is named.
		if w.Agency == agency || w.Agency == "" && !named && w.From == schemas.WithheldFromPolice && role == schemas.RolePolice {
			return false
		}
	}
	return named || role != "" && slices.Contains(r.Roles, role)
}

func adminOnly(list []schemas.Category) bool {
	for _, g := range list {
		if g != schemas.CategoryCaseAdmin {
			return false
		}
	}
	return len(list) > 0
}

// refuse makes a verdict with each reason once, in order of appearance.
func refuse(reasons ...Reason) Verdict {
	v := Verdict{}
	for _, r := range reasons {
		if !slices.Contains(v.Reasons, r) {
			v.Reasons = append(v.Reasons, r)
		}
	}
	return v
}

// word lets ids and words of code lists through and nothing else: a basis or a
// purpose in a hostile message could hold anything, and reasons are logged.
func word(s string) string {
	if len(s) == 0 || len(s) > 64 {
		return ""
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return ""
		}
	}
	return s
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
