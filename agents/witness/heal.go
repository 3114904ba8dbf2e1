package witness

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sort"
	"time"

	"waypost/agents/link"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// Settle is the look that comes before anything is sent over a new connection: does the ledger still continue what we saw of
// it? A broker that was restored from a backup has lost its newest messages, and what we send now must come after what we
// send again, or the numbers between would be missing. It costs one or two requests. An error means that the ledger did not
// say; nil, that whatever was lost waits in the outbox again.
func (w *Witness) Settle(ctx context.Context) error {
	w.round.Lock()
	defer w.round.Unlock()
	view := w.View()
	if view == nil {
		return nil
	}
	if _, ok := view.Log(); !ok {
		return nil
	}
	ours, err := w.last(ctx)
	if err != nil || ours == nil {
		return err
	}
	answer, err := insist[ledger.CheckpointAnswer](ctx, w, ledger.VerbCheckpoint, nil)
	if err != nil {
		return err
	}
	theirs, err := w.verified(ctx, ours, answer.Checkpoint)
	if theirs == nil || err != nil {
		return err // not the log's: an alarm, and no reason to believe anything else it says
	}
	older, newer := ours, theirs
	if theirs.Size < ours.Size {
		older, newer = theirs, ours
	}
	holds, _, err := w.consistent(ctx, older, newer)
	if err != nil || holds {
		return err
	}
	return w.heal(ctx, ours, theirs)
}

// heal puts back into the outbox what a ledger that went back does not hold any more: everything that we published, receipted
// or not, that is not proved to stand where the broker had put it. It needs nobody's word for that. Recipients recognise what
// they have; the broker and its ledger get back what they lost. It is done once for each checkpoint of ours that is not
// continued; dying in the middle, it goes on with what is left.
func (w *Witness) heal(ctx context.Context, ours, theirs *ledger.Checkpoint) error {
	h, err := w.healing(ctx, ours, theirs)
	if err != nil || h.Done != nil {
		return err
	}
	again, gone := 0, 0
	for after := int64(0); ; {
		page, last, err := w.Store.Unproved(ctx, store.TableOutbox, after, ledger.MaxInclusions)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			break
		}
		// What was published since it was noticed stands where this broker put it.
		page = slices.DeleteFunc(page, func(u store.Unproved) bool { return !u.At.Before(h.At) })
		sent, lost, err := w.restand(ctx, theirs, page)
		if err != nil {
			return err
		}
		again, gone, after = again+sent, gone+lost, last
	}
	w.Log.Warn("the broker went back to an earlier state; what it lost is sent again", "records", theirs.Size, "known", ours.Size, "common", h.Size, "again", again, "without_body", gone)
	return w.Store.Update(ctx, func(tx *store.Tx) error { return tx.HealingDone(h.ID, w.Now()) })
}

// healing begins the healing of what follows from a checkpoint, or takes it up.
func (w *Witness) healing(ctx context.Context, ours, theirs *ledger.Checkpoint) (*store.Healing, error) {
	known, err := w.Store.Healings(ctx, store.HealBroker)
	if err != nil {
		return nil, err
	}
	for _, h := range known {
		if h.Subject == ours.Text() {
			return &h, nil
		}
	}
	common, err := w.common(ctx, theirs)
	if err != nil {
		return nil, err
	}
	h := &store.Healing{ID: schemas.NewMessageID(), What: store.HealBroker, Subject: ours.Text(), At: w.Now(), Size: common, Next: common}
	return h, w.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.AddHealing(h); err != nil {
			return err
		}
		return tx.Unprove(common)
	})
}

