package schemas

import "slices"

// DutyToNotify (duty-to-notify.v1) is a public authority's notice of a potential victim who does not agree to be named.
// Modern Slavery Act 2015 s.52(3): a notice about an adult must not identify them without consent. So its type has nothing
// in which a name, a number, an address or a story could be written: closed lists, countries, a region, years. (A child, or
// a person whose age is not known, is referred by name on another basis: s.51 presumes them to be under 18.)
type DutyToNotify struct {
	Purposes      []Purpose          `json:"purposes" validate:"required,min=1,max=14,unique,dive,code" category:"case-admin"`
	Reason        BasisReason        `json:"reason" validate:"required,code" category:"case-admin"`
	AuthorisedBy  OfficerRole        `json:"authorised_by" validate:"required,code" category:"case-admin"`
	Responder     Role               `json:"first_responder,omitzero" validate:"omitempty,code" category:"case-admin"`
	AgeRange      AgeRange           `json:"age_range,omitzero" validate:"omitempty,code" category:"identity"`
	Gender        Gender             `json:"gender,omitzero" validate:"omitempty,code" category:"identity"`
	Nationalities []Country          `json:"nationalities,omitempty" validate:"omitempty,max=4,unique,dive,country" category:"identity"`
	Wish          NRMWish            `json:"wish,omitzero" validate:"omitempty,code" category:"legal"`
	Types         []ExploitationType `json:"exploitation,omitempty" validate:"omitempty,max=10,unique,dive,code" category:"exploitation"`
	Sexual        []SexualType       `json:"sexual,omitempty" validate:"omitempty,max=10,unique,dive,code" category:"exploitation"`
	Industries    []Industry         `json:"industries,omitempty" validate:"omitempty,max=21,unique,dive,code" category:"exploitation"`
	Controls      []ControlMethod    `json:"controls,omitempty" validate:"omitempty,max=20,unique,dive,code" category:"exploitation"`
	Recruitment   []Recruitment      `json:"recruitment,omitempty" validate:"omitempty,max=20,unique,dive,code" category:"exploitation"`
	Countries     []Country          `json:"countries,omitempty" validate:"omitempty,max=8,unique,dive,country" category:"exploitation"`
	FromYear      int                `json:"from_year,omitzero" validate:"omitempty,min=1950,max=2100" category:"exploitation"`
	UntilYear     int                `json:"until_year,omitzero" validate:"omitempty,min=1950,max=2100" category:"exploitation"`
	Ongoing       bool               `json:"ongoing,omitzero" category:"exploitation"`
	AsChild       bool               `json:"as_child,omitzero" category:"exploitation"` // it began in childhood
	Country       Country            `json:"country,omitzero" validate:"omitempty,country" category:"location"`
	Region        Region             `json:"region,omitzero" validate:"omitempty,region" category:"location"`
	Setting       Setting            `json:"setting,omitzero" validate:"omitempty,code" category:"location"`
}

// Schema returns "duty-to-notify.v1".
func (d *DutyToNotify) Schema() string { return SchemaDutyToNotify }

// Kind returns KindDutyToNotify.
func (d *DutyToNotify) Kind() Kind { return KindDutyToNotify }

// PurposeList returns a copy of the purposes.
func (d *DutyToNotify) PurposeList() []Purpose { return slices.Clone(d.Purposes) }

// Ground is always the duty to notify: no other basis can be written.
func (d *DutyToNotify) Ground() *LawfulBasis {
	return &LawfulBasis{Basis: BasisDutyToNotify, Reason: d.Reason, AuthorisedBy: string(d.AuthorisedBy)}
}

// Rules checks that it is about an adult, and the order of years.
func (d *DutyToNotify) Rules() (problems []Problem) {
	if d.AgeRange == AgeRangeChild || d.AgeRange == AgeRangeUnknown {
		problems = append(problems, Problem{"/age_range", RuleDutyToNotify, "refer a child, or a person whose age is not known, by name: no consent is needed"})
	}
	if d.FromYear != 0 && d.UntilYear != 0 && d.UntilYear < d.FromYear {
		problems = append(problems, Problem{"/until_year", RuleDateOrder, "until comes before from"})
	}
	return problems
}
