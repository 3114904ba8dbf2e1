package schemas

// SafeContact says whether and how the survivor may be contacted. A telephone may be watched: these
// instructions matter more than a number.
type SafeContact struct {
	DoNotContact    bool      `json:"do_not_contact,omitzero" category:"contact"`
	MayCall         *bool     `json:"may_call,omitzero" category:"contact"`
	MayText         *bool     `json:"may_text,omitzero" category:"contact"`
	MayEmail        *bool     `json:"may_email,omitzero" category:"contact"`
	MayWrite        *bool     `json:"may_write,omitzero" category:"contact"`
	MayLeaveMessage *bool     `json:"may_leave_message,omitzero" category:"contact"`
	When            string    `json:"when,omitzero" validate:"omitempty,max=500,line" category:"contact"`
	WhoMayAnswer    string    `json:"who_may_answer,omitzero" validate:"omitempty,max=500,line" category:"contact"`
	SayIfOther      string    `json:"say_if_someone_else_answers,omitzero" validate:"omitempty,max=500,prose" category:"contact"`
	CodeWord        string    `json:"code_word,omitzero" validate:"omitempty,max=100,line" category:"contact"`
	CallerID        CallerID  `json:"caller_id,omitzero" validate:"omitempty,code" category:"contact"`
	PhoneWatched    Certainty `json:"phone_watched,omitzero" validate:"omitempty,code" category:"contact"` // the warning goes where the number goes
	Through         *Worker   `json:"through,omitzero" validate:"omitempty"`                               // reach the survivor through this worker
	Notes           string    `json:"notes,omitzero" validate:"omitempty,max=2000,prose" category:"contact"`
}

// Language says how to be understood.
type Language struct {
	Preferred                   LanguageTag     `json:"preferred" validate:"required,language" category:"support-needs"`
	Others                      []LanguageTag   `json:"others,omitempty" validate:"omitempty,max=10,unique,dive,language" category:"support-needs"`
	Dialect                     string          `json:"dialect,omitzero" validate:"omitempty,max=100,line" category:"support-needs"`
	Reads                       Certainty       `json:"reads,omitzero" validate:"omitempty,code" category:"support-needs"`
	InterpreterNeeded           *bool           `json:"interpreter_needed,omitzero" category:"support-needs"`
	InterpreterGender           InterpreterPref `json:"interpreter_gender,omitzero" validate:"omitempty,code" category:"support-needs"`
	InterpreterNotSameCommunity bool            `json:"interpreter_not_same_community,omitzero" category:"support-needs"`
	Notes                       string          `json:"notes,omitzero" validate:"omitempty,max=500,prose" category:"support-needs"`
}

// Risk says what threatens the survivor and from whom.
type Risk struct {
	ImmediateDanger     *bool        `json:"immediate_danger,omitzero" category:"risk"`
	Level               RiskLevel    `json:"level,omitzero" validate:"omitempty,code" category:"risk"`
	From                []RiskSource `json:"from,omitempty" validate:"omitempty,max=10,unique,dive,code" category:"risk"`
	FromDescription     string       `json:"from_description,omitzero" validate:"omitempty,max=2000,prose" category:"offender"`
	ExploiterAddress    string       `json:"exploiter_address,omitzero" validate:"omitempty,max=500,line" category:"offender"`
	ExploiterKnowsWhere Certainty    `json:"exploiter_knows_where,omitzero" validate:"omitempty,code" category:"risk"`
	GoingMissing        RiskLevel    `json:"going_missing,omitzero" validate:"omitempty,code" category:"risk"`
	SelfHarm            RiskLevel    `json:"self_harm,omitzero" validate:"omitempty,code" category:"mental-health"`
	ReTrafficking       RiskLevel    `json:"re_trafficking,omitzero" validate:"omitempty,code" category:"risk"`
	ChildrenAtRisk      Certainty    `json:"children_at_risk,omitzero" validate:"omitempty,code" category:"family"`
	Weapons             Certainty    `json:"weapons,omitzero" validate:"omitempty,code" category:"risk"`
	PhoneTracked        Certainty    `json:"phone_tracked,omitzero" validate:"omitempty,code" category:"risk"`
	Threats             string       `json:"threats,omitzero" validate:"omitempty,max=2000,prose" category:"risk"`
	SafetyPlan          string       `json:"safety_plan,omitzero" validate:"omitempty,max=4000,prose" category:"risk"`
	RiskToWorkers       string       `json:"risk_to_workers,omitzero" validate:"omitempty,max=1000,prose" category:"risk"`
}

