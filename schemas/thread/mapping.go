package thread

// Mapping is a state in the words of neighbouring standards. An empty string says that the standard has no word for it:
// choosing a near one would put a false statement on record.
type Mapping struct {
	State State
	// FHIRTask is a status of Task (HL7 FHIR R4), as the Gravity Project's SDOH Clinical Care uses it for referrals.
	FHIRTask string
	// Primero is a status of a referral (primeroIMS/primero).
	Primero string
}

var mappings = []Mapping{
	{Requested, "requested", "in_progress"},
	{Received, "received", "in_progress"},
	{Accepted, "accepted", "accepted"},
	{Declined, "rejected", "rejected"},
	{Waitlisted, "received", "in_progress"},
	{InformationNeeded, "received", "in_progress"},
	{Redirected, "rejected", "rejected"},
	{InProgress, "in-progress", "accepted"},
	{OnHold, "on-hold", "accepted"},
	{Completed, "completed", "done"},
	{Failed, "failed", ""},
	{Cancelled, "cancelled", "revoked"},
	{Stopped, "on-hold", ""},
	// Revoking must never read as done (Primero R2-1380).
	{Withdrawn, "cancelled", "revoked"},
}

// Mapping returns the state in the words of neighbouring standards, and false for an unknown state.
func (s State) Mapping() (Mapping, bool) {
	for _, m := range mappings {
		if m.State == s {
			return m, true
		}
	}
	return Mapping{}, false
}
