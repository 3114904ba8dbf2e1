package agents

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"waypost/agents/api"
	"waypost/agents/intake"
	"waypost/agents/store"
	"waypost/agents/vault"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// reopen reads the payload of a kept body with its own file key: no identity is needed for it any more. It was validated when
// it was accepted; whoever looks inside uses reopenPayload.
func reopen(v *vault.Vault, m *envelope.Manifest, body, wrapped []byte) (jsontext.Value, error) {
	plain, err := v.Reopen(m.ID, body, wrapped)
	if err != nil {
		return nil, err
	}
	b, err := envelope.DecodeBody(plain, m.Header())
	if err != nil {
		return nil, err
	}
	return b.Payload, nil
}

func reopenPayload(v *vault.Vault, m *envelope.Manifest, body, wrapped []byte) (schemas.Payload, error) {
	raw, err := reopen(v, m, body, wrapped)
	if err != nil {
		return nil, err
	}
	return schemas.DecodePayload(m.Schema, raw)
}

func state(o *store.Outgoing) string {
	switch {
	case o.Receipt != "":
		return string(o.Receipt)
	case o.Manifest.Void():
		return string(schemas.OutcomeVoid)
	case o.Stopped != nil && o.State == store.Pending:
		return "stopped"
	}
	return string(o.State)
}

func outItem(o *store.Outgoing) api.Item {
	m := o.Manifest
	return api.Item{N: o.N, ID: m.ID, Thread: m.Thread, ReplyTo: m.ReplyTo, From: m.From, To: m.To, Kind: m.Kind, Schema: m.Schema, Lane: m.Lane, Seq: m.Seq,
		Sent: m.Sent, RespondBy: m.RespondBy, Answered: o.Answered, Overdue: o.Overdue != nil && o.Answered == nil && o.Stopped == nil, Basis: m.Basis, State: state(o), Hold: o.Hold,
		Stopped: o.Stopped, ReceiptCode: o.ReceiptCode, ReceiptAt: o.ReceiptAt}
}

func inItem(in *store.Incoming) api.Item {
	m := in.Manifest
	it := api.Item{N: in.N, ID: m.ID, Thread: m.Thread, ReplyTo: m.ReplyTo, From: m.From, To: m.To, Kind: m.Kind, Schema: m.Schema, Lane: m.Lane, Seq: m.Seq,
		Sent: m.Sent, Received: &in.Received, RespondBy: m.RespondBy, Answered: in.Answered, Overdue: in.Overdue != nil && in.Answered == nil && in.Stopped == nil, Basis: m.Basis, Stopped: in.Stopped, State: "received"}
	switch {
	case in.Refused != nil:
		it.State = "refused"
	case in.Routed != nil:
		it.State = "routed"
	case in.Stopped != nil:
		it.State = "stopped"
	}
	return it
}

// Inbox lists accepted messages.
func (a *Agent) Inbox(ctx context.Context, open bool, p store.Page) ([]api.Item, error) {
	rows, err := a.store.ListIncoming(ctx, a.cfg.Agency, open, p)
	out := make([]api.Item, len(rows))
	for i, r := range rows {
		out[i] = inItem(r)
	}
	return out, err
}

// Outbox lists sent messages.
func (a *Agent) Outbox(ctx context.Context, p store.Page) ([]api.Item, error) {
	rows, err := a.store.ListOutgoing(ctx, a.cfg.Agency, p)
	out := make([]api.Item, len(rows))
	for i, r := range rows {
		out[i] = outItem(r)
	}
	return out, err
}

