package store

import (
	"context"
	"fmt"
	"time"

	"waypost/schemas"
)

// control tells the kinds that serve consent itself: nothing stops them.
func control(k schemas.Kind) bool {
	e, ok := schemas.EntryOf(k)
	return ok && e.Control
}

// Holder is an agency that was sent something under a certificate.
type Holder struct {
	Certificate string
	Agency      string
	Via         string // who passed it on and told us; "" is ourselves
	Message     string
	Thread      string
	Kind        schemas.Kind
	At          time.Time
}

// AddHolder remembers a holder; the latest message counts.
func (tx *Tx) AddHolder(h *Holder) error {
	_, err := tx.exec(`INSERT INTO holders (certificate, agency, via, message, thread, kind, at) VALUES (?,?,?,?,?,?,?)
		ON CONFLICT (certificate, agency, via) DO UPDATE SET message = excluded.message, thread = excluded.thread, kind = excluded.kind, at = excluded.at`,
		h.Certificate, h.Agency, h.Via, h.Message, h.Thread, string(h.Kind), millis(h.At))
	if err != nil {
		return fmt.Errorf("store holder: %w", err)
	}
	return nil
}

// Holders lists who holds what under a certificate, as far as we know.
func (s *Store) Holders(ctx context.Context, certificate string) ([]Holder, error) {
	return holders(ctx, s.read, certificate)
}

// Holders is Store.Holders inside an update.
func (tx *Tx) Holders(certificate string) ([]Holder, error) {
	return holders(tx.ctx, tx.tx, certificate)
}

func holders(ctx context.Context, q querier, certificate string) ([]Holder, error) {
	var out []Holder
	err := each(ctx, q, func(r row) error {
		var h Holder
		var at int64
		var kind string
		if err := r.Scan(&h.Certificate, &h.Agency, &h.Via, &h.Message, &h.Thread, &kind, &at); err != nil {
			return err
		}
		h.Kind, h.At = schemas.Kind(kind), moment(at)
		out = append(out, h)
		return nil
	}, `SELECT certificate, agency, via, message, thread, kind, at FROM holders WHERE certificate = ? ORDER BY agency, via`, certificate)
	if err != nil {
		return nil, fmt.Errorf("read holders: %w", err)
	}
	return out, nil
}
