// Package clock is the one place that defines every clock a hand-over runs against: what starts it, how long it is, in which
// kind of days, where it applies, since when, and who says so. Clocks are data, because law and practice change: the
// recovery period was 45 days and is now at least 30.
//
// It is pure: the current time is an argument everywhere.
package clock

import (
	"slices"
	"time"

	"waypost/schemas"
)

// Unit is the kind of time a length is counted in.
type Unit string

// The units. Elapsed time runs through nights and holidays: danger does not wait for Monday.
const (
	Elapsed     Unit = "elapsed"
	Days        Unit = "days"                // calendar days after that of the start; the deadline is the end of the last
	DaysWith    Unit = "days-beginning-with" // calendar days, that of the start the first
	WorkingDays Unit = "working-days"        // the day of the start does not count; the deadline is the end of the last
	Months      Unit = "months"              // calendar months, the last day of a shorter one
	Given       Unit = "given"               // the start is itself the deadline: a date that somebody set
)

// Clock is one row of the table.
type Clock struct {
	Name         string
	Starts       string // what starts it, in words
	Unit         Unit
	Length       int           // in units
	Within       time.Duration // of elapsed
	Jurisdiction string        // ISO 3166: GB, GB-EAW; "" everywhere
	From, Until  string        // first and last day on which it may start; "" without bound
	Warn         []int         // days before the deadline on which people are warned
	NotBefore    bool          // the deadline is the earliest time, not the latest
	Source       string
}

// Names of the clocks.
const (
	ResponseImmediate      = "response-immediate"
	ResponseSameDay        = "response-same-day"
	ResponsePriority       = "response-priority"
	ResponseRoutine        = "response-routine"
	ReasonableGrounds      = "reasonable-grounds-target"
	RecoveryPeriod         = "recovery-period"
	RecoveryPeriodEnd      = "recovery-period-end"
	ConclusiveGrounds      = "conclusive-grounds-earliest"
	Reconsideration        = "reconsideration-request"
	SupportContact         = "support-contact"
	SupportStart           = "support-start"
	SupportEntitlementEnd  = "support-entitlement-end"
	SupportReview          = "support-review"
	ConsentReview          = "consent-review"
	ConsentEnd             = "consent-end"
	WithdrawalAnswer       = "withdrawal-answer"
	DataSubjectRequest     = "data-subject-request"
	DataBreach             = "data-breach-notification"
	VictimUpdate           = "victims-code-update"
	VictimUpdateVulnerable = "victims-code-update-vulnerable"
	CourtDate              = "court-date"
)

const (
	primero     = "Primero service response time frames 1_hour, 3_hours, 1_day, 3_days (primeroIMS/primero)"
	guidance    = "Modern Slavery Act 2015 s.49 statutory guidance (England and Wales) and non-statutory guidance (Scotland, Northern Ireland)"
	nationality = "Nationality and Borders Act 2022 s.61: at least 30 days; before, ECAT Art. 13 as applied in the United Kingdom: 45 days"
	victims     = "Code of Practice for Victims of Crime in England and Wales: five working days, one working day under enhanced rights"
	contract    = "Modern Slavery Victim Care Contract; design page \"domain\""
	practice    = "network practice; design page \"domain\", clocks"
)

