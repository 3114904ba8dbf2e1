package schemas

import "time"

// Intelligence (intelligence.v1) is what somebody knows that could stop traffickers. It has two parts: text that may travel
// on, from which the source cannot be told, and provenance, which never does. Grading is the police's (3x5x2: source
// evaluation, intelligence assessment, handling code; College of Policing, APP on information management); a partner gives
// what it knows and how, and may propose.
type Intelligence struct {
	Sharing
	Prose                                     // sanitised
	SourceNotIdentifiable bool                `json:"source_not_identifiable" validate:"required" category:"case-admin"`   // somebody looked at it with that question
	SanitisedBy           string              `json:"sanitised_by" validate:"required,max=100,line" category:"case-admin"` // role, not name
	About                 []IntelligenceTopic `json:"about" validate:"required,min=1,max=12,unique,dive,code" category:"case-admin"`
	ThreatToLife          bool                `json:"threat_to_life,omitzero" category:"risk"`
	Grading               *Grading            `json:"grading,omitzero" validate:"omitempty"`
	Handling              HandlingCode        `json:"handling" validate:"required,code" category:"case-admin"`
	Conditions            string              `json:"conditions,omitzero" validate:"omitempty,max=1000,prose" category:"case-admin"`
	Provenance            *Provenance         `json:"provenance,omitzero" validate:"omitempty"`
}

// Schema returns "intelligence.v1".
func (i *Intelligence) Schema() string { return SchemaIntelligence }

// Kind returns KindIntelligence.
func (i *Intelligence) Kind() Kind { return KindIntelligence }

// MustBeUrgent reports whether somebody's life is threatened.
func (i *Intelligence) MustBeUrgent() bool { return i.ThreatToLife }

// Sanitised is the part that may travel on: everything but the provenance.
func (i *Intelligence) Sanitised() *Intelligence {
	c := *i
	c.Provenance = nil
	return &c
}

// Rules checks that conditions are there where the handling code says so, and nowhere else.
func (i *Intelligence) Rules() (problems []Problem) {
	switch {
	case i.Handling == HandlingConditions && i.Conditions == "":
		problems = append(problems, Problem{"/conditions", RuleRequired, "say under which conditions it may be shared"})
	case i.Handling == HandlingPermitted && i.Conditions != "":
		problems = append(problems, Problem{"/conditions", RuleForbidden, "conditions go with handling code C"})
	}
	return problems
}

// Grading is a source evaluation and an intelligence assessment.
type Grading struct {
	Source     SourceEvaluation       `json:"source" validate:"required,code" category:"case-admin"`
	Assessment IntelligenceAssessment `json:"assessment" validate:"required,code" category:"case-admin"`
	ByPolice   bool                   `json:"by_police,omitzero" category:"case-admin"` // otherwise it is a proposal
}

// Provenance is how the sender knows. It stays with the agency that received it.
type Provenance struct {
	From        SourceType `json:"from" validate:"required,code" category:"case-admin"`
	How         string     `json:"how,omitzero" validate:"omitempty,max=2000,prose" category:"risk"`
	Learned     Date       `json:"learned,omitzero" validate:"omitempty,date" category:"case-admin"`
	MayAskAgain *bool      `json:"may_ask_again,omitzero" category:"risk"`
	Danger      string     `json:"danger,omitzero" validate:"omitempty,max=1000,prose" category:"risk"` // to the source
	Worker      *Worker    `json:"worker,omitzero" validate:"omitempty"`
}

// IntelligenceFeedback (intelligence-feedback.v1) tells those who gave intelligence that it was used, in codes only: no
// operational detail can be written here.
type IntelligenceFeedback struct {
	Use   IntelligenceUse `json:"use" validate:"required,code" category:"case-admin"`
	On    Date            `json:"on,omitzero" validate:"omitempty,date" category:"case-admin"`
	Wants []FeedbackWish  `json:"wants,omitempty" validate:"omitempty,max=4,unique,dive,code" category:"case-admin"`
}