// InboxMessage opens an accepted message.
func (a *Agent) InboxMessage(ctx context.Context, id string) (*api.Message, error) {
	in, err := a.store.Incoming(ctx, a.cfg.Agency, id)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("There is no such message in the inbox.")
	}
	if err != nil {
		return nil, err
	}
	out := &api.Message{Item: inItem(in), Certificates: in.Certificates}
	if out.Withheld, err = a.withheld(ctx, in); err != nil {
		return nil, err
	}
	if out.Withheld == "" {
		if out.Payload, err = reopen(a.vault, &in.Manifest, in.Body, in.Wrapped); err != nil {
			return nil, fmt.Errorf("reopen message %s: %w", id, err)
		}
	}
	out.Deliveries, err = a.deliveries(ctx, id)
	return out, err
}

// withheld says why a message must not be read any more. What our people have decided to keep on another basis may be.
func (a *Agent) withheld(ctx context.Context, in *store.Incoming) (string, error) {
	switch {
	case in.Erased != nil:
		return "erased", nil
	case in.Stopped == nil:
		return "", nil
	}
	id := intake.ConsentID(in.Manifest.Basis)
	kept, err := a.store.Certificate(ctx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", err
	}
	if kept == nil || kept.Withdrawn == nil {
		return consent.ReasonStopped, nil
	}
	duties, err := a.store.Duties(ctx, id)
	for _, d := range duties {
		if d.Act == consent.ActWithdrawn && d.Answer.Outcome == schemas.HolderRetained {
			return "", err
		}
	}
	return consent.ReasonWithdrawn, err
}

// OutboxMessage opens a sent message.
func (a *Agent) OutboxMessage(ctx context.Context, id string) (*api.Message, error) {
	o, err := a.store.Outgoing(ctx, a.cfg.Agency, id)
	if errors.Is(err, store.ErrNotFound) || err == nil && o.Manifest.Kind == schemas.KindReceipt {
		return nil, notFound("There is no such message in the outbox.")
	}
	if err != nil {
		return nil, err
	}
	out := &api.Message{Item: outItem(o), Certificates: o.Certificates}
	switch {
	case o.Erased != nil:
		out.Withheld = "erased"
	case o.Manifest.Void():
		out.Withheld = string(schemas.OutcomeVoid)
	default:
		if out.Payload, err = reopen(a.vault, &o.Manifest, o.Body, o.Wrapped); err != nil {
			return nil, fmt.Errorf("reopen message %s: %w", id, err)
		}
	}
	if out.Receipts, err = a.store.Receipts(ctx, id); err != nil {
		return nil, err
	}
	for i := range out.Receipts {
		out.Receipts[i].Thread, out.Receipts[i].To = o.Manifest.Thread, a.cfg.Agency
	}
	return out, nil
}

func (a *Agent) deliveries(ctx context.Context, ref string) ([]api.DeliveryItem, error) {
	rows, err := a.store.ListDeliveries(ctx, ref)
	if err != nil {
		return nil, err
	}
	return deliveryItems(rows), nil
}

func deliveryItems(rows []*store.Delivery) []api.DeliveryItem {
	var out []api.DeliveryItem
	for _, d := range rows {
		it := api.DeliveryItem{Message: d.Ref, Sink: d.Sink, State: d.State, Required: d.Required, Attempts: d.Attempts, Code: d.Code}
		if d.State == "pending" {
			it.Due = &d.Due
		}
		out = append(out, it)
	}
	return out
}

// Quarantine lists what was kept but not let through.
func (a *Agent) Quarantine(ctx context.Context, p store.Page) ([]api.QuarantineItem, error) {
	rows, err := a.store.ListQuarantined(ctx, p)
	out := make([]api.QuarantineItem, len(rows))
	for i, q := range rows {
		out[i] = quarantineItem(q)
	}
	return out, err
}

func quarantineItem(q *store.Quarantined) api.QuarantineItem {
	return api.QuarantineItem{N: q.N, ID: q.ID, From: q.Peer, Lane: q.Lane, Kind: q.Kind, Code: q.Code, Verified: q.Verified, Received: q.Received, Size: len(q.Raw)}
}

