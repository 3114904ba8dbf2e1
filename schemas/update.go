package schemas

// ReferralUpdate (referral-update.v1) says how things go after a referral was answered: where it stands, how the survivor
// is, what was reached, that somebody is missing, how it ended.
type ReferralUpdate struct {
	Sharing
	State       CaseState          `json:"state,omitzero" validate:"omitempty,code" category:"case-admin"`
	StateReason string             `json:"state_reason,omitzero" validate:"omitempty,max=1000,prose" category:"support-needs"`
	Outcomes    []OutcomeMeasure   `json:"outcomes,omitempty" validate:"omitempty,max=7,dive"`
	Milestones  []SupportMilestone `json:"milestones,omitempty" validate:"omitempty,max=40,dive"`
	Alert       *SafetyAlert       `json:"alert,omitzero" validate:"omitempty"`
	Exit        *SupportExit       `json:"exit,omitzero" validate:"omitempty"`
	Note        string             `json:"note,omitzero" validate:"omitempty,max=4000,prose" category:"support-needs"`
	Worker      *Worker            `json:"worker,omitzero" validate:"omitempty"`
}

// Schema returns "referral-update.v1".
func (u *ReferralUpdate) Schema() string { return SchemaReferralUpdate }

// Kind returns KindReferralUpdate.
func (u *ReferralUpdate) Kind() Kind { return KindReferralUpdate }

// MustBeUrgent reports whether a survivor is missing, or in danger of being trafficked again.
func (u *ReferralUpdate) MustBeUrgent() bool { return u.Alert != nil && u.Alert.What != AlertFound }

// Rules checks that an update says something, and why where that is needed.
func (u *ReferralUpdate) Rules() (problems []Problem) {
	if u.State == "" && len(u.Outcomes) == 0 && len(u.Milestones) == 0 && u.Alert == nil && u.Exit == nil && u.Note == "" {
		problems = append(problems, Problem{"/state", RuleRequired, "say at least one thing: state, outcomes, milestones, alert, exit or note"})
	}
	switch u.State {
	case CaseOnHold, CaseFailed, CaseCancelled:
		if u.StateReason == "" {
			problems = append(problems, Problem{"/state_reason", RuleRequired, "say in words why"})
		}
	case "":
		if u.StateReason != "" {
			problems = append(problems, Problem{"/state_reason", RuleForbidden, "a reason belongs to a state"})
		}
	}
	seen := map[OutcomeDomain]bool{}
	for _, o := range u.Outcomes {
		if seen[o.Domain] {
			problems = append(problems, Problem{"/outcomes", RuleContradiction, "each domain once in one update"})
			break
		}
		seen[o.Domain] = true
	}
	return problems
}

// OutcomeMeasure is how one thing is going, in the survivor's own judgement (Modern Slavery Core Outcome Set).
type OutcomeMeasure struct {
	Domain         OutcomeDomain `json:"domain" validate:"required,code" category:"support-needs"`
	Rating         *int          `json:"rating,omitzero" validate:"omitempty,min=0,max=4" category:"support-needs"` // 0 not at all, 4 fully
	PreferNotToSay bool          `json:"prefer_not_to_say,omitzero" category:"support-needs"`
	On             Date          `json:"on" validate:"required,date" category:"case-admin"`
	Words          string        `json:"words,omitzero" validate:"omitempty,max=1000,prose" category:"support-needs"`
}

// Rules checks that there is one answer: a rating, or that none is given.
func (o *OutcomeMeasure) Rules() (problems []Problem) {
	switch {
	case o.Rating == nil && !o.PreferNotToSay:
		problems = append(problems, Problem{"/rating", RuleRequired, "the survivor's own rating from 0 to 4, or prefer_not_to_say"})
	case o.Rating != nil && o.PreferNotToSay:
		problems = append(problems, Problem{"/rating", RuleForbidden, "a rating and prefer_not_to_say contradict each other"})
	}
	return problems
}

// SupportMilestone is one step of a support plan.
type SupportMilestone struct {
	Need    Need   `json:"need" validate:"required,code" category:"support-needs"`
	What    string `json:"what" validate:"required,max=300,line" category:"support-needs"`
	Due     Date   `json:"due,omitzero" validate:"omitempty,date" category:"support-needs"`
	Reached Date   `json:"reached,omitzero" validate:"omitempty,date" category:"support-needs"`
	Dropped bool   `json:"dropped,omitzero" category:"support-needs"` // by the survivor's own choice
}

// SafetyAlert says that a survivor is missing, or may be in a trafficker's hands again.
type SafetyAlert struct {
	What     AlertKind `json:"what" validate:"required,code" category:"risk"`
	When     Date      `json:"when" validate:"required,date" category:"risk"`
	LastSeen string    `json:"last_seen,omitzero" validate:"omitempty,max=300,line" category:"location"` // in general terms
	Risk     string    `json:"risk,omitzero" validate:"omitempty,max=2000,prose" category:"risk"`
	Informed []Role    `json:"informed,omitempty" validate:"omitempty,max=11,unique,dive,code" category:"case-admin"`
}

// SupportExit is how support ended and who goes on.
type SupportExit struct {
	Reason        ExitReason   `json:"reason" validate:"required,code" category:"support-needs"`
	On            Date         `json:"on" validate:"required,date" category:"support-needs"`
	HandedOverTo  string       `json:"handed_over_to,omitzero" validate:"omitempty,agency" category:"support-needs"`
	Accommodation Setting      `json:"accommodation,omitzero" validate:"omitempty,code" category:"location"`
	OpenNeeds     []Need       `json:"open_needs,omitempty" validate:"omitempty,max=24,unique,dive,code" category:"support-needs"`
	SafetyPlan    *bool        `json:"safety_plan,omitzero" category:"risk"`
	Contact       *SafeContact `json:"contact,omitzero" validate:"omitempty"`
}