// common is the size of the largest checkpoint we kept that a ledger continues; 0 if it continues none. If it continues one,
// it continues all before it, so halving finds it.
func (w *Witness) common(ctx context.Context, theirs *ledger.Checkpoint) (int64, error) {
	var kept []*ledger.Checkpoint
	err := w.Store.Checkpoints(ctx, func(raw []byte) (bool, error) {
		if c, err := ledger.ParseCheckpoint(raw); err == nil && c.Size <= theirs.Size {
			kept = append(kept, c)
		}
		return true, nil
	})
	if err != nil {
		return 0, err
	}
	var failed error
	i := sort.Search(len(kept), func(i int) bool {
		if failed != nil {
			return true
		}
		holds, _, err := w.consistent(ctx, kept[i], theirs)
		if err != nil {
			failed = err
		}
		return holds
	})
	if failed != nil || i == len(kept) {
		return 0, failed
	}
	return kept[i].Size, nil
}

// restand looks for messages of ours where they stood, notes which are there, and has the others sent again.
func (w *Witness) restand(ctx context.Context, theirs *ledger.Checkpoint, page []store.Unproved) (again, gone int, err error) {
	if len(page) == 0 {
		return 0, 0, nil
	}
	there, err := w.places(ctx, theirs, page)
	if err != nil {
		return 0, 0, err
	}
	return again, gone, w.Store.Update(ctx, func(tx *store.Tx) error {
		again, gone = 0, 0
		for i, u := range page {
			if index, ok := there[i]; ok {
				if err := tx.Recorded(u.Table, u.ID, index); err != nil {
					return err
				}
				continue
			}
			sent, err := w.giveUp(tx, u)
			if err != nil {
				return err
			}
			if sent {
				again++
			} else {
				gone++
			}
		}
		return nil
	})
}

// giveUp takes a place from a message that does not stand there, because the ledger went back. What we sent is sent again, or
// a tombstone for it if it has arrived and is not to be sent; what others sent, they send again.
func (w *Witness) giveUp(tx *store.Tx, u store.Unproved) (again bool, err error) {
	if u.Table == store.TableOutbox {
		again, err = tx.SendAgain(u.ID, u.Lane)
	}
	if u.Table == store.TableOutbox && !again && err == nil {
		m, _, err := (&ledger.Record{Note: u.Note}).Manifest()
		if err != nil {
			return false, fmt.Errorf("read own manifest: %w", err)
		}
		if again, err = tx.Bury(*m, w.Now(), w.Sign); err != nil {
			return false, err
		}
	}
	if !again && err == nil {
		err = tx.Misplaced(u.Table, u.ID)
	}
	return again, err
}

// places asks which of some messages stand where we believe, and returns their records' numbers.
func (w *Witness) places(ctx context.Context, c *ledger.Checkpoint, page []store.Unproved) (map[int]int64, error) {
	q := ledger.InclusionRequest{Size: c.Size}
	for _, u := range page {
		q.Places = append(q.Places, ledger.Place{Stream: streamOf[u.Lane], Seq: u.Seq})
	}
	a, err := insist[ledger.InclusionAnswer](ctx, w, ledger.VerbInclusion, q)
	var r *link.Refusal
	switch {
	case errors.As(err, &r) && r.Code == ledger.ServiceRefused && len(page) > 1:
		// Somebody else's message stands at one of the places. Which, is found one by one.
		out := map[int]int64{}
		for i := range page {
			one, err := w.places(ctx, c, page[i:i+1])
			if err != nil {
				return nil, err
			}
			if index, ok := one[0]; ok {
				out[i] = index
			}
		}
		return out, nil
	case errors.As(err, &r) && r.Code == ledger.ServiceRefused:
		return nil, nil
	case err != nil:
		return nil, err
	}
	out := map[int]int64{}
	for i, u := range page {
		if i < len(a.Inclusions) && stands(c, u, a.Inclusions[i]) {
			out[i] = a.Inclusions[i].Index
		}
	}
	return out, nil
}

// stands reports whether an inclusion proves that a message is recorded as we have it, where we believe.
func stands(c *ledger.Checkpoint, u store.Unproved, in ledger.Inclusion) bool {
	raw, err := base64.StdEncoding.Strict().DecodeString(in.Record)
	if err != nil || len(raw) == 0 || ledger.CheckInclusion(c, in.Index, raw, in.Hashes) != nil {
		return false
	}
	r, err := ledger.ParseRecord(raw)
	return err == nil && r.Kind == ledger.KindMail && r.Stream == streamOf[u.Lane] && r.Seq == u.Seq && string(r.Note) == string(u.Note)
}

