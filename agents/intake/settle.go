package intake

import (
	"errors"
	"time"

	"waypost/agents/store"
	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// settle writes a plan down. It may run twice for the same message (redelivery after a lost acknowledgement): the second
// time changes nothing.
//
// The store may also run it twice when a shared commit fails, so it works on a copy: what the first run found out must not
// become the second run's premise.
func (in *Intake) settle(tx *store.Tx, examined *plan) error {
	p := *examined
	err := in.write(tx, &p)
	examined.verdict = p.code
	return err
}

func (in *Intake) write(tx *store.Tx, p *plan) error {
	m := &p.manifest
	if p.verified {
		missing, err := tx.Saw(m.From, m.Lane, m.Seq, p.now)
		if err != nil {
			return err
		}
		if len(missing) > 0 {
			if err := in.Emit.Event(tx, &store.Event{Type: store.EventGap, Peer: m.From, Code: "missing-" + string(m.Lane), At: p.now}); err != nil {
				return err
			}
		}
	}
	switch {
	case p.code != "":
		return in.setAside(tx, p)
	case m.Kind == schemas.KindReceipt:
		return in.takeReceipt(tx, p)
	case m.Outcome == schemas.OutcomeVoid:
		return in.once(tx.Decide(m.ID, m.From, "void", m.Code, p.now), p)
	default:
		return in.accept(tx, p)
	}
}

// once swallows "was there already": the first decision stands, and its receipt is in the outbox since then.
func (in *Intake) once(err error, p *plan) error {
	if errors.Is(err, store.ErrExists) {
		p.code = CodeReplay
		in.Log.Info("message seen before", "code", CodeReplay, "message", p.manifest.ID, "peer", p.from)
		return nil
	}
	return err
}

func (in *Intake) accept(tx *store.Tx, p *plan) error {
	m := &p.manifest
	switch peer, err := tx.Decided(m.ID); {
	case err == nil && peer == m.From:
		// A broker that was restored has it somewhere else than before.
		if err := tx.Placed(store.TableInbox, m.ID, p.note, p.msg.StreamSeq); err != nil {
			return err
		}
		return in.once(store.ErrExists, p)
	case err == nil:
		// Another agency used this id before: by accident it cannot be, and to settle it as a replay would let that agency
		// make this one's message vanish.
		p.quarantine(CodeIDTaken)
		return in.setAside(tx, p)
	case !errors.Is(err, store.ErrNotFound):
		return err
	}
	for _, c := range p.certificates {
		// The first to bring an id would otherwise decide what later messages are judged under.
		issuer, err := tx.CertificateIssuer(c.ID)
		if err == nil && issuer != c.Issuer {
			p.quarantine(CodeCertificateConflict)
			return in.setAside(tx, p)
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	sent, answers, err := replied(tx, m)
	if err != nil {
		return err
	}
	entry, _ := schemas.EntryOf(m.Kind)
	if entry.Answer && (!answers || sent.Kind != entry.Follows) {
		// An answer to something we never asked this agency is not an answer.
		p.quarantine(CodeUnknownMessage)
		return in.setAside(tx, p)
	}
	stop := false
	switch {
	case entry.Control:
		code, err := in.checkControl(tx, p)
		if err != nil {
			return err
		}
		if code != "" {
			p.quarantine(code)
			return in.setAside(tx, p)
		}
	case !entry.Impersonal:
		code, problems, hold, err := in.judge(tx, p, answers)
		if err != nil {
			return err
		}
		if code != "" {
			p.quarantine(code, problems...)
			p.refused = code == consent.ReasonWithdrawn
			return in.setAside(tx, p)
		}
		stop = hold
	}
	if entry.Answer && entry.Follows == schemas.KindReferral {
		if err := tx.AnsweredOutgoing(m.ReplyTo, m.From, p.now); err != nil {
			return err
		}
	}
	if err := tx.AddIncoming(p.incoming); err != nil {
		return err
	}
	for _, c := range p.certificates {
		locked, err := in.Vault.Lock(c.ID, []byte(c.text))
		if err != nil {
			return err
		}
		if err := tx.AddCertificate(Kept(c.Certificate, locked, p.now), in.Agency); err != nil {
			return err
		}
		if err := in.Timers.Consent(tx, c.Certificate, p.now); err != nil {
			return err
		}
	}
	if err := in.Timers.Message(tx, m, p.payload, p.now); err != nil {
		return err
	}
	if !entry.Control {
		for _, s := range p.statements {
			if s.Act != consent.ActReconfirmed {
				continue // what changes a consent comes as a message of its own
			}
			if _, err := tx.AddStatement(s.Statement, s.text, in.Agency, p.now); err != nil {
				return err
			}
		}
	}
	if err := tx.AddEvent(&store.Event{Type: store.EventReceived, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.From, At: p.now}); err != nil {
		return err
	}
	queued, err := in.Emit.deliver(tx, store.FromInbox, m.ID, p.facts, m.Lane == schemas.LaneUrgent, p.now)
	if err != nil {
		return err
	}
	if stop {
		// A withdrawal was asked for and is not decided: it is kept, nobody gets it, and no receipt says that it was delivered.
		return tx.StopMessage(m.ID, p.now)
	}
	if entry.Control {
		if err := in.control(tx, p); err != nil {
			return err
		}
	}
	if queued {
		return nil
	}
	// No rule asks for this message: the inbox, which people and systems read through the API, is its destination.
	return Complete(tx, in.Emit, m, p.now)
}

// Kept is a certificate as the store keeps it.
func Kept(c *consent.Certificate, locked []byte, now time.Time) *store.Certificate {
	k := &store.Certificate{ID: c.ID, Issuer: c.Issuer, Supersedes: c.Supersedes, Issued: c.Issued, Expires: c.Consent.Expires, Review: c.Consent.Review, Received: now, Locked: locked}
	if k.Review.IsZero() {
		k.Review = k.Expires
	}
	return k
}

// Complete marks a message as routed, if it is, and queues the receipt `delivered` in the same transaction.
func Complete(tx *store.Tx, emit *Emitter, m *envelope.Manifest, now time.Time) error {
	first, err := tx.MarkRouted(m.ID, now)
	if err != nil || !first {
		return err
	}
	return Routed(tx, emit, m, now)
}

// Routed records that every required sink has taken a message and queues its receipt.
func Routed(tx *store.Tx, emit *Emitter, m *envelope.Manifest, now time.Time) error {
	if err := tx.AddEvent(&store.Event{Type: store.EventRouted, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.From, At: now}); err != nil {
		return err
	}
	return emit.Receipt(tx, m, schemas.OutcomeDelivered, "", now)
}

func (in *Intake) takeReceipt(tx *store.Tx, p *plan) error {
	m := &p.manifest
	thread, err := tx.AddReceipt(m, p.note, p.msg.StreamSeq, p.now)
	switch {
	case errors.Is(err, store.ErrExists):
		if err := tx.Placed(store.TableReceipts, m.ID, p.note, p.msg.StreamSeq); err != nil {
			return err
		}
		return in.once(err, p)
	case errors.Is(err, store.ErrNotFound):
		p.quarantine(CodeUnknownReceipts)
		return in.setAside(tx, p)
	case err != nil:
		return err
	}
	return in.Emit.Event(tx, &store.Event{Type: store.EventReceipt, Thread: thread, Message: m.ReplyTo, Kind: schemas.KindReceipt,
		Peer: m.From, Code: receiptCode(m), At: p.now})
}

func receiptCode(m *envelope.Manifest) string {
	if m.Code == "" {
		return string(m.Outcome)
	}
	return string(m.Outcome) + ":" + m.Code
}

// setAside keeps what was not let through. The sender hears of it only if the signature is its own: an answer to an
// unverified envelope would let anyone speak about other agencies' messages.
func (in *Intake) setAside(tx *store.Tx, p *plan) error {
	m := &p.manifest
	outcome := schemas.OutcomeQuarantined
	if p.refused {
		outcome = schemas.OutcomeRejected
	}
	answer := p.verified && m.Kind != schemas.KindReceipt
	if answer {
		// The id is spent: the same message sent again gets the same answer, not a second chance to be routed.
		if err := tx.Decide(m.ID, m.From, string(outcome), p.code, p.now); err != nil && p.code != CodeIDTaken {
			return in.once(err, p)
		}
	}
	var locked []byte
	if len(p.problems) > 0 {
		text, err := schemas.Encode(p.problems)
		if err != nil {
			return err
		}
		if locked, err = in.Vault.Lock("quarantine", text); err != nil {
			return err
		}
	}
	if !p.refused {
		q := &store.Quarantined{Peer: p.from, Lane: p.lane, Code: p.code, Verified: p.verified, Problems: locked, Raw: p.msg.Data, Received: p.now, StreamSeq: p.msg.StreamSeq,
			ID: m.ID, Thread: m.Thread, Kind: m.Kind}
		added, err := tx.AddQuarantined(q)
		if err != nil || !added {
			return err
		}
	}
	in.Log.Warn("message not let through", "code", p.code, "peer", p.from, "message", m.ID, "lane", string(p.lane))
	thread := m.Thread
	if !p.verified {
		thread = "" // an unverified envelope must not write into a real thread's history
	}
	if err := in.Emit.Event(tx, &store.Event{Type: store.EventQuarantined, Thread: thread, Message: m.ID, Kind: m.Kind, Peer: p.from, Code: p.code, At: p.now}); err != nil {
		return err
	}
	if !answer {
		return nil
	}
	return in.Emit.Receipt(tx, m, outcome, p.code, p.now)
}
