package notary

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/schemas/ledger"
)

// State is how far the ledger is, for operators.
type State struct {
	Height   uint64    `json:"height"`             // records
	Recorded time.Time `json:"recorded,omitzero"`  // when the last one was appended
	Signed   uint64    `json:"signed"`             // records under the newest checkpoint
	SignedAt time.Time `json:"signed_at,omitzero"` // when that was stored
	Behind   uint64    `json:"behind"`             // stored messages and directory changes that are not recorded yet
}

// ReadState asks the broker. js needs the broker's rights.
func ReadState(ctx context.Context, js jetstream.JetStream) (*State, error) {
	// First how far the ledger is, then the streams: what comes in between shows as behind, never as ahead.
	s, err := js.Stream(ctx, StreamLedger)
	if err != nil {
		return nil, fmt.Errorf("read state of ledger: %w", err)
	}
	info := s.CachedInfo().State
	st := &State{Height: info.LastSeq}
	var at positions
	if info.LastSeq > 0 {
		last, err := s.GetMsg(ctx, info.LastSeq)
		if err != nil {
			return nil, fmt.Errorf("read state of ledger: %w", err)
		}
		st.Recorded = info.LastTime
		if at, err = parsePositions(last.Header.Get(PositionsHeader)); err != nil {
			return nil, err
		}
	}
	for i, name := range ledger.Streams() {
		s, err := js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read state of %s: %w", name, err)
		}
		if last := s.CachedInfo().State.LastSeq; last > at[i] {
			st.Behind += last - at[i]
		}
	}
	c, err := js.Stream(ctx, StreamCheckpoints)
	if err != nil {
		return nil, fmt.Errorf("read state of ledger: %w", err)
	}
	m, err := c.GetLastMsgForSubject(ctx, logSubject)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return st, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read newest checkpoint: %w", err)
	}
	cp, err := ledger.ParseCheckpoint(m.Data)
	if err != nil {
		return nil, err
	}
	st.Signed, st.SignedAt = uint64(cp.Size), m.Time //nolint:gosec // not negative
	return st, nil
}

// ReadRoot computes the root hash of the first n records, base64, from what the stream holds; of all that are there when
// there are fewer. js needs to read the ledger.
func ReadRoot(ctx context.Context, js jetstream.JetStream, n uint64) (records uint64, root string, err error) {
	s, err := js.Stream(ctx, StreamLedger)
	if err != nil {
		return 0, "", fmt.Errorf("read ledger: %w", err)
	}
	n = min(n, s.CachedInfo().State.LastSeq)
	b := &book{js: js, stream: s}
	tree, err := ledger.Resume(int64(n), b.hashes(ctx)) //nolint:gosec // a count
	if err != nil {
		return 0, "", fmt.Errorf("read hashes of ledger: %w", err)
	}
	return n, tree.Root().String(), nil
}
