package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/schemas"
)

// oldestMost bounds for how many queues of a lane the oldest message is looked up: each costs reading one message. Those
// that were last emptied longest ago come first, because what has waited longest is among them.
const oldestMost = 100

// queue is one agency's consumer in a lane with something in it.
type queue struct {
	agency  *AgencyStatus
	subject string
	settled uint64 // everything up to this number in the stream is
}

// oldest finds when the first message of each queue was stored.
func oldest(ctx context.Context, s jetstream.Stream, l schemas.Lane, queues []queue) error {
	slices.SortFunc(queues, func(a, b queue) int {
		if a.settled < b.settled {
			return -1
		}
		return 1
	})
	for _, q := range queues[:min(len(queues), oldestMost)] {
		m, err := s.GetMsg(ctx, q.settled+1, jetstream.WithGetMsgSubject(q.subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // settled since
		}
		if err != nil {
			return fmt.Errorf("look up oldest message of %s: %w", q.agency.ID, err)
		}
		if q.agency.Oldest == nil {
			q.agency.Oldest = map[schemas.Lane]time.Time{}
		}
		q.agency.Oldest[l] = m.Time.UTC().Truncate(time.Millisecond)
	}
	return nil
}
