package witness

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"

	"waypost/agents/link"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// perRound bounds how many messages one round looks for: after a week offline there are thousands, and the ledger answers
// only so many requests a second.
const perRound = 20 * ledger.MaxInclusions

var streamOf = map[schemas.Lane]string{schemas.LaneUrgent: ledger.StreamUrgent, schemas.LaneRoutine: ledger.StreamRoutine, schemas.LaneReceipt: ledger.StreamReceipt}

// messages looks for what we sent, accepted and were receipted.
func (w *Witness) messages(ctx context.Context, c *ledger.Checkpoint) error {
	for _, table := range []store.Table{store.TableOutbox, store.TableInbox, store.TableReceipts} {
		after := int64(0)
		for n := 0; n < perRound; n += ledger.MaxInclusions {
			page, last, err := w.Store.Unproved(ctx, table, after, ledger.MaxInclusions)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				break
			}
			if err := w.page(ctx, c, page); err != nil {
				return err
			}
			if after = last; len(page) < ledger.MaxInclusions {
				break
			}
		}
	}
	return nil
}

func (w *Witness) page(ctx context.Context, c *ledger.Checkpoint, page []store.Unproved) error {
	q := ledger.InclusionRequest{Size: c.Size}
	for _, u := range page {
		q.Places = append(q.Places, ledger.Place{Stream: streamOf[u.Lane], Seq: u.Seq})
	}
	a, err := ask[ledger.InclusionAnswer](ctx, w, ledger.VerbInclusion, q)
	var r *link.Refusal
	if errors.As(err, &r) && r.Code == ledger.ServiceRefused {
		// "Not yours" about one of them. Which, is found one by one; and then it is not true.
		if len(page) > 1 {
			for i := range page {
				if err := w.page(ctx, c, page[i:i+1]); err != nil {
					return err
				}
			}
			return nil
		}
		return w.missing(ctx, c, page[0], ledger.Inclusion{}, CodeContradicts)
	}
	if err != nil {
		return err
	}
	proved := map[int]int64{}
	for i, u := range page {
		var in ledger.Inclusion
		if i < len(a.Inclusions) {
			in = a.Inclusions[i]
		}
		if w.holds(ctx, c, u, in) {
			proved[i] = in.Index
		}
	}
	if len(proved) == 0 {
		return nil
	}
	return w.Store.Update(ctx, func(tx *store.Tx) error {
		for i, index := range proved {
			if err := tx.Recorded(page[i].Table, page[i].ID, index); err != nil {
				return err
			}
		}
		return nil
	})
}

// about is an alarm about one message, with what the ledger said of it.
func (w *Witness) about(c *ledger.Checkpoint, u store.Unproved, in ledger.Inclusion, code string) alarm {
	return alarm{code: code, message: u.ID, thread: u.Thread, peer: u.Peer, files: append(files("theirs.checkpoint", c), file{"message.note", u.Note},
		file{"place.json", ledger.Encode(ledger.Place{Stream: streamOf[u.Lane], Seq: u.Seq})}, file{"inclusion.json", ledger.Encode(in)})}
}

// missing deals with a message that does not stand where it was put. A restore since then explains it; otherwise it is an
// alarm. Either way what we sent is sent again: whatever the reason, the broker is to have it, and recipients recognise it. With
// an alarm once only: a ledger that is merely slow, or a broker that drops it again, must not be answered with ever more of it.
func (w *Witness) missing(ctx context.Context, c *ledger.Checkpoint, u store.Unproved, in ledger.Inclusion, code string) error {
	excused := w.excused(ctx, c, u.At)
	a := w.about(c, u, in, code)
	if _, over := w.folder(a); over && !excused {
		return nil
	}
	err := w.Store.Update(ctx, func(tx *store.Tx) (err error) {
		switch {
		case excused:
			_, err = w.giveUp(tx, u)
		case u.Table == store.TableOutbox:
			_, err = tx.SendAgain(u.ID, u.Lane)
		}
		return err
	})
	if err == nil && !excused {
		w.raise(ctx, a)
	}
	return err
}

// holds reports whether the ledger is proved to hold a message as we have it, and raises an alarm when it cannot.
func (w *Witness) holds(ctx context.Context, c *ledger.Checkpoint, u store.Unproved, in ledger.Inclusion) bool {
	raise := func(code string) bool { w.raise(ctx, w.about(c, u, in, code)); return false }
	missing := func(code string) bool {
		if err := w.missing(ctx, c, u, in, code); err != nil {
			w.Log.Error("message not put back", "message", u.ID, "err", err)
		}
		return false
	}
	if in.Record == "" {
		if w.Now().Sub(u.At) >= w.Missing {
			return missing(CodeOmits)
		}
		return false
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(in.Record)
	if err != nil || ledger.CheckInclusion(c, in.Index, raw, in.Hashes) != nil {
		return raise(CodeUnproved)
	}
	r, err := ledger.ParseRecord(raw)
	if err != nil || r.Kind != ledger.KindMail || r.Stream != streamOf[u.Lane] || r.Seq != u.Seq || !bytes.Equal(r.Note, u.Note) {
		return missing(CodeContradicts)
	}
	switch u.Table {
	case store.TableOutbox:
		if d := u.At.Sub(r.Time); d > w.Delayed || -d > w.Delayed {
			raise(CodeLate)
		}
	case store.TableInbox:
		// Since before it was stored we have been connected, and have put nothing off ourselves.
		if since := w.Since(); u.At.Sub(r.Time) > w.Delayed && !since.IsZero() && since.Before(r.Time) {
			raise(CodeDelayed)
		}
	case store.TableReceipts:
	}
	return true
}