// QuarantineItem shows why one message was set aside. It does not open it: we were not entitled to act on it.
func (a *Agent) QuarantineItem(ctx context.Context, n int64) (*api.QuarantineItem, error) {
	q, err := a.store.Quarantined(ctx, n)
	if errors.Is(err, store.ErrNotFound) {
		return nil, notFound("There is nothing in quarantine under this number.")
	}
	if err != nil {
		return nil, err
	}
	it := quarantineItem(q)
	if len(q.Problems) > 0 {
		text, err := a.vault.Unlock("quarantine", q.Problems)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(text, &it.Problems); err != nil {
			return nil, fmt.Errorf("read problems: %w", err)
		}
	}
	return &it, nil
}

// Agencies shows the directory from this agency's point of view.
func (a *Agent) Agencies(context.Context) (*api.DirectoryInfo, error) {
	dir := a.directory.View()
	if dir == nil {
		return nil, &api.Error{Status: 503, Code: "directory-missing", Sentence: "This agent has not received the directory yet.", Hint: "It comes with the first connection to the broker."}
	}
	now := a.now()
	h := dir.Head()
	out := &api.DirectoryInfo{Version: h.Version, Issued: h.Issued, Expires: h.Expires, Expired: dir.Expired(now), Agencies: []api.AgencyItem{}}
	for _, ag := range dir.Agencies() {
		it := api.AgencyItem{ID: ag.ID, Name: ag.Name, Role: ag.Role, Region: ag.Region, State: string(ag.State), DutyContact: ag.DutyContact}
		it.MaySend, it.MayReceive = dir.Kinds(a.cfg.Agency, ag.ID, now), dir.Kinds(ag.ID, a.cfg.Agency, now)
		out.Agencies = append(out.Agencies, it)
	}
	for _, g := range dir.Agreements() {
		if g.From == a.cfg.Agency || g.To == a.cfg.Agency {
			out.Agreements = append(out.Agreements, g)
		}
	}
	return out, nil
}

// Status is the agent's own state.
func (a *Agent) Status(ctx context.Context) (*api.Status, error) {
	out := &api.Status{Agency: a.cfg.Agency, Alarms: a.witness.Alarms()}
	out.Connected, out.Code = a.link.Status()
	if !a.Active() {
		out.Standby, out.Connected, out.Code = true, false, "standby"
	}
	if dir := a.directory.View(); dir != nil {
		h := dir.Head()
		out.DirectoryVersion, out.DirectoryExpires = h.Version, &h.Expires
	}
	v, err := a.vitals(ctx)
	if err != nil {
		return nil, err
	}
	out.Attention = v.concerns()
	if out.Counts, err = a.store.Count(ctx, v.gauges); err != nil {
		return nil, err
	}
	gaps, err := a.store.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	for _, g := range gaps {
		out.Gaps = append(out.Gaps, api.GapItem{From: g.Peer, Lane: g.Lane, Seq: g.Seq, Noticed: g.Noticed})
	}
	dead, err := a.store.DeadDeliveries(ctx, 100)
	if err != nil {
		return nil, err
	}
	out.DeadLetters = deliveryItems(dead)
	duties, err := a.store.Duties(ctx, "")
	for _, d := range duties {
		out.Duties = append(out.Duties, dutyItem(d))
	}
	return out, err
}

// RetrySink gives a sink's dead letters another round of the schedule.
func (a *Agent) RetrySink(ctx context.Context, sink string) (n int64, err error) {
	for _, p := range a.sinks {
		if p.sink.Name() != sink {
			continue
		}
		p.disabled.Store(false)
		err = a.store.Update(ctx, func(tx *store.Tx) error { n, err = tx.RetryDeliveries(sink, a.now()); return err })
		return n, err
	}
	return 0, notFound("There is no sink of this name.")
}

// Token finds a bearer token.
func (a *Agent) Token(ctx context.Context, secret string) (*store.Token, error) {
	return a.store.TokenFor(ctx, secret)
}
