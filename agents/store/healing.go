package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// ErrRecovering: this store came from a backup, and the ledger was not yet asked which numbers were given out since. Nothing
// is numbered, and so nothing sent, before that. Temporary.
var ErrRecovering = errors.New("restored from a backup: waiting for the ledger to say which numbers were given since")

// What a Healing is about.
const (
	HealStore  = "store"  // this store came from a backup
	HealBroker = "broker" // the broker's ledger does not continue what we saw of it
)

// Healing is what a restore from a backup left to be made good.
type Healing struct {
	ID      string
	What    string
	Subject string     // HealBroker: the text of our checkpoint that the ledger does not continue; HealStore: see Provisional
	At      time.Time  // HealStore: when the backup was made; HealBroker: when it was noticed
	Size    int64      // records below this are as we knew them
	Next    int64      // the first record that was not looked at
	Done    *time.Time // nil: still to be done
}

// AddHealing begins one. After HealStore nothing is numbered until it is done.
func (tx *Tx) AddHealing(h *Healing) error {
	_, err := tx.exec(`INSERT INTO healings (id, what, subject, at, size, next) VALUES (?,?,?,?,?,?)`, h.ID, h.What, h.Subject, millis(h.At), h.Size, h.Next)
	if err != nil {
		return fmt.Errorf("begin healing: %w", err)
	}
	return nil
}

// Restored marks a store that was just loaded from a backup made at a time. What the ledger holds up to the checkpoint that
// is in it, it knew when the backup was made; what the ledger holds beyond, it is to ask for.
func (tx *Tx) Restored(made time.Time) error {
	if _, err := tx.exec(`DELETE FROM healings WHERE what = ? AND done IS NULL`, HealStore); err != nil { // a backup of a store that was itself waiting
		return fmt.Errorf("mark restored store: %w", err)
	}
	var size int64
	if err := classify(tx.tx.QueryRowContext(tx.ctx, `SELECT coalesce(max(size), 0) FROM checkpoints`).Scan(&size)); err != nil {
		return fmt.Errorf("mark restored store: %w", err)
	}
	return tx.AddHealing(&Healing{ID: schemas.NewMessageID(), What: HealStore, At: made, Size: size, Next: size})
}

// HealingRead notes how far the ledger was read.
func (tx *Tx) HealingRead(id string, next int64) error {
	_, err := tx.exec(`UPDATE healings SET next = ? WHERE id = ?`, next, id)
	return err
}

// HealingDone ends one.
func (tx *Tx) HealingDone(id string, at time.Time) error {
	_, err := tx.exec(`UPDATE healings SET done = ? WHERE id = ?`, millis(at), id)
	return err
}

// Healings lists all of a kind, oldest first.
func (s *Store) Healings(ctx context.Context, what string) (out []Healing, err error) {
	err = each(ctx, s.read, func(r row) error {
		h := Healing{What: what}
		var at int64
		var done sql.NullInt64
		if err := r.Scan(&h.ID, &h.Subject, &at, &h.Size, &h.Next, &done); err != nil {
			return err
		}
		h.At, h.Done = moment(at), optMoment(done)
		out = append(out, h)
		return nil
	}, `SELECT id, subject, at, size, next, done FROM healings WHERE what = ? ORDER BY at, id`, what)
	if err != nil {
		return nil, fmt.Errorf("read healings: %w", err)
	}
	return out, nil
}

