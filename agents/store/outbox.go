package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"waypost/schemas"
	"waypost/schemas/consent"
	"waypost/schemas/envelope"
)

// State is how far an outgoing message has come. It says what is known, never what is likely.
type State string

// What is known of an outgoing message: Pending is durable here and nowhere else; Published is stored by the broker, not
// yet collected; the others are the recipient's own signed word.
const (
	Pending   State = "pending"
	Published State = "published"
)

// Outgoing is a message or receipt on its way out.
type Outgoing struct {
	N            int64
	Manifest     envelope.Manifest
	Note         []byte
	Body         []byte // as it travels; nil for receipts
	Wrapped      []byte // file key of Body under the at-rest key
	State        State
	Hold         string // why it is not leaving: "quota", "offline"…; a code
	Published    *time.Time
	StreamSeq    uint64
	Receipt      schemas.Outcome
	ReceiptCode  string
	ReceiptAt    *time.Time
	Answered     *time.Time
	Overdue      *time.Time
	Stopped      *time.Time // its consent was withdrawn, or that was asked for
	Erased       *time.Time
	Tombstone    bool // it is not the message that leaves but what says so, see Tx.Bury
	Certificates []string
}

// Raw is the NATS payload.
func (o *Outgoing) Raw() []byte { return append(append([]byte(nil), o.Note...), o.Body...) }

// Signer turns a numbered manifest and its body into the whole envelope.
type Signer func(m envelope.Manifest, body []byte) ([]byte, error)

func outboxTopic(l schemas.Lane) Topic { return Topic("outbox-" + string(l)) }

// AddOutgoing takes the next sequence number for (to, lane), has the manifest signed and stores it. The number is taken
// in the same transaction: a message that is not stored leaves no hole.
func (tx *Tx) AddOutgoing(o *Outgoing, sign Signer) error {
	m := &o.Manifest
	seq, err := tx.nextSeq(m.To, m.Lane)
	if err != nil {
		return fmt.Errorf("number message: %w", err)
	}
	m.Seq = seq
	raw, err := sign(*m, o.Body)
	if err != nil {
		return fmt.Errorf("sign message: %w", err)
	}
	env, err := envelope.Parse(raw)
	if err != nil {
		return fmt.Errorf("check own envelope: %w", err)
	}
	o.Manifest, o.Note, o.State = env.Manifest, env.Note, Pending
	m = &o.Manifest
	_, err = tx.exec(`INSERT INTO outbox (id, thread, reply_to, peer, kind, schema, lane, seq, sent, respond_by, basis, outcome, code, note, hold)
		VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,?13,?14,
			coalesce((SELECT hold FROM outbox WHERE state = 'pending' AND peer = ?4 AND lane = ?7 AND hold <> '' LIMIT 1), ''))`,
		m.ID, m.Thread, m.ReplyTo, m.To, string(m.Kind), m.Schema, string(m.Lane), int64(m.Seq), millis(m.Sent), optMillis(m.RespondBy),
		m.Basis, string(m.Outcome), m.Code, o.Note)
	if err == nil {
		err = tx.addBody(TableOutbox, m.ID, o.Body, o.Wrapped)
	}
	if err != nil {
		return fmt.Errorf("store message: %w", err)
	}
	for _, c := range o.Certificates {
		if err := tx.LinkCertificate(m.ID, c); err != nil {
			return err
		}
	}
	if err := tx.holds(m); err != nil {
		return err
	}
	tx.touch(outboxTopic(m.Lane))
	if m.RespondBy != nil {
		tx.touch(Clocks)
	}
	return nil
}

// holds notes that a message's recipient now has something under the consent that the message names.
func (tx *Tx) holds(m *envelope.Manifest) error {
	id, ok := strings.CutPrefix(m.Basis, envelope.ConsentPrefix)
	if !ok || control(m.Kind) {
		return nil
	}
	return tx.AddHolder(&Holder{Certificate: id, Agency: m.To, Message: m.ID, Thread: m.Thread, Kind: m.Kind, At: m.Sent})
}

