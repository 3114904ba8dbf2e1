package notary

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/synadia-io/orbit.go/jetstreamext"

	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

// What one answer to VerbSent holds at most; base64 of it is well below a NATS message.
const (
	sentMax      = 256
	sentMaxBytes = 512 << 10
)

// again lets an agency whose store was restored have everything once more that its streams still hold: what it does not know
// it accepts, what it knows it recognises. It returns when the ledger has caught up with the streams as they are now, so that
// what the agency then reads in it is all that was ever stored in its name.
func (n *Notary) again(ctx context.Context, agency string) error {
	select {
	case n.recoveries <- struct{}{}:
		defer func() { <-n.recoveries }()
	default:
		return errBusy // it asks again; its act is recorded
	}
	var ends positions
	for i, name := range ledger.Streams() {
		s, err := n.js.Stream(ctx, name)
		if err != nil {
			return fmt.Errorf("recover %s: %w", agency, err)
		}
		ends[i] = s.CachedInfo().State.LastSeq
		if i == 0 {
			continue
		}
		// An agency may not make a consumer itself: one that is lost half-way is made again by the broker.
		if err := n.rewind(ctx, name, agency); err != nil {
			return fmt.Errorf("recover %s: reset its consumer of %s: %w", agency, name, err)
		}
	}
	for {
		s, err := n.js.Stream(ctx, StreamLedger)
		if err != nil {
			return fmt.Errorf("recover %s: %w", agency, err)
		}
		last, err := s.GetMsg(ctx, s.CachedInfo().State.LastSeq)
		if err != nil {
			return fmt.Errorf("recover %s: %w", agency, err)
		}
		at, err := parsePositions(last.Header.Get(PositionsHeader))
		if err != nil {
			return err
		}
		if at[1] >= ends[1] && at[2] >= ends[2] && at[3] >= ends[3] {
			n.log.InfoContext(ctx, "an agency was restored from a backup and gets everything again", "agency", agency)
			return nil
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return errDown // it asks again
		}
	}
}

// onSent reads an agency's own messages from the ledger.
func (n *Notary) onSent(ctx context.Context, agency string, data []byte) (any, error) {
	var q ledger.SentRequest
	if err := read(data, &q); err != nil {
		return nil, err
	}
	if q.From < 0 {
		return nil, refuse(ledger.ServiceBad, "from must not be negative")
	}
	a := ledger.SentAnswer{Next: q.From}
	for m, err := range mustSeq(jetstreamext.GetBatch(ctx, n.js, StreamLedger, sentMax, jetstreamext.GetBatchSeq(uint64(q.From)+1), //nolint:gosec // not negative
		jetstreamext.GetBatchSubject("ledger.mail.*."+agency), jetstreamext.GetBatchMaxBytes(sentMaxBytes))) {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, err
		}
		a.Next = int64(m.Sequence) //nolint:gosec // a number of a message
		a.Records = append(a.Records, base64.StdEncoding.EncodeToString(m.Data))
	}
	return a, nil
}

// restoredMax is how many restores one answer tells of, the newest ones.
const restoredMax = 16

// onRestored proves which acts say that this ledger went back to a backup.
func (n *Notary) onRestored(ctx context.Context, _ string, data []byte) (any, error) {
	var q ledger.RestoredRequest
	if err := read(data, &q); err != nil {
		return nil, err
	}
	b, signed := n.reading()
	if b == nil {
		return nil, errDown
	}
	if q.Size < 1 || q.Size > signed {
		return nil, refuse(ledger.ServiceBad, "size must be a signed one")
	}
	a := ledger.InclusionAnswer{Inclusions: []ledger.Inclusion{}}
	for m, err := range mustSeq(jetstreamext.GetBatch(ctx, n.js, StreamLedger, 1000, jetstreamext.GetBatchSubject("ledger.act."+directory.RootName+".*"))) {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			break
		}
		if err != nil {
			return nil, err
		}
		if int64(m.Sequence) > q.Size { //nolint:gosec // a number of a message
			break
		}
		in, err := n.prove(ctx, b, m, q.Size)
		if err != nil {
			return nil, err
		}
		if a.Inclusions = append(a.Inclusions, in); len(a.Inclusions) > restoredMax {
			a.Inclusions = a.Inclusions[1:]
		}
	}
	return a, nil
}

// checkRestored refuses what this ledger does not bear out: a number or a root that was mistyped would be recorded for ever.
func (n *Notary) checkRestored(ctx context.Context, act *ledger.Act) error {
	records, root, err := ReadRoot(ctx, n.js, uint64(act.Records)) //nolint:gosec // not negative
	if err != nil {
		return err
	}
	if records < uint64(act.Records) || root != act.Root { //nolint:gosec // not negative
		return refuse(ledger.ServiceBad, "the first records of this ledger do not have that root")
	}
	return nil
}

func (n *Notary) rewind(ctx context.Context, stream, agency string) error {
	if n.cfg.Rewind != nil {
		return n.cfg.Rewind(ctx, stream, agency)
	}
	_, err := n.js.ResetConsumerToSequence(ctx, stream, agency, 1)
	return err
}
