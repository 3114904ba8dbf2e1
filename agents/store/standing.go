package store

import (
	"context"
	"fmt"
	"time"

	"waypost/schemas/consent"
)

// AddStatement keeps a verified statement; false when it was there already. A withdrawal of a certificate that we hold, by
// the agency that issued it, marks the certificate if it ends it for us (self).
func (tx *Tx) AddStatement(s *consent.Statement, text, self string, at time.Time) (bool, error) {
	n, err := tx.exec(`INSERT INTO statements (id, certificate, issuer, by_agency, act, at, to_agency, answers, received, text) VALUES (?,?,?,?,?,?,?,?,?,?)
		ON CONFLICT DO NOTHING`, s.ID, s.Certificate, s.Issuer, s.By, string(s.Act), millis(s.At), s.To, s.Answers, millis(at), text)
	if err != nil {
		return false, fmt.Errorf("store statement: %w", err)
	}
	if n == 1 && s.Ends(self) {
		if _, err := tx.exec(`UPDATE certificates SET withdrawn = coalesce(withdrawn, ?) WHERE id = ? AND issuer = ?`, millis(at), s.Certificate, s.Issuer); err != nil {
			return false, fmt.Errorf("mark certificate: %w", err)
		}
		tx.touch(Clocks)
	}
	return n == 1, nil
}

// Marks is what was said about a certificate since it was issued: input of consent.Stand.
type Marks struct {
	Statements []*consent.Statement
	Texts      map[string]string      // statement id → signed text
	Newer      []*consent.Certificate // ids, issuers, times and Supersedes only
}

// Marks reads them inside an update: what a concurrent update adds comes before or after, never unseen in between.
func (tx *Tx) Marks(certificate string) (*Marks, error) { return marks(tx.ctx, tx.tx, certificate) }

// Marks reads them as they stand now.
func (s *Store) Marks(ctx context.Context, certificate string) (*Marks, error) {
	return marks(ctx, s.read, certificate)
}

func marks(ctx context.Context, q querier, certificate string) (*Marks, error) {
	m := &Marks{Texts: map[string]string{}}
	err := each(ctx, q, func(r row) error {
		var s consent.Statement
		var at int64
		var act, text string
		if err := r.Scan(&s.ID, &s.Certificate, &s.Issuer, &s.By, &act, &at, &s.To, &s.Answers, &text); err != nil {
			return err
		}
		s.Type, s.Act, s.At = consent.StatementType, consent.Act(act), moment(at)
		m.Statements, m.Texts[s.ID] = append(m.Statements, &s), text
		return nil
	}, `SELECT id, certificate, issuer, by_agency, act, at, to_agency, answers, text FROM statements WHERE certificate = ? ORDER BY at, id`, certificate)
	if err != nil {
		return nil, fmt.Errorf("read statements: %w", err)
	}
	err = each(ctx, q, func(r row) error {
		c := consent.Certificate{Type: consent.CertificateType}
		var issued int64
		if err := r.Scan(&c.ID, &c.Issuer, &issued, &c.Supersedes); err != nil {
			return err
		}
		c.Issued = moment(issued)
		m.Newer = append(m.Newer, &c)
		return nil
	}, `SELECT id, issuer, issued, supersedes FROM certificates WHERE supersedes = ? AND supersedes <> '' ORDER BY issued, id`, certificate)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	return m, nil
}

// each calls f for every row.
func each(ctx context.Context, q querier, f func(row) error, query string, args ...any) error {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return classify(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return classify(err)
		}
	}
	return classify(rows.Err())
}