// restored are the statements of the network's root, proved to stand in a ledger, that it was restored from a backup, each
// with a first part that this ledger really has.
func (w *Witness) restored(ctx context.Context, c *ledger.Checkpoint) ([]*ledger.Act, error) {
	a, err := insist[ledger.InclusionAnswer](ctx, w, ledger.VerbRestored, ledger.RestoredRequest{Size: c.Size})
	var r *link.Refusal
	if errors.As(err, &r) && r.Code == ledger.ServiceBad {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ask for restores: %w", err)
	}
	var out []*ledger.Act
	for _, in := range a.Inclusions {
		raw, err := base64.StdEncoding.Strict().DecodeString(in.Record)
		if err != nil || ledger.CheckInclusion(c, in.Index, raw, in.Hashes) != nil {
			continue
		}
		rec, err := ledger.ParseRecord(raw)
		if err != nil || rec.Kind != ledger.KindAct {
			continue
		}
		act, err := ledger.VerifyAct(rec.Note, w.Root, nil)
		if err != nil || act.Act != ledger.ActRestored || act.Records > in.Index {
			continue
		}
		first, err := c.Prefix(act.Records, act.Root)
		if err != nil {
			continue
		}
		holds, _, err := w.consistent(ctx, first, c)
		if err != nil {
			return nil, err
		}
		if holds {
			out = append(out, act)
		}
	}
	return out, nil
}

// explained finds the statement that explains why a ledger does not continue a checkpoint of ours: that it was restored to a
// point at which it still agrees with everything older that we kept, and that the checkpoint is of what was lost then.
func (w *Witness) explained(ctx context.Context, ours, theirs *ledger.Checkpoint) (*ledger.Act, error) {
	acts, err := w.restored(ctx, theirs)
	if err != nil || len(acts) == 0 {
		return nil, err
	}
	common, err := w.common(ctx, theirs)
	if err != nil {
		return nil, err
	}
	for i := len(acts) - 1; i >= 0; i-- {
		if a := acts[i]; a.Records >= common && a.Records < ours.Size && ours.Size <= a.Lost {
			return a, nil
		}
	}
	return nil, nil
}

// accept goes on with a ledger that was restored. Both sides of it are kept, as of every contradiction.
func (w *Witness) accept(ctx context.Context, ours, theirs *ledger.Checkpoint, act *ledger.Act) error {
	w.raise(ctx, alarm{code: CodeRestored, key: textOf(ours), event: store.EventLedgerRestored, files: append(files("ours.checkpoint", ours, "theirs.checkpoint", theirs),
		file{"restored.json", append(ledger.Encode(act), '\n')})})
	w.Log.Warn("administrators say that the ledger was restored from a backup, and what this agent remembers agrees", "act", act.ID, "records", act.Records, "lost", act.Lost)
	clear(w.compared)
	return w.Store.Update(ctx, func(tx *store.Tx) error {
		if err := tx.ForgetCheckpoints(act.Records); err != nil {
			return err
		}
		return tx.SaveCheckpoint(theirs.Raw(), theirs.Size, w.Now())
	})
}

// excused reports whether a restore explains that something of a time is not where it was.
func (w *Witness) excused(ctx context.Context, c *ledger.Checkpoint, at time.Time) bool {
	acts, err := w.restored(ctx, c)
	if err != nil {
		return false
	}
	for _, a := range acts {
		if at.Before(a.At) {
			return true
		}
	}
	return false
}

// overtaken reports whether a checkpoint that somebody else has is of what a restore lost.
func (w *Witness) overtaken(ctx context.Context, c, theirs *ledger.Checkpoint) (bool, error) {
	acts, err := w.restored(ctx, theirs)
	if err != nil {
		return false, err
	}
	for _, a := range acts {
		if a.Records < c.Size && c.Size <= a.Lost {
			return true, nil
		}
	}
	return false, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