// nextSeq is the one place where numbers are given. A restored store gives none before it knows which are used.
func (tx *Tx) nextSeq(peer string, lane schemas.Lane) (uint64, error) {
	if tx.held {
		return 0, ErrRecovering
	}
	var seq int64
	err := tx.tx.QueryRowContext(tx.ctx, `INSERT INTO sequences (direction, peer, lane, last) VALUES ('out', ?, ?, 1)
		ON CONFLICT (direction, peer, lane) DO UPDATE SET last = sequences.last + 1 RETURNING last`, peer, string(lane)).Scan(&seq)
	return uint64(seq), classify(err)
}

const outboxColumns = `n, id, thread, reply_to, peer, kind, schema, lane, seq, sent, respond_by, basis, outcome, code,
	note, body, wrapped, state, hold, published, stream_seq, receipt, receipt_code, receipt_at, answered, overdue, stopped, erased`

// outboxFrom is where outboxColumns come from.
const outboxFrom = `outbox LEFT JOIN outbox_bodies ON message = n`

// outboxList leaves the blobs out: a list of a thousand messages must not read a thousand bodies.
var outboxList = strings.Replace(outboxColumns, "note, body, wrapped", "NULL, NULL, NULL", 1)

type row interface{ Scan(...any) error }

func scanOutgoing(r row, self string) (*Outgoing, error) {
	o := &Outgoing{}
	m := &o.Manifest
	var sent int64
	var respond, published, stream, receipt, answered, overdue, stopped, erased sql.NullInt64
	var kind, lane, outcome, state, rec string
	var seq int64
	err := r.Scan(&o.N, &m.ID, &m.Thread, &m.ReplyTo, &m.To, &kind, &m.Schema, &lane, &seq, &sent, &respond, &m.Basis, &outcome, &m.Code,
		&o.Note, &o.Body, &o.Wrapped, &state, &o.Hold, &published, &stream, &rec, &o.ReceiptCode, &receipt, &answered, &overdue, &stopped, &erased)
	if err != nil {
		return nil, classify(err)
	}
	m.Type, m.From = envelope.ManifestType, self
	m.Kind, m.Lane, m.Seq, m.Outcome = schemas.Kind(kind), schemas.Lane(lane), uint64(seq), schemas.Outcome(outcome)
	m.Sent, m.RespondBy = moment(sent), optMoment(respond)
	o.State, o.Receipt, o.StreamSeq = State(state), schemas.Outcome(rec), uint64(stream.Int64)
	o.Published, o.ReceiptAt, o.Answered, o.Overdue = optMoment(published), optMoment(receipt), optMoment(answered), optMoment(overdue)
	o.Stopped, o.Erased = optMoment(stopped), optMoment(erased)
	return o, nil
}

// PendingOutgoing returns what waits in a lane, oldest first, passing over the peers named (those held back). What follows a
// message that is about to be taken back waits until that is done: its number goes first, as a void one, or the recipient and
// the ledger would see a gap. Where a withdrawal is only asked for, and may be for days, the others go on.
func (s *Store) PendingOutgoing(ctx context.Context, lane schemas.Lane, limit int, except []string) ([]*Outgoing, error) {
	q := `WITH back AS MATERIALIZED (SELECT peer AS whom, min(n) AS earliest FROM outbox WHERE lane = ?1 AND state = 'pending' AND outcome = '' AND stopped IS NOT NULL
			AND EXISTS (SELECT 1 FROM certificates WHERE id = substr(basis, 9) AND withdrawn IS NOT NULL) GROUP BY peer)
		SELECT ` + outboxColumns + ` FROM ` + outboxFrom + ` LEFT JOIN back ON whom = peer
		WHERE state = 'pending' AND stopped IS NULL AND lane = ?1 AND (earliest IS NULL OR n < earliest)`
	args := []any{string(lane)}
	if len(except) > 0 {
		q += ` AND peer NOT IN (?` + strings.Repeat(",?", len(except)-1) + `)`
		for _, p := range except {
			args = append(args, p)
		}
	}
	rows, err := s.read.QueryContext(ctx, q+` ORDER BY n LIMIT ?`, append(args, limit)...)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", classify(err))
	}
	defer rows.Close()
	var out []*Outgoing
	for rows.Next() {
		o, err := scanOutgoing(rows, "")
		if err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
		out = append(out, o)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read outbox: %w", classify(err))
	}
	stones, err := s.tombstones(ctx, lane, limit, except)
	if err != nil || len(stones) == 0 {
		return out, err
	}
	out = append(out, stones...)
	slices.SortFunc(out, func(a, b *Outgoing) int { return cmp.Compare(a.N, b.N) })
	return out[:min(len(out), limit)], nil
}

