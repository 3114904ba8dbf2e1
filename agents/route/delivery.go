// Package route hands messages and events over to an agency's own systems: rules pick sinks, sinks take deliveries durably,
// a schedule says when to try again and when to give up. What is due and what was taken is the store's business; nothing
// here remembers anything.
package route

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// Delivery is one hand-over.
type Delivery struct {
	ID         string // stable: the message's or the event's id; a repeat has the same
	Event      string // CloudEvents type, e.g. waypost.message.received
	Time       time.Time
	Agency     string // the agency this agent belongs to
	Attributes Facts  // of the manifest or the event; what is sealed is in Data alone
	Message    string // id of the message that it is, or is about
	Thread     string
	Code       string         // of an event
	Data       jsontext.Value // the whole JSON document for the agency's system
}

// Facts are what a routing rule may see: codes and ids, nothing else of a payload.
type Facts struct {
	Event   string   `expr:"event"`
	Kind    string   `expr:"kind"`
	Urgency string   `expr:"urgency"`
	Lane    string   `expr:"lane"`
	From    string   `expr:"from"`
	To      string   `expr:"to"`
	Outcome string   `expr:"outcome"`
	Needs   []string `expr:"needs"`
	Overdue bool     `expr:"overdue"`
}

// Sink is one of the agency's systems.
//
// Deliver returns nil only when the system has the delivery durably. It may be called again with the same ID after a crash
// and must then leave the system as one call would have. It is called by up to two goroutines at a time. Its errors decide
// what follows: *Permanent (do not try this one again), *Disabled (this sink wants nothing more), *RetryAfter (not
// before); any other is tried again on the schedule. No error holds anything of the delivery's data.
type Sink interface {
	Name() string
	Deliver(ctx context.Context, d *Delivery) error
}

// BatchSink is a Sink that takes several deliveries for less than it costs to take them one by one, and that can hold each of
// them back until the last moment.
//
// DeliverAll takes them in their order. It returns how many of them, from the first on, the system has durably, and what became
// of the one after those, as Deliver would; nil when none is left. Those behind it come again, and must then leave the
// system as one call would have.
//
// Until it calls release the system sees nothing of a delivery, and after that nothing new of any. One that was held back counts
// as taken, and nothing of it stays.
type BatchSink interface {
	Sink
	DeliverAll(ctx context.Context, ds []*Delivery, release Release) (taken int, err error)
}

// Release is called by a BatchSink at most once in a call, when what takes time is done. It calls show, which lets the system see
// the deliveries and asks of each, by its place in the batch and just before, whether it may: somebody may have withdrawn a
// consent. A withdrawal waits for show, so it is short: no syncing. With an error nothing may be shown, and DeliverAll returns it.
type Release func(show func(may func(i int) bool)) error

// ReleaseAll holds nothing back.
func ReleaseAll(show func(may func(i int) bool)) error {
	show(func(int) bool { return true })
	return nil
}

// Permanent: trying this delivery again cannot help.
type Permanent struct{ Err error }

func (e *Permanent) Error() string { return "permanent: " + e.Err.Error() }
func (e *Permanent) Unwrap() error { return e.Err }

// Disabled: the system said that it wants no more deliveries at all.
type Disabled struct{ Err error }

func (e *Disabled) Error() string { return "disabled: " + e.Err.Error() }
func (e *Disabled) Unwrap() error { return e.Err }

// RetryAfter: the system said when to come back.
type RetryAfter struct {
	After time.Duration
	Err   error
}

func (e *RetryAfter) Error() string { return fmt.Sprintf("retry after %s: %v", e.After, e.Err) }
func (e *RetryAfter) Unwrap() error { return e.Err }

// errID: ids become file names and header values.
var errID = errors.New("delivery id has characters other than letters, digits, '.', '_' and '-'")

func checkID(id string) error {
	if id == "" || len(id) > 128 || id[0] == '.' {
		return &Permanent{errID}
	}
	for _, c := range []byte(id) {
		ok := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.'
		if !ok {
			return &Permanent{errID}
		}
	}
	return nil
}
