package schemas

import "time"

// responseClock is one row of the table of response clocks. Clocks are data because practice and law change.
type responseClock struct {
	urgency Urgency
	within  time.Duration // elapsed time, not working days: danger does not wait for Monday
	source  string
}

// responseClocks are the defaults; an agreement may shorten them, never lengthen.
var responseClocks = []responseClock{
	{UrgencyImmediate, 1 * time.Hour, "Primero service response timeframe 1_hour"},
	{UrgencySameDay, 3 * time.Hour, "Primero service response timeframe 3_hours"},
	{UrgencyPriority, 24 * time.Hour, "Primero service response timeframe 1_day"},
	{UrgencyRoutine, 72 * time.Hour, "Primero service response timeframe 3_days"},
}

// RespondWithin returns how long the recipient has to answer. An unknown urgency gets the longest time;
// Validate refuses it anyway.
func (u Urgency) RespondWithin() time.Duration {
	longest := time.Duration(0)
	for _, c := range responseClocks {
		if c.urgency == u {
			return c.within
		}
		longest = max(longest, c.within)
	}
	return longest
}

// DefaultConsentDays is how long a consent lasts when the person who took it named no end. Source: consent is
// reviewed after three months and at every change of purpose (design page "domain", clocks).
const DefaultConsentDays = 90

// MaxConsentDays bounds what may be asked for once: consent that is never reviewed is not consent.
const MaxConsentDays = 366
