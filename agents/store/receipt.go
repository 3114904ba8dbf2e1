package store

import (
	"context"
	"fmt"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// AddReceipt records a recipient's signed word about a message we sent, and returns the message. ErrNotFound when we
// never sent it to that agency; ErrExists when this receipt was seen before. The first final outcome stands: a later
// receipt is kept as evidence but changes nothing.
func (tx *Tx) AddReceipt(m *envelope.Manifest, note []byte, streamSeq uint64, at time.Time) (thread string, err error) {
	var kind string
	err = tx.tx.QueryRowContext(tx.ctx, `SELECT thread, kind FROM outbox WHERE id = ? AND peer = ? AND kind <> 'receipt'`, m.ReplyTo, m.From).Scan(&thread, &kind)
	if err != nil {
		return "", classify(err)
	}
	if err := tx.add(`INSERT INTO receipts (id, message, peer, outcome, code, sent, received, note, stream_seq) VALUES (?,?,?,?,?,?,?,?,?)`,
		m.ID, m.ReplyTo, m.From, string(m.Outcome), m.Code, millis(m.Sent), millis(at), note, int64(streamSeq)); err != nil {
		return thread, err
	}
	// The recipient can only have what was published: a receipt also settles "stored, but the ack was lost".
	first, err := tx.exec(`UPDATE outbox SET state = 'published', hold = '', published = coalesce(published, ?), receipt = ?, receipt_code = ?, receipt_at = ?
		WHERE id = ? AND receipt = ''`, millis(at), string(m.Outcome), m.Code, millis(at), m.ReplyTo)
	if err != nil {
		return thread, fmt.Errorf("record receipt: %w", err)
	}
	// A message that was refused is nobody's to answer; but a late contradiction of an earlier receipt stops no clock.
	if first == 1 && m.Outcome == schemas.OutcomeRejected {
		_, err = tx.exec(`UPDATE outbox SET answered = ? WHERE id = ? AND answered IS NULL`, millis(at), m.ReplyTo)
	}
	return thread, err
}

// Receipts lists the receipts for a message, oldest first.
func (s *Store) Receipts(ctx context.Context, message string) ([]schemas.Receipt, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT id, message, peer, outcome, code, sent FROM receipts WHERE message = ? ORDER BY received, id`, message)
	if err != nil {
		return nil, fmt.Errorf("list receipts: %w", classify(err))
	}
	defer rows.Close()
	var out []schemas.Receipt
	for rows.Next() {
		var r schemas.Receipt
		var outcome string
		var sent int64
		if err := rows.Scan(&r.ID, &r.ReplyTo, &r.From, &outcome, &r.Code, &sent); err != nil {
			return nil, classify(err)
		}
		r.Outcome, r.Sent = schemas.Outcome(outcome), moment(sent)
		out = append(out, r)
	}
	return out, classify(rows.Err())
}

// OutcomeSent returns the outcome of the receipt we gave for a message, or ErrNotFound.
func (s *Store) OutcomeSent(ctx context.Context, message string) (outcome schemas.Outcome, err error) {
	var o string
	err = s.read.QueryRowContext(ctx, `SELECT outcome FROM outbox WHERE kind = 'receipt' AND reply_to = ? ORDER BY n LIMIT 1`, message).Scan(&o)
	return schemas.Outcome(o), classify(err)
}
