package agents

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"time"

	"waypost/agents/api"
	"waypost/agents/link"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/ledger"
)

// recordWait is how long a person is kept waiting for the ledger to hold what was done. After that it is done all the same,
// and the agent hands it in by itself.
const recordWait = 8 * time.Second

// EraseThread destroys this agency's copies of a thread, has that recorded, and asks the broker to delete the ciphertext it
// still holds of the thread for this agency.
func (a *Agent) EraseThread(ctx context.Context, thread string) (*api.Erased, error) {
	if !schemas.ValidThreadID(thread) {
		return nil, notFound("There is no thread of this id.")
	}
	now := a.now()
	act := ledger.Act{ID: schemas.NewMessageID(), Act: ledger.ActErased, At: now, Thread: thread}
	out := &api.Erased{Thread: thread, Act: act.ID}
	err := a.store.Update(ctx, func(tx *store.Tx) error {
		way, err := tx.UnderWay(thread)
		if err != nil {
			return err
		}
		if way.Any() {
			return refuse("thread-under-way", fmt.Sprintf("Messages of this thread are still on their way: %d not sent, %d not receipted, %d not handed over.", way.Unsent, way.Unreceipted, way.Unrouted),
				"Wait until they have arrived, or withdraw the consent; what is erased now would be lost.")
		}
		n, err := tx.EraseThread(thread, now)
		if errors.Is(err, store.ErrNotFound) {
			return notFound("There is no thread of this id.")
		}
		if err != nil {
			return err
		}
		out.Messages = n
		act.Count = uint64(n) //nolint:gosec // a count
		if err := a.addAct(tx, act, thread); err != nil {
			return err
		}
		return a.emit.Event(tx, &store.Event{Type: store.EventErased, Thread: thread, Code: "thread-erased", At: now})
	})
	if err != nil {
		return nil, err
	}
	if err := a.store.Scrub(ctx); err != nil {
		// It is erased for everybody who asks from now on. The store goes on trying by itself, until nobody sees it any more.
		a.log.Warn("bytes of what was erased are not taken away yet", "thread", thread, "err", err)
	}
	if answer := a.recorded(ctx, act.ID); answer != nil {
		out.Recorded, out.Record, out.Broker, out.Waiting = true, answer.Index, answer.Deleted, answer.Waiting
	}
	return out, nil
}

func (a *Agent) addAct(tx *store.Tx, act ledger.Act, subject string) error {
	note, err := ledger.SignAct(act, a.vault.Signer())
	if err != nil {
		return err
	}
	return tx.AddAct(&store.Act{ID: act.ID, Act: string(act.Act), Subject: subject, At: act.At, Note: note})
}

// recorded waits a while until the ledger holds an act; nil when it does not yet.
func (a *Agent) recorded(ctx context.Context, id string) *ledger.ActAnswer {
	ctx, cancel := context.WithTimeout(ctx, recordWait)
	defer cancel()
	for {
		act, err := a.store.Act(ctx, id)
		if err != nil {
			return nil
		}
		if act.Recorded != nil {
			answer, err := ledger.DecodeActAnswer(act.Answer)
			if err != nil {
				return &ledger.ActAnswer{Index: *act.Recorded}
			}
			return answer
		}
		if ok, _ := a.link.Status(); !ok || ctx.Err() != nil {
			return nil
		}
		pause(ctx, 50*time.Millisecond)
	}
}

// Disclose gives out one message with its file key and its proof. It is recorded in the ledger first: there is no
// disclosure that the other side could not learn of.
func (a *Agent) Disclose(ctx context.Context, id string) (*ledger.Disclosure, error) {
	if !schemas.ValidMessageID(id) {
		return nil, notFound("There is no message of this id.")
	}
	raw, body, wrapped, thread, err := a.kept(ctx, id)
	if err != nil {
		return nil, err
	}
	if len(body) == 0 || len(wrapped) == 0 {
		return nil, &api.Error{Status: http.StatusGone, Code: "erased", Sentence: "The text of this message was erased or never left; nobody can disclose it."}
	}
	key, err := a.vault.FileKey(id, wrapped)
	if err != nil {
		return nil, err
	}
	lane, seq, err := a.store.Place(ctx, id)
	if err != nil {
		return nil, err
	}
	if seq == 0 {
		return nil, unproved(nil)
	}
	act := ledger.Act{ID: schemas.NewMessageID(), Act: ledger.ActDisclosed, At: a.now(), Message: id}
	proof, err := a.witness.Prove(ctx, lane, seq)
	if err != nil {
		return nil, unproved(err)
	}
	err = a.store.Update(ctx, func(tx *store.Tx) error {
		if err := a.addAct(tx, act, id); err != nil {
			return err
		}
		return a.emit.Event(tx, &store.Event{Type: store.EventDisclosed, Thread: thread, Message: id, At: act.At})
	})
	if err != nil {
		return nil, err
	}
	if a.recorded(ctx, act.ID) == nil {
		return nil, &api.Error{Status: http.StatusServiceUnavailable, Code: "not-recorded", Sentence: "The disclosure could not be recorded in the ledger, so nothing was given out.",
			Hint: "Try again when the broker can be reached."}
	}
	a.log.Warn("message disclosed", "message", id, "thread", thread, "act", act.ID)
	return &ledger.Disclosure{FileKey: base64.StdEncoding.EncodeToString(key), Envelope: base64.StdEncoding.EncodeToString(append(raw, body...)), Proof: *proof}, nil
}

func unproved(cause error) error {
	e := &api.Error{Status: http.StatusServiceUnavailable, Code: "not-proved", Sentence: "The ledger does not prove this message yet.",
		Hint: "It is recorded some seconds after it was sent, and cosigned by other agencies some seconds later. Try again; if this lasts, look at `waypost agent status`.", Cause: cause}
	var r *link.Refusal
	if errors.Is(cause, link.ErrOffline) || errors.As(cause, &r) && (r.Code == ledger.ServiceDown || r.Code == ledger.ServiceBusy) {
		e.Code, e.Sentence, e.Hint = "broker-unreachable", "The broker cannot be reached, and the proof comes from there.", "Try again when `waypost agent status` says connected."
	}
	return e
}

// kept finds a message in inbox or outbox.
func (a *Agent) kept(ctx context.Context, id string) (note, body, wrapped []byte, thread string, err error) {
	in, err := a.store.Incoming(ctx, a.cfg.Agency, id)
	if err == nil {
		return in.Note, in.Body, in.Wrapped, in.Manifest.Thread, nil
	}
	if !errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil, "", err
	}
	out, err := a.store.Outgoing(ctx, a.cfg.Agency, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, nil, nil, "", notFound("There is no message of this id.")
	}
	if err != nil {
		return nil, nil, nil, "", err
	}
	return out.Note, out.Body, out.Wrapped, out.Manifest.Thread, nil
}

// LedgerStatus is what this agency knows of the ledger.
func (a *Agent) LedgerStatus(ctx context.Context) (*api.LedgerStatus, error) {
	out := &api.LedgerStatus{Evidence: a.witness.Alarms()}
	raw, err := a.store.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	if c, err := ledger.ParseCheckpoint(raw); err == nil {
		out.Records, out.Checkpoint = c.Size, string(raw)
	}
	if out.Unproved, err = a.store.CountUnproved(ctx); err != nil {
		return nil, err
	}
	acts, err := a.store.OpenActs(ctx, 1000)
	out.ActsWaiting = len(acts)
	return out, err
}
