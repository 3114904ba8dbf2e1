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
	ReasonWithdrawn   = "consent-withdrawn"     // the survivor has withdrawn it
	ReasonStopped     = "consent-stopped"       // a withdrawal was asked for and is not decided
	ReasonSuperseded  = "consent-superseded"    // a newer certificate replaces it
	ReasonReconfirm   = "consent-reconfirm"     // the survivor wants to be asked again before this passing on
)

// Party is an agency as the directory lists it. Without a role it is covered by
// its id only.
type Party struct {
	ID     string
	Role   schemas.Role
	Region schemas.Region
}

// Use is what somebody wants to do: send data of these categories from one
// agency to another for these purposes.
type Use struct {
	From, To   Party
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
// other. The certificates must be verified ([Open]) and stand as [Stand] says;
// the basis picks the one that counts, the others are ignored: what several
// consents allow together, none of them allows.
//
// It is pure and total: no clock, no I/O, no panic on any input, and its
// arguments are not changed. What is unknown or absent is never allowed.
//
// The rules for a basis consent:<id>, all of which must hold, with the reason
// given for each that does not:
//   - a certificate with that id is there; of several with it all must allow
//     (consent-missing, and then no other reason);
//   - it is not withdrawn, from everyone or from From or To alone
//     (consent-withdrawn), and not stopped (consent-stopped);
//   - at is before it was superseded (consent-superseded);
//   - given is not more than five minutes after at (consent-not-yet-valid), for
//     the clocks of two agencies never agree, and at < expires (consent-expired);
//   - From is its issuer, or is covered as a recipient (consent-foreign);
//   - if From is covered but not the issuer, To is not the issuer and the use is
//     no reply, it is passing on: then onward is named, or it is reconfirm and
//     the survivor was asked again about this From and this To, not longer than
//     ReconfirmedFor before at and not more than five minutes after it
//     (consent-reconfirm; with any other onward consent-onward);
//   - To is the issuer, or is covered as a recipient (consent-recipient);
//   - every purpose is covered, and a use that is no reply has one at least
//     (consent-purpose);
//   - every category is covered, save case-admin, which is not about the
//     survivor (consent-category).
//
// An agency is covered as a recipient ([Certificate.Covers]) if the consent names
// its id, or a class of its role and, where the class has one, its region; but
// never if an entry of withheld names its id, nor if it has the role police, is
// not named by id, and an entry of withheld is from the police and names nobody.
// What has no id is nobody, and is covered by nothing.
//
// A reply whose categories are case-admin and nothing else says nothing about the
// survivor and is always allowed, whatever the certificates: that a consent has
// ended must never keep an agency from answering "we decline".
//
// For another basis that is on the list, no certificate is needed: it is
// reasoned and authorised inside the payload, and counted. Any other basis is
// refused (basis-unknown), "consent" without an id too.
func Evaluate(certificates []Held, basis string, use Use, at time.Time) Verdict {
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
	for _, h := range certificates {
		if h.Certificate == nil || h.ID != id || id == "" {
			continue
		}
		// Ids are unique unless an issuer copied another's. Then all of them
		// must allow: an added certificate can only take away.
		found = true
		reasons = append(reasons, h.evaluate(use, at)...)
	}
	if !found {
		return refuse(Reason{Code: ReasonMissing, Detail: word(id)})
	}
	if len(reasons) == 0 {
		return Verdict{Allowed: true}
	}
	return refuse(reasons...)
}

func (h *Held) evaluate(use Use, at time.Time) (reasons []Reason) {
	add := func(code, detail string) { reasons = append(reasons, Reason{Code: code, Detail: detail}) }
	k := &h.Consent

	// What the survivor said last comes first, then time: the commonest reasons, and the ones to act on.
	if h.Withdrawn || slices.Contains(h.From, use.From.ID) || slices.Contains(h.From, use.To.ID) {
		add(ReasonWithdrawn, word(h.ID))
	}
	if h.Stopped {
		add(ReasonStopped, word(h.ID))
	}
	if !h.Superseded.IsZero() && !at.Before(h.Superseded) {
		add(ReasonSuperseded, stamp(h.Superseded))
	}
	if k.Given.After(at.Add(skew)) {
		add(ReasonNotYetValid, stamp(k.Given))
	}
	if !at.Before(k.Expires) {
		add(ReasonExpired, stamp(k.Expires))
	}
	if use.From.ID != h.Issuer || use.From.ID == "" {
		switch {
		case !h.Covers(use.From):
			add(ReasonForeign, word(use.From.ID))
		case use.Reply || use.To.ID == h.Issuer || k.Onward == schemas.OnwardNamed:
		case k.Onward != schemas.OnwardReconfirm:
			add(ReasonOnward, word(use.From.ID))
		case !h.reconfirms(use.From.ID, use.To.ID, at):
			add(ReasonReconfirm, word(use.To.ID))
		}
	}
	if !h.Covers(use.To) {
		add(ReasonRecipient, word(use.To.ID))
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

// Covers reports whether an agency may hold what the consent covers; see
// [Evaluate] for the rule.
func (c *Certificate) Covers(p Party) bool {
	if p.ID == "" {
		return false
	}
	if p.ID == c.Issuer {
		return true
	}
	r := &c.Consent.Recipients
	named := slices.Contains(r.Agencies, p.ID)
	for _, w := range c.Consent.Withheld {
		// A role is a class. A refusal by name is more particular and wins; "not
		// the police" wins over the class, not over a force that is named.
		if w.Agency == p.ID || w.Agency == "" && !named && w.From == schemas.WithheldFromPolice && p.Role == schemas.RolePolice {
			return false
		}
	}
	return named || p.Role != "" && slices.ContainsFunc(r.Classes, func(k schemas.RecipientClass) bool {
		return k.Role == p.Role && (k.Region == "" || k.Region == p.Region)
	})
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
