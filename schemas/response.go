package schemas

import (
	"slices"
	"time"
)

// ReferralResponse (referral-response.v1) answers a referral.
type ReferralResponse struct {
	Outcome ResponseOutcome `json:"outcome" validate:"required,code" category:"case-admin"`

	// With accepted: what is offered, where in general terms (never an address), from when.
	Services []Need `json:"services,omitempty" validate:"omitempty,max=24,unique,dive,code" category:"support-needs"`
	Where    string `json:"where,omitzero" validate:"omitempty,max=200,line" category:"location"`
	Starts   Date   `json:"starts,omitzero" validate:"omitempty,date" category:"support-needs"`

	// With declined: why, and in words when the list has no word for it.
	DeclineReason DeclineReason `json:"decline_reason,omitzero" validate:"omitempty,code" category:"case-admin"`
	DeclineText   string        `json:"decline_text,omitzero" validate:"omitempty,max=1000,prose" category:"support-needs"`

	RedirectTo string   `json:"redirect_to,omitzero" validate:"omitempty,agency" category:"case-admin"`                                      // with redirected
	Questions  []string `json:"questions,omitempty" validate:"omitempty,max=20,unique,dive,required,max=500,prose" category:"support-needs"` // with information-needed

	ExpectedWait ExpectedWait `json:"expected_wait,omitzero" validate:"omitempty,code" category:"support-needs"` // with waitlisted

	Note      string  `json:"note,omitzero" validate:"omitempty,max=4000,prose" category:"support-needs"`
	Responder *Worker `json:"responder,omitzero" validate:"omitempty"`
}

// Schema returns "referral-response.v1".
func (r *ReferralResponse) Schema() string { return SchemaReferralResponse }

// Kind returns KindReferralResponse.
func (r *ReferralResponse) Kind() Kind { return KindReferralResponse }

// Receipt (receipt.v1) is how a receipt is shown to an agency's systems. On the wire a receipt is a manifest
// without a body.
type Receipt struct {
	ID      string    `json:"id" validate:"required,message_id" category:"case-admin"`
	ReplyTo string    `json:"reply_to" validate:"required,message_id" category:"case-admin"`
	Thread  string    `json:"thread" validate:"required,thread_id" category:"case-admin"`
	From    string    `json:"from" validate:"required,agency" category:"case-admin"`
	To      string    `json:"to" validate:"required,agency" category:"case-admin"`
	Outcome Outcome   `json:"outcome" validate:"required,code" category:"case-admin"`
	Code    string    `json:"code,omitzero" validate:"omitempty,reason_code" category:"case-admin"`
	Sent    time.Time `json:"sent" validate:"required" category:"case-admin"`
}

// Schema returns "receipt.v1".
func (r *Receipt) Schema() string { return SchemaReceipt }

// Kind returns KindReceipt.
func (r *Receipt) Kind() Kind { return KindReceipt }

// Rules checks that an answer has what its outcome needs and nothing that belongs to another.
func (r *ReferralResponse) Rules() (problems []Problem) {
	belongs := responseMembers[r.Outcome]
	if belongs == nil {
		return nil // an unknown outcome is a broken tag rule already
	}
	for _, name := range setMembers(r) {
		if slices.Contains(responseOnlyWith, name) && !slices.Contains(belongs, name) {
			problems = append(problems, Problem{"/" + name, RuleForbidden, "this member belongs to another outcome"})
		}
	}
	missing := func(name, hint string) { problems = append(problems, Problem{"/" + name, RuleRequired, hint}) }
	switch {
	case r.Outcome == ResponseDeclined && r.DeclineReason == "":
		missing("decline_reason", "say why: survivors are turned away for reasons that must be counted")
	case r.Outcome == ResponseDeclined && r.DeclineReason == DeclineOther && r.DeclineText == "":
		missing("decline_text", "say in words why")
	case r.Outcome == ResponseInformationNeeded && len(r.Questions) == 0:
		missing("questions", "ask at least one question")
	case r.Outcome == ResponseRedirected && r.RedirectTo == "":
		missing("redirect_to", "name the agency to turn to")
	case r.Outcome == ResponseWaitlisted && r.ExpectedWait == "":
		missing("expected_wait", "say how long the wait is likely to be; undetermined is an answer")
	}
	return problems
}

// responseMembers are the members that belong to each outcome; responseOnlyWith is all of them.
var (
	responseMembers = map[ResponseOutcome][]string{
		ResponseAccepted:          {"services", "where", "starts"},
		ResponseDeclined:          {"decline_reason", "decline_text"},
		ResponseInformationNeeded: {"questions"},
		ResponseRedirected:        {"redirect_to"},
		ResponseWaitlisted:        {"expected_wait", "services"},
	}
	responseOnlyWith = []string{"services", "where", "starts", "decline_reason", "decline_text", "questions", "redirect_to", "expected_wait"}
)

// Rules checks that a receipt which is not "delivered" says why.
func (r *Receipt) Rules() (problems []Problem) {
	if r.Outcome != OutcomeDelivered && Known(r.Outcome) && r.Code == "" {
		problems = append(problems, Problem{"/code", RuleRequired, "name the reason code"})
	}
	if r.From != "" && r.From == r.To {
		problems = append(problems, Problem{"/to", RuleContradiction, "an agency gives itself no receipt"})
	}
	return problems
}
