package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Unproved is a message or receipt that lies in a stream of the broker and was not yet found in its ledger.
type Unproved struct {
	Table  Table
	ID     string
	Thread string
	Peer   string
	Lane   schemas.Lane
	Seq    uint64    // in the stream of its lane
	Note   []byte    // the signed manifest as we have it
	At     time.Time // when the broker acknowledged it, or we accepted it
}

// Table says where an Unproved is kept.
type Table string

// The tables whose rows are looked for in the ledger: what we sent, what we accepted, what we were receipted.
const (
	TableOutbox   Table = "outbox"
	TableInbox    Table = "inbox"
	TableReceipts Table = "receipts"
)

// Unproved lists up to limit rows of a table after a position, oldest first, and the position of the last one.
func (s *Store) Unproved(ctx context.Context, table Table, after int64, limit int) (out []Unproved, last int64, err error) {
	q := map[Table]string{
		TableOutbox:   `SELECT n, id, thread, peer, lane, stream_seq, coalesce(tombstone, note), published FROM outbox WHERE recorded IS NULL AND stream_seq IS NOT NULL AND n > ? ORDER BY n LIMIT ?`,
		TableInbox:    `SELECT n, id, thread, peer, lane, stream_seq, note, received FROM inbox WHERE recorded IS NULL AND stream_seq > 0 AND n > ? ORDER BY n LIMIT ?`,
		TableReceipts: `SELECT received, id, '', peer, 'receipt', stream_seq, note, received FROM receipts WHERE recorded IS NULL AND stream_seq > 0 AND received >= ? ORDER BY received LIMIT ?`,
	}[table]
	last = after
	err = each(ctx, s.read, func(r row) error {
		u := Unproved{Table: table}
		var lane string
		var seq, at int64
		if err := r.Scan(&last, &u.ID, &u.Thread, &u.Peer, &lane, &seq, &u.Note, &at); err != nil {
			return err
		}
		u.Lane, u.Seq, u.At = schemas.Lane(lane), uint64(seq), moment(at)
		out = append(out, u)
		return nil
	}, q, after, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("read unproved messages: %w", err)
	}
	return out, last, nil
}

// Recorded notes where in the ledger something stands.
func (tx *Tx) Recorded(table Table, id string, index int64) error {
	_, err := tx.exec(`UPDATE `+string(table)+` SET recorded = ? WHERE id = ?`, index, id)
	return err
}

