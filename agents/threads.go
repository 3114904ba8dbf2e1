package agents

import (
	"context"
	"errors"
	"maps"
	"slices"

	"waypost/agents/api"
	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
	"waypost/schemas/thread"
)

// Thread returns what happened in a thread here, and how each of its referrals stands: the same at both ends, because it is
// folded from what both hold.
func (a *Agent) Thread(ctx context.Context, id string) (*api.ThreadView, error) {
	events, err := a.store.History(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("This agent has seen nothing of such a thread.")
	}
	if err != nil {
		return nil, err
	}
	out := &api.ThreadView{Items: make([]api.HistoryItem, len(events))}
	for i, e := range events {
		out.Items[i] = api.HistoryItem{At: e.At, Event: e.Type, Message: e.Message, Kind: e.Kind, Agency: e.Peer, Code: e.Code, Consent: e.Certificate}
	}
	exchanged, err := a.exchange(ctx, id)
	if err != nil {
		return nil, err
	}
	folded := thread.Fold(exchanged)
	out.Flags = folded.Flags
	for _, r := range folded.Requests {
		out.Referrals = append(out.Referrals, api.ReferralState{State: r.State(), Request: *r})
	}
	return out, nil
}

// exchange is what was said in a thread, as both ends of it know it: messages by their manifests and the one word of their
// payload that moves a state, receipts, and what was said about the consents that they went under.
func (a *Agent) exchange(ctx context.Context, id string) ([]thread.Event, error) {
	out, in, receipts, err := a.store.Exchange(ctx, a.cfg.Agency, id)
	if err != nil {
		return nil, err
	}
	var events []thread.Event
	consents, aside := map[string]bool{}, map[string]bool{}
	add := func(m *envelope.Manifest, body, wrapped []byte) error {
		entry, _ := schemas.EntryOf(m.Kind)
		if entry.Control || m.Void() {
			aside[m.ID] = true
			return nil // what counts of them is the statement, whoever carried it; and what never left was never said
		}
		ev := thread.Event{ID: m.ID, Kind: m.Kind, From: m.From, To: m.To, ReplyTo: m.ReplyTo, Sent: m.Sent, Seq: m.Seq, Certificate: intake.ConsentID(m.Basis)}
		if m.Kind == schemas.KindReceipt {
			ev.Receipt, ev.ReceiptOf = string(m.Outcome), m.ReplyTo
		}
		if ev.Certificate != "" {
			consents[ev.Certificate] = true
		}
		if body != nil {
			payload, err := reopenPayload(a.vault, m, body, wrapped)
			if err != nil {
				return err
			}
			switch x := payload.(type) {
			case *schemas.ReferralResponse:
				ev.Status = string(x.Outcome)
			case *schemas.ReferralUpdate:
				ev.Status = string(x.State)
			}
		}
		events = append(events, ev)
		return nil
	}
	for _, o := range out {
		if err := add(&o.Manifest, o.Body, o.Wrapped); err != nil {
			return nil, err
		}
	}
	for _, m := range in {
		if err := add(&m.Manifest, m.Body, m.Wrapped); err != nil {
			return nil, err
		}
	}
	for _, r := range receipts {
		events = append(events, thread.Event{ID: r.ID, Kind: schemas.KindReceipt, From: r.From, To: r.To, Sent: r.Sent, Receipt: string(r.Outcome), ReceiptOf: r.ReplyTo})
	}
	events = slices.DeleteFunc(events, func(e thread.Event) bool { return aside[e.ReceiptOf] })
	addressUpdates(events)
	for _, c := range slices.Sorted(maps.Keys(consents)) {
		marks, err := a.store.Marks(ctx, c)
		if err != nil {
			return nil, err
		}
		for _, s := range marks.Statements {
			if s.To != "" && s.To != a.cfg.Agency {
				continue // withdrawn from another alone
			}
			ev := thread.Event{ID: s.ID, From: s.By, Sent: s.At, Certificate: c}
			switch s.Act {
			case consent.ActWithdrawn:
				ev.Kind = schemas.KindConsentWithdrawal
			case consent.ActRequested:
				ev.Kind = schemas.KindWithdrawalRequest
			case consent.ActStands:
				ev.Kind, ev.Status = schemas.KindConsent, string(schemas.ConsentStands)
			default:
				continue
			}
			events = append(events, ev)
		}
	}
	return events, nil
}

// addressUpdates finds the referral that an update is about when it names none: the latest between its two agencies before
// it, by the senders' own times, so that both ends find the same.
func addressUpdates(events []thread.Event) {
	for i := range events {
		u := &events[i]
		if u.Kind != schemas.KindReferralUpdate || u.ReplyTo != "" {
			continue
		}
		var best *thread.Event
		for j := range events {
			r := &events[j]
			between := r.From == u.From && r.To == u.To || r.From == u.To && r.To == u.From
			if r.Kind != schemas.KindReferral || !between || r.Sent.After(u.Sent) {
				continue
			}
			if best == nil || r.Sent.After(best.Sent) || r.Sent.Equal(best.Sent) && r.ID > best.ID {
				best = r
			}
		}
		if best != nil {
			u.ReplyTo = best.ID
		}
	}
}
