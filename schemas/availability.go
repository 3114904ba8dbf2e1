package schemas

import "time"

// Availability (availability.v1) is a provider's free places, for the agencies it has an agreement with. It says nothing
// about any survivor and never where a house is.
type Availability struct {
	AsOf    time.Time `json:"as_of" validate:"required" category:"case-admin"`
	Until   time.Time `json:"until" validate:"required" category:"case-admin"` // after that it says nothing any more
	Places  []Place   `json:"places,omitempty" validate:"omitempty,max=100,dive"`
	HowTo   string    `json:"how_to_ask,omitzero" validate:"omitempty,max=500,line" category:"case-admin"`
	Contact *Worker   `json:"contact,omitzero" validate:"omitempty"`
}

// Schema returns "availability.v1".
func (a *Availability) Schema() string { return SchemaAvailability }

// Kind returns KindAvailability.
func (a *Availability) Kind() Kind { return KindAvailability }

// MaxAvailability bounds how long a list of free places may be believed.
const MaxAvailability = 31 * 24 * time.Hour

// Rules checks that the list ends, and soon.
func (a *Availability) Rules() (problems []Problem) {
	if !a.AsOf.IsZero() && !a.Until.IsZero() {
		if !a.Until.After(a.AsOf) {
			problems = append(problems, Problem{"/until", RuleDateOrder, "the list ends after it begins"})
		} else if a.Until.Sub(a.AsOf) > MaxAvailability {
			problems = append(problems, Problem{"/until", RuleDateOrder, "a list of free places is believed for 31 days at most"})
		}
	}
	return problems
}

// Place is one or several like places.
type Place struct {
	Type          PlaceType     `json:"type" validate:"required,code" category:"case-admin"`
	Region        Region        `json:"region" validate:"required,region" category:"case-admin"`
	Free          int           `json:"free" validate:"required,min=1,max=500" category:"case-admin"`
	Genders       []Gender      `json:"genders,omitempty" validate:"omitempty,max=6,unique,dive,code" category:"case-admin"` // none: any
	FamilySizeMax int           `json:"family_size_max,omitzero" validate:"omitempty,min=1,max=20" category:"case-admin"`
	Children      bool          `json:"children,omitzero" category:"case-admin"`
	Accessibility []AccessNeed  `json:"accessibility,omitempty" validate:"omitempty,max=12,unique,dive,code" category:"case-admin"`
	Languages     []LanguageTag `json:"languages,omitempty" validate:"omitempty,max=20,unique,dive,language" category:"case-admin"`
	Needs         []Need        `json:"needs,omitempty" validate:"omitempty,max=24,unique,dive,code" category:"case-admin"` // help that comes with the place
	From          Date          `json:"from,omitzero" validate:"omitempty,date" category:"case-admin"`
	Until         Date          `json:"until,omitzero" validate:"omitempty,date" category:"case-admin"`
	OutOfHours    bool          `json:"out_of_hours,omitzero" category:"case-admin"` // somebody can arrive tonight
}

// Rules checks the order of dates.
func (p *Place) Rules() (problems []Problem) {
	if p.From != "" && p.Until != "" && before(string(p.Until), string(p.From)) {
		problems = append(problems, Problem{"/until", RuleDateOrder, "until comes before from"})
	}
	return problems
}
