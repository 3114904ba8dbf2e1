package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// notControl is the part of a WHERE clause that leaves out the kinds that serve consent; stoppable also asks for a basis.
var notControl = func() string {
	var names []string
	for _, e := range schemas.Catalogue() {
		if e.Control {
			names = append(names, "'"+string(e.Kind)+"'")
		}
	}
	return `kind NOT IN (` + strings.Join(names, ",") + `)`
}()

var stoppable = `basis = ? AND ` + notControl

// StopUnder stops everything under a certificate: what waits for a sink, what waits to leave, and the clocks. It says how
// many messages of the inbox and the outbox it found. Repeating it changes nothing.
func (tx *Tx) StopUnder(certificate string, at time.Time) (int64, error) {
	basis := envelope.ConsentPrefix + certificate
	waiting, err := tx.exec(`UPDATE deliveries SET state = 'stopped' WHERE state IN ('pending','dead') AND source = 'inbox'
		AND ref IN (SELECT id FROM inbox WHERE `+stoppable+`)`, basis)
	if err != nil {
		return 0, fmt.Errorf("stop deliveries: %w", err)
	}
	tx.stops = tx.stops || waiting > 0
	in, err := tx.exec(`UPDATE inbox SET stopped = ? WHERE stopped IS NULL AND `+stoppable, millis(at), basis)
	if err != nil {
		return 0, fmt.Errorf("stop inbox: %w", err)
	}
	out, err := tx.exec(`UPDATE outbox SET stopped = ? WHERE stopped IS NULL AND outcome = '' AND `+stoppable, millis(at), basis)
	if err != nil {
		return 0, fmt.Errorf("stop outbox: %w", err)
	}
	tx.touch(Clocks)
	return in + out, nil
}

// ReleaseUnder lets everything under a certificate go on: the request to stop was a mistake.
func (tx *Tx) ReleaseUnder(certificate string, at time.Time) error {
	basis := envelope.ConsentPrefix + certificate
	if _, err := tx.exec(`UPDATE deliveries SET state = 'pending', due = ? WHERE state = 'stopped' AND source = 'inbox'
		AND ref IN (SELECT id FROM inbox WHERE `+stoppable+`)`, millis(at), basis); err != nil {
		return fmt.Errorf("release deliveries: %w", err)
	}
	for _, table := range []string{"inbox", "outbox"} {
		if _, err := tx.exec(`UPDATE `+table+` SET stopped = NULL WHERE stopped IS NOT NULL AND `+stoppable, basis); err != nil {
			return fmt.Errorf("release %s: %w", table, err)
		}
	}
	for _, t := range topics {
		tx.touch(t)
	}
	return nil
}

// StopMessage stops one message that came after everything else under its certificate was stopped.
func (tx *Tx) StopMessage(id string, at time.Time) error {
	waiting, err := tx.exec(`UPDATE deliveries SET state = 'stopped' WHERE source = 'inbox' AND ref = ? AND state = 'pending'`, id)
	if err != nil {
		return fmt.Errorf("stop delivery: %w", err)
	}
	tx.stops = tx.stops || waiting > 0
	_, err = tx.exec(`UPDATE inbox SET stopped = ? WHERE id = ?`, millis(at), id)
	return err
}

// What LeftOver lists: from the few that were stopped to their certificates, not from all certificates.
const (
	underWithdrawn = `stopped IS NOT NULL AND basis LIKE 'consent:%' AND EXISTS (SELECT 1 FROM certificates WHERE certificates.id = substr(basis, 9) AND withdrawn IS NOT NULL)`
	leftUnsent     = `state = 'pending' AND outcome = '' AND ` + underWithdrawn
	leftUnrouted   = `routed IS NULL AND refused IS NULL AND ` + underWithdrawn
)

// LeftOver lists what a withdrawal left half-way: messages that never left, to be taken back, and messages that were never
// routed, to be refused. A withdrawal only marks them, so that it is quick however many there are.
func (s *Store) LeftOver(ctx context.Context, self string, limit int) (unsent []*Outgoing, unrouted []*Incoming, err error) {
	err = each(ctx, s.read, func(r row) error {
		o, err := scanOutgoing(r, self)
		unsent = append(unsent, o)
		return err
	}, `SELECT `+outboxColumns+` FROM `+outboxFrom+` WHERE `+leftUnsent+` ORDER BY n LIMIT ?`, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("read outbox: %w", err)
	}
	err = each(ctx, s.read, func(r row) error {
		in, err := scanIncoming(r, self)
		unrouted = append(unrouted, in)
		return err
	}, `SELECT `+inboxList+` FROM inbox WHERE `+leftUnrouted+` ORDER BY n LIMIT ?`, limit)
	if err != nil {
		return nil, nil, fmt.Errorf("read inbox: %w", err)
	}
	return unsent, unrouted, nil
}

