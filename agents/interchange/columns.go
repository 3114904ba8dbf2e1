package interchange

import "strings"

// shape is how a cell becomes a value.
type shape int

const (
	text     shape = iota // as it stands
	codes                 // several, separated by "|"
	yesNo                 // yes or no
	number                // a whole number
	lines                 // an address: several lines, separated by "|"
	fixed                 // no cell: a value that stands when any column beside it does
	firstOne              // one text, the only item of a list
	classes               // roles, separated by "|": each a class of recipients
)

// Column is one column of the import.
type Column struct {
	Name    string `json:"name"`
	Pointer string `json:"pointer"` // where its value stands in a submission
	About   string `json:"about,omitzero"`
	shape   shape
	value   string // of fixed
}

// Kind says in a word what a cell holds.
func (c Column) Kind() string {
	switch c.shape {
	case codes, lines, classes:
		return "list"
	case yesNo:
		return "yes/no"
	case number:
		return "number"
	}
	return "text"
}

// needed are the columns without which no row can be right.
var needed = []string{"urgency", "purposes", "basis", "referrer_name"}

// Columns returns the columns that a file may have, in the order of the documentation.
func Columns() (out []Column) {
	for _, c := range columns {
		if c.shape != fixed {
			out = append(out, c)
		}
	}
	return out
}

