package consent

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waypost/schemas"
)

func testUse() Use {
	return Use{
		From: Party{ID: police, Role: schemas.RolePolice}, To: Party{ID: ngo, Role: schemas.RoleNGO},
		Purposes:   []schemas.Purpose{schemas.PurposeAccommodation},
		Categories: []schemas.Category{schemas.CategoryIdentity, schemas.CategoryCaseAdmin},
	}
}

func TestEvaluate(t *testing.T) {
	during := given.Add(time.Hour)
	type change func(*Certificate, *Use)
	for name, c := range map[string]struct {
		change change
		at     time.Time
		basis  string // the certificate's, if empty
		want   []Reason
	}{
		"covered":           {},
		"at given":          {at: given},
		"clocks disagree":   {at: given.Add(-5 * time.Minute)},
		"before given":      {at: given.Add(-5*time.Minute - time.Millisecond), want: []Reason{{ReasonNotYetValid, "2026-03-01T09:00:00Z"}}},
		"last moment":       {at: given.AddDate(0, 3, 0).Add(-time.Millisecond)},
		"at the end":        {at: given.AddDate(0, 3, 0), want: []Reason{{ReasonExpired, "2026-06-01T09:00:00Z"}}},
		"purpose":           {change: func(_ *Certificate, u *Use) { u.Purposes = append(u.Purposes, schemas.PurposeProsecution) }, want: []Reason{{ReasonPurpose, "prosecution"}}},
		"no purpose":        {change: func(_ *Certificate, u *Use) { u.Purposes = nil }, want: []Reason{{ReasonPurpose, ""}}},
		"category":          {change: func(_ *Certificate, u *Use) { u.Categories = append(u.Categories, schemas.CategoryHealth) }, want: []Reason{{ReasonCategory, "health"}}},
		"hostile category":  {change: func(_ *Certificate, u *Use) { u.Categories = []schemas.Category{"Test Person A"} }, want: []Reason{{ReasonCategory, ""}}},
		"recipient":         {change: func(_ *Certificate, u *Use) { u.To = Party{ID: "other-ngo"} }, want: []Reason{{ReasonRecipient, "other-ngo"}}},
		"recipient by role": {change: func(_ *Certificate, u *Use) { u.To = Party{housing, schemas.RoleSupportProvider, ""} }},
		"no role":           {change: func(_ *Certificate, u *Use) { u.To = Party{ID: housing} }, want: []Reason{{ReasonRecipient, housing}}},
		"no role, odd list": {change: func(c *Certificate, u *Use) {
			u.To = Party{ID: housing}
			c.Consent.Recipients.Classes = []schemas.RecipientClass{{}}
		}, want: []Reason{{ReasonRecipient, housing}}},
		"no recipient":  {change: func(c *Certificate, u *Use) { u.To = Party{}; c.Consent.Recipients.Agencies = []string{""} }, want: []Reason{{ReasonRecipient, ""}}},
		"to the issuer": {change: func(_ *Certificate, u *Use) { u.From, u.To, u.Reply = Party{ID: ngo}, Party{ID: police}, true }},
		"withheld by name": {change: func(c *Certificate, u *Use) {
			u.To = Party{housing, schemas.RoleSupportProvider, ""}
			c.Consent.Withheld = []schemas.Withheld{{From: schemas.WithheldFromOtherAgency, Agency: housing}}
		}, want: []Reason{{ReasonRecipient, housing}}},
		"withheld, police": {change: func(c *Certificate, u *Use) {
			u.To = Party{"eastshire-police", schemas.RolePolice, ""}
			c.Consent.Recipients.Classes = []schemas.RecipientClass{{Role: schemas.RolePolice}}
			c.Consent.Withheld = []schemas.Withheld{{From: schemas.WithheldFromPolice}}
		}, want: []Reason{{ReasonRecipient, "eastshire-police"}}},
		"onward by a named": {change: func(_ *Certificate, u *Use) {
			u.From, u.To = Party{ID: ngo}, Party{housing, schemas.RoleSupportProvider, ""}
		}},
		"onward by role": {change: func(_ *Certificate, u *Use) { u.From = Party{housing, schemas.RoleSupportProvider, ""} }},
		"onward none": {change: func(c *Certificate, u *Use) {
			c.Consent.Onward = schemas.OnwardNone
			u.From, u.To = Party{ID: ngo}, Party{housing, schemas.RoleSupportProvider, ""}
		}, want: []Reason{{ReasonOnward, ngo}}},
		"onward none, reply": {change: func(c *Certificate, u *Use) {
			c.Consent.Onward = schemas.OnwardNone
			u.From, u.To, u.Reply = Party{ID: ngo}, Party{ID: police}, true
		}},
		"onward to another": {change: func(_ *Certificate, u *Use) { u.From, u.To = Party{ID: ngo}, Party{ID: "other-ngo"} }, want: []Reason{{ReasonRecipient, "other-ngo"}}},
		"foreign":           {change: func(_ *Certificate, u *Use) { u.From = Party{ID: "eastshire-police"} }, want: []Reason{{ReasonForeign, "eastshire-police"}}},
		"foreign reply":     {change: func(_ *Certificate, u *Use) { u.From, u.Reply = Party{ID: "eastshire-police"}, true }, want: []Reason{{ReasonForeign, "eastshire-police"}}},
		"missing":           {basis: "consent:5f0c1f6e-0000-4000-8000-00000000000f", want: []Reason{{ReasonMissing, "5f0c1f6e-0000-4000-8000-00000000000f"}}},
		"no id":             {basis: "consent:", want: []Reason{{ReasonMissing, ""}}},
		"other basis":       {basis: "vital-interests", at: given.AddDate(9, 0, 0)},
		"duty to notify":    {basis: "duty-to-notify"},
		"no basis":          {basis: "-", want: []Reason{{ReasonBasis, "-"}}},
		"bare consent":      {basis: "consent", want: []Reason{{ReasonBasis, "consent"}}},
		"hostile basis":     {basis: "Test Person A", want: []Reason{{ReasonBasis, ""}}},
		"decline after the end": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			u.From, u.To, u.Reply, u.Purposes, u.Categories = Party{ID: ngo}, Party{ID: police}, true, nil, []schemas.Category{schemas.CategoryCaseAdmin}
		}},
		"accept after the end": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			u.From, u.To, u.Reply, u.Purposes, u.Categories = Party{ID: ngo}, Party{ID: police}, true, nil, []schemas.Category{schemas.CategorySupportNeeds}
		}, want: []Reason{{ReasonExpired, "2026-06-01T09:00:00Z"}}},
		"reply about nothing, after the end": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			u.From, u.To, u.Reply, u.Purposes, u.Categories = Party{ID: ngo}, Party{ID: police}, true, nil, nil
		}, want: []Reason{{ReasonExpired, "2026-06-01T09:00:00Z"}}},
		"all at once": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			*u = Use{From: Party{ID: "a-stranger"}, To: Party{ID: "another"}, Purposes: []schemas.Purpose{"statistics", "statistics"}, Categories: []schemas.Category{"risk"}}
		}, want: []Reason{{ReasonExpired, "2026-06-01T09:00:00Z"}, {ReasonForeign, "a-stranger"}, {ReasonRecipient, "another"}, {ReasonPurpose, "statistics"}, {ReasonCategory, "risk"}}},
	} {
		cert, use, at, basis := testCertificate(), testUse(), c.at, c.basis
		if c.change != nil {
			c.change(&cert, &use)
		}
		if at.IsZero() {
			at = during
		}
		if basis == "" {
			basis = cert.Basis()
		}
		got := Evaluate([]Held{{}, {Certificate: &cert}}, basis, use, at)
		if d := cmp.Diff(Verdict{Allowed: len(c.want) == 0, Reasons: c.want}, got); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
	if got := Evaluate(nil, "", testUse(), during); got.Allowed || got.Code() != ReasonBasis {
		t.Errorf("no basis: %v", got)
	}
}