// Place returns where the broker stored a message of ours, or to us: its lane and its number in the lane's stream, 0 if it
// never said or has lost it. ErrNotFound for a message never sent nor accepted.
func (s *Store) Place(ctx context.Context, id string) (lane schemas.Lane, streamSeq uint64, err error) {
	var l string
	var seq sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT lane, CASE WHEN tombstone IS NULL THEN stream_seq END FROM outbox WHERE id = ?1 UNION ALL SELECT lane, stream_seq FROM inbox WHERE id = ?1 LIMIT 1`, id).Scan(&l, &seq)
	return schemas.Lane(l), uint64(seq.Int64), classify(err)
}

// Checkpoint returns the newest checkpoint that was found consistent, nil before the first.
func (s *Store) Checkpoint(ctx context.Context) (raw []byte, err error) {
	err = classify(s.read.QueryRowContext(ctx, `SELECT checkpoint FROM ledger WHERE length(checkpoint) > 0`).Scan(&raw))
	if err == ErrNotFound {
		return nil, nil
	}
	return raw, err
}

// SaveCheckpoint remembers a checkpoint of a size, before anybody is told that we have seen it.
func (tx *Tx) SaveCheckpoint(raw []byte, size int64, seen time.Time) error {
	_, err := tx.exec(`INSERT INTO ledger (n, checkpoint) VALUES (1, ?) ON CONFLICT (n) DO UPDATE SET checkpoint = excluded.checkpoint`, raw)
	if err != nil {
		return err
	}
	if _, err := tx.exec(`INSERT INTO checkpoints (size, seen, checkpoint) VALUES (?,?,?) ON CONFLICT (size) DO UPDATE SET seen = excluded.seen, checkpoint = excluded.checkpoint`,
		size, millis(seen), raw); err != nil {
		return err
	}
	// Each that leaves the newest ones is looked at once: of an hour the last stays.
	if _, err := tx.exec(`DELETE FROM checkpoints WHERE size = (SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?1)
		AND EXISTS (SELECT 1 FROM checkpoints c WHERE c.size > checkpoints.size AND c.seen / 3600000 = checkpoints.seen / 3600000)`, checkpointsNewest); err != nil {
		return err
	}
	_, err = tx.exec(`DELETE FROM checkpoints WHERE size <= (SELECT size FROM checkpoints ORDER BY size DESC LIMIT 1 OFFSET ?1)`, checkpointsMax)
	return err
}

// What is kept of checkpoints: the newest, and one for each hour of a year.
const (
	checkpointsNewest = 64
	checkpointsMax    = 10_000
)

// Checkpoints calls f with those that were kept, the largest first, until it returns false.
func (s *Store) Checkpoints(ctx context.Context, f func(raw []byte) (bool, error)) error {
	for below := int64(math.MaxInt64); ; {
		var raw []byte
		err := classify(s.read.QueryRowContext(ctx, `SELECT size, checkpoint FROM checkpoints WHERE size < ? ORDER BY size DESC LIMIT 1`, below).Scan(&below, &raw))
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read checkpoints: %w", err)
		}
		if more, err := f(raw); err != nil || !more {
			return err
		}
	}
}

// Unprove forgets where in the ledger things stand from record size on, and checkpoints of more records than that: the ledger
// that said so is gone. What is forgotten is looked for again, and acts are handed in again.
func (tx *Tx) Unprove(size int64) error {
	for _, q := range []string{`UPDATE outbox SET recorded = NULL WHERE recorded >= ?`, `UPDATE inbox SET recorded = NULL WHERE recorded >= ?`,
		`UPDATE receipts SET recorded = NULL WHERE recorded >= ?`, `UPDATE acts SET recorded = NULL WHERE recorded >= ?`} {
		if _, err := tx.exec(q, size); err != nil {
			return fmt.Errorf("forget proofs: %w", err)
		}
	}
	if _, err := tx.exec(`UPDATE ledger SET asked = ?1 WHERE asked > ?1`, size); err != nil {
		return fmt.Errorf("forget proofs: %w", err)
	}
	tx.touch(Acts)
	return nil
}

// ForgetCheckpoints drops those of more records than size.
func (tx *Tx) ForgetCheckpoints(size int64) error {
	_, err := tx.exec(`DELETE FROM checkpoints WHERE size > ?`, size)
	return err
}

// SendAgain puts a message that the broker lost back to what waits for it. What has no body any more cannot be sent: false,
// unless it was never receipted and its consent is withdrawn, for then it is taken back like whatever else waits. What its
// recipient has receipted and is stopped by now is not sent either: it would be taken back, and what has arrived cannot be.
func (tx *Tx) SendAgain(id string, lane schemas.Lane) (bool, error) {
	n, err := tx.exec(`UPDATE outbox SET state = 'pending', stream_seq = NULL, recorded = NULL, tombstone = NULL WHERE id = ? AND state = 'published'
		AND (EXISTS (SELECT 1 FROM outbox_bodies WHERE message = n) OR kind = 'receipt' OR outcome = 'void'
			OR stopped IS NOT NULL AND EXISTS (SELECT 1 FROM certificates WHERE certificates.id = substr(basis, 9) AND withdrawn IS NOT NULL))
		AND (stopped IS NULL OR receipt = '')`, id)
	if err == nil && n > 0 {
		tx.touch(outboxTopic(lane))
	}
	return n > 0, err
}

// Bury lets a tombstone leave in the place of a message that the broker lost and that SendAgain does not send: a void manifest
// of its id and number, so that ledger and recipient have no hole there that accuses somebody. The message, its note and its
// receipt stay here as they are. False for one without a receipt: nobody said that it arrived, and whoever audits must see that
// it is missing.
func (tx *Tx) Bury(m envelope.Manifest, at time.Time, sign Signer) (bool, error) {
	m.Outcome, m.Code, m.Body, m.Size, m.RespondBy = schemas.OutcomeVoid, schemas.CodeLostInRestore, "", 0, nil
	m.Sent = at // by the key that is in force now, which may be another than the message's
	raw, err := sign(m, nil)
	if err != nil {
		return false, fmt.Errorf("sign tombstone: %w", err)
	}
	n, err := tx.exec(`UPDATE outbox SET tombstone = ?, stream_seq = NULL, recorded = NULL WHERE id = ? AND state = 'published' AND receipt <> '' AND kind <> 'receipt'`, raw, m.ID)
	if err != nil {
		return false, fmt.Errorf("store tombstone: %w", err)
	}
	if n > 0 {
		tx.touch(outboxTopic(m.Lane))
	}
	return n > 0, nil
}

// Misplaced notes that the broker lost its copy of a message or receipt that we have: it has no place until its sender sends it
// again. For one of ours that cannot be sent again it never has.
func (tx *Tx) Misplaced(table Table, id string) error {
	if table == TableOutbox {
		_, err := tx.exec(`UPDATE outbox SET stream_seq = NULL WHERE id = ? AND recorded IS NULL`, id)
		return err
	}
	_, err := tx.exec(`UPDATE `+string(table)+` SET stream_seq = 0 WHERE id = ? AND recorded IS NULL`, id)
	return err
}

// Placed notes where a message that we have was stored when it came again: there it is looked for in the ledger.
func (tx *Tx) Placed(table Table, id string, note []byte, streamSeq uint64) error {
	_, err := tx.exec(`UPDATE `+string(table)+` SET stream_seq = ?1, recorded = NULL WHERE id = ?2 AND note = ?3 AND stream_seq <> ?1`, int64(streamSeq), id, note)
	return err
}

// Asked returns up to which record administrators' requests were read.
func (s *Store) Asked(ctx context.Context) (next int64, err error) {
	err = classify(s.read.QueryRowContext(ctx, `SELECT asked FROM ledger`).Scan(&next))
	if err == ErrNotFound {
		return 0, nil
	}
	return next, err
}

// SaveAsked remembers it.
func (tx *Tx) SaveAsked(next int64) error {
	_, err := tx.exec(`INSERT INTO ledger (n, checkpoint, asked) VALUES (1, ?, ?) ON CONFLICT (n) DO UPDATE SET asked = excluded.asked`, []byte{}, next)
	return err
}

// Act is something this agency did and signed, on its way to the ledger.
type Act struct {
	ID, Act, Subject string
	At               time.Time
	Note             []byte
	Recorded         *int64 // nil: the ledger does not hold it yet
	Answer           []byte // what the broker said to it
}

// AddAct queues an act for the ledger.
func (tx *Tx) AddAct(a *Act) error {
	err := tx.add(`INSERT INTO acts (id, act, subject, at, note) VALUES (?,?,?,?,?)`, a.ID, a.Act, a.Subject, millis(a.At), a.Note)
	if err != nil {
		return fmt.Errorf("queue act: %w", err)
	}
	tx.touch(Acts)
	return nil
}

// ActRecorded notes that the ledger holds an act.
func (tx *Tx) ActRecorded(id string, index int64, answer []byte) error {
	_, err := tx.exec(`UPDATE acts SET recorded = ?, answer = ? WHERE id = ?`, index, answer, id)
	return err
}

// OpenActs lists acts that the ledger does not hold yet, oldest first.
func (s *Store) OpenActs(ctx context.Context, limit int) ([]Act, error) {
	return s.acts(ctx, `WHERE recorded IS NULL ORDER BY at, id LIMIT ?`, limit)
}

// Acts lists the newest acts.
func (s *Store) Acts(ctx context.Context, limit int) ([]Act, error) {
	return s.acts(ctx, `ORDER BY at DESC, id DESC LIMIT ?`, limit)
}

// Act returns one act.
func (s *Store) Act(ctx context.Context, id string) (*Act, error) {
	acts, err := s.acts(ctx, `WHERE id = ?`, id)
	if err != nil {
		return nil, err
	}
	if len(acts) == 0 {
		return nil, ErrNotFound
	}
	return &acts[0], nil
}

func (s *Store) acts(ctx context.Context, where string, args ...any) (out []Act, err error) {
	err = each(ctx, s.read, func(r row) error {
		var a Act
		var at int64
		var recorded sql.NullInt64
		if err := r.Scan(&a.ID, &a.Act, &a.Subject, &at, &a.Note, &recorded, &a.Answer); err != nil {
			return err
		}
		a.At = moment(at)
		if recorded.Valid {
			a.Recorded = &recorded.Int64
		}
		out = append(out, a)
		return nil
	}, `SELECT id, act, subject, at, note, recorded, answer FROM acts `+where, args...)
	if err != nil {
		return nil, fmt.Errorf("read acts: %w", err)
	}
	return out, nil
}

// CountUnproved counts what was not yet found in the ledger.
func (s *Store) CountUnproved(ctx context.Context) (n int64, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM outbox WHERE recorded IS NULL AND stream_seq IS NOT NULL) +
		(SELECT count(*) FROM inbox WHERE recorded IS NULL) + (SELECT count(*) FROM receipts WHERE recorded IS NULL)`).Scan(&n)
	return n, classify(err)
}
