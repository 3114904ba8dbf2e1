package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"waypost/schemas"
)

// Quarantined is a message that was kept but not let through: a person decides.
type Quarantined struct {
	N         int64
	ID        string // as claimed; empty when not even that could be read
	Thread    string
	Peer      string // as the subject says, which the broker enforces
	Lane      schemas.Lane
	Kind      schemas.Kind
	Code      string
	Verified  bool   // the signature was the peer's
	Problems  []byte // locked by the vault: paths can hold words of a hostile sender's choosing
	Raw       []byte // exactly what came
	Received  time.Time
	StreamSeq uint64
}

// AddQuarantined keeps a message. The same bytes are kept once: added says whether they were new.
func (tx *Tx) AddQuarantined(q *Quarantined) (added bool, err error) {
	sum := sha256.Sum256(q.Raw)
	raw := q.Raw
	if raw == nil {
		raw = []byte{} // an empty message is kept too; as NULL it would be refused and come again for ever
	}
	n, err := tx.exec(`INSERT INTO quarantine (digest, id, thread, peer, lane, kind, code, verified, problems, raw, received, stream_seq)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?) ON CONFLICT (digest) DO NOTHING`,
		sum[:], q.ID, q.Thread, q.Peer, string(q.Lane), string(q.Kind), q.Code, q.Verified, q.Problems, raw, millis(q.Received), int64(q.StreamSeq))
	if err != nil {
		return false, fmt.Errorf("quarantine message: %w", err)
	}
	return n == 1, nil
}

const quarantineColumns = `n, id, thread, peer, lane, kind, code, verified, problems, raw, received, stream_seq`

var quarantineList = strings.Replace(quarantineColumns, "problems, raw", "NULL, NULL", 1)

func scanQuarantined(r row) (*Quarantined, error) {
	var q Quarantined
	var lane, kind string
	var received, stream int64
	if err := r.Scan(&q.N, &q.ID, &q.Thread, &q.Peer, &lane, &kind, &q.Code, &q.Verified, &q.Problems, &q.Raw, &received, &stream); err != nil {
		return nil, classify(err)
	}
	q.Lane, q.Kind, q.Received, q.StreamSeq = schemas.Lane(lane), schemas.Kind(kind), moment(received), uint64(stream)
	return &q, nil
}

// Quarantined returns one row by its number, with what came.
func (s *Store) Quarantined(ctx context.Context, n int64) (*Quarantined, error) {
	return scanQuarantined(s.read.QueryRowContext(ctx, `SELECT `+quarantineColumns+` FROM quarantine WHERE n = ?`, n))
}

// ListQuarantined lists, newest first, without what came.
func (s *Store) ListQuarantined(ctx context.Context, p Page) ([]*Quarantined, error) {
	before, limit := p.bounds()
	rows, err := s.read.QueryContext(ctx, `SELECT `+quarantineList+` FROM quarantine WHERE n < ? ORDER BY n DESC LIMIT ?`, before, limit)
	if err != nil {
		return nil, fmt.Errorf("list quarantine: %w", classify(err))
	}
	defer rows.Close()
	out := []*Quarantined{}
	for rows.Next() {
		q, err := scanQuarantined(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, q)
	}
	return out, classify(rows.Err())
}
