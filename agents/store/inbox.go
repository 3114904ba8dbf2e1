package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// Incoming is an accepted message.
type Incoming struct {
	N            int64
	Manifest     envelope.Manifest
	Note         []byte
	Body         []byte
	Wrapped      []byte
	Received     time.Time
	StreamSeq    uint64
	Routed       *time.Time // every required sink has taken it
	Answered     *time.Time
	Overdue      *time.Time
	Stopped      *time.Time // its consent was withdrawn, or that was asked for
	Refused      *time.Time // withdrawn before it was routed
	Erased       *time.Time
	Certificates []string
}

// AddIncoming accepts a message once for ever: ErrExists when its id was ever decided.
func (tx *Tx) AddIncoming(in *Incoming) error {
	m := &in.Manifest
	if err := tx.Decide(m.ID, m.From, "accepted", "", in.Received); err != nil {
		return err
	}
	_, err := tx.exec(`INSERT INTO inbox (id, thread, reply_to, peer, kind, schema, lane, seq, sent, respond_by, basis, note, received, stream_seq)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		m.ID, m.Thread, m.ReplyTo, m.From, string(m.Kind), m.Schema, string(m.Lane), int64(m.Seq), millis(m.Sent), optMillis(m.RespondBy), m.Basis,
		in.Note, millis(in.Received), int64(in.StreamSeq))
	if err == nil {
		err = tx.addBody(TableInbox, m.ID, in.Body, in.Wrapped)
	}
	if err != nil {
		return fmt.Errorf("store incoming: %w", err)
	}
	for _, c := range in.Certificates {
		if err := tx.LinkCertificate(m.ID, c); err != nil {
			return err
		}
	}
	if m.RespondBy != nil {
		tx.touch(Clocks)
	}
	return nil
}

// Decide writes the tombstone of a message id; ErrExists when there is one.
func (tx *Tx) Decide(id, peer, outcome, code string, at time.Time) error {
	return tx.add(`INSERT INTO decided (id, peer, outcome, code, at) VALUES (?,?,?,?,?)`, id, peer, outcome, code, millis(at))
}

// Decided returns whose message of this id was decided first, or ErrNotFound.
func (tx *Tx) Decided(id string) (peer string, err error) {
	err = tx.tx.QueryRowContext(tx.ctx, `SELECT peer FROM decided WHERE id = ?`, id).Scan(&peer)
	return peer, classify(err)
}

// Gap is a run of sequence numbers that were never seen.
type Gap struct {
	Peer    string
	Lane    schemas.Lane
	Seq     uint64
	Noticed time.Time
}

// gapMax bounds what one hostile number can make us write down.
const gapMax = 1000

// Saw records a sequence number of (peer, lane) and returns the numbers newly found missing before it, at most gapMax.
func (tx *Tx) Saw(peer string, lane schemas.Lane, seq uint64, at time.Time) ([]uint64, error) {
	// Most often it is the next one.
	if n, err := tx.exec(`UPDATE sequences SET last = ? WHERE direction = 'in' AND peer = ? AND lane = ? AND last = ?`, int64(seq), peer, string(lane), int64(seq)-1); err != nil || n == 1 {
		return nil, err
	}
	var last int64
	err := classify(tx.tx.QueryRowContext(tx.ctx, `SELECT last FROM sequences WHERE direction = 'in' AND peer = ? AND lane = ?`, peer, string(lane)).Scan(&last))
	if err != nil && err != ErrNotFound {
		return nil, err
	}
	if int64(seq) <= last {
		_, err := tx.exec(`DELETE FROM gaps WHERE peer = ? AND lane = ? AND seq = ?`, peer, string(lane), int64(seq))
		return nil, err
	}
	var missing []uint64
	for n := uint64(last) + 1; n < seq && len(missing) < gapMax; n++ {
		missing = append(missing, n)
		if _, err := tx.exec(`INSERT INTO gaps (peer, lane, seq, noticed) VALUES (?,?,?,?) ON CONFLICT DO NOTHING`, peer, string(lane), int64(n), millis(at)); err != nil {
			return nil, err
		}
	}
	_, err = tx.exec(`INSERT INTO sequences (direction, peer, lane, last) VALUES ('in', ?, ?, ?)
		ON CONFLICT (direction, peer, lane) DO UPDATE SET last = excluded.last`, peer, string(lane), int64(seq))
	return missing, err
}

// Gaps lists the sequence numbers still missing.
func (s *Store) Gaps(ctx context.Context) ([]Gap, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT peer, lane, seq, noticed FROM gaps ORDER BY peer, lane, seq LIMIT 1000`)
	if err != nil {
		return nil, fmt.Errorf("list gaps: %w", classify(err))
	}
	defer rows.Close()
	out := []Gap{}
	for rows.Next() {
		var g Gap
		var lane string
		var seq, at int64
		if err := rows.Scan(&g.Peer, &lane, &seq, &at); err != nil {
			return nil, fmt.Errorf("list gaps: %w", err)
		}
		g.Lane, g.Seq, g.Noticed = schemas.Lane(lane), uint64(seq), moment(at)
		out = append(out, g)
	}
	return out, classify(rows.Err())
}