// TakeBack makes a message that did not leave a void one: its manifest travels, so that no number is missing, its body never
// does and is gone from here too. It is a message of now, signed with the key that is in force now, which may be another than
// when the message was accepted. False when it has left.
func (tx *Tx) TakeBack(o *Outgoing, code string, at time.Time, sign Signer) (bool, error) {
	m := o.Manifest
	m.Sent = at
	m.Outcome, m.Code, m.Body, m.Size, m.RespondBy = schemas.OutcomeVoid, code, "", 0, nil
	raw, err := sign(m, nil)
	if err != nil {
		return false, fmt.Errorf("sign void message: %w", err)
	}
	n, err := tx.exec(`UPDATE outbox SET outcome = ?, code = ?, note = ?, stopped = NULL, respond_by = NULL, hold = ''
		WHERE id = ? AND state = 'pending' AND outcome = ''`, string(m.Outcome), code, raw, m.ID)
	if err == nil && n == 1 {
		err = tx.setBody(TableOutbox, m.ID, nil, nil)
	}
	if err != nil {
		return false, fmt.Errorf("take message back: %w", err)
	}
	tx.touch(outboxTopic(m.Lane))
	return n == 1, nil
}

// AnsweredWithdrawals stops the clocks of all messages that brought us withdrawals of a certificate: one answer is for all.
func (tx *Tx) AnsweredWithdrawals(certificate string, at time.Time) error {
	_, err := tx.exec(`UPDATE inbox SET answered = ? WHERE basis = ? AND kind = ? AND answered IS NULL`, millis(at), envelope.ConsentPrefix+certificate, string(schemas.KindConsentWithdrawal))
	return err
}

// ThreadUnder returns the thread of the latest message under a certificate, a new id when there is none: what is said about
// a consent is shown where people look.
func (tx *Tx) ThreadUnder(certificate string) (thread string, err error) {
	err = classify(tx.tx.QueryRowContext(tx.ctx, `SELECT thread FROM (SELECT thread, sent FROM inbox WHERE basis = ?1 UNION ALL SELECT thread, sent FROM outbox WHERE basis = ?1) AS messages
		ORDER BY sent DESC LIMIT 1`, envelope.ConsentPrefix+certificate).Scan(&thread))
	if err == ErrNotFound {
		return schemas.NewThreadID(), nil
	}
	return thread, err
}

// Unrouted lists accepted messages under a certificate that wait for nothing but to be called routed.
func (tx *Tx) Unrouted(certificate, self string) ([]*envelope.Manifest, error) {
	var out []*envelope.Manifest
	err := each(tx.ctx, tx.tx, func(r row) error {
		in, err := scanIncoming(r, self)
		if err == nil {
			out = append(out, &in.Manifest)
		}
		return err
	}, `SELECT `+inboxList+` FROM inbox WHERE routed IS NULL AND refused IS NULL AND stopped IS NULL AND `+stoppable+`
		AND NOT EXISTS (SELECT 1 FROM deliveries WHERE source = 'inbox' AND ref = inbox.id AND required AND state <> 'done')`, envelope.ConsentPrefix+certificate)
	if err != nil {
		return nil, fmt.Errorf("read inbox: %w", err)
	}
	return out, nil
}

// Refuse marks an accepted message that will never be routed; false when it was routed or refused before.
func (tx *Tx) Refuse(id string, at time.Time) (bool, error) {
	n, err := tx.exec(`UPDATE inbox SET refused = ? WHERE id = ? AND routed IS NULL AND refused IS NULL`, millis(at), id)
	return n == 1, err
}

// EraseUnder destroys the bodies and keys of all messages under a certificate and says how many there were. Ids, receipts
// and history stay: they say that it happened, not what it said. SQLite overwrites what is freed (secure_delete); for what lies elsewhere see Scrub.
func (tx *Tx) EraseUnder(certificate string, at time.Time) (int64, error) {
	basis := envelope.ConsentPrefix + certificate
	var total int64
	for _, table := range []Table{TableInbox, TableOutbox} {
		where := stoppable
		if table == TableOutbox {
			where += ` AND state = 'published'` // what has not left is taken back first
		}
		n, err := tx.exec(`UPDATE `+string(table)+` SET erased = ? WHERE erased IS NULL AND `+where, millis(at), basis)
		if err == nil {
			err = tx.eraseBodies(table, where, basis)
		}
		if err != nil {
			return 0, fmt.Errorf("erase %s: %w", table, err)
		}
		total += n
	}
	return total, nil
}
