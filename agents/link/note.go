package link

import (
	"context"

	"github.com/nats-io/nats.go"

	"waypost/agents/store"
	"waypost/schemas"
)

// noter notes what was published while the next is being published: one update under way at most, so that a message does not
// wait for the commit that says of another that it has left. It is used by one goroutine.
type noter struct {
	link  *Link
	lane  schemas.Lane
	nc    *nats.Conn
	dial  uint64         // which connection of nc is published over
	under map[int64]bool // what the update under way is about: still pending in the store, and published
	done  chan bool      // nil when there is none under way
}

// note begins an update when the one before has ended, and says how that one ended: false if it must be published again.
func (n *noter) note(ctx context.Context, sent []*store.Outgoing, seqs []uint64) bool {
	if len(sent) == 0 {
		return true
	}
	well := n.wait()
	n.done, n.under = make(chan bool, 1), make(map[int64]bool, len(sent))
	for _, o := range sent {
		n.under[o.N] = true
	}
	go func(done chan<- bool, dial uint64) { done <- n.published(ctx, sent, seqs, dial) }(n.done, n.dial)
	return well
}

// published notes what was published over a connection. If there is another by now, it may be one to a broker that was
// restored and has lost it: then it stays pending and is published again.
func (n *noter) published(ctx context.Context, sent []*store.Outgoing, seqs []uint64, dial uint64) bool {
	n.link.noting.RLock()
	defer n.link.noting.RUnlock()
	if n.nc.Stats().Reconnects != dial {
		return true
	}
	return n.link.published(ctx, n.lane, sent, seqs)
}

// wait ends with the update under way; true when there is none.
func (n *noter) wait() bool {
	if n.done == nil {
		return true
	}
	return n.ended(<-n.done)
}

// ended is told what came out of done.
func (n *noter) ended(well bool) bool {
	n.done, n.under = nil, nil
	return well
}

// look ends the update under way if it is over.
func (n *noter) look() bool {
	select {
	case well := <-n.done:
		return n.ended(well)
	default:
		return true
	}
}

// left is what of pending is not published. pending was read after look: what an update before had noted is not in it.
func (n *noter) left(pending []*store.Outgoing) []*store.Outgoing {
	out := pending[:0]
	for _, o := range pending {
		if !n.under[o.N] {
			out = append(out, o)
		}
	}
	return out
}
