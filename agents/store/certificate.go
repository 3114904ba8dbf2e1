package store

import (
	"context"
	"fmt"
	"time"
)

// AddCertificate keeps a consent certificate, locked by the vault. A repeat changes nothing; ErrExists says that another
// issuer's certificate bears this id, which is random when it is honestly made.
func (tx *Tx) AddCertificate(id, issuer string, locked []byte, at time.Time) error {
	if _, err := tx.exec(`INSERT INTO certificates (id, issuer, received, locked) VALUES (?,?,?,?) ON CONFLICT DO NOTHING`, id, issuer, millis(at), locked); err != nil {
		return fmt.Errorf("store certificate: %w", err)
	}
	var kept string
	if err := tx.tx.QueryRowContext(tx.ctx, `SELECT issuer FROM certificates WHERE id = ?`, id).Scan(&kept); err != nil {
		return fmt.Errorf("store certificate: %w", classify(err))
	}
	if kept != issuer {
		return ErrExists
	}
	return nil
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

// Certificate returns a locked certificate.
func (s *Store) Certificate(ctx context.Context, id string) (locked []byte, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT locked FROM certificates WHERE id = ?`, id).Scan(&locked)
	return locked, classify(err)
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
