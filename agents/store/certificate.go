package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Certificate is what the store knows of a consent certificate in the open; Locked is its text under the vault's key.
type Certificate struct {
	ID, Issuer, Supersedes string
	Issued, Expires        time.Time
	Review                 time.Time
	Received               time.Time
	Withdrawn              *time.Time
	Locked                 []byte
}

// AddCertificate keeps a consent certificate. A repeat changes nothing; ErrExists says that another issuer's certificate
// bears this id, which is random when it is honestly made. A withdrawal that came before counts for self, this agency.
func (tx *Tx) AddCertificate(c *Certificate, self string) error {
	added, err := tx.exec(`INSERT INTO certificates (id, issuer, issued, supersedes, expires, review, received, locked, withdrawn) VALUES (?1,?2,?3,?4,?5,?6,?7,?8,
		(SELECT min(at) FROM statements WHERE certificate = ?1 AND issuer = ?2 AND act = 'withdrawn' AND to_agency IN ('', ?9))) ON CONFLICT DO NOTHING`,
		c.ID, c.Issuer, millis(c.Issued), c.Supersedes, millis(c.Expires), millis(c.Review), millis(c.Received), c.Locked, self)
	if err != nil {
		return fmt.Errorf("store certificate: %w", err)
	}
	if added == 0 {
		kept, err := tx.CertificateIssuer(c.ID)
		if err != nil {
			return fmt.Errorf("store certificate: %w", err)
		}
		if kept != c.Issuer {
			return ErrExists
		}
	}
	tx.touch(Clocks)
	return nil
}

const certificateColumns = `id, issuer, issued, supersedes, expires, review, received, withdrawn, locked`

func scanCertificate(r row) (*Certificate, error) {
	var c Certificate
	var issued, expires, review, received int64
	var withdrawn sql.NullInt64
	if err := r.Scan(&c.ID, &c.Issuer, &issued, &c.Supersedes, &expires, &review, &received, &withdrawn, &c.Locked); err != nil {
		return nil, classify(err)
	}
	c.Issued, c.Expires, c.Review, c.Received, c.Withdrawn = moment(issued), moment(expires), moment(review), moment(received), optMoment(withdrawn)
	return &c, nil
}

// Certificates lists kept certificates, newest first.
func (s *Store) Certificates(ctx context.Context, limit int) ([]*Certificate, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT `+certificateColumns+` FROM certificates ORDER BY received DESC, id LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("list certificates: %w", classify(err))
	}
	defer rows.Close()
	out := []*Certificate{}
	for rows.Next() {
		c, err := scanCertificate(rows)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, classify(rows.Err())
}

// CertificateIssuer says who issued the kept certificate of this id, or ErrNotFound.
func (tx *Tx) CertificateIssuer(id string) (issuer string, err error) {
	err = tx.tx.QueryRowContext(tx.ctx, `SELECT issuer FROM certificates WHERE id = ?`, id).Scan(&issuer)
	return issuer, classify(err)
}

// LinkCertificate records that a message travelled under a certificate.
func (tx *Tx) LinkCertificate(message, certificate string) error {
	_, err := tx.exec(`INSERT INTO message_certificates (message, certificate) VALUES (?,?) ON CONFLICT DO NOTHING`, message, certificate)
	return err
}

// Certificate returns a kept certificate.
func (s *Store) Certificate(ctx context.Context, id string) (*Certificate, error) {
	return scanCertificate(s.read.QueryRowContext(ctx, `SELECT `+certificateColumns+` FROM certificates WHERE id = ?`, id))
}

// Certificate is Store.Certificate inside an update.
func (tx *Tx) Certificate(id string) (*Certificate, error) {
	return scanCertificate(tx.tx.QueryRowContext(tx.ctx, `SELECT `+certificateColumns+` FROM certificates WHERE id = ?`, id))
}

func (s *Store) messageCertificates(ctx context.Context, message string) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, `SELECT certificate FROM message_certificates WHERE message = ? ORDER BY certificate`, message)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", classify(err))
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, classify(err)
		}
		out = append(out, id)
	}
	return out, classify(rows.Err())
}

// ThreadCertificates says whether a thread is known and lists the certificates its messages travelled under, newest
// message first.
func (s *Store) ThreadCertificates(ctx context.Context, thread string) (known bool, ids []string, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM inbox WHERE thread = ?1) OR EXISTS (SELECT 1 FROM outbox WHERE thread = ?1 AND kind <> 'receipt')`, thread).Scan(&known)
	if err != nil || !known {
		return false, nil, classify(err)
	}
	rows, err := s.read.QueryContext(ctx, `SELECT c.certificate, max(m.sent) FROM message_certificates c
		JOIN (SELECT id, sent FROM inbox WHERE thread = ?1 UNION ALL SELECT id, sent FROM outbox WHERE thread = ?1) m ON m.id = c.message
		GROUP BY c.certificate ORDER BY 2 DESC, 1`, thread)
	if err != nil {
		return false, nil, fmt.Errorf("read certificates: %w", classify(err))
	}
	defer rows.Close()
	for rows.Next() {
		var id string
		var sent int64
		if err := rows.Scan(&id, &sent); err != nil {
			return false, nil, classify(err)
		}
		ids = append(ids, id)
	}
	return true, ids, classify(rows.Err())
}