// What two certificates allow together, neither allows; and a second one with
// the same id can only take away.
func TestEvaluateNoUnion(t *testing.T) {
	a, b := testCertificate(), testCertificate()
	a.Consent.Categories = []schemas.Category{schemas.CategoryIdentity}
	b.ID = "5f0c1f6e-0000-4000-8000-00000000000b"
	b.Consent.Categories = []schemas.Category{schemas.CategoryHealth}
	use := testUse()
	use.Categories = []schemas.Category{schemas.CategoryIdentity, schemas.CategoryHealth}
	for _, basis := range []string{a.Basis(), b.Basis()} {
		if v := Evaluate([]Held{{Certificate: &a}, {Certificate: &b}}, basis, use, given); v.Allowed || v.Code() != ReasonCategory {
			t.Errorf("%s: %v", basis, v)
		}
	}
	b.ID = a.ID
	use.Categories = use.Categories[:1]
	if v := Evaluate([]Held{{Certificate: &a}}, a.Basis(), use, given); !v.Allowed {
		t.Errorf("alone: %v", v)
	}
	if v := Evaluate([]Held{{Certificate: &a}, {Certificate: &b}}, a.Basis(), use, given); v.Allowed {
		t.Error("a copied id widened a consent, or was ignored")
	}
}

var (
	agencies   = []string{police, ngo, housing, "eastshire-police", "", "Not An Agency"}
	roles      = append(schemas.Roles(), "", "unknown")
	purposes   = append(schemas.Purposes(), "", "unknown")
	categories = append(schemas.AllCategories(), "", "unknown")
)

