package store

import (
	"context"
	"fmt"

	"waypost/schemas"
)

// Latest returns the newest accepted message of a kind from each agency, with its body: what each of them last said.
func (s *Store) Latest(ctx context.Context, self string, kind schemas.Kind) ([]*Incoming, error) {
	var out []*Incoming
	err := each(ctx, s.read, func(r row) error {
		in, err := scanIncoming(r, self)
		out = append(out, in)
		return err
	}, `SELECT `+inboxColumns+` FROM `+inboxFrom+` WHERE n IN (SELECT max(n) FROM inbox WHERE kind = ? AND erased IS NULL GROUP BY peer) ORDER BY peer`, string(kind))
	if err != nil {
		return nil, fmt.Errorf("read latest: %w", err)
	}
	return out, nil
}

// Received reports whether a message of a kind came in a thread.
func (s *Store) Received(ctx context.Context, thread string, kind schemas.Kind) (came bool, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM inbox WHERE thread = ? AND kind = ?)`, thread, string(kind)).Scan(&came)
	return came, classify(err)
}
