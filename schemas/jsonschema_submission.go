package schemas

import "reflect"

// schemaRules mirrors Submission.Rules.
func (s *Submission) schemaRules() string {
	var oneOf, fragments []any
	withConsent := []any{object{"required": []string{"consent"}}, object{"required": []string{"certificates"}}, object{"required": []string{"thread"}}, object{"required": []string{"reply_to"}}}
	for _, m := range payloadMembers() {
		here := object{"required": []string{m.name}}
		oneOf = append(oneOf, here)
		then := object{}
		if m.kind == KindReferral || len(m.e.Lanes) == 1 {
			then["urgent"] = object{"const": false}
		}
		_, shares := reflect.New(m.e.typ).Interface().(Sharer)
		if !shares || m.kind == KindDutyToNotify {
			then["consent"], then["certificates"] = false, false
		}
		rule := object{"properties": then}
		if m.e.Answer {
			rule["required"] = []string{"reply_to"}
		}
		fragments = append(fragments, object{"if": here, "then": rule})
		if shares && m.kind != KindDutyToNotify {
			basis := object{"properties": object{"lawful_basis": object{"properties": object{"basis": object{"const": BasisConsent}}, "required": []string{"basis"}}}, "required": []string{"lawful_basis"}}
			fragments = append(fragments, object{"if": object{"properties": object{m.name: basis}, "required": []string{m.name}}, "then": object{"anyOf": withConsent}})
		}
	}
	fragments = append(fragments, object{"oneOf": oneOf})
	return `[
	{"not": {"properties": {"referral": {"properties": {"person": ` + maybeChild + `}, "required": ["person"]}}, "required": ["consent", "referral"]}},
	` + mustJSON(fragments)[1:]
}
