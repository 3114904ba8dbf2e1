package schemas

// JusticeEvent says what happened in the investigation or at court.
type JusticeEvent string

// The codes of JusticeEvent.
const (
	JusticeOpened          JusticeEvent = "investigation-opened"
	JusticeClosed          JusticeEvent = "investigation-closed"
	JusticeNoFurtherAction JusticeEvent = "no-further-action"
	JusticeArrest          JusticeEvent = "arrest"
	JusticeCharge          JusticeEvent = "charge"
	JusticeBailGranted     JusticeEvent = "bail-granted"
	JusticeBailChanged     JusticeEvent = "bail-changed"
	JusticeReleased        JusticeEvent = "released"
	JusticeEscaped         JusticeEvent = "escaped"
	JusticeRemanded        JusticeEvent = "remanded"
	JusticeSpecialMeasures JusticeEvent = "special-measures"
	JusticeCourtDate       JusticeEvent = "court-date"
	JusticeVerdict         JusticeEvent = "verdict"
	JusticeSentence        JusticeEvent = "sentence"
	JusticeAppeal          JusticeEvent = "appeal"
	JusticeProtectiveOrder JusticeEvent = "protective-order"
	JusticeCompensation    JusticeEvent = "compensation-order"
)

func codesOfJusticeEvent() []JusticeEvent {
	return []JusticeEvent{JusticeOpened, JusticeClosed, JusticeNoFurtherAction, JusticeArrest, JusticeCharge, JusticeBailGranted, JusticeBailChanged, JusticeReleased, JusticeEscaped, JusticeRemanded, JusticeSpecialMeasures, JusticeCourtDate, JusticeVerdict, JusticeSentence, JusticeAppeal, JusticeProtectiveOrder, JusticeCompensation}
}

// SpecialMeasure is a special measure for a vulnerable or intimidated witness (Youth Justice and Criminal Evidence Act 1999, ss. 23 to 30).
type SpecialMeasure string

// The codes of SpecialMeasure.
const (
	MeasureScreens          SpecialMeasure = "screens"
	MeasureLiveLink         SpecialMeasure = "live-link"
	MeasurePrivate          SpecialMeasure = "evidence-in-private"
	MeasureWigs             SpecialMeasure = "removal-of-wigs-and-gowns"
	MeasureRecordedEvidence SpecialMeasure = "recorded-evidence-in-chief"
	MeasureRecordedCross    SpecialMeasure = "recorded-cross-examination"
	MeasureIntermediary     SpecialMeasure = "intermediary"
	MeasureAids             SpecialMeasure = "aids-to-communication"
	MeasureInterpreter      SpecialMeasure = "interpreter"
	MeasureEntrance         SpecialMeasure = "separate-entrance"
)

func codesOfSpecialMeasure() []SpecialMeasure {
	return []SpecialMeasure{MeasureScreens, MeasureLiveLink, MeasurePrivate, MeasureWigs, MeasureRecordedEvidence, MeasureRecordedCross, MeasureIntermediary, MeasureAids, MeasureInterpreter, MeasureEntrance}
}

// VictimRight is a right of the Code of Practice for Victims of Crime in England and Wales, in its order, 1 to 12.
type VictimRight string

// The codes of VictimRight.
const (
	RightUnderstand    VictimRight = "understand-and-be-understood"
	RightRecorded      VictimRight = "crime-details-recorded-without-unjustified-delay"
	RightReporting     VictimRight = "information-when-reporting"
	RightSupport       VictimRight = "referred-to-support-services"
	RightCompensation  VictimRight = "information-about-compensation"
	RightInvestigation VictimRight = "information-about-investigation-and-prosecution"
	RightStatement     VictimRight = "make-a-victim-personal-statement"
	RightTrial         VictimRight = "information-about-trial-and-role-as-witness"
	RightOutcome       VictimRight = "information-about-outcome-and-appeals"
	RightExpenses      VictimRight = "expenses-paid-and-property-returned"
	RightOffender      VictimRight = "information-about-the-offender-after-conviction"
	RightComplain      VictimRight = "complain-about-rights-not-met"
)

func codesOfVictimRight() []VictimRight {
	return []VictimRight{RightUnderstand, RightRecorded, RightReporting, RightSupport, RightCompensation, RightInvestigation, RightStatement, RightTrial, RightOutcome, RightExpenses, RightOffender, RightComplain}
}

// HearingType is a kind of hearing.
type HearingType string

// The codes of HearingType.
const (
	HearingFirst       HearingType = "first-appearance"
	HearingPlea        HearingType = "plea-and-trial-preparation"
	HearingCase        HearingType = "case-management"
	HearingGroundRules HearingType = "ground-rules"
	HearingCross       HearingType = "recorded-cross-examination"
	HearingTrial       HearingType = "trial"
	HearingSentence    HearingType = "sentence"
	HearingAppeal      HearingType = "appeal"
	HearingOther       HearingType = "other"
)

func codesOfHearingType() []HearingType {
	return []HearingType{HearingFirst, HearingPlea, HearingCase, HearingGroundRules, HearingCross, HearingTrial, HearingSentence, HearingAppeal, HearingOther}
}

// Attendance says whether the survivor is expected at court.
type Attendance string

// The codes of Attendance.
const (
	AttendanceRequired  Attendance = "required"
	AttendanceOptional  Attendance = "optional"
	AttendanceNotNeeded Attendance = "not-needed"
	AttendanceUnknown   Attendance = "not-known-yet"
)

func codesOfAttendance() []Attendance {
	return []Attendance{AttendanceRequired, AttendanceOptional, AttendanceNotNeeded, AttendanceUnknown}
}