// table is built once and never changed.
var table = []Clock{
	response(ResponseImmediate, schemas.UrgencyImmediate),
	response(ResponseSameDay, schemas.UrgencySameDay),
	response(ResponsePriority, schemas.UrgencyPriority),
	response(ResponseRoutine, schemas.UrgencyRoutine),
	{Name: ReasonableGrounds, Starts: "referral into the National Referral Mechanism", Unit: WorkingDays, Length: 5, Jurisdiction: "GB", Warn: []int{1}, Source: guidance},
	{Name: RecoveryPeriod, Starts: "positive reasonable grounds decision", Unit: DaysWith, Length: 45, Jurisdiction: "GB", Until: "2022-12-12", NotBefore: true, Warn: []int{14, 7}, Source: nationality},
	{Name: RecoveryPeriod, Starts: "positive reasonable grounds decision", Unit: DaysWith, Length: 30, Jurisdiction: "GB", From: "2022-12-13", NotBefore: true, Warn: []int{14, 7}, Source: nationality},
	{Name: RecoveryPeriodEnd, Starts: "the end named in the decision", Unit: Given, Jurisdiction: "GB", Warn: []int{14, 7}, Source: nationality},
	{Name: ConclusiveGrounds, Starts: "end of the recovery period", Unit: Given, Jurisdiction: "GB", NotBefore: true, Source: guidance},
	{Name: Reconsideration, Starts: "negative decision", Unit: Days, Length: 30, Jurisdiction: "GB", Warn: []int{14, 7, 2}, Source: guidance},
	{Name: SupportContact, Starts: "entry into support", Unit: Elapsed, Within: 48 * time.Hour, Jurisdiction: "GB", Source: contract},
	{Name: SupportStart, Starts: "referral for support", Unit: Days, Length: 5, Jurisdiction: "GB", Warn: []int{1}, Source: contract},
	{Name: SupportEntitlementEnd, Starts: "the end of the entitlement", Unit: Given, Warn: []int{60, 30, 7}, Source: practice},
	{Name: SupportReview, Starts: "the review date of the entitlement", Unit: Given, Warn: []int{7}, Source: practice},
	{Name: ConsentReview, Starts: "consent given", Unit: Months, Length: 3, Warn: []int{14}, Source: practice},
	{Name: ConsentEnd, Starts: "the end of the consent", Unit: Given, Warn: []int{14, 3}, Source: practice},
	{Name: WithdrawalAnswer, Starts: "notice of the withdrawal", Unit: WorkingDays, Length: 1, Source: practice + "; stopping is immediate (UK GDPR Art. 7(3))"},
	{Name: DataSubjectRequest, Starts: "receipt of the request", Unit: Months, Length: 1, Warn: []int{10, 3}, Source: "UK GDPR Art. 12(3)"},
	{Name: DataBreach, Starts: "becoming aware of the breach", Unit: Elapsed, Within: 72 * time.Hour, Source: "UK GDPR Art. 33(1)"},
	{Name: VictimUpdate, Starts: "arrest, charge, bail change, court date", Unit: WorkingDays, Length: 5, Jurisdiction: "GB-EAW", Warn: []int{1}, Source: victims},
	{Name: VictimUpdateVulnerable, Starts: "arrest, charge, bail change, court date, for a vulnerable or intimidated victim", Unit: WorkingDays, Length: 1, Jurisdiction: "GB-EAW", Source: victims},
	{Name: CourtDate, Starts: "the date of the hearing", Unit: Given, Warn: []int{14, 3, 1}, Source: practice},
}

func response(name string, u schemas.Urgency) Clock {
	return Clock{Name: name, Starts: "the referral is sent", Unit: Elapsed, Within: u.RespondWithin(), Source: primero}
}

// All returns the table, in the order of the documentation.
func All() []Clock { return slices.Clone(table) }

// Named returns the clock of a name that starts on a day; false when there is none.
func Named(name string, start time.Time) (Clock, bool) {
	day := start.Format(time.DateOnly)
	for _, c := range table {
		if c.Name == name && (c.From == "" || day >= c.From) && (c.Until == "" || day <= c.Until) {
			return c, true
		}
	}
	return Clock{}, false
}

// Deadline is when a clock runs out.
type Deadline struct {
	At        time.Time
	Warn      []time.Time // when people are warned, the earliest first; all before At
	Uncertain bool        // working days were counted in a year whose holidays are not known here
}

// Due says when a clock that starts at a time runs out.
func (c Clock) Due(start time.Time, cal Calendar) Deadline {
	d := Deadline{}
	switch c.Unit {
	case Elapsed:
		d.At = start.Add(c.Within)
	case Days:
		d.At = cal.endOf(cal.addDays(start, c.Length))
	case DaysWith:
		d.At = cal.endOf(cal.addDays(start, c.Length-1))
	case WorkingDays:
		day := start
		for left := c.Length; left > 0; {
			day = cal.addDays(day, 1)
			working, certain := cal.Working(day)
			d.Uncertain = d.Uncertain || !certain
			if working {
				left--
			}
		}
		d.At = cal.endOf(day)
	case Months:
		d.At = cal.endOf(addMonths(start.In(cal.Zone()), c.Length))
	default:
		d.At = cal.endOf(start)
	}
	warn := slices.Clone(c.Warn)
	slices.Sort(warn)
	for _, days := range slices.Backward(warn) {
		if at := cal.addDays(d.At, -days); at.After(start) || c.Unit == Given {
			d.Warn = append(d.Warn, at)
		}
	}
	return d
}

// addMonths stays in the month it should reach: one month after 31 January is the last of February.
func addMonths(t time.Time, n int) time.Time {
	first := time.Date(t.Year(), t.Month()+time.Month(n), 1, t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), t.Location())
	last := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(t.Day(), last)-1)
}
