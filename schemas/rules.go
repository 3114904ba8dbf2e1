package schemas

// Rules across members. The JSON Schema says them too, except those in beyondSchema.
const (
	RuleChildConsent  = "child_consent"  // a child has no adult consent
	RuleDutyToNotify  = "duty_to_notify" // a duty to notify has a kind of its own
	RuleDateOrder     = "date_order"
	RuleDateFuture    = "date_future"
	RuleContradiction = "contradiction"
)

// beyondSchema reports whether JSON Schema cannot say the rule that the problem breaks: it compares no members
// with one another and knows no clock. A test uses this to compare the two verdicts.
func beyondSchema(p Problem) bool {
	switch p.Rule {
	case RuleDateOrder, RuleDateFuture, RuleContradiction:
		return true
	case RuleChildConsent:
		return lastMember(p.Path) == "date_of_birth"
	}
	return false
}

func lastMember(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}
