package schemas

import (
	"strings"

	"github.com/go-json-experiment/json"
)

// The rules across members as JSON Schema, in the order of the methods Rules that they mirror. The property
// test TestValidatorAgreesWithJSONSchema finds a rule that is changed in one of the two places only.

// maybeChild is Person.knownChild.
const maybeChild = `{"anyOf": [
	{"properties": {"age_disputed": {"const": true}}, "required": ["age_disputed"]},
	{"properties": {"age": {"maximum": 17}}, "required": ["age"]},
	{"properties": {"age_range": {"enum": ["child", "unknown"]}}, "required": ["age_range"]},
	{"not": {"anyOf": [{"required": ["age"]}, {"required": ["age_range"]}, {"required": ["date_of_birth"]}]}}
]}`

const onConsent = `{"properties": {"basis": {"const": "consent"}}, "required": ["basis"]}`

func (r *Referral) schemaRules() string {
	return `[
	{"not": {"properties": {"lawful_basis": ` + onConsent + `, "person": ` + maybeChild + `}, "required": ["lawful_basis", "person"]}},
	{
		"if": {"properties": {"person": {"properties": {"contact": {"minProperties": 1}}, "required": ["contact"]}}, "required": ["person"]},
		"then": {"required": ["safe_contact"]}
	},
	` + channel("phones", "may_call") + `,
	` + channel("emails", "may_email") + `,
	` + channel("addresses", "may_write") + `,
	{"properties": {"referrer": {"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}}}
	]`
}

// channel says: who gives such a detail says whether it may be used.
func channel(detail, permission string) string {
	return strings.NewReplacer("DETAIL", detail, "PERMISSION", permission).Replace(`{
		"if": {"properties": {
			"person": {"properties": {"contact": {"required": ["DETAIL"]}}, "required": ["contact"]},
			"safe_contact": {"not": {"properties": {"do_not_contact": {"const": true}}, "required": ["do_not_contact"]}}
		}, "required": ["person", "safe_contact"]},
		"then": {"properties": {"safe_contact": {"required": ["PERMISSION"]}}}
	}`)
}

func (b *LawfulBasis) schemaRules() string {
	papers := make(map[string]any)
	for _, name := range overrideMembers {
		papers[name] = false
	}
	return `[
	{
		"if": ` + onConsent + `,
		"then": {"properties": ` + mustJSON(papers) + `},
		"else": {"required": ["reason", "authorised_by"]}
	},
	{"if": {"properties": {"basis": {"const": "consent"}}}, "else": {"required": ["justification"]}},
	{"properties": {"basis": {"not": {"const": "duty-to-notify"}}}}
	]`
}

func (p *Person) schemaRules() string {
	return `[{"not": {"properties": {"stateless": {"const": true}}, "required": ["stateless", "nationalities"]}}]`
}

func (s *SafeContact) schemaRules() string {
	return `[
	{
		"if": {"properties": {"do_not_contact": {"const": true}}, "required": ["do_not_contact"]},
		"then": {"properties": {"may_call": {"const": false}, "may_text": {"const": false}, "may_email": {"const": false},
			"may_write": {"const": false}, "may_leave_message": {"const": false}}}
	},
	{
		"if": {"properties": {"may_call": {"const": true}}, "required": ["may_call"]},
		"then": {"required": ["say_if_someone_else_answers"]}
	}
	]`
}

func (r *ReferralResponse) schemaRules() string {
	var fragments []any
	for _, outcome := range responseOutcomes() {
		others := make(map[string]any)
		for _, name := range responseOnlyWith {
			others[name] = false
		}
		for _, name := range responseMembers[outcome] {
			delete(others, name)
		}
		then := object{"properties": others}
		switch outcome {
		case ResponseDeclined:
			then["required"] = []string{"decline_reason"}
		case ResponseInformationNeeded:
			then["required"] = []string{"questions"}
		case ResponseRedirected:
			then["required"] = []string{"redirect_to"}
		case ResponseWaitlisted:
			then["required"] = []string{"expected_wait"}
		}
		fragments = append(fragments, object{
			"if":   object{"properties": object{"outcome": object{"const": outcome}}, "required": []string{"outcome"}},
			"then": then,
		})
	}
	fragments = append(fragments, object{
		"if":   object{"properties": object{"decline_reason": object{"const": DeclineOther}}, "required": []string{"decline_reason"}},
		"then": object{"required": []string{"decline_text"}},
	})
	return mustJSON(fragments)
}

