package consent

import (
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas"
)

// The rules of Evaluate once more, from its documentation, as sets: what a consent allows is built up, and what a use wants
// is taken from it.

type set map[string]bool

func setOf[T ~string](list []T) set {
	s := set{}
	for _, x := range list {
		s[string(x)] = true
	}
	return s
}

func (s set) lacks(other set) bool {
	for x := range other {
		if !s[x] {
			return true
		}
	}
	return false
}

// oracleCovered says whether an agency may be a recipient.
func oracleCovered(c *Certificate, p Party) bool {
	if p.ID == "" {
		return false
	}
	byName := setOf(c.Consent.Recipients.Agencies)[p.ID]
	byClass := false
	for _, k := range c.Consent.Recipients.Classes {
		byClass = byClass || k.Role != "" && k.Role == p.Role && (k.Region == "" || k.Region == p.Region)
	}
	refused := false
	for _, w := range c.Consent.Withheld {
		switch {
		case w.Agency == p.ID:
			refused = true
		case w.Agency == "" && w.From == schemas.WithheldFromPolice && p.Role == schemas.RolePolice && !byName:
			refused = true
		}
	}
	return (byName || byClass) && !refused
}

func oracle(certificates []Held, basis string, use Use, at time.Time) set {
	kind, id, colon := strings.Cut(basis, ":")
	if kind != "consent" || !colon {
		for _, b := range schemas.Bases() {
			if basis == string(b) && b != schemas.BasisConsent {
				return set{}
			}
		}
		return set{ReasonBasis: true}
	}
	wanted := setOf(use.Categories)
	if use.Reply && len(wanted) == 1 && wanted["case-admin"] {
		return set{}
	}
	reasons, found := set{}, false
	for _, h := range certificates {
		if h.Certificate == nil || h.ID != id || id == "" {
			continue
		}
		found = true
		k := h.Consent
		isIssuer := func(p Party) bool { return p.ID != "" && p.ID == h.Issuer }
		against := map[string]bool{
			ReasonWithdrawn:   h.Withdrawn || setOf(h.From)[use.From.ID] || setOf(h.From)[use.To.ID],
			ReasonStopped:     h.Stopped,
			ReasonSuperseded:  !h.Superseded.IsZero() && !at.Before(h.Superseded),
			ReasonNotYetValid: k.Given.Sub(at) > 5*time.Minute,
			ReasonExpired:     !at.Before(k.Expires),
			ReasonForeign:     !isIssuer(use.From) && !oracleCovered(h.Certificate, use.From),
			ReasonRecipient:   !isIssuer(use.To) && !oracleCovered(h.Certificate, use.To),
			ReasonPurpose:     setOf(k.Purposes).lacks(setOf(use.Purposes)) || len(use.Purposes) == 0 && !use.Reply,
		}
		delete(wanted, "case-admin")
		against[ReasonCategory] = setOf(k.Categories).lacks(wanted)
		if !isIssuer(use.From) && use.To.ID != h.Issuer && !use.Reply && !against[ReasonForeign] {
			asked := slices.ContainsFunc(h.Reconfirmed, func(r Reconfirmation) bool {
				return r.By == use.From.ID && r.To == use.To.ID && at.Sub(r.At) <= ReconfirmedFor && r.At.Sub(at) <= 5*time.Minute
			})
			against[ReasonReconfirm] = k.Onward == schemas.OnwardReconfirm && !asked
			against[ReasonOnward] = k.Onward != schemas.OnwardReconfirm && k.Onward != schemas.OnwardNamed
		}
		for code, holds := range against {
			if holds {
				reasons[code] = true
			}
		}
	}
	if !found {
		return set{ReasonMissing: true}
	}
	return reasons
}

// TestEvaluateIsWhatItsDocumentationSays compares the two on random cases, most of which come close to being allowed.
func TestEvaluateIsWhatItsDocumentationSays(t *testing.T) {
	seen, allowed, cases := map[string]int{}, 0, 0
	for range 200 {
		rapid.Check(t, func(t *rapid.T) {
			list := []Held{drawHeld(t), drawHeld(t), {}}
			if rapid.Bool().Draw(t, "alone") {
				list = list[:1]
			}
			basis := rapid.SampledFrom([]string{list[0].Basis(), list[0].Basis(), list[0].Basis(), "consent:", "consent", "", "public-task", "consent:x"}).Draw(t, "basis")
			use, at := nearUse(t, list[0].Certificate), moment(t, "at")
			if rapid.IntRange(0, 3).Draw(t, "admin only") == 0 {
				use.Categories = []schemas.Category{schemas.CategoryCaseAdmin}
			}
			if rapid.Bool().Draw(t, "asked again for this") {
				list[0].Reconfirmed = append(list[0].Reconfirmed, Reconfirmation{use.From.ID, use.To.ID, at.Add(time.Duration(rapid.IntRange(-8*24, 1).Draw(t, "hours")) * time.Hour)})
			}
			want, got := oracle(list, basis, use, at), Evaluate(list, basis, use, at)
			codes := set{}
			for _, r := range got.Reasons {
				codes[r.Code] = true
			}
			if got.Allowed != (len(want) == 0) || want.lacks(codes) || codes.lacks(want) {
				t.Fatalf("documentation: %v\nEvaluate: %v", want, got)
			}
			cases++
			if got.Allowed {
				allowed++
			}
			for c := range codes {
				seen[c]++
			}
		})
	}
	if cases < 10000 || allowed < cases/100 || len(seen) != 13 {
		t.Errorf("%d cases, %d allowed, reasons %v: the comparison says little", cases, allowed, seen)
	}
	t.Logf("%d cases, %d allowed, reasons %v", cases, allowed, seen)
}