// Schema returns "intelligence-feedback.v1".
func (f *IntelligenceFeedback) Schema() string { return SchemaIntelligenceFeedback }

// Kind returns KindIntelligenceFeedback.
func (f *IntelligenceFeedback) Kind() Kind { return KindIntelligenceFeedback }

// InformationRequest (information-request.v1) asks another agency for what it knows about a survivor.
type InformationRequest struct {
	Sharing
	Questions []Question `json:"questions" validate:"required,min=1,max=20,dive"`
	AnswerBy  time.Time  `json:"answer_by,omitzero" category:"case-admin"`
	Reference string     `json:"reference,omitzero" validate:"omitempty,max=64,line" category:"case-admin"`
	Worker    Worker     `json:"worker" validate:"required"`
}

// Schema returns "information-request.v1".
func (r *InformationRequest) Schema() string { return SchemaInformationRequest }

// Kind returns KindInformationRequest.
func (r *InformationRequest) Kind() Kind { return KindInformationRequest }

// Question is one question; its number is what an answer names.
type Question struct {
	Number int      `json:"number" validate:"required,min=1,max=20" category:"case-admin"`
	Wanted Category `json:"wanted,omitzero" validate:"omitempty,code" category:"case-admin"` // category of data asked for
	Text   string   `json:"text" validate:"required,max=1000,prose" category:"support-needs"`
}

// Rules checks that each question has a number of its own.
func (r *InformationRequest) Rules() (problems []Problem) {
	seen := map[int]bool{}
	for _, q := range r.Questions {
		if seen[q.Number] {
			return []Problem{{"/questions", RuleContradiction, "each question has a number of its own"}}
		}
		seen[q.Number] = true
	}
	return nil
}

// InformationAnswer (information-answer.v1) answers such questions, or says why not.
type InformationAnswer struct {
	Sharing
	Answers []QuestionAnswer `json:"answers" validate:"required,min=1,max=20,dive"`
	Worker  *Worker          `json:"worker,omitzero" validate:"omitempty"`
}

// Schema returns "information-answer.v1".
func (a *InformationAnswer) Schema() string { return SchemaInformationAnswer }

// Kind returns KindInformationAnswer.
func (a *InformationAnswer) Kind() Kind { return KindInformationAnswer }

// QuestionAnswer answers one question.
type QuestionAnswer struct {
	Number         int           `json:"number" validate:"required,min=1,max=20" category:"case-admin"`
	Refused        RefusalReason `json:"refused,omitzero" validate:"omitempty,code" category:"case-admin"`
	Text           string        `json:"text,omitzero" validate:"omitempty,max=4000,prose" category:"support-needs"`
	TextCategories []Category    `json:"text_categories,omitempty" validate:"omitempty,max=18,unique,dive,code" category:"case-admin"` // what the text tells
}

func (a *QuestionAnswer) declaredCategories() []Category {
	if a.Text == "" {
		return nil
	}
	return a.TextCategories
}

// Rules checks that a question is answered or refused.
func (a *QuestionAnswer) Rules() (problems []Problem) {
	switch {
	case a.Text == "" && a.Refused == "":
		problems = append(problems, Problem{"/text", RuleRequired, "answer, or say why not with refused"})
	case a.Text != "" && a.Refused != "":
		problems = append(problems, Problem{"/text", RuleForbidden, "a question is answered or refused, not both"})
	}
	if a.Text == "" && len(a.TextCategories) > 0 {
		problems = append(problems, Problem{"/text_categories", RuleForbidden, "there is no text that could tell it"})
	}
	return problems
}

// Message (message.v1) is free text on a thread, from person to person.
type Message struct {
	Sharing
	Prose
	Subject string `json:"subject,omitzero" validate:"omitempty,max=100,line" category:"support-needs"`
	Worker  Worker `json:"worker" validate:"required"` // who writes
}

// Schema returns "message.v1".
func (m *Message) Schema() string { return SchemaMessage }

// Kind returns KindMessage.
func (m *Message) Kind() Kind { return KindMessage }
