package bench

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/agents/store"
	"waypost/broker"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

// collected is what the streams and the stores say after the messages have gone their way.
type collected struct {
	envelope int64 // mean bytes of a mail message, note and sealed body
	note     int64 // mean bytes of its note
	receipts int   // that say delivered
}

// collect fills in every journey from the broker's streams, the agents' stores and the sink folders. It reads while nothing is
// under way any more, so it costs the measured part nothing.
func (w *world) collect(ctx context.Context, t *tap, journeys []*journey) (*collected, error) {
	w.o.Progress.Phase("reading what happened", len(journeys))
	byID := make(map[string]*journey, len(journeys))
	for _, j := range journeys {
		byID[j.id] = j
	}
	out := &collected{}
	var bytes, notes, mails int64
	for _, lane := range []schemas.Lane{schemas.LaneUrgent, schemas.LaneRoutine} {
		stream := broker.Stream(lane)
		err := t.read(ctx, stream, true, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
			j := byID[m.Headers().Get(jetstream.MsgIDHeader)]
			if j == nil {
				return nil
			}
			j.stored, j.inbox = meta.Timestamp.UnixNano(), t.heardAt(stream, meta.Sequence.Stream)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	err := t.read(ctx, broker.StreamReceipt, false, func(m jetstream.Msg, meta *jetstream.MsgMetadata) error {
		e, err := envelope.Parse(m.Data())
		if err != nil {
			return fmt.Errorf("read receipt: %w", err)
		}
		j := byID[e.Manifest.ReplyTo]
		if j == nil {
			return nil
		}
		if e.Manifest.Outcome != schemas.OutcomeDelivered {
			j.refused = string(e.Manifest.Outcome) + " " + e.Manifest.Code
			return nil
		}
		out.receipts++
		j.receipt = t.heardAt(broker.StreamReceipt, meta.Sequence.Stream)
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i, a := range w.active {
		if err := a.routed(ctx, byID); err != nil {
			return nil, err
		}
		w.o.Progress.Done((i + 1) * len(journeys) / len(w.active))
	}
	// The size of what travelled, from the newest few: one message of a kind is as large as the next.
	stream, err := t.js.Stream(ctx, broker.StreamRoutine)
	if err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	last := stream.CachedInfo().State.LastSeq
	for seq := last; seq > 0 && seq+8 > last; seq-- {
		m, err := stream.GetMsg(ctx, seq)
		if err != nil {
			continue
		}
		if e, err := envelope.Parse(m.Data); err == nil {
			bytes, notes, mails = bytes+int64(len(m.Data)), notes+int64(len(e.Note)), mails+1
		}
	}
	if mails > 0 {
		out.envelope, out.note = bytes/mails, notes/mails
	}
	return out, nil
}

// read goes through a whole stream.
func (t *tap) read(ctx context.Context, stream string, headers bool, each func(jetstream.Msg, *jetstream.MsgMetadata) error) error {
	s, err := t.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("open stream %s: %w", stream, err)
	}
	if s.CachedInfo().State.Msgs == 0 {
		return nil
	}
	c, err := t.js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{HeadersOnly: headers})
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	iter, err := c.Messages()
	if err != nil {
		return fmt.Errorf("read stream %s: %w", stream, err)
	}
	defer iter.Stop()
	for {
		m, err := iter.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read stream %s: %w", stream, err)
		}
		if err := each(m, meta); err != nil {
			return err
		}
		if meta.NumPending == 0 {
			return nil
		}
	}
}

// routed reads when the sink took each message, and looks for its file: a receipt without one would be a lie. The store keeps
// whole milliseconds, cut off; half of one is added.
func (a *agency) routed(ctx context.Context, byID map[string]*journey) error {
	files := map[string]bool{}
	names, err := os.ReadDir(a.sink())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read sink: %w", err)
	}
	for _, f := range names {
		files[strings.TrimSuffix(f.Name(), ".json")] = true
	}
	st, err := store.Open(a.store())
	if err != nil {
		return err
	}
	defer st.Close()
	for before := int64(0); ; {
		rows, err := st.ListIncoming(ctx, a.id, false, store.Page{Before: before, Limit: 500})
		if err != nil {
			return err
		}
		for _, in := range rows {
			j := byID[in.Manifest.ID]
			if j != nil && in.Routed != nil && files[in.Manifest.ID] {
				j.sunk = in.Routed.Add(time.Millisecond / 2).UnixNano()
				// Acknowledgements wait for one another; what the sink has, the store had before.
				j.inbox = min(j.inbox, j.sunk)
			}
			before = in.N
		}
		if len(rows) < 500 {
			return nil
		}
	}
}
