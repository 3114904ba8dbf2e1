package thread

import (
	"slices"

	"waypost/schemas"
)

// State is how far the work on a referral has come, as the two agencies have told one another.
type State string

// The states. Stopped and Withdrawn come from consent and Received from a receipt: they are what Request.State shows and
// never a state of the work itself.
const (
	Requested         State = "requested"
	Accepted          State = "accepted"
	Declined          State = "declined"
	Waitlisted        State = "waitlisted"
	InformationNeeded State = "information-needed"
	Redirected        State = "redirected"
	InProgress        State = "in-progress"
	OnHold            State = "on-hold"
	Completed         State = "completed"
	Failed            State = "failed"
	Cancelled         State = "cancelled"

	Received  State = "received"
	Stopped   State = "stopped"
	Withdrawn State = "withdrawn"
)

// States returns the states of the work, in the order of the documentation.
func States() []State {
	return []State{Requested, InformationNeeded, Waitlisted, Accepted, InProgress, OnHold, Declined, Redirected, Completed, Failed, Cancelled}
}

// Ended reports whether nothing follows the state. A new referral does.
func (s State) Ended() bool { return s != "" && slices.Contains(States(), s) && len(moves[s]) == 0 }

// moves says what may follow. Source: HL7 FHIR SDOH Clinical Care, Task for referral management (its edges from requested
// on), with our answers beside accepted and rejected: a waiting list and a question end nothing, a redirection does.
var moves = map[State][]State{
	Requested:         {Accepted, Declined, Waitlisted, InformationNeeded, Redirected, Cancelled},
	InformationNeeded: {Accepted, Declined, Waitlisted, Redirected, Cancelled},
	Waitlisted:        {Accepted, Declined, InformationNeeded, Redirected, Cancelled},
	Accepted:          {InProgress, OnHold, Completed, Failed, Cancelled},
	InProgress:        {OnHold, Completed, Failed, Cancelled},
	OnHold:            {InProgress, Completed, Failed, Cancelled},
}

// statuses are the words by which a kind sets a state.
var statuses = map[schemas.Kind][]State{
	schemas.KindReferralResponse: {Accepted, Declined, Waitlisted, InformationNeeded, Redirected},
	schemas.KindReferralUpdate:   {InProgress, OnHold, Completed, Failed, Cancelled},
}

// step is the machine of the work: what an event that says status does to a referral. The same status again is legal and
// changes nothing; so do events with a flag.
func step(now, status State, byRequester bool) (State, string) {
	switch {
	case status == Requested || !slices.Contains(States(), status):
		return now, FlagUnknownStatus
	case byRequester && status != Cancelled:
		return now, FlagNotTheirs
	case status == now:
		return now, ""
	case slices.Contains(moves[now], status):
		return status, ""
	case now.Ended():
		return now, FlagEnded
	}
	return now, FlagOrder
}

// Delivery is what is proved about the transport of a message.
type Delivery string

// The deliveries. A quarantined message may still be delivered or rejected, when a person has looked at it.
const (
	Sent        Delivery = "sent"
	Delivered   Delivery = Delivery(schemas.OutcomeDelivered)
	Quarantined Delivery = Delivery(schemas.OutcomeQuarantined)
	Rejected    Delivery = Delivery(schemas.OutcomeRejected)
)

// deliver is the machine of transport.
func deliver(now Delivery, receipt string) (Delivery, string) {
	told := Delivery(receipt)
	switch {
	case told != Delivered && told != Quarantined && told != Rejected:
		return now, FlagUnknownStatus
	case now == told || now == Sent || now == Quarantined:
		return told, ""
	}
	return now, FlagEnded
}
