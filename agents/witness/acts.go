package witness

import (
	"context"
	"errors"

	"waypost/agents/link"
	"waypost/agents/store"
	"waypost/schemas/ledger"
)

// handIn gives the ledger what this agency did. An act that was handed in before is answered with the record that stands,
// so a lost answer costs nothing but the repetition.
func (w *Witness) handIn(ctx context.Context) error {
	open, err := w.Store.OpenActs(ctx, 32)
	if err != nil {
		return err
	}
	for _, act := range open {
		raw, err := w.Ask(ctx, ledger.VerbAct, act.Note)
		var r *link.Refusal
		if errors.As(err, &r) && (r.Code == ledger.ServiceBad || r.Code == ledger.ServiceRefused) {
			w.Log.Error("the ledger refuses an act", "code", r.Code, "act", act.ID)
			continue
		}
		if err != nil {
			return err
		}
		a, err := decode[ledger.ActAnswer](raw)
		if err != nil {
			return err
		}
		if err := w.Store.Update(ctx, func(tx *store.Tx) error { return tx.ActRecorded(act.ID, a.Index, raw) }); err != nil {
			return err
		}
	}
	return nil
}

// asked reads what administrators asked of this agency since the last time. Each request is verified against the root, and
// handled once; its being handled and its being read are two updates, so handling it twice must do no harm.
func (w *Witness) asked(ctx context.Context) error {
	for {
		from, err := w.Store.Asked(ctx)
		if err != nil {
			return err
		}
		a, err := ask[ledger.AskedAnswer](ctx, w, ledger.VerbAsked, ledger.AskedRequest{From: from})
		if err != nil || a.Next <= from {
			return err
		}
		for _, raw := range a.Acts {
			act, err := ledger.VerifyAct([]byte(raw), w.Root, w.View())
			if err == nil && act.Act == ledger.ActRecovers && act.By == w.Agency {
				if err := w.replaced(ctx, act, []byte(raw)); err != nil {
					return err
				}
				continue
			}
			if err != nil || act.Act != ledger.ActRedeliver || act.Agency != w.Agency {
				w.Log.Warn("a request that no administrator signed for us was left aside")
				continue
			}
			if err := w.Asked(ctx, act, []byte(raw)); err != nil {
				return err
			}
		}
		if err := w.Store.Update(ctx, func(tx *store.Tx) error { return tx.SaveAsked(a.Next) }); err != nil {
			return err
		}
	}
}

// replaced notices that another agent with our keys was restored from a backup, after this one was last: two that run at once
// share the mail between them.
func (w *Witness) replaced(ctx context.Context, act *ledger.Act, raw []byte) error {
	switch _, err := w.Store.Act(ctx, act.ID); {
	case err == nil:
		return nil // our own
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	own, err := w.Store.Healings(ctx, store.HealStore)
	if err != nil {
		return err
	}
	for _, h := range own {
		if mine, err := w.Store.Act(ctx, h.ID); err == nil && mine.At.After(act.At) {
			return nil // it came before us, and we stand in its place
		}
	}
	w.raise(ctx, alarm{code: CodeReplaced, key: act.ID, files: []file{{"recovers.note", raw}}})
	return nil
}
