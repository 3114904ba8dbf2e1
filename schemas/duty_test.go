package schemas

import (
	"reflect"
	"testing"
	"time"
)

// closedTypes are the string types of which every value is a word of a list that nobody can add to.
var closedTypes = map[reflect.Type]bool{reflect.TypeFor[Country](): true, reflect.TypeFor[Region](): true, reflect.TypeFor[Date](): true}

// openStrings lists the members of a type in which anything could be written.
func openStrings(t reflect.Type) (out []string) {
	t = elemOf(t)
	if t.Kind() != reflect.Struct || isTime(t) {
		return nil
	}
	for m := range members(t) {
		e := elemOf(m.field.Type)
		if e.Kind() == reflect.String && codesOf(e) == nil && !closedTypes[e] {
			out = append(out, t.Name()+"."+m.name)
		}
		out = append(out, openStrings(e)...)
	}
	return out
}

// TestDutyToNotifyNamesNobody: by type, not by rule, there is no place for a name, a number, an address or a story.
func TestDutyToNotifyNamesNobody(t *testing.T) {
	if open := openStrings(reflect.TypeFor[DutyToNotify]()); len(open) > 0 {
		t.Errorf("anything can be written into %v", open)
	}
	if open := openStrings(reflect.TypeFor[IntelligenceFeedback]()); len(open) > 0 {
		t.Errorf("feedback could tell operational detail in %v", open)
	}
	if len(openStrings(reflect.TypeFor[Referral]())) < 50 {
		t.Error("the test does not see open strings")
	}
	for _, change := range []func(*DutyToNotify){
		func(d *DutyToNotify) { d.AgeRange = AgeRangeChild },
		func(d *DutyToNotify) { d.AgeRange = AgeRangeUnknown },
		func(d *DutyToNotify) { d.FromYear, d.UntilYear = 2025, 2024 },
	} {
		d := DutyToNotify{Purposes: []Purpose{PurposeStatistics}, Reason: BasisReasonStatutoryDuty, AuthorisedBy: OfficerInspector}
		if err := Validate(&d); err != nil {
			t.Fatal(err)
		}
		change(&d)
		if err := Validate(&d); err == nil {
			t.Errorf("accepted: %+v", d)
		}
	}
	b := LawfulBasis{Basis: BasisDutyToNotify, Reason: BasisReasonStatutoryDuty, AuthorisedBy: "inspector", Justification: "x"}
	wantProblem(t, Validate(&b), "/basis", RuleDutyToNotify)
}

// TestCatalogue: every kind is one of: about a survivor with a ground, an answer under another's ground, about nobody, in
// the service of consent, or a receipt; and what holds nothing about a survivor can hold nothing.
func TestCatalogue(t *testing.T) {
	schemas := map[string]bool{}
	for _, e := range Catalogue() {
		if schemas[e.Schema] || e.About == "" || len(e.Lanes) == 0 {
			t.Errorf("%s: schema twice, no words or no lane", e.Kind)
		}
		schemas[e.Schema] = true
		if e.typ == nil {
			continue
		}
		p := reflect.New(e.typ).Interface().(Payload)
		if p.Kind() != e.Kind || p.Schema() != e.Schema {
			t.Errorf("%s calls itself %s, %s", e.Kind, p.Kind(), p.Schema())
		}
		_, sharer := p.(Sharer)
		_, control := p.(ControlPayload)
		if control != e.Control || sharer && (control || e.Impersonal) || e.Control && e.Impersonal {
			t.Errorf("%s: sharer %v, control %v, impersonal %v", e.Kind, sharer, control, e.Impersonal)
		}
		if !sharer && !control && !e.Impersonal && e.Kind != KindReferralResponse {
			t.Errorf("%s is about a survivor and has no ground", e.Kind)
		}
		if e.Control || e.Impersonal {
			everyCategory(e.typ, func(name, c string) {
				if c != string(CategoryCaseAdmin) && name != "Worker" {
					t.Errorf("%s: %s is %s", e.Kind, name, c)
				}
			})
		}
		if e.Answer && e.Follows == "" {
			t.Errorf("%s answers nothing", e.Kind)
		}
		if e.Follows != "" {
			if _, ok := EntryOf(e.Follows); !ok {
				t.Errorf("%s follows an unknown kind", e.Kind)
			}
		}
		if d, ok := p.(Deadliner); ok {
			_ = d.Deadlines() // of an empty payload: no panic
		}
	}
}

// TestAdministratorsReadNothing: who proves the record is sent nothing about a survivor.
func TestAdministratorsReadNothing(t *testing.T) {
	for _, e := range Catalogue() {
		serves := e.Control || e.Kind == KindReceipt
		if MayTravel(e.Kind, RolePolice, RoleAdministrator) != serves || MayTravel(e.Kind, RoleAdministrator, RolePolice) != serves {
			t.Errorf("%s and administrators", e.Kind)
		}
	}
}

func everyCategory(t reflect.Type, f func(name, category string)) {
	t = elemOf(t)
	if t.Kind() != reflect.Struct || isTime(t) {
		return
	}
	for m := range members(t) {
		if c := m.field.Tag.Get("category"); c != "" {
			f(t.Name()+"."+m.name, c)
		}
		everyCategory(m.field.Type, f)
	}
}

