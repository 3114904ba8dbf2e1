package schemas

import (
	"reflect"
	"sync"
	"time"
)

// Submission (submission.v1) is the one document that an agency's system hands to its agent. It never leaves
// the agency: the agent makes the message out of it. Exactly one of the members from Referral on is the message.
type Submission struct {
	To           string   `json:"to,omitzero" validate:"omitempty,agency" category:"case-admin"`
	Thread       string   `json:"thread,omitzero" validate:"omitempty,thread_id" category:"case-admin"`    // continue or forward
	ReplyTo      string   `json:"reply_to,omitzero" validate:"omitempty,message_id" category:"case-admin"` // the message answered
	Urgent       bool     `json:"urgent,omitzero" category:"case-admin"`                                   // ask for the urgent lane
	Consent      *Consent `json:"consent,omitzero" validate:"omitempty"`                                   // new: the agent signs it into a certificate
	Certificates []string `json:"certificates,omitempty" validate:"omitempty,max=8,unique,dive,thread_id" category:"case-admin"`
	Minimise     bool     `json:"minimise,omitzero" category:"case-admin"`    // leave out what is not covered
	Reconfirmed  bool     `json:"reconfirmed,omitzero" category:"case-admin"` // the survivor was asked again before this passing on

	Referral             *Referral             `json:"referral,omitzero" validate:"omitempty"`
	ReferralUpdate       *ReferralUpdate       `json:"referral_update,omitzero" validate:"omitempty"`
	DutyToNotify         *DutyToNotify         `json:"duty_to_notify,omitzero" validate:"omitempty"`
	Availability         *Availability         `json:"availability,omitzero" validate:"omitempty"`
	NRMDecision          *NRMDecision          `json:"nrm_decision,omitzero" validate:"omitempty"`
	SupportEntitlement   *SupportEntitlement   `json:"support_entitlement,omitzero" validate:"omitempty"`
	JusticeUpdate        *JusticeUpdate        `json:"justice_update,omitzero" validate:"omitempty"`
	Intelligence         *Intelligence         `json:"intelligence,omitzero" validate:"omitempty"`
	IntelligenceFeedback *IntelligenceFeedback `json:"intelligence_feedback,omitzero" validate:"omitempty"`
	InformationRequest   *InformationRequest   `json:"information_request,omitzero" validate:"omitempty"`
	InformationAnswer    *InformationAnswer    `json:"information_answer,omitzero" validate:"omitempty"`
	Message              *Message              `json:"message,omitzero" validate:"omitempty"`
}

// Schema returns "submission.v1".
func (s *Submission) Schema() string { return SchemaSubmission }

// Forwards reports whether the submission continues a thread. The agent then adds the certificates of the
// thread by itself.
func (s *Submission) Forwards() bool { return s.Thread != "" || s.ReplyTo != "" }

// submissionMember is where a payload stands in a submission.
type submissionMember struct {
	name string
	kind Kind
	e    Entry
}

// payloadMembers are the members of a submission that hold a message, in order.
func payloadMembers() (out []submissionMember) {
	for m := range members(reflect.TypeFor[Submission]()) {
		if m.field.Type.Kind() != reflect.Pointer {
			continue
		}
		p, ok := reflect.New(m.field.Type.Elem()).Interface().(Payload)
		if !ok {
			continue
		}
		e, _ := EntryOf(p.Kind())
		out = append(out, submissionMember{m.name, p.Kind(), e})
	}
	return out
}

// Payload returns the message inside, nil when there is none or more than one.
func (s *Submission) Payload() Payload {
	v := reflect.ValueOf(s).Elem()
	var found Payload
	for _, i := range payloadFields() {
		if f := v.Field(i); !f.IsNil() {
			if found != nil {
				return nil
			}
			found = f.Interface().(Payload)
		}
	}
	return found
}

// payloadFields are the fields of a submission that hold a message.
var payloadFields = sync.OnceValue(func() (out []int) {
	t := reflect.TypeFor[Submission]()
	for i := range t.NumField() {
		if t.Field(i).Type.Implements(reflect.TypeFor[Payload]()) {
			out = append(out, i)
		}
	}
	return out
})

// Rules checks that the submission is one message and brings the consent that it relies on.
func (s *Submission) Rules() (problems []Problem) {
	add := func(path, rule, hint string) { problems = append(problems, Problem{path, rule, hint}) }
	p := s.Payload()
	if p == nil {
		first := ""
		for _, m := range payloadMembers() {
			if !isSet(s, m.name) {
				continue
			}
			if first != "" {
				add("/"+m.name, RuleForbidden, "one submission is one message; send this one by itself")
			}
			first = m.name
		}
		if first == "" {
			add("/referral", RuleRequired, "give the message: referral, or one of the other kinds (schemas/README.md)")
		}
		return problems
	}
	e, _ := EntryOf(p.Kind())
	if s.Urgent && (p.Kind() == KindReferral || len(e.Lanes) == 1) {
		add("/urgent", RuleForbidden, "leave it out: a referral's urgency decides its lane, and this kind has one lane")
	}
	if e.Answer && s.ReplyTo == "" {
		add("/reply_to", RuleRequired, "name the message that this answers")
	}
	sharer, shares := p.(Sharer)
	if shares && sharer.Ground().Basis == BasisConsent && s.Consent == nil && len(s.Certificates) == 0 && !s.Forwards() {
		add("/consent", RuleRequired, "record the consent, or name certificates that this agency holds")
	}
	if !shares || p.Kind() == KindDutyToNotify {
		const hint = "leave it out: a consent would link this message to a person"
		if s.Consent != nil {
			add("/consent", RuleForbidden, hint)
		}
		if len(s.Certificates) > 0 {
			add("/certificates", RuleForbidden, hint)
		}
	}
	if r := s.Referral; s.Consent != nil && r != nil && r.Person != nil && r.Person.knownChild() {
		add("/consent", RuleChildConsent, "a child, or a person whose age is disputed or unknown, is referred without consent, on another basis")
	}
	return problems
}

// RulesAt refuses a consent that is over or not given yet, and an age that does not fit the date of birth.
func (s *Submission) RulesAt(now time.Time) (problems []Problem) {
	add := func(path, rule, hint string) { problems = append(problems, Problem{path, rule, hint}) }
	if c := s.Consent; c != nil {
		if !c.Expires.IsZero() && !c.Expires.After(now) {
			add("/consent/expires", RuleDateOrder, "the consent is over; ask the survivor again")
		}
		if c.Given.After(now.Add(consentSkew)) {
			add("/consent/given", RuleDateFuture, "the consent is dated in the future; check the clock")
		}
	}
	p := personOf(s.Referral)
	if p == nil {
		return problems
	}
	age, ok := p.DateOfBirth.yearsAt(now)
	if !ok {
		return problems
	}
	if s.Consent != nil && age < adultAge {
		add("/referral/person/date_of_birth", RuleChildConsent, "a child is referred without consent, on another basis")
	}
	if p.Age != nil && *p.Age < age-1 {
		add("/referral/person/age", RuleContradiction, "the age does not fit the date of birth")
	}
	if _, high, ok := p.AgeRange.years(); ok && age > high+1 {
		add("/referral/person/age_range", RuleContradiction, "the age range does not fit the date of birth")
	}
	if age > 130 {
		add("/referral/person/date_of_birth", RuleContradiction, "check the year of birth")
	}
	return problems
}

// consentSkew is how far the clock of the machine on which a consent was recorded may run ahead.
const consentSkew = 5 * time.Minute

func personOf(r *Referral) *Person {
	if r == nil {
		return nil
	}
	return r.Person
}