func some[T any](t *rapid.T, from []T, most int, label string) []T {
	return rapid.SliceOfN(rapid.SampledFrom(from), 0, most).Draw(t, label)
}

func moment(t *rapid.T, label string) time.Time {
	return given.Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, label)) * 24 * time.Hour)
}

// drawCertificate makes any certificate, also one that Sign would refuse:
// Evaluate relies on no other check.
func drawCertificate(t *rapid.T) *Certificate {
	c := testCertificate()
	c.ID = rapid.SampledFrom([]string{c.ID, c.ID, c.ID, "", "x"}).Draw(t, "id")
	c.Issuer = rapid.SampledFrom(agencies).Draw(t, "issuer")
	k := &c.Consent
	k.Purposes, k.Categories = some(t, purposes, 17, "purposes"), some(t, categories, 20, "categories")
	k.Recipients = schemas.Recipients{Agencies: some(t, agencies, 4, "agencies"), Classes: rapid.SliceOfN(rapid.Custom(drawClass), 0, 6).Draw(t, "classes")}
	k.Onward = rapid.SampledFrom([]schemas.Onward{schemas.OnwardNone, schemas.OnwardNamed, schemas.OnwardReconfirm, ""}).Draw(t, "onward")
	k.Given, k.Expires = moment(t, "given"), moment(t, "expires")
	if rapid.IntRange(0, 3).Draw(t, "in time") > 0 {
		k.Given, k.Expires = given.AddDate(-1, 0, 0), given.AddDate(1, 0, 0)
	}
	if rapid.Bool().Draw(t, "withheld") {
		k.Withheld = []schemas.Withheld{{From: rapid.SampledFrom([]schemas.WithheldFrom{schemas.WithheldFromPolice, schemas.WithheldFromOtherAgency}).Draw(t, "from"), Agency: rapid.SampledFrom(agencies).Draw(t, "agency")}}
	}
	return &c
}

func drawUse(t *rapid.T) Use {
	return Use{
		From: rapid.Custom(drawParty).Draw(t, "use from"), To: rapid.Custom(drawParty).Draw(t, "use to"),
		Purposes: some(t, purposes, 2, "use purposes"), Categories: some(t, categories, 2, "use categories"),
		Reply: rapid.Bool().Draw(t, "reply"),
	}
}

// nearUse makes a use that the certificate often covers, so that properties
// about allowed uses are not tested on refusals only.
func nearUse(t *rapid.T, c *Certificate) Use {
	u := drawUse(t)
	if rapid.IntRange(0, 9).Draw(t, "far") == 0 {
		return u
	}
	if rapid.Bool().Draw(t, "by the issuer") {
		u.From = Party{ID: c.Issuer}
	} else if len(c.Consent.Recipients.Agencies) > 0 {
		u.From = Party{ID: c.Consent.Recipients.Agencies[0]}
	}
	if n := len(c.Consent.Recipients.Agencies); n > 0 {
		u.To = Party{ID: c.Consent.Recipients.Agencies[rapid.IntRange(0, n-1).Draw(t, "to")]}
	}
	u.Purposes, u.Categories = slices.Clone(c.Consent.Purposes), slices.Clone(c.Consent.Categories)
	if n := len(u.Purposes); n > 1 {
		u.Purposes = u.Purposes[:1]
	}
	return u
}