// TestKindRules: what each kind needs and forbids beyond its tags.
func TestKindRules(t *testing.T) {
	vital := Sharing{Purposes: []Purpose{PurposeSupportPlanning}, LawfulBasis: LawfulBasis{Basis: BasisVitalInterests, Reason: BasisReasonDangerToLife, Justification: "x", AuthorisedBy: "x"}}
	three, zero := 3, 0
	at := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		p          any
		path, rule string
	}{
		"empty update":               {&ReferralUpdate{Sharing: vital}, "/state", RuleRequired},
		"on hold without why":        {&ReferralUpdate{Sharing: vital, State: CaseOnHold}, "/state_reason", RuleRequired},
		"why without state":          {&ReferralUpdate{Sharing: vital, StateReason: "x", Note: "x"}, "/state_reason", RuleForbidden},
		"domain twice":               {&ReferralUpdate{Sharing: vital, Outcomes: []OutcomeMeasure{{Domain: OutcomeSafety, Rating: &three, On: "2026-01-01"}, {Domain: OutcomeSafety, Rating: &zero, On: "2026-01-02"}}}, "/outcomes", RuleContradiction},
		"no rating":                  {&ReferralUpdate{Sharing: vital, Outcomes: []OutcomeMeasure{{Domain: OutcomeSafety, On: "2026-01-01"}}}, "/outcomes/0/rating", RuleRequired},
		"rated and not said":         {&ReferralUpdate{Sharing: vital, Outcomes: []OutcomeMeasure{{Domain: OutcomeSafety, Rating: &zero, PreferNotToSay: true, On: "2026-01-01"}}}, "/outcomes/0/rating", RuleForbidden},
		"places for ever":            {&Availability{AsOf: at, Until: at.AddDate(0, 3, 0)}, "/until", RuleDateOrder},
		"positive without recovery":  {&NRMDecision{Sharing: vital, Reference: "x", Stage: StageReasonableGrounds, Decision: DecisionPositive, Decided: "2026-01-01"}, "/recovery_period_ends", RuleRequired},
		"recovery after conclusive":  {&NRMDecision{Sharing: vital, Reference: "x", Stage: StageConclusiveGrounds, Decision: DecisionPositive, Decided: "2026-01-01", RecoveryPeriodEnds: "2026-03-01"}, "/recovery_period_ends", RuleForbidden},
		"negative without a way":     {&NRMDecision{Sharing: vital, Reference: "x", Stage: StageConclusiveGrounds, Decision: DecisionNegative, Decided: "2026-01-01"}, "/reconsideration_until", RuleRequired},
		"served before decided":      {&NRMDecision{Sharing: vital, Reference: "x", Stage: StageConclusiveGrounds, Decision: DecisionPositive, Decided: "2026-01-02", Served: "2026-01-01"}, "/served", RuleDateOrder},
		"entitled without a look":    {&SupportEntitlement{Sharing: vital, Type: EntitlementOutreach, Starts: "2026-01-01"}, "/review", RuleRequired},
		"ends before it starts":      {&SupportEntitlement{Sharing: vital, Type: EntitlementOutreach, Starts: "2026-01-02", Ends: "2026-01-01"}, "/ends", RuleDateOrder},
		"court date without hearing": {&JusticeUpdate{Sharing: vital, Event: JusticeCourtDate, On: "2026-01-01"}, "/hearing", RuleRequired},
		"told before it happened":    {&JusticeUpdate{Sharing: vital, Event: JusticeArrest, On: "2026-01-02", ToldSurvivor: "2026-01-01"}, "/told_survivor", RuleDateOrder},
		"C without conditions":       {&Intelligence{Sharing: vital, Prose: Prose{Text: "x"}, SourceNotIdentifiable: true, SanitisedBy: "x", About: []IntelligenceTopic{TopicPerson}, Handling: HandlingConditions}, "/conditions", RuleRequired},
		"P with conditions":          {&Intelligence{Sharing: vital, Prose: Prose{Text: "x"}, SourceNotIdentifiable: true, SanitisedBy: "x", About: []IntelligenceTopic{TopicPerson}, Handling: HandlingPermitted, Conditions: "x"}, "/conditions", RuleForbidden},
		"source identifiable":        {&Intelligence{Sharing: vital, Prose: Prose{Text: "x"}, SanitisedBy: "x", About: []IntelligenceTopic{TopicPerson}, Handling: HandlingPermitted}, "/source_not_identifiable", RuleRequired},
		"answered and refused":       {&InformationAnswer{Sharing: vital, Answers: []QuestionAnswer{{Number: 1, Text: "x", Refused: RefusalNotHeld}}}, "/answers/0/text", RuleForbidden},
		"neither":                    {&InformationAnswer{Sharing: vital, Answers: []QuestionAnswer{{Number: 1}}}, "/answers/0/text", RuleRequired},
		"retained on nothing":        {&HolderAnswer{Outcome: HolderRetained}, "/basis", RuleRequired},
		"retained on the consent":    {&HolderAnswer{Outcome: HolderRetained, Basis: BasisConsent, Reason: RetentionLegalClaims, Until: "2027-01-01"}, "/basis", RuleForbidden},
		"erased until":               {&HolderAnswer{Outcome: HolderErased, Until: "2027-01-01"}, "/until", RuleForbidden},
		"wait not said":              {&ReferralResponse{Outcome: ResponseWaitlisted}, "/expected_wait", RuleRequired},
	} {
		t.Run(name, func(t *testing.T) { wantProblem(t, Validate(c.p), c.path, c.rule) })
	}
	if !(&ReferralUpdate{Alert: &SafetyAlert{What: AlertMissing}}).MustBeUrgent() || (&ReferralUpdate{Alert: &SafetyAlert{What: AlertFound}}).MustBeUrgent() ||
		!(&JusticeUpdate{Event: JusticeReleased}).MustBeUrgent() || (&JusticeUpdate{Event: JusticeCharge}).MustBeUrgent() {
		t.Error("urgency")
	}
}
