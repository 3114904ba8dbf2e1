package schemas

import "time"

// Rules checks what holds across members without a clock.
func (r *Referral) Rules() (problems []Problem) {
	add := func(path, rule, hint string) { problems = append(problems, Problem{path, rule, hint}) }
	if r.Person != nil && r.LawfulBasis.Basis == BasisConsent && r.Person.knownChild() {
		add("/lawful_basis/basis", RuleChildConsent, "a child, or a person whose age is disputed or unknown, is referred on another basis such as child-safeguarding")
	}
	if r.Person != nil && r.Person.Contact.any() && r.SafeContact == nil {
		add("/safe_contact", RuleRequired, "a contact detail needs safe-contact instructions")
	}
	if r.Person != nil && r.Person.Contact != nil && r.SafeContact != nil && !r.SafeContact.DoNotContact {
		c, s := r.Person.Contact, r.SafeContact
		if len(c.Phones) > 0 && s.MayCall == nil {
			add("/safe_contact/may_call", RuleRequired, "say whether the survivor may be called")
		}
		if len(c.Emails) > 0 && s.MayEmail == nil {
			add("/safe_contact/may_email", RuleRequired, "say whether it is safe to e-mail the survivor")
		}
		if len(c.Addresses) > 0 && s.MayWrite == nil {
			add("/safe_contact/may_write", RuleRequired, "say whether it is safe to write to the survivor")
		}
	}
	if r.Referrer.Phone == "" && r.Referrer.Email == "" {
		add("/referrer/phone", RuleRequired, "give a telephone number or an e-mail address of the referrer")
	}
	if r.Person != nil && r.Person.DateOfBirth != "" && r.Exploitation != nil && r.Exploitation.From != "" &&
		before(string(r.Exploitation.From), string(r.Person.DateOfBirth)) {
		add("/exploitation/from", RuleDateOrder, "exploitation cannot begin before birth")
	}
	return problems
}

// RulesAt checks what needs today's date.
func (r *Referral) RulesAt(now time.Time) (problems []Problem) {
	add := func(path, rule, hint string) { problems = append(problems, Problem{path, rule, hint}) }
	if p := r.Person; p != nil {
		if age, ok := p.DateOfBirth.yearsAt(now); ok {
			if r.LawfulBasis.Basis == BasisConsent && age < adultAge {
				add("/person/date_of_birth", RuleChildConsent, "a child is referred on another basis such as child-safeguarding")
			}
			// People grow older while messages wait, so only the impossible direction is checked here, and
			// the other where the referral is written (Submission).
			if p.Age != nil && *p.Age > age+1 {
				add("/person/age", RuleContradiction, "the age does not fit the date of birth")
			}
			if low, _, ok := p.AgeRange.years(); ok && low > age+1 {
				add("/person/age_range", RuleContradiction, "the age range does not fit the date of birth")
			}
		}
	}
	// A day of grace: it is tomorrow already somewhere.
	today := Date(now.UTC().AddDate(0, 0, 1).Format(time.DateOnly))
	future := func(path, date string) {
		if date != "" && before(string(today), date) {
			add(path, RuleDateFuture, "the date is in the future")
		}
	}
	if r.Person != nil {
		future("/person/date_of_birth", string(r.Person.DateOfBirth))
	}
	if r.Exploitation != nil {
		future("/exploitation/from", string(r.Exploitation.From))
		future("/exploitation/until", string(r.Exploitation.Until))
	}
	if r.Police != nil {
		future("/police/reported", string(r.Police.Reported))
	}
	if r.NRM != nil {
		future("/nrm/referred", string(r.NRM.Referred))
		future("/nrm/reasonable_grounds_on", string(r.NRM.ReasonableOn))
		future("/nrm/conclusive_grounds_on", string(r.NRM.ConclusiveOn))
	}
	return problems
}

// Rules checks that sharing without consent is reasoned and authorised, and that sharing with consent does not
// carry the papers of an override (Primero once recorded "overridden" whatever was chosen).
func (b *LawfulBasis) Rules() (problems []Problem) {
	if b.Basis == BasisConsent {
		const hint = "leave it out: consent is the basis and nothing is overridden"
		for i, given := range []string{string(b.Reason), b.Justification, b.AuthorisedBy} {
			if given != "" {
				problems = append(problems, Problem{"/" + overrideMembers[i], RuleForbidden, hint})
			}
		}
		return problems
	}
	if !Known(b.Basis) {
		return nil // a broken tag rule already
	}
	if b.Basis == BasisDutyToNotify {
		return []Problem{{"/basis", RuleDutyToNotify, "a notice that names nobody is a message of its own: duty_to_notify"}}
	}
	const hint = "sharing without consent is reasoned and authorised"
	if b.Reason == "" {
		problems = append(problems, Problem{"/reason", RuleRequired, hint})
	}
	if b.Justification == "" {
		problems = append(problems, Problem{"/justification", RuleRequired, hint})
	}
	if b.AuthorisedBy == "" {
		problems = append(problems, Problem{"/authorised_by", RuleRequired, hint + ": name the role of the officer"})
	}
	return problems
}

// overrideMembers are the papers of sharing without consent.
var overrideMembers = []string{"reason", "justification", "authorised_by"}