func (r *Receipt) schemaRules() string {
	return `[{"if": {"properties": {"outcome": {"const": "delivered"}}}, "else": {"required": ["code"]}}]`
}

func (c *ConsentNotice) schemaRules() string {
	return `[{
		"if": {"properties": {"change": {"const": "stands"}}},
		"then": {"required": ["statement"], "properties": {"replacement": false}},
		"else": {"required": ["replacement"], "properties": {"statement": false}}
	}]`
}

func (w *HolderAnswer) schemaRules() string {
	return `[
	{
		"if": {"properties": {"outcome": {"const": "retained"}}},
		"then": {"required": ["basis", "reason", "until"]},
		"else": {"properties": {"basis": false, "reason": false, "until": false}}
	},
	{"properties": {"basis": {"not": {"const": "consent"}}}}
	]`
}

func (c *Consent) schemaRules() string {
	return `[
	{"properties": {"recipients": {"minProperties": 1}}},
	{"if": {"required": ["expires"]}, "then": {"properties": {"valid_for_days": {"const": 0}}}}
	]`
}

func (u *ReferralUpdate) schemaRules() string {
	return `[
	{"anyOf": [{"required": ["state"]}, {"required": ["outcomes"]}, {"required": ["milestones"]}, {"required": ["alert"]}, {"required": ["exit"]}, {"required": ["note"]}]},
	{"if": {"properties": {"state": {"enum": ["on-hold", "failed", "cancelled"]}}, "required": ["state"]}, "then": {"required": ["state_reason"]}},
	{"if": {"required": ["state_reason"]}, "then": {"required": ["state"]}}
	]`
}

func (o *OutcomeMeasure) schemaRules() string {
	return `[{
		"if": {"properties": {"prefer_not_to_say": {"const": true}}, "required": ["prefer_not_to_say"]},
		"then": {"properties": {"rating": false}},
		"else": {"required": ["rating"]}
	}]`
}

func (d *NRMDecision) schemaRules() string {
	return `[
	{
		"if": {"properties": {"stage": {"enum": ["reasonable-grounds", "reasonable-grounds-reconsidered"]}, "decision": {"const": "positive"}}},
		"then": {"required": ["recovery_period_ends"]},
		"else": {"properties": {"recovery_period_ends": false}}
	},
	{"if": {"properties": {"decision": {"const": "negative"}}, "required": ["decision"]}, "then": {"required": ["reconsideration_until"]}}
	]`
}

func (s *SupportEntitlement) schemaRules() string {
	return `[{"anyOf": [{"required": ["ends"]}, {"required": ["review"]}]}]`
}

func (j *JusticeUpdate) schemaRules() string {
	return `[
	{"if": {"properties": {"event": {"const": "court-date"}}, "required": ["event"]}, "then": {"required": ["hearing"]}},
	{"if": {"properties": {"event": {"const": "special-measures"}}, "required": ["event"]}, "then": {"required": ["special_measures"]}}
	]`
}

func (i *Intelligence) schemaRules() string {
	return `[
	{"if": {"properties": {"handling": {"const": "C"}}, "required": ["handling"]}, "then": {"required": ["conditions"]}},
	{"if": {"properties": {"handling": {"const": "P"}}, "required": ["handling"]}, "then": {"properties": {"conditions": false}}}
	]`
}

func (a *QuestionAnswer) schemaRules() string {
	return `[
	{"oneOf": [{"required": ["text"]}, {"required": ["refused"]}]},
	{"if": {"required": ["text_categories"]}, "then": {"required": ["text"]}}
	]`
}

func (d *DutyToNotify) schemaRules() string {
	return `[{"properties": {"age_range": {"not": {"enum": ["child", "unknown"]}}}}]`
}

// mustJSON encodes what this file builds out of its own words.
func mustJSON(v any) string {
	b, err := json.Marshal(v, json.Deterministic(true))
	must(err)
	return string(b)
}
