package route

import (
	"math/rand/v2"
	"time"
)

// Schedule says how long to wait after the n-th failure, and when to stop. Each wait is spread by Jitter so that a system
// that comes back is not met by everything at once.
type Schedule struct {
	Waits  []time.Duration
	Jitter float64        // 0.2: between 80 % and 120 %
	Rand   func() float64 // nil: math/rand/v2
}

// DefaultSchedule tries for about three days, like the schedule that Standard Webhooks recommends, with more patience at
// the start: a system that restarts is back within a minute.
func DefaultSchedule() Schedule {
	return Schedule{Jitter: 0.2, Waits: []time.Duration{
		time.Second, 5 * time.Second, 15 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 10 * time.Minute,
		15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour, 8 * time.Hour, 12 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}}
}

// Next returns the wait after failure number attempt (1 is the first), or false when it is time to give up.
func (s Schedule) Next(attempt int) (time.Duration, bool) {
	if attempt < 1 || attempt > len(s.Waits) {
		return 0, false
	}
	random := s.Rand
	if random == nil {
		random = rand.Float64
	}
	w := float64(s.Waits[attempt-1])
	return time.Duration(w * (1 + s.Jitter*(2*random()-1))), true
}