// tombstoneColumns are outboxColumns of what leaves in a message's place.
var tombstoneColumns = strings.NewReplacer("respond_by", "NULL", "outcome, code", "'"+string(schemas.OutcomeVoid)+"', '"+schemas.CodeLostInRestore+"'",
	"note, body, wrapped", "tombstone, NULL, NULL").Replace(outboxColumns)

// tombstones are the ones in a lane that have not left, see Bury.
func (s *Store) tombstones(ctx context.Context, lane schemas.Lane, limit int, except []string) (out []*Outgoing, err error) {
	err = each(ctx, s.read, func(r row) error {
		o, err := scanOutgoing(r, "")
		if err != nil {
			return err
		}
		if o.Tombstone = true; !slices.Contains(except, o.Manifest.To) {
			out = append(out, o)
		}
		return nil
	}, `SELECT `+tombstoneColumns+` FROM outbox WHERE tombstone IS NOT NULL AND stream_seq IS NULL AND lane = ? ORDER BY n LIMIT ?`, string(lane), limit)
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return out, nil
}

// Published records that the broker has stored these messages. What was taken back while it was being published has left
// all the same: the row then says so again, and the withdrawal that follows finds its holder.
func (tx *Tx) Published(sent []*Outgoing, seqs []uint64, at time.Time) error {
	for i, o := range sent {
		id := o.Manifest.ID
		if o.Tombstone {
			if _, err := tx.exec(`UPDATE outbox SET published = ?, stream_seq = ? WHERE id = ? AND tombstone = ?`, millis(at), int64(seqs[i]), id, o.Note); err != nil {
				return fmt.Errorf("mark published: %w", err)
			}
			continue
		}
		n, err := tx.exec(`UPDATE outbox SET state = 'published', hold = '', published = ?, stream_seq = ? WHERE id = ? AND state = 'pending' AND note = ?`,
			millis(at), int64(seqs[i]), id, o.Note)
		if err == nil && n == 0 {
			n, err = tx.exec(`UPDATE outbox SET state = 'published', hold = '', published = ?, stream_seq = ?, outcome = ?, code = ?, note = ?
				WHERE id = ? AND state = 'pending'`, millis(at), int64(seqs[i]), string(o.Manifest.Outcome), o.Manifest.Code, o.Note, id)
			if err == nil && n > 0 {
				err = tx.setBody(TableOutbox, id, o.Body, o.Wrapped)
			}
			if err == nil && n > 0 {
				err = tx.erasedMeanwhile(id, at)
			}
		}
		if err == nil && n == 0 {
			// Its receipt was quicker than this note. Where it stands is known only here, and without it nobody looks for it in
			// the ledger, or misses it when the broker has lost it.
			n, err = tx.exec(`UPDATE outbox SET stream_seq = ? WHERE id = ? AND state = 'published' AND stream_seq IS NULL AND note = ?`, int64(seqs[i]), id, o.Note)
		}
		if err != nil {
			return fmt.Errorf("mark published: %w", err)
		}
		if n == 0 || o.Manifest.Kind == schemas.KindReceipt {
			continue
		}
		m := &o.Manifest
		if err := tx.AddEvent(&Event{Type: EventPublished, Thread: m.Thread, Message: m.ID, Kind: m.Kind, Peer: m.To, Code: string(m.Outcome), At: at}); err != nil {
			return fmt.Errorf("record published: %w", err)
		}
	}
	return nil
}

