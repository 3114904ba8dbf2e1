package intake

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas"
	"waypost/schemas/clock"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// Timekeeper sets durable timers for the dates that messages and consents bring. Their lengths and warnings come from
// package clock, nowhere else.
type Timekeeper struct {
	Agency   string
	Vault    *vault.Vault
	Calendar func() clock.Calendar
}

// ResponseClock is the alarm of an answer that is due. That it is overdue is the business of the message's own clock.
const ResponseClock = "response"

// Alarm is what a timer is about. It is kept locked: a date can be somebody's data.
type Alarm struct {
	Clock string      `json:"clock"`
	Due   time.Time   `json:"due"`
	Warn  []time.Time `json:"warn,omitempty"`
}

// Message sets timers for the dates in a payload.
func (k *Timekeeper) Message(tx *store.Tx, m *envelope.Manifest, payload schemas.Payload, now time.Time) error {
	var ends, starts map[string]schemas.Date
	if d, ok := payload.(schemas.Deadliner); ok {
		ends = d.Deadlines()
	}
	if s, ok := payload.(schemas.ClockStarter); ok {
		starts = s.Clocks()
	}
	n := 0
	if m.RespondBy != nil && m.To == k.Agency {
		// A last quarter of the time is left: whoever is on duty should know before it is overdue, not after.
		soon := m.RespondBy.Add(-m.RespondBy.Sub(m.Sent) / 4)
		if err := k.alarm(tx, m.ID, n, m.Thread, ResponseClock, clock.Deadline{At: *m.RespondBy, Warn: []time.Time{soon}}, now); err != nil {
			return err
		}
		n++
	}
	for _, dates := range []map[string]schemas.Date{ends, starts} {
		for _, name := range slices.Sorted(maps.Keys(dates)) {
			cal := k.Calendar()
			at, err := time.ParseInLocation(time.DateOnly, string(dates[name]), cal.Zone())
			if err != nil {
				continue // a date that is not set
			}
			c, ok := clock.Named(name, at)
			if !ok {
				continue
			}
			if _, end := ends[name]; end {
				c.Unit = clock.Given // the payload names the date itself
			}
			if err := k.alarm(tx, m.ID, n, m.Thread, name, c.Due(at, cal), now); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// Consent sets timers for the end of a consent, and at the agency that took it for its review.
func (k *Timekeeper) Consent(tx *store.Tx, c *consent.Certificate, now time.Time) error {
	end, _ := clock.Named(clock.ConsentEnd, now)
	if err := k.alarm(tx, c.ID, 0, "", clock.ConsentEnd, end.Due(c.Consent.Expires, k.Calendar()), now); err != nil {
		return err
	}
	if c.Issuer != k.Agency || c.Consent.Review.IsZero() || !c.Consent.Review.Before(c.Consent.Expires) {
		return nil
	}
	// The review date is in the certificate; the clock says how early people are warned.
	review, _ := clock.Named(clock.ConsentReview, now)
	review.Unit = clock.Given
	return k.alarm(tx, c.ID, 1, "", clock.ConsentReview, review.Due(c.Consent.Review, k.Calendar()), now)
}

func (k *Timekeeper) alarm(tx *store.Tx, ref string, n int, thread, name string, d clock.Deadline, now time.Time) error {
	a := Alarm{Clock: name, Due: d.At.UTC(), Warn: d.Warn}
	text, err := schemas.Encode(&a)
	if err != nil {
		return err
	}
	locked, err := k.Vault.Lock("timer/"+ref, text)
	if err != nil {
		return err
	}
	return tx.AddTimer(&store.Timer{Ref: ref, N: n, Thread: thread, Next: a.next(now), Locked: locked})
}

// next is the first warning to come, or the end. Of warnings that are past already, one is enough: the latest.
func (a *Alarm) next(now time.Time) time.Time {
	last := a.Due
	for _, w := range slices.Backward(a.Warn) {
		if !w.After(now) {
			if last.After(now) {
				return w // within the time of warning: warn at once
			}
			break
		}
		last = w
	}
	return last
}

// Open reads what a timer is about.
func (k *Timekeeper) Open(t *store.Timer) (*Alarm, error) {
	text, err := k.Vault.Unlock("timer/"+t.Ref, t.Locked)
	if err != nil {
		return nil, err
	}
	a := new(Alarm)
	if err := json.Unmarshal(text, a); err != nil {
		return nil, fmt.Errorf("read timer of %s: %w", t.Ref, err)
	}
	return a, nil
}

// After says when a timer that rings now rings again; nil: never. Time that was slept through is not made up for.
func (a *Alarm) After(now time.Time) (next *time.Time, over bool) {
	if !a.Due.After(now) {
		return nil, true
	}
	for _, w := range a.Warn {
		if w.After(now) {
			return &w, false
		}
	}
	return &a.Due, false
}