const inboxColumns = `n, id, thread, reply_to, peer, kind, schema, lane, seq, sent, respond_by, basis, note, body, wrapped, received, stream_seq, routed, answered, overdue, stopped, refused, erased`

// inboxFrom is where inboxColumns come from.
const inboxFrom = `inbox LEFT JOIN inbox_bodies ON message = n`

var inboxList = strings.Replace(inboxColumns, "note, body, wrapped", "NULL, NULL, NULL", 1)

func scanIncoming(r row, self string) (*Incoming, error) {
	in := &Incoming{}
	m := &in.Manifest
	var sent, received, stream, seq int64
	var respond, routed, answered, overdue, stopped, refused, erased sql.NullInt64
	var kind, lane string
	err := r.Scan(&in.N, &m.ID, &m.Thread, &m.ReplyTo, &m.From, &kind, &m.Schema, &lane, &seq, &sent, &respond, &m.Basis,
		&in.Note, &in.Body, &in.Wrapped, &received, &stream, &routed, &answered, &overdue, &stopped, &refused, &erased)
	if err != nil {
		return nil, classify(err)
	}
	m.Type, m.To = envelope.ManifestType, self
	m.Kind, m.Lane, m.Seq = schemas.Kind(kind), schemas.Lane(lane), uint64(seq)
	m.Sent, m.RespondBy = moment(sent), optMoment(respond)
	in.Received, in.StreamSeq = moment(received), uint64(stream)
	in.Routed, in.Answered, in.Overdue = optMoment(routed), optMoment(answered), optMoment(overdue)
	in.Stopped, in.Refused, in.Erased = optMoment(stopped), optMoment(refused), optMoment(erased)
	return in, nil
}

// Incoming returns one accepted message with its body.
func (s *Store) Incoming(ctx context.Context, self, id string) (*Incoming, error) {
	in, err := scanIncoming(s.read.QueryRowContext(ctx, `SELECT `+inboxColumns+` FROM `+inboxFrom+` WHERE id = ?`, id), self)
	if err != nil {
		return nil, err
	}
	in.Certificates, err = s.messageCertificates(ctx, id)
	return in, err
}

// ListIncoming lists accepted messages, newest first, without bodies. open keeps only those whose response clock still
// runs or ran out unanswered.
func (s *Store) ListIncoming(ctx context.Context, self string, open bool, p Page) ([]*Incoming, error) {
	before, limit := p.bounds()
	q := `SELECT ` + inboxList + ` FROM inbox WHERE n < ?`
	if open {
		// From the index of those few: the table would be searched from its end for as long as it takes to find enough.
		q += ` AND n IN (SELECT n FROM inbox WHERE respond_by IS NOT NULL AND answered IS NULL AND stopped IS NULL)`
	}
	rows, err := s.read.QueryContext(ctx, q+` ORDER BY n DESC LIMIT ?`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list inbox: %w", classify(err))
	}
	defer rows.Close()
	out := []*Incoming{}
	for rows.Next() {
		in, err := scanIncoming(rows, self)
		if err != nil {
			return nil, fmt.Errorf("list inbox: %w", err)
		}
		out = append(out, in)
	}
	return out, classify(rows.Err())
}

// AnsweredIncoming stops the response clock of a referral we received.
func (tx *Tx) AnsweredIncoming(id string, at time.Time) error {
	_, err := tx.exec(`UPDATE inbox SET answered = ? WHERE id = ? AND answered IS NULL`, millis(at), id)
	return err
}

// WaitsForAnswer reports whether a message that came still waits for our answer.
func (tx *Tx) WaitsForAnswer(id string) (open bool, err error) {
	err = tx.tx.QueryRowContext(tx.ctx, `SELECT EXISTS (SELECT 1 FROM inbox WHERE id = ? AND respond_by IS NOT NULL AND answered IS NULL AND stopped IS NULL)`, id).Scan(&open)
	return open, classify(err)
}

// IncomingManifest returns what the manifest of an accepted message says, inside an update.
func (tx *Tx) IncomingManifest(id, self string) (*envelope.Manifest, error) {
	in, err := scanIncoming(tx.tx.QueryRowContext(tx.ctx, `SELECT `+inboxList+` FROM inbox WHERE id = ?`, id), self)
	if err != nil {
		return nil, fmt.Errorf("read message %s: %w", id, err)
	}
	return &in.Manifest, nil
}
