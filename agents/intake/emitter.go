package intake

import (
	"time"

	"waypost/agents/route"
	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Target is a sink that a rule picked.
type Target struct {
	Sink     string
	Required bool // the receipt `delivered` waits for it
}

// Emitter queues what an agency must hear or say: hand-overs to its sinks and receipts to its peers. Everything it does
// happens in the caller's transaction.
type Emitter struct {
	Agency  string
	Sign    store.Signer
	Targets func(route.Facts) []Target
}

// Event writes history and queues it for the sinks whose rules pick it.
func (e *Emitter) Event(tx *store.Tx, ev *store.Event) error {
	if err := tx.AddEvent(ev); err != nil {
		return err
	}
	f := route.Facts{Event: ev.Type, Kind: string(ev.Kind), From: ev.Peer, To: e.Agency, Overdue: ev.Type == store.EventOverdue || ev.Type == store.EventWithdrawalOverdue}
	_, err := e.deliver(tx, store.FromEvent, ev.ID, f, urgentEvent(ev.Type), ev.At)
	return err
}

// urgentEvent: what a system must not learn behind a queue of routine referrals.
func urgentEvent(event string) bool {
	switch event {
	case store.EventOverdue, store.EventWithdrawn, store.EventStopRequested, store.EventWithdrawalOverdue:
		return true
	}
	return false
}

func (e *Emitter) deliver(tx *store.Tx, source store.Source, ref string, f route.Facts, urgent bool, now time.Time) (required bool, err error) {
	for _, t := range e.Targets(f) {
		d := &store.Delivery{Source: source, Ref: ref, Sink: t.Sink, Urgent: urgent, Required: t.Required, Due: now}
		if err := tx.AddDelivery(d); err != nil {
			return false, err
		}
		required = required || t.Required
	}
	return required, nil
}

// Receipt queues our signed word about a message. One that we gave before this store was restored stands: the ledger has it,
// and a second could only contradict it.
func (e *Emitter) Receipt(tx *store.Tx, m *envelope.Manifest, outcome schemas.Outcome, code string, now time.Time) error {
	if stands, err := tx.ReceiptStands(m.ID); err != nil || stands {
		return err
	}
	r := envelope.Manifest{
		ID: schemas.NewMessageID(), Thread: m.Thread, ReplyTo: m.ID, From: e.Agency, To: m.From,
		Kind: schemas.KindReceipt, Schema: "receipt.v1", Lane: schemas.LaneReceipt,
		Sent: now.UTC().Truncate(time.Millisecond), Outcome: outcome, Code: code,
	}
	return tx.AddOutgoing(&store.Outgoing{Manifest: r}, e.Sign)
}
