package agents

import (
	"errors"
	"sync/atomic"

	"waypost/agents/route"
)

// What an attempt to hand something to a sink came to. Their spelling never changes.
const (
	attemptTaken    = "taken"
	attemptFailed   = "failed"   // it may work next time
	attemptRefused  = "refused"  // it never will
	attemptDisabled = "disabled" // the sink wants nothing more until a person asks for it
)

var attemptCodes = []string{attemptTaken, attemptFailed, attemptRefused, attemptDisabled}

// attempts counts them since the process began; safe for concurrent use.
type attempts [4]atomic.Int64

func (a *attempts) count(err error) {
	var gone *route.Disabled
	var stop *route.Permanent
	switch {
	case err == nil:
		a[0].Add(1)
	case errors.As(err, &gone):
		a[3].Add(1)
	case errors.As(err, &stop):
		a[2].Add(1)
	default:
		a[1].Add(1)
	}
}
