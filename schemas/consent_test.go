package schemas

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func readConsent(t *testing.T, file string) *Consent {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := Decode[Consent](b)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConsentFill(t *testing.T) {
	now := time.Date(2026, 3, 1, 13, 0, 0, 123456789, time.FixedZone("CET", 3600))
	given := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for _, tt := range []struct {
		name                string
		days                int
		given, expires      time.Time
		wantG, wantE, wantR time.Time
	}{
		{"default", 0, time.Time{}, time.Time{}, given, given.AddDate(0, 0, 90), given.AddDate(0, 0, 90)},
		{"short", 30, time.Time{}, time.Time{}, given, given.AddDate(0, 0, 30), given.AddDate(0, 0, 30)},
		{"long is reviewed sooner", 365, time.Time{}, time.Time{}, given, given.AddDate(0, 0, 365), given.AddDate(0, 0, 90)},
		{"taken yesterday", 10, given.AddDate(0, 0, -1), time.Time{}, given.AddDate(0, 0, -1), given.AddDate(0, 0, 9), given.AddDate(0, 0, 9)},
		{"has an end", 0, given, given.Add(time.Hour), given, given.Add(time.Hour), given.Add(time.Hour)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := readConsent(t, "testdata/consent-record/minimal.json")
			c.ValidForDays, c.Given, c.Expires = tt.days, tt.given, tt.expires
			if err := c.Complete(); tt.expires.IsZero() && err == nil {
				t.Error("complete before it is filled")
			}
			c.Fill(now)
			if !c.Given.Equal(tt.wantG) || !c.Expires.Equal(tt.wantE) || !c.Review.Equal(tt.wantR) || c.ValidForDays != 0 {
				t.Errorf("given %v, expires %v, review %v, days %d", c.Given, c.Expires, c.Review, c.ValidForDays)
			}
			if err := ValidateAt(c, testNow); err != nil {
				t.Error(err)
			}
			if err := c.Complete(); err != nil {
				t.Error(err)
			}
			once := *c
			c.Fill(now.AddDate(1, 0, 0))
			if diff := cmp.Diff(once, *c); diff != "" {
				t.Errorf("filling twice changes it:\n%s", diff)
			}
		})
	}
}

func TestConsentRules(t *testing.T) {
	day := 24 * time.Hour
	for _, tt := range []struct {
		name, path, rule string
		change           func(*Consent)
	}{
		{"nobody", "/recipients", RuleRequired, func(c *Consent) { c.Recipients = Recipients{} }},
		{"no purpose", "/purposes", RuleRequired, func(c *Consent) { c.Purposes = nil }},
		{"withdrawal not explained", "/withdrawal_explained", RuleRequired, func(c *Consent) { c.WithdrawalExplained = false }},
		{"under pressure", "/free_of_pressure", RuleRequired, func(c *Consent) { c.FreeOfPressure = new(bool) }},
		{"ends before it begins", "/expires", RuleDateOrder, func(c *Consent) { c.Expires = c.Given.Add(-day) }},
		{"for ever", "/expires", RuleDateOrder, func(c *Consent) { c.Expires = c.Given.AddDate(5, 0, 0) }},
		{"two ends", "/valid_for_days", RuleForbidden, func(c *Consent) { c.ValidForDays = 9 }},
		{"too many days", "/valid_for_days", RuleMax, func(c *Consent) { c.Expires, c.ValidForDays = time.Time{}, 400 }},
		{"review after the end", "/review", RuleDateOrder, func(c *Consent) { c.Review = c.Expires.Add(day) }},
		{"withheld from a recipient", "/withheld/0/agency", RuleContradiction, func(c *Consent) { c.Withheld[0].Agency = "harbour-ngo" }},
		{"bad recipient", "/recipients/agencies/0", "agency", func(c *Consent) { c.Recipients.Agencies[0] = "Harbour NGO" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := readConsent(t, "testdata/consent-record/full.json")
			tt.change(c)
			wantProblem(t, ValidateAt(c, testNow), tt.path, tt.rule)
		})
	}
}

func wantProblem(t *testing.T, err error, path, rule string) {
	t.Helper()
	var invalid *InvalidError
	if !errors.As(err, &invalid) {
		t.Fatalf("want %s %s, got %v", path, rule, err)
	}
	for _, p := range invalid.Problems {
		if p.Path == path && p.Rule == rule {
			return
		}
	}
	t.Errorf("want %s %s, got %v", path, rule, err)
}