// erasedMeanwhile erases a message that has left although it was taken back, when all under its consent was erased in between.
func (tx *Tx) erasedMeanwhile(id string, at time.Time) error {
	n, err := tx.exec(`UPDATE outbox SET erased = ? WHERE id = ? AND `+notControl+` AND EXISTS
		(SELECT 1 FROM duties WHERE certificate = substr(outbox.basis, 9) AND act = ? AND outcome = ?)`, millis(at), id, string(consent.ActWithdrawn), string(schemas.HolderErased))
	if err != nil || n == 0 {
		return err
	}
	return tx.setBody(TableOutbox, id, nil, nil)
}

// Hold says why messages to a peer in a lane are not leaving; an empty code releases them.
func (tx *Tx) Hold(peer string, lane schemas.Lane, code string) error {
	_, err := tx.exec(`UPDATE outbox SET hold = ? WHERE state = 'pending' AND peer = ? AND lane = ? AND hold <> ?`, code, peer, string(lane), code)
	return err
}

// Outgoing returns one message with its body.
func (s *Store) Outgoing(ctx context.Context, self, id string) (*Outgoing, error) {
	o, err := scanOutgoing(s.read.QueryRowContext(ctx, `SELECT `+outboxColumns+` FROM `+outboxFrom+` WHERE id = ?`, id), self)
	if err != nil {
		return nil, err
	}
	o.Certificates, err = s.messageCertificates(ctx, id)
	return o, err
}

// Page bounds a list: at most Limit rows older than Before (0: from the newest).
type Page struct {
	Before int64
	Limit  int
}

func (p Page) bounds() (int64, int) {
	if p.Before <= 0 {
		p.Before = 1 << 62
	}
	return p.Before, min(max(p.Limit, 1), 500)
}

// ListOutgoing lists messages (not receipts), newest first, without bodies.
func (s *Store) ListOutgoing(ctx context.Context, self string, p Page) ([]*Outgoing, error) {
	before, limit := p.bounds()
	rows, err := s.read.QueryContext(ctx, `SELECT `+outboxList+` FROM outbox WHERE n < ? AND kind <> 'receipt' ORDER BY n DESC LIMIT ?`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list outbox: %w", classify(err))
	}
	defer rows.Close()
	out := []*Outgoing{}
	for rows.Next() {
		o, err := scanOutgoing(rows, self)
		if err != nil {
			return nil, fmt.Errorf("list outbox: %w", err)
		}
		out = append(out, o)
	}
	return out, classify(rows.Err())
}

// AnsweredOutgoing stops the response clock of a referral we sent.
func (tx *Tx) AnsweredOutgoing(id, peer string, at time.Time) error {
	_, err := tx.exec(`UPDATE outbox SET answered = ? WHERE id = ? AND peer = ? AND answered IS NULL`, millis(at), id, peer)
	return err
}

// SentRef is what identifies a message we sent.
type SentRef struct {
	Peer, Thread string
	Kind         schemas.Kind
}

// Sent looks a message of ours up; ErrNotFound when we never sent it.
func (tx *Tx) Sent(id string) (SentRef, error) {
	var r SentRef
	var kind string
	err := tx.tx.QueryRowContext(tx.ctx, `SELECT peer, thread, kind FROM outbox WHERE id = ?`, id).Scan(&r.Peer, &r.Thread, &kind)
	r.Kind = schemas.Kind(kind)
	return r, classify(err)
}
