package schemas

import (
	"time"
)

// Rules checks that the age is consistent in itself.
func (p *Person) Rules() (problems []Problem) {
	if low, high, ok := p.AgeRange.years(); ok && p.Age != nil && (*p.Age < low || *p.Age > high) {
		problems = append(problems, Problem{"/age_range", RuleContradiction, "the age range does not fit the age"})
	}
	if p.Stateless && len(p.Nationalities) > 0 {
		problems = append(problems, Problem{"/nationalities", RuleForbidden, "a stateless person has no nationality; leave one of the two out"})
	}
	return problems
}

// Rules checks that instructions do not contradict one another. Who reads "do not contact" and "may call" will
// do one of them.
func (s *SafeContact) Rules() (problems []Problem) {
	may := []struct {
		name string
		set  *bool
	}{
		{"may_call", s.MayCall}, {"may_text", s.MayText}, {"may_email", s.MayEmail}, {"may_write", s.MayWrite},
		{"may_leave_message", s.MayLeaveMessage},
	}
	for _, m := range may {
		if s.DoNotContact && m.set != nil && *m.set {
			problems = append(problems, Problem{"/" + m.name, RuleForbidden, "do_not_contact and permission to contact contradict each other"})
		}
	}
	if s.MayCall != nil && *s.MayCall && s.SayIfOther == "" {
		problems = append(problems, Problem{"/say_if_someone_else_answers", RuleRequired, "write what to say when somebody else answers the call"})
	}
	return problems
}

// Rules checks the order of dates.
func (e *Exploitation) Rules() (problems []Problem) {
	for i, date := range []PartialDate{e.From, e.Until} {
		if len(date) == len(time.DateOnly) && !isDate(string(date)) {
			problems = append(problems, Problem{[]string{"/from", "/until"}[i], RuleContradiction, "there is no such day"})
		}
	}
	if e.From != "" && e.Until != "" && before(string(e.Until), string(e.From)) {
		problems = append(problems, Problem{"/until", RuleDateOrder, "until comes before from"})
	}
	return problems
}

// Rules checks the order of dates: referral, reasonable grounds, conclusive grounds, end of support.
func (n *NRM) Rules() (problems []Problem) {
	steps := []struct {
		name string
		date Date
	}{
		{"referred", n.Referred}, {"reasonable_grounds_on", n.ReasonableOn}, {"conclusive_grounds_on", n.ConclusiveOn},
	}
	var latest Date
	for _, s := range steps {
		if s.date == "" {
			continue
		}
		if latest != "" && before(string(s.date), string(latest)) {
			problems = append(problems, Problem{"/" + s.name, RuleDateOrder, "this step comes before an earlier one"})
		}
		latest = s.date
	}
	if n.SupportEnds != "" && n.Referred != "" && before(string(n.SupportEnds), string(n.Referred)) {
		problems = append(problems, Problem{"/support_ends", RuleDateOrder, "support cannot end before the referral"})
	}
	return problems
}
