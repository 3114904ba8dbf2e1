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
			act, err := ledger.VerifyAct([]byte(raw), w.Root, nil)
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
