package store

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"waypost/schemas"
)

// Token is a bearer token of the local API. Only its hash is kept.
type Token struct {
	Name    string
	Scopes  []string
	Created time.Time
}

// AddToken stores the SHA-256 of a token with 256 random bits; nothing slower is needed for those. ErrExists when the
// name is taken.
func (tx *Tx) AddToken(name, secret string, scopes []string, at time.Time) error {
	h := sha256.Sum256([]byte(secret))
	return tx.add(`INSERT INTO tokens (name, hash, scopes, created) VALUES (?,?,?,?)`, name, h[:], strings.Join(scopes, " "), millis(at))
}

// RemoveToken revokes at once.
func (tx *Tx) RemoveToken(name string) error {
	n, err := tx.exec(`DELETE FROM tokens WHERE name = ?`, name)
	if err == nil && n == 0 {
		return ErrNotFound
	}
	return err
}

// TokenFor returns the token with this secret, or ErrNotFound.
func (s *Store) TokenFor(ctx context.Context, secret string) (*Token, error) {
	h := sha256.Sum256([]byte(secret))
	var t Token
	var scopes string
	var created int64
	err := s.read.QueryRowContext(ctx, `SELECT name, scopes, created FROM tokens WHERE hash = ?`, h[:]).Scan(&t.Name, &scopes, &created)
	if err != nil {
		return nil, classify(err)
	}
	t.Scopes, t.Created = strings.Fields(scopes), moment(created)
	return &t, nil
}

// Tokens lists names and scopes.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT name, scopes, created FROM tokens ORDER BY name`)
	if err != nil {
		return nil, fmt.Errorf("list tokens: %w", classify(err))
	}
	defer rows.Close()
	out := []Token{}
	for rows.Next() {
		var t Token
		var scopes string
		var created int64
		if err := rows.Scan(&t.Name, &scopes, &created); err != nil {
			return nil, classify(err)
		}
		t.Scopes, t.Created = strings.Fields(scopes), moment(created)
		out = append(out, t)
	}
	return out, classify(rows.Err())
}

// Repeated looks for an idempotency key; ErrNotFound when it is new. Both arguments of a stored pair are keyed hashes.
func (tx *Tx) Repeated(key []byte) (request []byte, message string, err error) {
	err = tx.tx.QueryRowContext(tx.ctx, `SELECT request, message FROM idempotency WHERE key = ?`, key).Scan(&request, &message)
	return request, message, classify(err)
}

// AddIdempotency remembers what a key was used for, in the transaction that stores the message.
func (tx *Tx) AddIdempotency(key, request []byte, message string, at time.Time) error {
	return tx.add(`INSERT INTO idempotency (key, request, message, at) VALUES (?,?,?,?)`, key, request, message, millis(at))
}

// ForgetIdempotency drops keys older than the time given.
func (tx *Tx) ForgetIdempotency(before time.Time) error {
	_, err := tx.exec(`DELETE FROM idempotency WHERE at < ?`, millis(before))
	return err
}

// SaveDirectory replaces the kept copy of the directory: every signed note, the head under its own key.
func (tx *Tx) SaveDirectory(notes map[string][]byte) error {
	if _, err := tx.exec(`DELETE FROM directory`); err != nil {
		return err
	}
	for k, v := range notes {
		if _, err := tx.exec(`INSERT INTO directory (key, note) VALUES (?,?)`, k, v); err != nil {
			return fmt.Errorf("save directory: %w", err)
		}
	}
	return nil
}

// Directory returns the kept copy; empty when there is none yet.
func (s *Store) Directory(ctx context.Context) (map[string][]byte, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT key, note FROM directory`)
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", classify(err))
	}
	defer rows.Close()
	out := map[string][]byte{}
	for rows.Next() {
		var k string
		var v []byte
		if err := rows.Scan(&k, &v); err != nil {
			return nil, classify(err)
		}
		out[k] = v
	}
	return out, classify(rows.Err())
}

// Counts is what an agent holds, for its status page.
type Counts struct {
	OutboxPending int `json:"outbox_pending"`
	Uncollected   int `json:"uncollected"` // published, no receipt yet
	Unrouted      int `json:"unrouted"`
	Open          int `json:"open"` // referrals that wait for our answer
	Overdue       int `json:"overdue"`
	Quarantined   int `json:"quarantined"`
	DeadLetters   int `json:"dead_letters"`
	Gaps          int `json:"gaps"`
	Duties        int `json:"duties"` // withdrawals that wait for a decision of ours
	// SentByBasis counts messages about survivors by the ground they were sent on: what goes without consent is seen.
	SentByBasis     map[string]int `json:"sent_by_basis,omitempty"`
	OldestUncollect *time.Time     `json:"oldest_uncollected,omitempty"` // since when the broker has had it
}

// sentByBasis counts in ranges of the index outbox_basis. Nearly all of it is one range, each entry another consent: it is
// counted and neither compared nor grouped.
var sentByBasis = func() string {
	counted := ` FROM outbox WHERE outcome = '' AND ` + notControl
	return `SELECT 'consent', count(*)` + counted + ` AND basis >= 'consent:' AND basis < 'consent;'
		UNION ALL SELECT basis, count(*)` + counted + ` AND basis > '' AND basis < 'consent:' GROUP BY basis
		UNION ALL SELECT basis, count(*)` + counted + ` AND basis >= 'consent;' GROUP BY basis`
}()

// Count adds gauges up and reads what they do not hold.
func (s *Store) Count(ctx context.Context, g *Gauges) (*Counts, error) {
	out, uncollected, unrouted := Total(g.Outbox), Total(g.Uncollected), Total(g.Unrouted)
	c := Counts{OutboxPending: int(out.Count - g.Outbox[schemas.LaneReceipt].Count), Uncollected: int(uncollected.Count), Unrouted: int(unrouted.Count), Gaps: int(g.Gaps), Duties: int(g.Decisions.Count)}
	for _, w := range g.Owed {
		c.Open += int(w.Open)
		c.Overdue += int(w.Overdue)
	}
	for _, w := range g.Awaited {
		c.Overdue += int(w.Overdue)
	}
	for _, n := range g.Quarantine {
		c.Quarantined += int(n)
	}
	for _, n := range g.Dead {
		c.DeadLetters += int(n)
	}
	if !uncollected.Since.IsZero() {
		c.OldestUncollect = &uncollected.Since
	}
	c.SentByBasis = map[string]int{}
	err := each(ctx, s.read, func(r row) error {
		var basis string
		var n int
		err := r.Scan(&basis, &n)
		if n > 0 {
			c.SentByBasis[basis] = n
		}
		return err
	}, sentByBasis)
	if err != nil {
		return nil, fmt.Errorf("count store: %w", err)
	}
	return &c, nil
}

// Repeated is Tx.Repeated outside a transaction, for answering early.
func (s *Store) Repeated(ctx context.Context, key []byte) (request []byte, message string, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT request, message FROM idempotency WHERE key = ?`, key).Scan(&request, &message)
	return request, message, classify(err)
}
