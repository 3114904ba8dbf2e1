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
		From: police, FromRole: schemas.RolePolice, To: ngo, ToRole: schemas.RoleNGO,
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
		"before given":      {at: given.Add(-time.Millisecond), want: []Reason{{ReasonNotYetValid, "2026-03-01T09:00:00Z"}}},
		"last moment":       {at: given.AddDate(0, 3, 0).Add(-time.Millisecond)},
		"at the end":        {at: given.AddDate(0, 3, 0), want: []Reason{{ReasonExpired, "2026-06-01T09:00:00Z"}}},
		"purpose":           {change: func(_ *Certificate, u *Use) { u.Purposes = append(u.Purposes, schemas.PurposeProsecution) }, want: []Reason{{ReasonPurpose, "prosecution"}}},
		"no purpose":        {change: func(_ *Certificate, u *Use) { u.Purposes = nil }, want: []Reason{{ReasonPurpose, ""}}},
		"category":          {change: func(_ *Certificate, u *Use) { u.Categories = append(u.Categories, schemas.CategoryHealth) }, want: []Reason{{ReasonCategory, "health"}}},
		"hostile category":  {change: func(_ *Certificate, u *Use) { u.Categories = []schemas.Category{"Test Person A"} }, want: []Reason{{ReasonCategory, ""}}},
		"recipient":         {change: func(_ *Certificate, u *Use) { u.To = "other-ngo" }, want: []Reason{{ReasonRecipient, "other-ngo"}}},
		"recipient by role": {change: func(_ *Certificate, u *Use) { u.To, u.ToRole = housing, schemas.RoleSupportProvider }},
		"no role":           {change: func(_ *Certificate, u *Use) { u.To, u.ToRole = housing, "" }, want: []Reason{{ReasonRecipient, housing}}},
		"no role, odd list": {change: func(c *Certificate, u *Use) {
			u.To, u.ToRole = housing, ""
			c.Consent.Recipients.Roles = []schemas.Role{""}
		}, want: []Reason{{ReasonRecipient, housing}}},
		"no recipient":  {change: func(c *Certificate, u *Use) { u.To = ""; c.Consent.Recipients.Agencies = []string{""} }, want: []Reason{{ReasonRecipient, ""}}},
		"to the issuer": {change: func(_ *Certificate, u *Use) { u.From, u.To, u.Reply = ngo, police, true }},
		"withheld by name": {change: func(c *Certificate, u *Use) {
			u.To, u.ToRole = housing, schemas.RoleSupportProvider
			c.Consent.Withheld = []schemas.Withheld{{From: schemas.WithheldFromOtherAgency, Agency: housing}}
		}, want: []Reason{{ReasonRecipient, housing}}},
		"withheld, police": {change: func(c *Certificate, u *Use) {
			u.To, u.ToRole = "eastshire-police", schemas.RolePolice
			c.Consent.Recipients.Roles = []schemas.Role{schemas.RolePolice}
			c.Consent.Withheld = []schemas.Withheld{{From: schemas.WithheldFromPolice}}
		}, want: []Reason{{ReasonRecipient, "eastshire-police"}}},
		"onward by a named": {change: func(_ *Certificate, u *Use) { u.From, u.To, u.ToRole = ngo, housing, schemas.RoleSupportProvider }},
		"onward by role":    {change: func(_ *Certificate, u *Use) { u.From, u.FromRole = housing, schemas.RoleSupportProvider }},
		"onward none": {change: func(c *Certificate, u *Use) {
			c.Consent.Onward = schemas.OnwardNone
			u.From, u.To, u.ToRole = ngo, housing, schemas.RoleSupportProvider
		}, want: []Reason{{ReasonOnward, ngo}}},
		"onward none, reply": {change: func(c *Certificate, u *Use) {
			c.Consent.Onward = schemas.OnwardNone
			u.From, u.To, u.Reply = ngo, police, true
		}},
		"onward to another": {change: func(_ *Certificate, u *Use) { u.From, u.To = ngo, "other-ngo" }, want: []Reason{{ReasonRecipient, "other-ngo"}}},
		"foreign":           {change: func(_ *Certificate, u *Use) { u.From = "eastshire-police" }, want: []Reason{{ReasonForeign, "eastshire-police"}}},
		"foreign reply":     {change: func(_ *Certificate, u *Use) { u.From, u.Reply = "eastshire-police", true }, want: []Reason{{ReasonForeign, "eastshire-police"}}},
		"missing":           {basis: "consent:5f0c1f6e-0000-4000-8000-00000000000f", want: []Reason{{ReasonMissing, "5f0c1f6e-0000-4000-8000-00000000000f"}}},
		"no id":             {basis: "consent:", want: []Reason{{ReasonMissing, ""}}},
		"other basis":       {basis: "vital-interests", at: given.AddDate(9, 0, 0)},
		"duty to notify":    {basis: "duty-to-notify"},
		"no basis":          {basis: "-", want: []Reason{{ReasonBasis, "-"}}},
		"bare consent":      {basis: "consent", want: []Reason{{ReasonBasis, "consent"}}},
		"hostile basis":     {basis: "Test Person A", want: []Reason{{ReasonBasis, ""}}},
		"decline after the end": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			u.From, u.To, u.Reply, u.Purposes, u.Categories = ngo, police, true, nil, []schemas.Category{schemas.CategoryCaseAdmin}
		}},
		"accept after the end": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			u.From, u.To, u.Reply, u.Purposes, u.Categories = ngo, police, true, nil, []schemas.Category{schemas.CategorySupportNeeds}
		}, want: []Reason{{ReasonExpired, "2026-06-01T09:00:00Z"}}},
		"reply about nothing, after the end": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			u.From, u.To, u.Reply, u.Purposes, u.Categories = ngo, police, true, nil, nil
		}, want: []Reason{{ReasonExpired, "2026-06-01T09:00:00Z"}}},
		"all at once": {at: given.AddDate(1, 0, 0), change: func(_ *Certificate, u *Use) {
			*u = Use{From: "a-stranger", To: "another", Purposes: []schemas.Purpose{"statistics", "statistics"}, Categories: []schemas.Category{"risk"}}
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
		got := Evaluate([]*Certificate{nil, &cert}, basis, use, at)
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
		if v := Evaluate([]*Certificate{&a, &b}, basis, use, given); v.Allowed || v.Code() != ReasonCategory {
			t.Errorf("%s: %v", basis, v)
		}
	}
	b.ID = a.ID
	use.Categories = use.Categories[:1]
	if v := Evaluate([]*Certificate{&a}, a.Basis(), use, given); !v.Allowed {
		t.Errorf("alone: %v", v)
	}
	if v := Evaluate([]*Certificate{&a, &b}, a.Basis(), use, given); v.Allowed {
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
	c.ID = rapid.SampledFrom([]string{c.ID, "", "x"}).Draw(t, "id")
	c.Issuer = rapid.SampledFrom(agencies).Draw(t, "issuer")
	k := &c.Consent
	k.Purposes, k.Categories = some(t, purposes, 17, "purposes"), some(t, categories, 20, "categories")
	k.Recipients = schemas.Recipients{Agencies: some(t, agencies, 4, "agencies"), Roles: some(t, roles, 6, "roles")}
	k.Onward = rapid.SampledFrom([]schemas.Onward{schemas.OnwardNone, schemas.OnwardNamed, ""}).Draw(t, "onward")
	k.Given, k.Expires = moment(t, "given"), moment(t, "expires")
	if rapid.Bool().Draw(t, "withheld") {
		k.Withheld = []schemas.Withheld{{From: rapid.SampledFrom([]schemas.WithheldFrom{schemas.WithheldFromPolice, schemas.WithheldFromOtherAgency}).Draw(t, "from"), Agency: rapid.SampledFrom(agencies).Draw(t, "agency")}}
	}
	return &c
}

func drawUse(t *rapid.T) Use {
	return Use{
		From: rapid.SampledFrom(agencies).Draw(t, "use from"), FromRole: rapid.SampledFrom(roles).Draw(t, "from role"),
		To: rapid.SampledFrom(agencies).Draw(t, "use to"), ToRole: rapid.SampledFrom(roles).Draw(t, "to role"),
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
	u.From = c.Issuer
	if n := len(c.Consent.Recipients.Agencies); n > 0 {
		u.To = c.Consent.Recipients.Agencies[rapid.IntRange(0, n-1).Draw(t, "to")]
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
	codes := []string{ReasonMissing, ReasonRecipient, ReasonPurpose, ReasonCategory, ReasonExpired, ReasonNotYetValid, ReasonOnward, ReasonForeign, ReasonBasis}
	allowed := 0
	rapid.Check(t, func(t *rapid.T) {
		list := []*Certificate{drawCertificate(t), nil, drawCertificate(t)}
		basis := rapid.OneOf(rapid.Just(list[0].Basis()), rapid.SampledFrom([]string{"", "consent", "consent:", "public-task"}), rapid.String()).Draw(t, "basis")
		use, at := nearUse(t, list[0]), moment(t, "at")
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

// Out of its time, in a stranger's hands, or absent, a consent allows nothing.
func TestEvaluateNever(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := drawCertificate(t)
		use, at := nearUse(t, c), moment(t, "at")
		saysSomething(&use)
		codes := func(v Verdict) (out []string) {
			for _, r := range v.Reasons {
				out = append(out, r.Code)
			}
			return out
		}
		v := Evaluate([]*Certificate{c}, c.Basis(), use, at)
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
		expect(at.Before(k.Given), ReasonNotYetValid)
		expect(!at.Before(k.Expires), ReasonExpired)
		stranger := use.From != c.Issuer && !slices.Contains(k.Recipients.Agencies, use.From) && !slices.Contains(k.Recipients.Roles, use.FromRole)
		expect(stranger, ReasonForeign)
		named := use.To == c.Issuer || slices.Contains(k.Recipients.Agencies, use.To) || slices.Contains(k.Recipients.Roles, use.ToRole)
		expect(!named, ReasonRecipient)
		if v := Evaluate(nil, c.Basis(), use, at); v.Allowed || v.Code() != ReasonMissing {
			t.Fatalf("without certificates: %v", v)
		}
	})
}

// Taking anything away from a consent, or adding to a use, never allows more.
func TestEvaluateMonotonic(t *testing.T) {
	tested := 0
	rapid.Check(t, func(t *rapid.T) {
		c := drawCertificate(t)
		use, at := nearUse(t, c), moment(t, "at")
		less, more := *c, use
		k := &less.Consent
		switch rapid.IntRange(0, 11).Draw(t, "restriction") {
		case 0:
			k.Purposes = drop(t, k.Purposes)
		case 1:
			k.Categories = drop(t, k.Categories)
		case 2:
			k.Recipients.Agencies = drop(t, k.Recipients.Agencies)
		case 3:
			k.Recipients.Roles = drop(t, k.Recipients.Roles)
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
			more.ToRole, more.FromRole = "", ""
		}
		wide := Evaluate([]*Certificate{c}, c.Basis(), use, at)
		narrow := Evaluate([]*Certificate{&less}, less.Basis(), more, at)
		if narrow.Allowed && !wide.Allowed {
			t.Fatalf("a restriction allowed more: %v", wide)
		}
		if wide.Allowed && !narrow.Allowed {
			tested++
		}
	})
	if tested == 0 {
		t.Fatal("no restriction ever bit: the test says nothing")
	}
}

func drop[T any](t *rapid.T, list []T) []T {
	if len(list) == 0 {
		return list
	}
	i := rapid.IntRange(0, len(list)-1).Draw(t, "dropped")
	return slices.Delete(slices.Clone(list), i, i+1)
}
