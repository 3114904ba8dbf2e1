package agents

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// recover makes good what a restore from a backup left open, before anything is sent or collected. It tells the ledger, which
// has the broker offer everything again that still lies there; then it reads in the ledger what was sent in this agency's name
// since the backup. Each of these raises the number that was last given; what waits in the restored outbox although it was
// sent is marked so; and what the restored outbox never heard of is entered as what is left of it, so that receipts, answers
// and withdrawals find it. An error means that it must be called again: it goes on where it ended.
//
// What it cannot bring back: a message that was accepted after the backup and not yet published, and the bodies of those that
// were. What was received since comes again, as long as the broker keeps it, and is routed again under the same id.
func (a *Agent) recover(ctx context.Context) error {
	open, err := a.store.Healings(ctx, store.HealStore)
	if err != nil {
		return err
	}
	for _, h := range open {
		if h.Done != nil {
			continue
		}
		if err := a.recoverFrom(ctx, &h); err != nil {
			return fmt.Errorf("recover from backup: %w", err)
		}
	}
	if a.store.Recovering() { // the other agent of a pair has done it
		return a.store.Recovered(ctx, "", a.now(), func(*store.Tx) error { return nil })
	}
	return nil
}

func (a *Agent) recoverFrom(ctx context.Context, h *store.Healing) error {
	if err := a.tellRecovers(ctx, h); err != nil {
		return err
	}
	own, err := note.NewVerifier(a.vault.Public().SigningKey)
	if err != nil {
		return fmt.Errorf("read own key: %w", err)
	}
	found := 0
	for next := h.Next; ; {
		raw, err := a.link.Ask(ctx, ledger.VerbSent, ledger.Encode(ledger.SentRequest{From: next}))
		if err != nil {
			return err
		}
		var page ledger.SentAnswer
		if err := json.Unmarshal(raw, &page); err != nil || len(page.Records) > 0 && page.Next <= next {
			return errors.New("read answer of ledger: not as documented")
		}
		if len(page.Records) == 0 {
			break
		}
		news := 0
		err = a.store.Update(ctx, func(tx *store.Tx) error {
			news = 0
			for _, text := range page.Records {
				forgot, err := a.remember(tx, text, own)
				if err != nil {
					return err
				}
				if forgot {
					news++
				}
			}
			return tx.HealingRead(h.ID, page.Next)
		})
		if err != nil {
			return err
		}
		next, found = page.Next, found+news
	}
	a.log.Warn("recovered from a backup: numbers go on where the ledger ends", "made", h.At, "forgotten", found)
	return a.store.Recovered(ctx, h.ID, a.now(), func(tx *store.Tx) error {
		return a.emit.Event(tx, &store.Event{Type: store.EventRestored, Code: "from-backup", At: a.now()})
	})
}

// tellRecovers hands the act in. It is kept first, so that it is the same after a crash: an act is recorded once.
func (a *Agent) tellRecovers(ctx context.Context, h *store.Healing) error {
	act, err := a.store.Act(ctx, h.ID)
	if errors.Is(err, store.ErrNotFound) {
		since := h.At
		signed, err := ledger.SignAct(ledger.Act{ID: h.ID, Act: ledger.ActRecovers, At: a.now(), Since: &since}, a.vault.Signer())
		if err != nil {
			return fmt.Errorf("sign act: %w", err)
		}
		act = &store.Act{ID: h.ID, Act: string(ledger.ActRecovers), At: a.now(), Note: signed}
		if err := a.store.Update(ctx, func(tx *store.Tx) error { return tx.AddAct(act) }); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	answer, err := a.link.Ask(ctx, ledger.VerbAct, act.Note)
	if err != nil {
		return err
	}
	recorded, err := ledger.DecodeActAnswer(answer)
	if err != nil {
		return err
	}
	return a.store.Update(ctx, func(tx *store.Tx) error { return tx.ActRecorded(h.ID, recorded.Index, answer) })
}

// remember takes one record of the ledger. What our own key did not sign is nobody's word about us.
func (a *Agent) remember(tx *store.Tx, text string, own note.Verifier) (forgot bool, err error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return false, errors.New("read answer of ledger: not as documented")
	}
	r, err := ledger.ParseRecord(raw)
	if err != nil || r.Kind != ledger.KindMail {
		return false, nil //nolint:nilerr // no message
	}
	m, err := r.VerifyManifest([]note.Verifier{own})
	if err != nil || m.From != a.cfg.Agency {
		return false, nil //nolint:nilerr // as above
	}
	forgot, err = tx.Forgotten(m, r.Note, r.Seq, r.Time, a.now())
	if err != nil || !forgot || m.Kind == schemas.KindReceipt {
		return forgot, err
	}
	return true, tx.AddEvent(&store.Event{Type: store.EventRecovered, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.To, At: m.Sent})
}
