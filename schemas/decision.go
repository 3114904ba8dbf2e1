package schemas

// NRMDecision (nrm-decision.v1) is a decision of the competent authority in the National Referral Mechanism.
type NRMDecision struct {
	Sharing
	Reference            string        `json:"reference" validate:"required,max=50,line" category:"legal"`
	Stage                DecisionStage `json:"stage" validate:"required,code" category:"legal"`
	Decision             Decision      `json:"decision" validate:"required,code" category:"legal"`
	Decided              Date          `json:"decided" validate:"required,date" category:"legal"`
	Served               Date          `json:"served,omitzero" validate:"omitempty,date" category:"legal"` // when the survivor was told
	ServedBy             string        `json:"served_by,omitzero" validate:"omitempty,max=100,line" category:"case-admin"`
	ReconsiderationUntil Date          `json:"reconsideration_until,omitzero" validate:"omitempty,date" category:"legal"`
	RecoveryPeriodEnds   Date          `json:"recovery_period_ends,omitzero" validate:"omitempty,date" category:"legal"`
	ReasonsGiven         bool          `json:"reasons_given,omitzero" category:"legal"`
	Summary              string        `json:"summary,omitzero" validate:"omitempty,max=4000,prose" category:"legal"`
	Officer              *Worker       `json:"officer,omitzero" validate:"omitempty"`
}

// Schema returns "nrm-decision.v1".
func (d *NRMDecision) Schema() string { return SchemaNRMDecision }

// Kind returns KindNRMDecision.
func (d *NRMDecision) Kind() Kind { return KindNRMDecision }

// Deadlines are the end of the recovery period and of the time to ask for reconsideration.
func (d *NRMDecision) Deadlines() map[string]Date {
	return map[string]Date{"recovery-period-end": d.RecoveryPeriodEnds, "reconsideration-request": d.ReconsiderationUntil}
}

// Rules checks that a positive decision on reasonable grounds says how long recovery lasts, that a negative one says until
// when it can be questioned, and the order of dates.
func (d *NRMDecision) Rules() (problems []Problem) {
	reasonable := d.Stage == StageReasonableGrounds || d.Stage == StageReasonableReconsidered
	if reasonable && d.Decision == DecisionPositive && d.RecoveryPeriodEnds == "" {
		problems = append(problems, Problem{"/recovery_period_ends", RuleRequired, "a positive decision on reasonable grounds says when the recovery period ends"})
	}
	if d.RecoveryPeriodEnds != "" && Known(d.Decision) && Known(d.Stage) && !(reasonable && d.Decision == DecisionPositive) {
		problems = append(problems, Problem{"/recovery_period_ends", RuleForbidden, "a recovery period follows a positive decision on reasonable grounds only"})
	}
	if d.Decision == DecisionNegative && d.ReconsiderationUntil == "" {
		problems = append(problems, Problem{"/reconsideration_until", RuleRequired, "say until when reconsideration can be asked for"})
	}
	// In one order: of two agents that refuse the same document both name the same problem first.
	for i, date := range []Date{d.Served, d.ReconsiderationUntil, d.RecoveryPeriodEnds} {
		if date != "" && d.Decided != "" && before(string(date), string(d.Decided)) {
			problems = append(problems, Problem{[]string{"/served", "/reconsideration_until", "/recovery_period_ends"}[i], RuleDateOrder, "it comes before the decision"})
		}
	}
	return problems
}

// SupportEntitlement (support-entitlement.v1) is the right to support: since when, until when, and when it is looked at
// again. Agents warn before it lapses.
type SupportEntitlement struct {
	Sharing
	Type      EntitlementType `json:"type" validate:"required,code" category:"support-needs"`
	Starts    Date            `json:"starts" validate:"required,date" category:"support-needs"`
	Ends      Date            `json:"ends,omitzero" validate:"omitempty,date" category:"support-needs"` // absent: open
	Review    Date            `json:"review,omitzero" validate:"omitempty,date" category:"support-needs"`
	Extension ExtensionState  `json:"extension,omitzero" validate:"omitempty,code" category:"support-needs"`
	EndReason ExitReason      `json:"end_reason,omitzero" validate:"omitempty,code" category:"support-needs"`
	Reference string          `json:"reference,omitzero" validate:"omitempty,max=64,line" category:"case-admin"`
	DecidedBy string          `json:"decided_by,omitzero" validate:"omitempty,max=100,line" category:"case-admin"`
	Note      string          `json:"note,omitzero" validate:"omitempty,max=2000,prose" category:"support-needs"`
}

// Schema returns "support-entitlement.v1".
func (s *SupportEntitlement) Schema() string { return SchemaSupportEntitlement }

// Kind returns KindSupportEntitlement.
func (s *SupportEntitlement) Kind() Kind { return KindSupportEntitlement }

// Deadlines are its end and its review.
func (s *SupportEntitlement) Deadlines() map[string]Date {
	return map[string]Date{"support-entitlement-end": s.Ends, "support-review": s.Review}
}

// Rules checks that somebody looks at it again, and the order of dates.
func (s *SupportEntitlement) Rules() (problems []Problem) {
	if s.Ends == "" && s.Review == "" {
		problems = append(problems, Problem{"/review", RuleRequired, "an entitlement without an end has a day on which it is looked at again"})
	}
	for i, date := range []Date{s.Ends, s.Review} {
		if date != "" && s.Starts != "" && before(string(date), string(s.Starts)) {
			problems = append(problems, Problem{[]string{"/ends", "/review"}[i], RuleDateOrder, "it comes before the start"})
		}
	}
	return problems
}