// recall reads what every update must know, once, when the store is opened.
func (s *Store) recall(ctx context.Context) error {
	var held, forgot bool
	// On the writer's connection, which is open: another one could meet a starter that is just making the file.
	err := s.write.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM healings WHERE what = ? AND done IS NULL), EXISTS (SELECT 1 FROM given WHERE message > '')`, HealStore).Scan(&held, &forgot)
	if err != nil {
		return fmt.Errorf("open store: %w", classify(err))
	}
	s.held.Store(held)
	s.forgot.Store(forgot)
	return nil
}

// Recovering reports whether the store waits for the ledger's word on its numbers.
func (s *Store) Recovering() bool { return s.held.Load() }

// Recovered takes the update by which a HealStore ends: from here on numbers are given again.
func (s *Store) Recovered(ctx context.Context, id string, at time.Time, also func(*Tx) error) error {
	err := s.Update(ctx, func(tx *Tx) error {
		if err := tx.HealingDone(id, at); err != nil {
			return err
		}
		return also(tx)
	})
	if err != nil {
		return fmt.Errorf("end recovery: %w", err)
	}
	return s.recall(ctx)
}

// Forgotten takes a message of ours that the ledger holds, and brings the store to what it must have been: its number is
// used; if it waits in the outbox, it was published; if it is not there at all, it is entered as what is left of it, without
// body or key. stored is when and where the broker has it. It reports whether the store knew less than the ledger.
func (tx *Tx) Forgotten(m *envelope.Manifest, note []byte, streamSeq uint64, stored, now time.Time) (bool, error) {
	if _, err := tx.exec(`INSERT INTO sequences (direction, peer, lane, last) VALUES ('out', ?, ?, ?)
		ON CONFLICT (direction, peer, lane) DO UPDATE SET last = excluded.last WHERE sequences.last < excluded.last`, m.To, string(m.Lane), int64(m.Seq)); err != nil {
		return false, fmt.Errorf("take number: %w", err)
	}
	if m.Kind == schemas.KindReceipt {
		if _, err := tx.exec(`INSERT INTO given (message) VALUES (?) ON CONFLICT DO NOTHING`, m.ReplyTo); err != nil {
			return false, fmt.Errorf("note receipt: %w", err)
		}
	}
	var n int64
	var state string
	err := classify(tx.tx.QueryRowContext(tx.ctx, `SELECT n, state FROM outbox WHERE id = ?`, m.ID).Scan(&n, &state))
	switch {
	case err == nil && state == string(Published):
		return false, nil
	case err == nil && m.Void():
		// Taken back after the backup: what left was the manifest alone.
		_, err = tx.exec(`UPDATE outbox SET state = 'published', hold = '', published = ?, stream_seq = ?, outcome = ?, code = ?, note = ? WHERE n = ?`,
			millis(stored), int64(streamSeq), string(m.Outcome), m.Code, note, n)
		if err == nil {
			err = tx.setBody(TableOutbox, m.ID, nil, nil)
		}
		return true, err
	case err == nil:
		_, err = tx.exec(`UPDATE outbox SET state = 'published', hold = '', published = ?, stream_seq = ? WHERE n = ?`, millis(stored), int64(streamSeq), n)
		return true, err
	case !errors.Is(err, ErrNotFound):
		return false, err
	}
	if _, err = tx.exec(`INSERT INTO outbox (id, thread, reply_to, peer, kind, schema, lane, seq, sent, respond_by, basis, outcome, code, note, state, published, stream_seq, erased)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,'published',?,?,?) ON CONFLICT DO NOTHING`, m.ID, m.Thread, m.ReplyTo, m.To, string(m.Kind), m.Schema, string(m.Lane), int64(m.Seq), millis(m.Sent),
		optMillis(m.RespondBy), m.Basis, string(m.Outcome), m.Code, note, millis(stored), int64(streamSeq), millis(now)); err != nil {
		return false, fmt.Errorf("enter message: %w", err)
	}
	if m.Kind == schemas.KindReceipt {
		return true, nil
	}
	return true, tx.holds(m)
}

// ReceiptStands reports whether a lost store gave its receipt for a message already.
func (tx *Tx) ReceiptStands(message string) (bool, error) {
	if !tx.forgot {
		return false, nil
	}
	var there bool
	err := tx.tx.QueryRowContext(tx.ctx, `SELECT EXISTS (SELECT 1 FROM given WHERE message = ?)`, message).Scan(&there)
	return there, classify(err)
}