// Exploitation says what was done to the survivor, in the terms of HTCDS where it has them.
type Exploitation struct {
	Types       []ExploitationType `json:"types" validate:"required,min=1,max=12,unique,dive,code" category:"exploitation"`
	Sexual      []SexualType       `json:"sexual,omitempty" validate:"omitempty,max=4,unique,dive,code" category:"exploitation"`
	Industries  []Industry         `json:"industries,omitempty" validate:"omitempty,max=8,unique,dive,code" category:"exploitation"`
	Controls    []ControlMethod    `json:"controls,omitempty" validate:"omitempty,max=16,unique,dive,code" category:"exploitation"`
	Recruitment []Recruitment      `json:"recruitment,omitempty" validate:"omitempty,max=10,unique,dive,code" category:"exploitation"`
	Countries   []Country          `json:"countries,omitempty" validate:"omitempty,max=20,unique,dive,country" category:"exploitation"`
	Places      []string           `json:"places,omitempty" validate:"omitempty,max=20,unique,dive,required,max=200,line" category:"location"`
	From        PartialDate        `json:"from,omitzero" validate:"omitempty,partial_date" category:"exploitation"`
	Until       PartialDate        `json:"until,omitzero" validate:"omitempty,partial_date" category:"exploitation"`
	Ongoing     Certainty          `json:"ongoing,omitzero" validate:"omitempty,code" category:"exploitation"`
	AsChild     Certainty          `json:"as_child,omitzero" validate:"omitempty,code" category:"exploitation"`
	Description string             `json:"description,omitzero" validate:"omitempty,max=8000,prose" category:"exploitation"`
	Exploiters  []Exploiter        `json:"exploiters,omitempty" validate:"omitempty,max=20,dive"`
}

// Exploiter is a person said to have exploited the survivor.
type Exploiter struct {
	Name         string                `json:"name,omitzero" validate:"omitempty,max=200,line" category:"offender"`
	Relationship ExploiterRelationship `json:"relationship,omitzero" validate:"omitempty,code" category:"offender"`
	Roles        []ExploiterRole       `json:"roles,omitempty" validate:"omitempty,max=8,unique,dive,code" category:"offender"`
	Whereabouts  string                `json:"whereabouts,omitzero" validate:"omitempty,max=500,line" category:"offender"`
	Description  string                `json:"description,omitzero" validate:"omitempty,max=2000,prose" category:"offender"`
}

// Dependant is somebody who depends on the survivor.
type Dependant struct {
	Relationship Relationship `json:"relationship" validate:"required,code" category:"family"`
	Name         string       `json:"name,omitzero" validate:"omitempty,max=200,line" category:"family"`
	Age          *int         `json:"age,omitzero" validate:"omitempty,min=0,max=120" category:"family"`
	WithSurvivor *bool        `json:"with_survivor,omitzero" category:"family"`
	Country      Country      `json:"country,omitzero" validate:"omitempty,country" category:"family"`
	AtRisk       Certainty    `json:"at_risk,omitzero" validate:"omitempty,code" category:"family"`
	Needs        string       `json:"needs,omitzero" validate:"omitempty,max=1000,prose" category:"family"`
}

// Location is where the survivor is now and where they may not be placed.
type Location struct {
	Country    Country  `json:"country,omitzero" validate:"omitempty,country" category:"location"`
	Region     Region   `json:"region,omitzero" validate:"omitempty,region" category:"location"`      // ISO 3166-2
	Place      string   `json:"place,omitzero" validate:"omitempty,max=200,line" category:"location"` // town or district
	Address    string   `json:"address,omitzero" validate:"omitempty,max=500,line" category:"location"`
	Postcode   string   `json:"postcode,omitzero" validate:"omitempty,max=16,line" category:"location"`
	Setting    Setting  `json:"setting,omitzero" validate:"omitempty,code" category:"location"`
	SafeToStay *bool    `json:"safe_to_stay,omitzero" category:"location"`
	SafeUntil  Date     `json:"safe_until,omitzero" validate:"omitempty,date" category:"location"`
	Avoid      []string `json:"avoid,omitempty" validate:"omitempty,max=20,unique,dive,required,max=200,line" category:"location"`
	Notes      string   `json:"notes,omitzero" validate:"omitempty,max=1000,prose" category:"location"`
}

// Accessibility is what must be arranged so that help can be used.
type Accessibility struct {
	Needs       []AccessNeed `json:"needs,omitempty" validate:"omitempty,max=12,unique,dive,code" category:"health"`
	Adjustments string       `json:"adjustments,omitzero" validate:"omitempty,max=2000,prose" category:"health"`
}

