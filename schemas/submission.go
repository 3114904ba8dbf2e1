package schemas

import "time"

// Submission (submission.v1) is the one document that an agency's system hands to its agent. It never leaves
// the agency: the agent makes the message out of it.
type Submission struct {
	To           string    `json:"to,omitzero" validate:"omitempty,agency" category:"case-admin"`
	Thread       string    `json:"thread,omitzero" validate:"omitempty,thread_id" category:"case-admin"` // continue or forward
	Consent      *Consent  `json:"consent,omitzero" validate:"omitempty"`                                // new: the agent signs it into a certificate
	Certificates []string  `json:"certificates,omitempty" validate:"omitempty,max=8,unique,dive,thread_id" category:"case-admin"`
	Referral     *Referral `json:"referral" validate:"required"`
	ReplyTo      string    `json:"reply_to,omitzero" validate:"omitempty,message_id" category:"case-admin"`
	Urgent       bool      `json:"urgent,omitzero" category:"case-admin"`
	Minimise     bool      `json:"minimise,omitzero" category:"case-admin"`
	Reconfirmed  bool      `json:"reconfirmed,omitzero" category:"case-admin"`
}

// Payload returns the message inside.
func (s *Submission) Payload() Payload { return s.Referral }

// Schema returns "submission.v1".
func (s *Submission) Schema() string { return SchemaSubmission }

// Forwards reports whether the submission continues a thread. The agent then adds the certificates of the
// thread by itself.
func (s *Submission) Forwards() bool { return s.Thread != "" }

// Rules checks that the submission brings the consent that its referral relies on.
func (s *Submission) Rules() (problems []Problem) {
	r := s.Referral
	if r == nil {
		return nil
	}
	add := func(path, rule, hint string) { problems = append(problems, Problem{path, rule, hint}) }
	if r.LawfulBasis.Basis == BasisConsent && s.Consent == nil && len(s.Certificates) == 0 && !s.Forwards() {
		add("/consent", RuleRequired, "record the consent, or name certificates that this agency holds")
	}
	if r.Anonymous != nil {
		const hint = "leave it out: a consent would link the referral to a person"
		if s.Consent != nil {
			add("/consent", RuleForbidden, hint)
		}
		if len(s.Certificates) > 0 {
			add("/certificates", RuleForbidden, hint)
		}
	}
	if s.Consent != nil && r.Person != nil && r.Person.knownChild() {
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
