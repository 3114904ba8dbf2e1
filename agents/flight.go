package agents

import (
	"sync"

	"waypost/agents/store"
)

// flight knows what is being handed over at this moment. A withdrawal cannot call back what a system may have by now, a webhook's
// request for example: whether such a message was delivered or is refused is known when the system has answered.
type flight struct {
	mu   sync.Mutex
	refs map[string]int
}

// enter comes before the question whether it is still due, so that who looks after a withdrawal was committed sees all that
// did not hear of it.
func (f *flight) enter(due []*store.Delivery) { f.add(due, 1) }

// leave comes when it is noted what became of it.
func (f *flight) leave(due []*store.Delivery) { f.add(due, -1) }

func (f *flight) add(due []*store.Delivery, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refs == nil {
		f.refs = map[string]int{}
	}
	for _, d := range due {
		if f.refs[d.Ref] += n; f.refs[d.Ref] == 0 {
			delete(f.refs, d.Ref)
		}
	}
}

func (f *flight) has(ref string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.refs[ref] > 0
}