// Evaluate is total and explains itself: allowed exactly when there is no
// reason, every reason with a known code, no value of the input in it that is
// not an id or a code, arguments unchanged, the same answer twice.
func TestEvaluateTotal(t *testing.T) {
	codes := []string{ReasonMissing, ReasonRecipient, ReasonPurpose, ReasonCategory, ReasonExpired, ReasonNotYetValid, ReasonOnward, ReasonForeign, ReasonBasis,
		ReasonWithdrawn, ReasonStopped, ReasonSuperseded, ReasonReconfirm}
	allowed := 0
	rapid.Check(t, func(t *rapid.T) {
		list := []Held{drawHeld(t), {}, drawHeld(t)}
		basis := rapid.OneOf(rapid.Just(list[0].Basis()), rapid.SampledFrom([]string{"", "consent", "consent:", "public-task"}), rapid.String()).Draw(t, "basis")
		use, at := nearUse(t, list[0].Certificate), moment(t, "at")
		before, err := schemas.Encode(list)
		if err != nil {
			t.Fatal(err)
		}
		v := Evaluate(list, basis, use, at)
		if v.Allowed != (len(v.Reasons) == 0) {
			t.Fatalf("%v", v)
		}
		if v.Allowed {
			allowed++
		}
		for i, r := range v.Reasons {
			if !slices.Contains(codes, r.Code) || slices.Contains(v.Reasons[:i], r) {
				t.Fatalf("reason %v", r)
			}
			if r.Detail != "" && word(r.Detail) == "" {
				if _, err := time.Parse(time.RFC3339, r.Detail); err != nil {
					t.Fatalf("detail %q is neither a code nor a time", r.Detail)
				}
			}
		}
		if !reflect.DeepEqual(v, Evaluate(list, basis, use, at)) {
			t.Fatal("another answer the second time")
		}
		if after, err := schemas.Encode(list); err != nil || string(after) != string(before) {
			t.Fatal("arguments changed")
		}
	})
	if allowed == 0 {
		t.Fatal("no use was ever allowed: the test says nothing")
	}
}

// saysSomething makes a use one that is about the survivor.
func saysSomething(u *Use) { u.Categories = append(u.Categories, schemas.CategoryIdentity) }

// Out of its time, withdrawn, in a stranger's hands, or absent, a consent allows nothing.
func TestEvaluateNever(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := drawHeld(t)
		c := h.Certificate
		use, at := nearUse(t, c), moment(t, "at")
		saysSomething(&use)
		codes := func(v Verdict) (out []string) {
			for _, r := range v.Reasons {
				out = append(out, r.Code)
			}
			return out
		}
		v := Evaluate([]Held{h}, c.Basis(), use, at)
		expect := func(when bool, code string) {
			if when && (v.Allowed || !slices.Contains(codes(v), code)) {
				t.Fatalf("%s, and the verdict is %v", code, v)
			}
		}
		if c.ID == "" {
			expect(true, ReasonMissing)
			return
		}
		k := &c.Consent
		covered := func(p Party) bool {
			return p.ID == c.Issuer || slices.Contains(k.Recipients.Agencies, p.ID) ||
				slices.ContainsFunc(k.Recipients.Classes, func(x schemas.RecipientClass) bool { return x.Role == p.Role })
		}
		expect(h.Withdrawn, ReasonWithdrawn)
		expect(h.Stopped, ReasonStopped)
		expect(k.Given.Sub(at) > 5*time.Minute, ReasonNotYetValid)
		expect(!at.Before(k.Expires), ReasonExpired)
		expect(use.From.ID != c.Issuer && !covered(use.From), ReasonForeign)
		expect(!covered(use.To), ReasonRecipient)
		if v := Evaluate(nil, c.Basis(), use, at); v.Allowed || v.Code() != ReasonMissing {
			t.Fatalf("without certificates: %v", v)
		}
	})
}

