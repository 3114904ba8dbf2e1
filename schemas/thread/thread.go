package thread

import "time"

// Codes of flags. Their spelling never changes.
const (
	FlagUnknownMessage = "unknown-message" // about a message that is not here, or not yet
	FlagStranger       = "not-a-party"     // by an agency that is not one of the two
	FlagNotReferral    = "not-a-referral"  // an answer to something that asks for none
	FlagNotTheirs      = "not-theirs-to-set"
	FlagOrder          = "out-of-order"   // the step does not follow from the state
	FlagEnded          = "after-the-end"  // nothing follows the state
	FlagUnknownStatus  = "unknown-status" // a word that is none of ours, or not of that kind
	FlagNoCertificate  = "no-certificate" // about a consent without saying which
	FlagReused         = "id-reused"      // different messages had this id between the two agencies; the first one counts
)

// Flag marks an event that could not do what it says. The event stays in the history.
type Flag struct {
	EventID string `json:"event"`
	Code    string `json:"code"`
}

// Step is one word of the agencies about a referral that counted.
type Step struct {
	EventID string    `json:"event"`
	By      string    `json:"by"`
	State   State     `json:"state"`
	At      time.Time `json:"at"`
}

// Request is a referral and what became of it. Its three machines know nothing of one another: Work is what the two agencies
// told each other, Delivery what is proved about the transport of the referral, Hold what consent says.
type Request struct {
	ID          string    `json:"id"`
	Requester   string    `json:"requester"`
	Responder   string    `json:"responder"`
	Certificate string    `json:"certificate,omitempty"`
	Sent        time.Time `json:"sent"`
	Work        State     `json:"work"`
	Delivery    Delivery  `json:"delivery"`
	Hold        Hold      `json:"hold,omitempty"`
	Steps       []Step    `json:"steps"` // the first is the request itself
	Flags       []Flag    `json:"flags,omitempty"`
}

// State is the one word for a list: what consent says before anything else, then the work, and of a request without an
// answer whether it is proved to have arrived. Whoever acts looks at the three machines.
func (r *Request) State() State {
	switch {
	case r.Hold == HoldWithdrawn:
		return Withdrawn
	case r.Hold == HoldStopped:
		return Stopped
	case r.Work == Requested && r.Delivery == Delivered:
		return Received
	}
	return r.Work
}

// Thread is what became of all that was said under one thread id, as far as the events tell.
type Thread struct {
	History  []Event    `json:"history"` // every event once
	Requests []*Request `json:"requests"`
	Consents []*Consent `json:"consents,omitempty"` // by certificate
	Flags    []Flag     `json:"flags,omitempty"`    // in the order of the history

	deliveries map[place]Delivery
}

// Request returns the referral with the message id, nil when there is none.
func (t *Thread) Request(id string) *Request {
	for _, r := range t.Requests {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// DeliveryOf returns what is proved about the transport of an event of the history.
func (t *Thread) DeliveryOf(e *Event) Delivery { return t.deliveries[placeOf(e.ID, e)] }
