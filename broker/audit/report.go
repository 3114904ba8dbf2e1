package audit

import (
	"time"

	"waypost/schemas"
)

// ReportType is the "type" of a report in JSON. A changed meaning is a new one.
const ReportType = "waypost.report.v1"

// Report says how a network does, from signed manifests. Times are the broker's.
type Report struct {
	Type      string       `json:"type"`
	At        time.Time    `json:"at"`                // when it is overdue
	From      time.Time    `json:"from,omitzero"`     // time of the first record
	To        time.Time    `json:"to,omitzero"`       // and of the last
	Records   int64        `json:"records,omitzero"`  // read, of every kind; not published
	Published bool         `json:"published"`         // small numbers are hidden: see Publish
	Unsigned  *int64       `json:"unsigned,omitzero"` // mail that its sender did not sign: counted nowhere
	Later     *int64       `json:"later,omitzero"`    // records after At: left out
	Unplaced  *int64       `json:"unplaced,omitzero"` // expired records of receipts, or of messages that were not counted
	Agencies  []*Figures   `json:"agencies"`          // by id: all in the directory and all that sent or were sent something
	Total     *Figures     `json:"total"`
	Open      []Withdrawal `json:"open_withdrawals,omitzero"` // that nobody has answered, the oldest first; never published
}

// Figures are what the report says of one agency, or of all.
type Figures struct {
	Agency      string       `json:"agency,omitzero"`
	Sent        *Count       `json:"sent,omitzero"`                        // messages, without receipts; not published
	Void        *Count       `json:"taken_back,omitzero"`                  // before they left; not published
	Uncollected Count        `json:"not_receipted"`                        // messages to it without a receipt
	Unanswered  Count        `json:"not_answered"`                         // referrals to it that wait for an answer: neither answered nor rejected, expired or stopped by a withdrawal
	Overdue     *Count       `json:"overdue,omitzero"`                     // of these, those whose clock has run out; not published
	Oldest      *Seconds     `json:"oldest_not_answered_seconds,omitzero"` // since the oldest of these was recorded; not published
	Expired     Count        `json:"expired"`                              // messages to it, deleted at the maximum age, uncollected
	Responses   []Response   `json:"responses"`                            // its answers, by the kind that was asked
	Clocks      []Clocked    `json:"clocks"`                               // referrals to it, by the length of their clock
	Refusals    []Refusal    `json:"refusals"`                             // its receipts that say rejected or quarantined
	Bases       []BasisCount `json:"bases"`                                // its messages under a basis other than consent
	Withdrawals Withdrawals  `json:"withdrawals"`                          // by it, that ask for an answer
}

// Seconds is a length of time.
type Seconds int64

func seconds(d time.Duration) *Seconds { s := Seconds(d / time.Second); return &s }

// String is how people read it.
func (s Seconds) String() string { return length(time.Duration(s) * time.Second) }

// Response says how long answers took, from the record of what was asked to the record of the first answer. Percentiles are
// by the nearest rank.
type Response struct {
	Kind     string   `json:"kind"`
	Answered *Count   `json:"answered,omitzero"` // not published
	Median   *Seconds `json:"median_seconds,omitzero"`
	P90      *Seconds `json:"p90_seconds,omitzero"`
	Longest  *Seconds `json:"longest_seconds,omitzero"` // one survivor's: not published
}

// Class is a lane and the length of a response clock, respond_by − sent. Urgency itself is sealed.
type Class string

// The classes. Their bounds are the response times of the urgencies; an agreement may shorten a clock, and then a referral
// counts with those of the shorter one.
const (
	ClassUrgentShort  Class = "urgent-immediate"
	ClassUrgentLong   Class = "urgent-longer"
	ClassRoutineShort Class = "routine-priority"
	ClassRoutineLong  Class = "routine-longer"
)

// Classes returns all classes, the most urgent first.
func Classes() []Class {
	return []Class{ClassUrgentShort, ClassUrgentLong, ClassRoutineShort, ClassRoutineLong}
}

// Words says which referrals the class holds.
func (c Class) Words() string {
	switch c {
	case ClassUrgentShort:
		return "urgent lane, up to " + length(schemas.UrgencyImmediate.RespondWithin())
	case ClassUrgentLong:
		return "urgent lane, longer"
	case ClassRoutineShort:
		return "routine lane, up to " + length(schemas.UrgencyPriority.RespondWithin())
	}
	return "routine lane, longer"
}

func classOf(lane string, within time.Duration) Class {
	switch {
	case lane == string(schemas.LaneUrgent) && within <= schemas.UrgencyImmediate.RespondWithin():
		return ClassUrgentShort
	case lane == string(schemas.LaneUrgent):
		return ClassUrgentLong
	case within <= schemas.UrgencyPriority.RespondWithin():
		return ClassRoutineShort
	}
	return ClassRoutineLong
}

// Clocked counts referrals whose clock has stopped or run out.
type Clocked struct {
	Class  Class    `json:"class"`
	InTime Count    `json:"in_time"`             // answered in time
	Late   Count    `json:"late"`                // answered late, or not at all though the clock has run out
	Share  *float64 `json:"late_share,omitzero"` // late of both, 0 to 1
}

// Refusal counts receipts of one outcome and code.
type Refusal struct {
	Outcome string `json:"outcome"`
	Code    string `json:"code"`
	Count   Count  `json:"count"`
}

// BasisCount counts messages under one basis.
type BasisCount struct {
	Basis string `json:"basis"`
	Count Count  `json:"count"`
}

// Withdrawals counts the withdrawals of consent that an agency sent to holders with a clock. One that an agency passes on
// has none: its holder answers the agency that took the consent.
type Withdrawals struct {
	Answered Count  `json:"answered"`
	Waiting  Count  `json:"waiting"`
	Overdue  *Count `json:"overdue,omitzero"` // of the waiting; not published
}

// Withdrawal is one that its holder has not answered.
type Withdrawal struct {
	By        string    `json:"by"`
	Holder    string    `json:"holder"`
	Message   string    `json:"message"`
	Recorded  time.Time `json:"recorded"`
	RespondBy time.Time `json:"respond_by"`
	Overdue   bool      `json:"overdue"`
	Collected bool      `json:"collected"` // there is a receipt
}