// columns is built once and never changed. Names are flat and stable; pointers follow submission.v1.
var columns = []Column{
	{"to", "/to", "agency to send to", text, ""},
	{"certificates", "/certificates", "ids of consent certificates that the agency holds", codes, ""},

	{"reference", "/referral/reference", "your own reference", text, ""},
	{"urgency", "/referral/urgency", "how soon", text, ""},
	{"urgency_reason", "/referral/urgency_reason", "", text, ""},
	{"purposes", "/referral/purposes", "what it is for", codes, ""},
	{"needs", "/referral/needs", "help that is needed", codes, ""},
	{"summary", "/referral/summary", "what help is needed and why now", text, ""},
	{"summary_categories", "/referral/summary_categories", "what else the summary tells", codes, ""},
	{"basis", "/referral/lawful_basis/basis", "lawful basis", text, ""},
	{"condition", "/referral/lawful_basis/condition", "", text, ""},
	{"basis_reason", "/referral/lawful_basis/reason", "why without consent", text, ""},
	{"justification", "/referral/lawful_basis/justification", "", text, ""},
	{"authorised_by", "/referral/lawful_basis/authorised_by", "role of the officer", text, ""},

	{"name", "/referral/person/names/0/text", "whole name as written", text, ""},
	{"name_latin", "/referral/person/names/0/latin", "", text, ""},
	{"family_name", "/referral/person/names/0/family", "", text, ""},
	{"given_name", "/referral/person/names/0/given", "", text, ""},
	{"", "/referral/person/names/0/use", "", fixed, "used"},
	{"date_of_birth", "/referral/person/date_of_birth", "YYYY-MM-DD", text, ""},
	{"age", "/referral/person/age", "", number, ""},
	{"age_range", "/referral/person/age_range", "", text, ""},
	{"age_disputed", "/referral/person/age_disputed", "", yesNo, ""},
	{"gender", "/referral/person/gender", "", text, ""},
	{"nationalities", "/referral/person/nationalities", "ISO 3166-1", codes, ""},
	{"immigration_status", "/referral/person/immigration_status", "", text, ""},
	{"faith", "/referral/person/faith", "", text, ""},
	{"diet", "/referral/person/diet", "", text, ""},
	{"phone", "/referral/person/contact/phones/0/number", "+44…", text, ""},
	{"phone_owner", "/referral/person/contact/phones/0/whose", "", text, ""},
	{"email", "/referral/person/contact/emails", "", firstOne, ""},
	{"address", "/referral/person/contact/addresses/0/lines", "", lines, ""},
	{"postcode", "/referral/person/contact/addresses/0/postcode", "", text, ""},

	{"do_not_contact", "/referral/safe_contact/do_not_contact", "", yesNo, ""},
	{"may_call", "/referral/safe_contact/may_call", "", yesNo, ""},
	{"may_text", "/referral/safe_contact/may_text", "", yesNo, ""},
	{"may_email", "/referral/safe_contact/may_email", "", yesNo, ""},
	{"may_write", "/referral/safe_contact/may_write", "", yesNo, ""},
	{"may_leave_message", "/referral/safe_contact/may_leave_message", "", yesNo, ""},
	{"contact_when", "/referral/safe_contact/when", "", text, ""},
	{"who_may_answer", "/referral/safe_contact/who_may_answer", "", text, ""},
	{"say_if_someone_else_answers", "/referral/safe_contact/say_if_someone_else_answers", "", text, ""},
	{"code_word", "/referral/safe_contact/code_word", "", text, ""},
	{"caller_id", "/referral/safe_contact/caller_id", "", text, ""},
	{"phone_watched", "/referral/safe_contact/phone_watched", "", text, ""},

	{"language", "/referral/language/preferred", "BCP 47", text, ""},
	{"other_languages", "/referral/language/others", "", codes, ""},
	{"dialect", "/referral/language/dialect", "", text, ""},
	{"interpreter_needed", "/referral/language/interpreter_needed", "", yesNo, ""},
	{"interpreter_gender", "/referral/language/interpreter_gender", "", text, ""},
	{"interpreter_not_same_community", "/referral/language/interpreter_not_same_community", "", yesNo, ""},

	{"immediate_danger", "/referral/risk/immediate_danger", "", yesNo, ""},
	{"risk_level", "/referral/risk/level", "", text, ""},
	{"risk_from", "/referral/risk/from", "", codes, ""},
	{"exploiter_knows_where", "/referral/risk/exploiter_knows_where", "", text, ""},
	{"going_missing", "/referral/risk/going_missing", "", text, ""},
	{"self_harm", "/referral/risk/self_harm", "", text, ""},
	{"threats", "/referral/risk/threats", "", text, ""},
	{"safety_plan", "/referral/risk/safety_plan", "", text, ""},

	{"exploitation_types", "/referral/exploitation/types", "", codes, ""},
	{"sexual_types", "/referral/exploitation/sexual", "", codes, ""},
	{"industries", "/referral/exploitation/industries", "letters of ISIC", codes, ""},
	{"controls", "/referral/exploitation/controls", "", codes, ""},
	{"recruitment", "/referral/exploitation/recruitment", "", codes, ""},
	{"exploitation_countries", "/referral/exploitation/countries", "", codes, ""},
	{"exploitation_from", "/referral/exploitation/from", "", text, ""},
	{"exploitation_until", "/referral/exploitation/until", "", text, ""},
	{"exploitation_ongoing", "/referral/exploitation/ongoing", "", text, ""},
	{"exploitation_as_child", "/referral/exploitation/as_child", "", text, ""},
	{"exploitation_description", "/referral/exploitation/description", "", text, ""},

	{"country", "/referral/location/country", "where the survivor is", text, ""},
	{"region", "/referral/location/region", "ISO 3166-2", text, ""},
	{"place", "/referral/location/place", "", text, ""},
	{"setting", "/referral/location/setting", "", text, ""},
	{"safe_to_stay", "/referral/location/safe_to_stay", "", yesNo, ""},
	{"safe_until", "/referral/location/safe_until", "", text, ""},
	{"avoid_places", "/referral/location/avoid", "", codes, ""},

	{"access_needs", "/referral/accessibility/needs", "", codes, ""},
	{"adjustments", "/referral/accessibility/adjustments", "", text, ""},
	{"urgent_care", "/referral/health/urgent_care", "", yesNo, ""},
	{"pregnant", "/referral/health/pregnant", "", text, ""},
	{"health_conditions", "/referral/health/conditions", "", text, ""},
	{"medication", "/referral/health/medication", "", text, ""},
	{"allergies", "/referral/health/allergies", "", text, ""},
	{"mental_health", "/referral/health/mental_health", "", text, ""},

	{"police_force", "/referral/police/force", "", text, ""},
	{"crime_reference", "/referral/police/crime_reference", "", text, ""},
	{"police_status", "/referral/police/status", "", text, ""},
	{"nrm_wish", "/referral/nrm/wish", "", text, ""},
	{"nrm_reference", "/referral/nrm/reference", "", text, ""},

	{"referrer_name", "/referral/referrer/name", "worker to ask", text, ""},
	{"referrer_role", "/referral/referrer/role", "", text, ""},
	{"referrer_team", "/referral/referrer/team", "", text, ""},
	{"referrer_phone", "/referral/referrer/phone", "", text, ""},
	{"referrer_email", "/referral/referrer/email", "", text, ""},

	{"consent_survivor", "/consent/survivor", "a pseudonym", text, ""},
	{"consent_purposes", "/consent/purposes", "", codes, ""},
	{"consent_categories", "/consent/categories", "", codes, ""},
	{"consent_agencies", "/consent/recipients/agencies", "", codes, ""},
	{"consent_roles", "/consent/recipients/classes", "", classes, ""},
	{"consent_onward", "/consent/onward", "", text, ""},
	{"consent_form", "/consent/form", "", text, ""},
	{"consent_language", "/consent/language", "", text, ""},
	{"consent_interpreter", "/consent/interpreter", "", yesNo, ""},
	{"consent_capacity", "/consent/capacity", "", text, ""},
	{"consent_present", "/consent/present", "", text, ""},
	{"consent_explained_by", "/consent/explained_by", "role, not name", text, ""},
	{"consent_withdrawal_explained", "/consent/withdrawal_explained", "", yesNo, ""},
	{"consent_free_of_pressure", "/consent/free_of_pressure", "", yesNo, ""},
	{"consent_words", "/consent/words", "", text, ""},
	{"consent_notice_version", "/consent/notice_version", "", text, ""},
	{"consent_jurisdiction", "/consent/jurisdiction", "", text, ""},
	{"consent_given", "/consent/given", "2026-03-01T09:30:00Z", text, ""},
	{"consent_valid_for_days", "/consent/valid_for_days", "", number, ""},
	{"consent_how_to_withdraw", "/consent/how_to_withdraw", "", text, ""},
}

// columnAt names the column whose value stands at a pointer, above it or below it; a part of which the file could have
// columns, but has none, is named by its own path.
func columnAt(pointer string) string {
	best, length := "", -1
	for _, c := range columns {
		if c.shape != fixed && (pointer == c.Pointer || strings.HasPrefix(pointer, c.Pointer+"/")) && len(c.Pointer) > length {
			best, length = c.Name, len(c.Pointer)
		}
	}
	if best == "" {
		best = "(" + strings.ReplaceAll(strings.TrimPrefix(strings.TrimPrefix(pointer, "/referral"), "/"), "/", " ") + ")"
	}
	return best
}