// Taking anything away from a consent, or adding to a use, never allows more.
func TestEvaluateMonotonic(t *testing.T) {
	tested := map[int]int{}
	const restrictions = 17
	for restriction := range restrictions {
		rapid.Check(t, func(t *rapid.T) {
			wider := drawHeld(t)
			c := wider.Certificate
			use, at := nearUse(t, c), moment(t, "at")
			lessCert, more := *c, use
			less := wider
			less.Certificate = &lessCert
			k := &lessCert.Consent
			switch restriction {
			case 0:
				k.Purposes = drop(t, k.Purposes)
			case 1:
				k.Categories = drop(t, k.Categories)
			case 2:
				k.Recipients.Agencies = drop(t, k.Recipients.Agencies)
			case 3:
				k.Recipients.Classes = drop(t, k.Recipients.Classes)
			case 4:
				k.Onward = schemas.OnwardNone
			case 5:
				k.Given = k.Given.Add(24 * time.Hour)
			case 6:
				k.Expires = k.Expires.Add(-24 * time.Hour)
			case 7:
				k.Withheld = append(slices.Clone(k.Withheld), schemas.Withheld{From: schemas.WithheldFromPolice, Agency: rapid.SampledFrom(agencies).Draw(t, "refused")})
			case 8:
				if len(more.Purposes) > 0 {
					more.Purposes = append(slices.Clone(more.Purposes), rapid.SampledFrom(purposes).Draw(t, "more purpose"))
				}
			case 9:
				// Not from nothing or from case-admin alone: see Evaluate on replies.
				more.Categories = append(slices.Clone(more.Categories), rapid.SampledFrom(categories[:17]).Draw(t, "more category"))
				if len(use.Categories) == 0 {
					more.Categories = use.Categories
				}
			case 10:
				more.Reply = false
			case 11:
				more.To.Role, more.From.Role = "", ""
			case 12:
				less.Withdrawn = true
			case 13:
				less.Stopped = true
			case 14:
				if less.Superseded.IsZero() || at.Before(less.Superseded) {
					less.Superseded = at
				}
			case 15:
				less.Reconfirmed = nil
			case 16:
				classes := slices.Clone(k.Recipients.Classes)
				for i := range classes {
					if classes[i].Region == "" {
						classes[i].Region = "GB-SCT"
					}
				}
				k.Recipients.Classes = classes
			}
			wide := Evaluate([]Held{wider}, c.Basis(), use, at)
			narrow := Evaluate([]Held{less}, lessCert.Basis(), more, at)
			if narrow.Allowed && !wide.Allowed {
				t.Fatalf("a restriction allowed more: %v", wide)
			}
			if wide.Allowed && !narrow.Allowed {
				tested[restriction]++
			}
		})
	}
	if len(tested) < restrictions/2 {
		t.Fatalf("only the restrictions %v ever bit: the test says little", tested)
	}
}

func drop[T any](t *rapid.T, list []T) []T {
	if len(list) == 0 {
		return list
	}
	i := rapid.IntRange(0, len(list)-1).Draw(t, "dropped")
	return slices.Delete(slices.Clone(list), i, i+1)
}

var regions = []schemas.Region{"", "GB-ENG", "GB-SCT"}

func drawClass(t *rapid.T) schemas.RecipientClass {
	return schemas.RecipientClass{Role: rapid.SampledFrom(roles).Draw(t, "role"), Region: rapid.SampledFrom(regions).Draw(t, "region")}
}

func drawParty(t *rapid.T) Party {
	return Party{rapid.SampledFrom(agencies).Draw(t, "id"), rapid.SampledFrom(roles).Draw(t, "role"), rapid.SampledFrom(regions).Draw(t, "region")}
}

// drawHeld makes a certificate that mostly stands.
func drawHeld(t *rapid.T) Held {
	h := Held{Certificate: drawCertificate(t)}
	odd := func(label string) bool { return rapid.IntRange(0, 7).Draw(t, label) == 0 }
	h.Withdrawn, h.Stopped = odd("withdrawn"), odd("stopped")
	if odd("superseded") {
		h.Superseded = moment(t, "superseded at")
	}
	if rapid.Bool().Draw(t, "asked again") {
		h.Reconfirmed = []Reconfirmation{{rapid.SampledFrom(agencies).Draw(t, "by"), rapid.SampledFrom(agencies).Draw(t, "for"), moment(t, "asked at")}}
	}
	return h
}
