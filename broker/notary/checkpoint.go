package notary

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"waypost/schemas/ledger"
)

const (
	logSubject     = "checkpoint.log"
	witnessSubject = "checkpoint.witness."
)

// sign publishes a checkpoint if there is something new. Only what is stored is ever signed; and a notary that lags behind
// another signs nothing, because a checkpoint smaller than the last looks to every agency like a log that was cut.
func (n *Notary) sign(ctx context.Context, b *book) error {
	if b.head == 0 {
		return nil // no directory yet, so nobody could tell whose checkpoint this is
	}
	stream, err := n.js.Stream(ctx, StreamCheckpoints)
	if err != nil {
		return fmt.Errorf("open checkpoints: %w", err)
	}
	last, err := stream.GetLastMsgForSubject(ctx, logSubject)
	var seq uint64
	switch {
	case err == nil:
		seq = last.Sequence
		if c, err := ledger.ParseCheckpoint(last.Data); err == nil && c.Size >= b.tree.Size() {
			n.wit.newest(c)
			return nil
		}
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return fmt.Errorf("read last checkpoint: %w", err)
	}
	raw, err := ledger.SignCheckpoint(b.tree.Size(), b.tree.Root(), b.head, b.digest, n.cfg.Log)
	if err != nil {
		return err
	}
	if err := n.cfg.Fault("sign"); err != nil {
		return err
	}
	if _, err := n.js.PublishMsg(ctx, &nats.Msg{Subject: logSubject, Data: raw}, jetstream.WithExpectLastSequencePerSubject(seq)); err != nil {
		return fmt.Errorf("publish checkpoint: %w", err)
	}
	if err := n.cfg.Fault("signed"); err != nil {
		return err
	}
	c, err := ledger.ParseCheckpoint(raw)
	if err != nil {
		return err
	}
	n.wit.newest(c)
	return nil
}

// witnesses is what the services answer from: the newest checkpoint, and the last one that each agency cosigned.
type witnesses struct {
	mu   sync.Mutex
	last *ledger.Checkpoint
	by   map[string]*ledger.Checkpoint
}

func newWitnesses() *witnesses { return &witnesses{by: map[string]*ledger.Checkpoint{}} }

func (w *witnesses) load(ctx context.Context, n *Notary) error {
	for m, err := range mustSeq(jetstreamext.GetLastMsgsFor(ctx, n.js, StreamCheckpoints, []string{witnessSubject + "*"})) {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read cosignatures: %w", err)
		}
		if c, err := ledger.ParseCheckpoint(m.Data); err == nil {
			w.cosigned(strings.TrimPrefix(m.Subject, witnessSubject), c)
		}
	}
	return nil
}

func (w *witnesses) newest(c *ledger.Checkpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil || c.Size > w.last.Size {
		w.last = c
	}
}

// signed is the size of the newest checkpoint: proofs are given for what is signed.
func (w *witnesses) signed() int64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return 0
	}
	return w.last.Size
}

func (w *witnesses) cosigned(agency string, c *ledger.Checkpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.by[agency] = c
}

// othersMax is how many other agencies' cosignatures one answer carries.
const othersMax = 16

// answer is the newest checkpoint with all cosignatures on it, and what others cosigned beside it.
func (w *witnesses) answer(agency string) (ledger.CheckpointAnswer, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil {
		return ledger.CheckpointAnswer{}, false
	}
	c := w.last
	var a ledger.CheckpointAnswer
	for name, other := range w.by {
		switch {
		case other.Same(c):
			if merged := c.Merge(other); len(merged.Raw()) <= ledger.MaxCheckpoint {
				c = merged
			}
		case name != agency && len(a.Witnessed) < othersMax:
			a.Witnessed = append(a.Witnessed, string(other.Raw()))
		}
	}
	a.Checkpoint = string(c.Raw())
	return a, true
}
