package schemas

// DeclineReason is why a referral was declined. Users ask for recorded reasons why survivors are turned away.
type DeclineReason string

// The reasons to decline.
const (
	DeclineNoCapacity              DeclineReason = "no-capacity"
	DeclineOutOfArea               DeclineReason = "out-of-area"
	DeclineDoesNotMeetCriteria     DeclineReason = "does-not-meet-criteria"
	DeclineCannotMeetNeed          DeclineReason = "cannot-meet-need"
	DeclineRiskTooHigh             DeclineReason = "risk-too-high"
	DeclineInsufficientInformation DeclineReason = "insufficient-information"
	DeclineDuplicate               DeclineReason = "duplicate"
	DeclineSurvivorDeclined        DeclineReason = "survivor-declined"
	DeclineServiceUnavailable      DeclineReason = "service-unavailable"
	DeclineAlreadyReceiving        DeclineReason = "already-receiving-elsewhere"
	DeclineConflictOfInterest      DeclineReason = "conflict-of-interest"
	DeclineOther                   DeclineReason = "other" // with words
)

// DeclineReasons returns all reasons to decline.
func DeclineReasons() []DeclineReason {
	reasons := make([]DeclineReason, len(declineMappings))
	for i, m := range declineMappings {
		reasons[i] = m.Reason
	}
	return reasons
}

// DeclineMapping translates a reason to decline into the code lists of neighbouring standards. An empty string
// says that the standard has no word for it: choosing a near one would put a false statement on record.
type DeclineMapping struct {
	Reason DeclineReason
	// BaRS is a code of dos-rejected-reasons-bars in the NHS Booking and Referral Standard
	// (NHSDigital/NHSDigital-FHIR-BookingAndReferrals, CodeSystem).
	BaRS string
	// Primero is a value of its service_referred list (primeroIMS/primero). Its transition status is
	// "rejected" for all of them.
	Primero string
}

var declineMappings = []DeclineMapping{
	{DeclineNoCapacity, "22", ""},                                                    // Rejected for capacity reasons
	{DeclineOutOfArea, "42", ""},                                                     // Unsuitable due to distance
	{DeclineDoesNotMeetCriteria, "40", "service_not_applicable"},                     // Patient not eligible for service
	{DeclineCannotMeetNeed, "23", "service_not_applicable"},                          // Service not clinically appropriate
	{DeclineRiskTooHigh, "24", ""},                                                   // Service declined referral
	{DeclineInsufficientInformation, "99", ""},                                       // Other reason
	{DeclineDuplicate, "99", "service_provided_by_your_agency"},                      // Other reason
	{DeclineSurvivorDeclined, "26", "referral_declined_by_survivor"},                 // Rejected for patient choice
	{DeclineServiceUnavailable, "24", "service_unavailable"},                         // Service declined referral
	{DeclineAlreadyReceiving, "99", "services_already_received_from_another_agency"}, // Other reason
	{DeclineConflictOfInterest, "24", ""},                                            // Service declined referral
	{DeclineOther, "99", ""},                                                         // Other reason
}

// Mapping returns the reason in the words of neighbouring standards, and false for an unknown reason.
func (r DeclineReason) Mapping() (DeclineMapping, bool) {
	for _, m := range declineMappings {
		if m.Reason == r {
			return m, true
		}
	}
	return DeclineMapping{}, false
}