func readSubmission(t *testing.T, name string) *Submission {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("../deploy/examples", name))
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode[Submission](b)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

func TestSubmissionRules(t *testing.T) {
	for _, tt := range []struct {
		name, file, path, rule string
		change                 func(*Submission)
	}{
		{"consent basis without consent", "referral-urgent.json", "/consent", RuleRequired, func(s *Submission) { s.Consent = nil }},
		{"consent over", "referral-urgent.json", "/consent/expires", RuleDateOrder, func(s *Submission) { s.Consent.Expires = testNow }},
		{"consent tomorrow", "referral-urgent.json", "/consent/given", RuleDateFuture, func(s *Submission) { s.Consent.Given = testNow.AddDate(0, 0, 1) }},
		{"child with consent", "referral-child.json", "/consent", RuleChildConsent, func(s *Submission) { s.Consent = readConsent(t, "testdata/consent-record/minimal.json") }},
		{"child by birth with consent", "referral-urgent.json", "/referral/person/date_of_birth", RuleChildConsent, func(s *Submission) { s.Referral.Person.DateOfBirth = "2010-01-01" }},
		{"anonymous with consent", "referral-duty-to-notify.json", "/consent", RuleForbidden, func(s *Submission) { s.Consent = readConsent(t, "testdata/consent-record/minimal.json") }},
		{"anonymous with certificate", "referral-duty-to-notify.json", "/certificates", RuleForbidden, func(s *Submission) { s.Certificates = []string{NewThreadID()} }},
		{"no referral", "referral-urgent.json", "/referral", RuleRequired, func(s *Submission) { s.Referral = nil }},
		{"older than the date of birth says", "referral-urgent.json", "/referral/person/age", RuleContradiction, func(s *Submission) { s.Referral.Person.DateOfBirth = "2000-01-01"; *s.Referral.Person.Age = 30 }},
		{"younger than the date of birth says", "referral-urgent.json", "/referral/person/age", RuleContradiction, func(s *Submission) { s.Referral.Person.DateOfBirth = "1960-01-01" }},
		{"bad recipient", "referral-urgent.json", "/to", "agency", func(s *Submission) { s.To = "harbour.ngo" }},
		{"problem deep inside", "referral-urgent.json", "/referral/person/contact/phones/0/number", "phone", func(s *Submission) { s.Referral.Person.Contact.Phones[0].Number = "x" }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := readSubmission(t, tt.file)
			tt.change(s)
			wantProblem(t, ValidateAt(s, testNow), tt.path, tt.rule)
		})
	}
	for name, change := range map[string]func(*Submission){
		"certificates instead": func(s *Submission) { s.Consent, s.Certificates = nil, []string{NewThreadID()} },
		"forwarding":           func(s *Submission) { s.Consent, s.Thread = nil, NewThreadID() },
	} {
		s := readSubmission(t, "referral-urgent.json")
		change(s)
		if err := ValidateAt(s, testNow); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestExamples decodes every committed example, today and in ten years: they must not go stale. The
// urgent one must tell the demo's story.
func TestExamples(t *testing.T) {
	urgent := readSubmission(t, "referral-urgent.json")
	if urgent.To != "" || urgent.Referral.Urgency != UrgencyImmediate || urgent.Consent.Onward != OnwardNamed {
		t.Error("the urgent example is not the demo's")
	}
	if diff := cmp.Diff([]string{"harbour-ngo", "lantern-housing"}, urgent.Consent.Recipients.Agencies); diff != "" {
		t.Error(diff)
	}
	for _, name := range []string{"referral-urgent.json", "referral-routine.json", "referral-duty-to-notify.json", "referral-child.json"} {
		s := readSubmission(t, name)
		if err := ValidateAt(s, testNow.AddDate(10, 0, 0)); err != nil {
			t.Errorf("%s in ten years: %v", name, err)
		}
		if s.Consent == nil {
			continue
		}
		// The agent would refuse an example whose consent does not cover what it holds.
		for _, c := range Categories(s.Referral) {
			if !contains(s.Consent.Categories, c) {
				t.Errorf("%s: consent does not cover category %s", name, c)
			}
		}
		for _, p := range s.Referral.Purposes {
			if !contains(s.Consent.Purposes, p) {
				t.Errorf("%s: consent does not cover purpose %s", name, p)
			}
		}
	}
	files, err := filepath.Glob("../deploy/examples/response-*.json")
	if err != nil || len(files) < 4 {
		t.Fatalf("%d responses (%v)", len(files), err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode[ReferralResponse](b); err != nil {
			t.Errorf("%s: %v", f, err)
		}
	}
}

func contains[T comparable](list []T, x T) bool {
	for _, y := range list {
		if x == y {
			return true
		}
	}
	return false
}

func TestResponseRules(t *testing.T) {
	for _, tt := range []struct {
		doc, path, rule string
	}{
		{`{"outcome":"declined"}`, "/decline_reason", RuleRequired},
		{`{"outcome":"declined","decline_reason":"other"}`, "/decline_text", RuleRequired},
		{`{"outcome":"declined","decline_reason":"no-capacity","starts":"2026-03-01"}`, "/starts", RuleForbidden},
		{`{"outcome":"accepted","decline_reason":"no-capacity"}`, "/decline_reason", RuleForbidden},
		{`{"outcome":"information-needed"}`, "/questions", RuleRequired},
		{`{"outcome":"redirected"}`, "/redirect_to", RuleRequired},
		{`{"outcome":"redirected","redirect_to":"Lantern"}`, "/redirect_to", "agency"},
		{`{"outcome":"maybe"}`, "/outcome", RuleOneOf},
		{`{}`, "/outcome", RuleRequired},
	} {
		_, err := Decode[ReferralResponse]([]byte(tt.doc))
		wantProblem(t, err, tt.path, tt.rule)
	}
	for _, doc := range []string{`{"outcome":"accepted"}`, `{"outcome":"declined","decline_reason":"survivor-declined"}`, `{"outcome":"redirected","redirect_to":"lantern-housing"}`} {
		if _, err := Decode[ReferralResponse]([]byte(doc)); err != nil {
			t.Errorf("%s: %v", doc, err)
		}
	}
}

func TestCategories(t *testing.T) {
	if got := Categories(nil); len(got) != 0 {
		t.Errorf("nil has %v", got)
	}
	s := readSubmission(t, "referral-duty-to-notify.json")
	want := []Category{CategoryCaseAdmin, CategoryExploitation, CategoryIdentity, CategoryLegal, CategoryLocation}
	if diff := cmp.Diff(want, Categories(s.DutyToNotify)); diff != "" {
		t.Error(diff)
	}
	r := &Referral{Summary: "x", SummaryCategories: []Category{CategoryHealth}}
	if diff := cmp.Diff([]Category{CategoryCaseAdmin, CategoryHealth, CategorySupportNeeds}, Categories(r)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Category{CategoryCaseAdmin, CategoryHealth, CategorySupportNeeds}, Categories(*r)); diff != "" {
		t.Errorf("by value: %s", diff)
	}
	// A false answer is data too: "no immediate danger" says something.
	no := false
	if diff := cmp.Diff([]Category{CategoryRisk}, Categories(&Risk{ImmediateDanger: &no})); diff != "" {
		t.Error(diff)
	}
}

func TestMayBeChild(t *testing.T) {
	age := func(n int) *int { return &n }
	for _, tt := range []struct {
		name string
		p    Person
		want bool
	}{
		{"nothing known", Person{}, true},
		{"17", Person{Age: age(17)}, true},
		{"18", Person{Age: age(18)}, false},
		{"disputed", Person{Age: age(30), AgeDisputed: true}, true},
		{"range child", Person{AgeRange: AgeRangeChild}, true},
		{"range unknown", Person{AgeRange: AgeRangeUnknown}, true},
		{"range adult", Person{AgeRange: AgeRangeAdult}, false},
		{"18 today", Person{DateOfBirth: "2008-03-01"}, false},
		{"18 tomorrow", Person{DateOfBirth: "2008-03-02"}, true},
		{"born on 29 February", Person{DateOfBirth: "2008-02-29"}, false},
		{"adult age but born as a child", Person{Age: age(20), DateOfBirth: "2010-01-01"}, true},
	} {
		if got := tt.p.MayBeChild(testNow); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
	}
}
