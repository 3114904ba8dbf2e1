package schemas

import "slices"

// Referral (referral.v1) asks another agency to help a survivor. It is about one person. Who does not agree to be named is
// notified of by DutyToNotify instead.
type Referral struct {
	Reference     string      `json:"reference,omitzero" validate:"omitempty,max=64,line" category:"case-admin"` // the sender's own
	Urgency       Urgency     `json:"urgency" validate:"required,code" category:"case-admin"`
	UrgencyReason string      `json:"urgency_reason,omitzero" validate:"omitempty,max=500,prose" category:"risk"`
	Purposes      []Purpose   `json:"purposes" validate:"required,min=1,max=14,unique,dive,code" category:"case-admin"`
	LawfulBasis   LawfulBasis `json:"lawful_basis" validate:"required"`
	Needs         []Need      `json:"needs" validate:"required,min=1,max=24,unique,dive,code" category:"support-needs"`

	Person *Person `json:"person" validate:"required"`

	SafeContact   *SafeContact       `json:"safe_contact,omitzero" validate:"omitempty"`
	Language      *Language          `json:"language,omitzero" validate:"omitempty"`
	Risk          *Risk              `json:"risk,omitzero" validate:"omitempty"`
	Exploitation  *Exploitation      `json:"exploitation,omitzero" validate:"omitempty"`
	Dependants    []Dependant        `json:"dependants,omitempty" validate:"omitempty,max=20,dive"`
	Location      *Location          `json:"location,omitzero" validate:"omitempty"`
	Accessibility *Accessibility     `json:"accessibility,omitzero" validate:"omitempty"`
	Health        *Health            `json:"health,omitzero" validate:"omitempty"`
	Circumstances *Circumstances     `json:"circumstances,omitzero" validate:"omitempty"`
	Child         *ChildArrangements `json:"child,omitzero" validate:"omitempty"`
	Police        *Police            `json:"police,omitzero" validate:"omitempty"`
	NRM           *NRM               `json:"nrm,omitzero" validate:"omitempty"`

	// Summary says in plain words what help is needed and why now. What it tells beyond that must be named in
	// SummaryCategories, because consent and agreements are checked by category and no program reads prose.
	Summary           string     `json:"summary,omitzero" validate:"omitempty,max=8000,prose" category:"support-needs"`
	SummaryCategories []Category `json:"summary_categories,omitempty" validate:"omitempty,max=18,unique,dive,code" category:"case-admin"`

	Referrer Worker `json:"referrer" validate:"required"`
}

// Schema returns "referral.v1".
func (r *Referral) Schema() string { return SchemaReferral }

// Kind returns KindReferral.
func (r *Referral) Kind() Kind { return KindReferral }

// PurposeList returns a copy of the purposes.
func (r *Referral) PurposeList() []Purpose { return slices.Clone(r.Purposes) }

// Ground returns the lawful basis.
func (r *Referral) Ground() *LawfulBasis { return &r.LawfulBasis }

// Clocks starts the target for a decision that was asked for and not made.
func (r *Referral) Clocks() map[string]Date {
	if r.NRM == nil || r.NRM.Referred == "" || r.NRM.ReasonableGrounds != "" && r.NRM.ReasonableGrounds != DecisionPending {
		return nil
	}
	return map[string]Date{"reasonable-grounds-target": r.NRM.Referred}
}

// declaredCategories are the categories that the prose of the summary was declared to contain.
func (r *Referral) declaredCategories() []Category {
	if r.Summary == "" {
		return nil
	}
	return r.SummaryCategories
}

// LawfulBasis says on which ground the data is shared. Consent to share is not the same as a lawful basis for
// processing; the certificate records the first, this the second.
type LawfulBasis struct {
	Basis     Basis       `json:"basis" validate:"required,code" category:"case-admin"`
	Condition Condition   `json:"condition,omitzero" validate:"omitempty,code" category:"case-admin"` // for special-category or criminal data
	Reason    BasisReason `json:"reason,omitzero" validate:"omitempty,code" category:"case-admin"`
	// Justification is about the decision, not about the survivor.
	Justification string `json:"justification,omitzero" validate:"omitempty,max=1000,prose" category:"case-admin"`
	AuthorisedBy  string `json:"authorised_by,omitzero" validate:"omitempty,max=100,line" category:"case-admin"` // role of the authorising officer
}

// Worker is a person who works for an agency, so that somebody can be called. Not the survivor.
type Worker struct {
	Name       string `json:"name" validate:"required,max=200,line" category:"case-admin"`
	Role       string `json:"role,omitzero" validate:"omitempty,max=100,line" category:"case-admin"`
	Team       string `json:"team,omitzero" validate:"omitempty,max=200,line" category:"case-admin"`
	Phone      string `json:"phone,omitzero" validate:"omitempty,phone" category:"case-admin"`
	Email      string `json:"email,omitzero" validate:"omitempty,email_address" category:"case-admin"`
	OutOfHours string `json:"out_of_hours,omitzero" validate:"omitempty,phone" category:"case-admin"`
}
