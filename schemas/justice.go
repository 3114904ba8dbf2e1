package schemas

// JusticeUpdate (justice-update.v1) tells those who stand beside a survivor how the investigation and the trial go, so that
// the survivor hears it from a person, in time, and knows what they have a right to.
type JusticeUpdate struct {
	Sharing
	Event           JusticeEvent     `json:"event" validate:"required,code" category:"criminal-justice"`
	On              Date             `json:"on" validate:"required,date" category:"criminal-justice"`
	CrimeReference  string           `json:"crime_reference,omitzero" validate:"omitempty,max=50,line" category:"criminal-justice"`
	Hearing         *Hearing         `json:"hearing,omitzero" validate:"omitempty"`
	SpecialMeasures []SpecialMeasure `json:"special_measures,omitempty" validate:"omitempty,max=10,unique,dive,code" category:"criminal-justice"`
	BailConditions  string           `json:"bail_conditions,omitzero" validate:"omitempty,max=2000,prose" category:"offender"` // that keep the survivor safe
	Suspect         string           `json:"suspect,omitzero" validate:"omitempty,max=300,line" category:"offender"`
	Outcome         string           `json:"outcome,omitzero" validate:"omitempty,max=2000,prose" category:"criminal-justice"`
	Rights          []VictimRight    `json:"rights,omitempty" validate:"omitempty,max=12,unique,dive,code" category:"criminal-justice"` // of the Victims' Code, that it touches
	Enhanced        bool             `json:"enhanced,omitzero" category:"criminal-justice"`                                             // vulnerable, intimidated or persistently targeted: told within one working day
	ToldSurvivor    Date             `json:"told_survivor,omitzero" validate:"omitempty,date" category:"criminal-justice"`
	ToldBy          string           `json:"told_by,omitzero" validate:"omitempty,max=100,line" category:"case-admin"`
	TellBy          Date             `json:"tell_by,omitzero" validate:"omitempty,date" category:"criminal-justice"`
	Note            string           `json:"note,omitzero" validate:"omitempty,max=4000,prose" category:"criminal-justice"`
	Officer         *Worker          `json:"officer,omitzero" validate:"omitempty"`
}

// Schema returns "justice-update.v1".
func (j *JusticeUpdate) Schema() string { return SchemaJusticeUpdate }

// Kind returns KindJusticeUpdate.
func (j *JusticeUpdate) Kind() Kind { return KindJusticeUpdate }

// MustBeUrgent reports whether somebody dangerous has become free to move.
func (j *JusticeUpdate) MustBeUrgent() bool {
	switch j.Event {
	case JusticeBailGranted, JusticeBailChanged, JusticeReleased, JusticeEscaped:
		return true
	}
	return false
}

// Deadlines is the day of the hearing, and the day by which the survivor must be told.
func (j *JusticeUpdate) Deadlines() map[string]Date {
	out := map[string]Date{}
	if j.Hearing != nil {
		out["court-date"] = j.Hearing.On
	}
	if j.ToldSurvivor == "" {
		out["victims-code-update"] = j.TellBy
	}
	return out
}

// Clocks starts the time in which the survivor must be told, if nobody has told them and nobody named a day.
func (j *JusticeUpdate) Clocks() map[string]Date {
	if j.ToldSurvivor != "" || j.TellBy != "" {
		return nil
	}
	if j.Enhanced {
		return map[string]Date{"victims-code-update-vulnerable": j.On}
	}
	return map[string]Date{"victims-code-update": j.On}
}

// Rules checks that a court date has its hearing.
func (j *JusticeUpdate) Rules() (problems []Problem) {
	if j.Event == JusticeCourtDate && j.Hearing == nil {
		problems = append(problems, Problem{"/hearing", RuleRequired, "say which hearing, where and when"})
	}
	if j.Event == JusticeSpecialMeasures && len(j.SpecialMeasures) == 0 {
		problems = append(problems, Problem{"/special_measures", RuleRequired, "name at least one"})
	}
	if j.ToldSurvivor != "" && j.On != "" && before(string(j.ToldSurvivor), string(j.On)) {
		problems = append(problems, Problem{"/told_survivor", RuleDateOrder, "the survivor cannot have been told before it happened"})
	}
	return problems
}

// Hearing is one day at court.
type Hearing struct {
	Type       HearingType `json:"type" validate:"required,code" category:"criminal-justice"`
	On         Date        `json:"on" validate:"required,date" category:"criminal-justice"`
	Court      string      `json:"court,omitzero" validate:"omitempty,max=200,line" category:"criminal-justice"`
	Attendance Attendance  `json:"attendance,omitzero" validate:"omitempty,code" category:"criminal-justice"` // of the survivor
}