// Health is what a receiving service must know to keep the survivor well.
type Health struct {
	UrgentCare     *bool     `json:"urgent_care,omitzero" category:"health"`
	Pregnant       Certainty `json:"pregnant,omitzero" validate:"omitempty,code" category:"health"`
	Due            Date      `json:"due,omitzero" validate:"omitempty,date" category:"health"`
	Conditions     string    `json:"conditions,omitzero" validate:"omitempty,max=4000,prose" category:"health"`
	Medication     string    `json:"medication,omitzero" validate:"omitempty,max=2000,prose" category:"health"`
	Allergies      string    `json:"allergies,omitzero" validate:"omitempty,max=1000,prose" category:"health"`
	SubstanceUse   string    `json:"substance_use,omitzero" validate:"omitempty,max=2000,prose" category:"health"`
	MentalHealth   string    `json:"mental_health,omitzero" validate:"omitempty,max=4000,prose" category:"mental-health"`
	SexualHealth   string    `json:"sexual_health,omitzero" validate:"omitempty,max=2000,prose" category:"sexual-life"`
	RegisteredWith string    `json:"registered_with,omitzero" validate:"omitempty,max=200,line" category:"health"`
}

// Circumstances is what longer support builds on.
type Circumstances struct {
	Money     string `json:"money,omitzero" validate:"omitempty,max=2000,prose" category:"financial"` // income, benefits, debts
	Work      string `json:"work,omitzero" validate:"omitempty,max=2000,prose" category:"education-employment"`
	Education string `json:"education,omitzero" validate:"omitempty,max=2000,prose" category:"education-employment"`
	Legal     string `json:"legal,omitzero" validate:"omitempty,max=2000,prose" category:"legal"`
	OtherHelp string `json:"other_help,omitzero" validate:"omitempty,max=2000,prose" category:"support-needs"` // who already helps
	OwnWishes string `json:"own_wishes,omitzero" validate:"omitempty,max=2000,prose" category:"support-needs"` // the survivor's own
	Household string `json:"household,omitzero" validate:"omitempty,max=1000,prose" category:"family"`
}

// Police is what a police force knows of the investigation.
type Police struct {
	Force                 string              `json:"force,omitzero" validate:"omitempty,max=200,line" category:"criminal-justice"`
	CrimeReference        string              `json:"crime_reference,omitzero" validate:"omitempty,max=50,line" category:"criminal-justice"`
	Officer               *Worker             `json:"officer,omitzero" validate:"omitempty"` // officer in the case
	Status                InvestigationStatus `json:"status,omitzero" validate:"omitempty,code" category:"criminal-justice"`
	Reported              Date                `json:"reported,omitzero" validate:"omitempty,date" category:"criminal-justice"`
	SupportsInvestigation Certainty           `json:"supports_investigation,omitzero" validate:"omitempty,code" category:"criminal-justice"`
	ProtectiveOrders      string              `json:"protective_orders,omitzero" validate:"omitempty,max=1000,prose" category:"criminal-justice"`
	OffenceBySurvivor     string              `json:"offence_by_survivor,omitzero" validate:"omitempty,max=2000,prose" category:"criminal-justice"` // s.45 defence
	Notes                 string              `json:"notes,omitzero" validate:"omitempty,max=4000,prose" category:"criminal-justice"`
}

// NRM is where the survivor stands in the national mechanism that decides on status and support. The names are
// those of the United Kingdom's; other countries have the same steps.
type NRM struct {
	Wish              NRMWish  `json:"wish,omitzero" validate:"omitempty,code" category:"legal"`
	Reference         string   `json:"reference,omitzero" validate:"omitempty,max=50,line" category:"legal"`
	FirstResponder    string   `json:"first_responder,omitzero" validate:"omitempty,max=200,line" category:"legal"`
	Referred          Date     `json:"referred,omitzero" validate:"omitempty,date" category:"legal"`
	ReasonableGrounds Decision `json:"reasonable_grounds,omitzero" validate:"omitempty,code" category:"legal"`
	ReasonableOn      Date     `json:"reasonable_grounds_on,omitzero" validate:"omitempty,date" category:"legal"`
	ConclusiveGrounds Decision `json:"conclusive_grounds,omitzero" validate:"omitempty,code" category:"legal"`
	ConclusiveOn      Date     `json:"conclusive_grounds_on,omitzero" validate:"omitempty,date" category:"legal"`
	SupportEnds       Date     `json:"support_ends,omitzero" validate:"omitempty,date" category:"legal"`
}
