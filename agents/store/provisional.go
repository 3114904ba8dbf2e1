package store

import (
	"context"
	"errors"
	"fmt"
)

// provisional is the subject of a HealStore whose store is loaded and whose agent's folder is not yet there. Rows in a server are
// committed before a folder gets its name; whatever ends the restore in between leaves them behind.
const provisional = "provisional"

// Provisional marks a store that was just Restored as one that nobody relies on yet: until Keep, Discard empties it.
func (tx *Tx) Provisional() error {
	n, err := tx.exec(`UPDATE healings SET subject = ? WHERE what = ? AND done IS NULL`, provisional, HealStore)
	if err == nil && n != 1 {
		err = ErrNotFound
	}
	if err != nil {
		return fmt.Errorf("mark restored store: %w", err)
	}
	return nil
}

// Keep ends what Provisional began. ErrNotFound when it was discarded meanwhile.
func (s *Store) Keep(ctx context.Context) error {
	err := s.Update(ctx, func(tx *Tx) error {
		n, err := tx.exec(`UPDATE healings SET subject = '' WHERE what = ? AND done IS NULL AND subject = ?`, HealStore, provisional)
		if err == nil && n != 1 {
			err = ErrNotFound
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("keep restored store: %w", err)
	}
	return nil
}

// Discard empties a store that is Provisional and on which no agent has ever worked: what a restore left that did not come to its
// end. It reports whether it was one; any other is left as it is.
func (s *Store) Discard(ctx context.Context) (bool, error) {
	if !s.Shared() {
		return false, nil // a file vanishes with the folder it is in
	}
	errOther := errors.New("not provisional")
	err := s.Update(ctx, func(tx *Tx) error {
		var there bool
		err := tx.tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM healings WHERE what = ? AND done IS NULL AND subject = ?)`, HealStore, provisional).Scan(&there)
		if err != nil {
			return err
		}
		if !there || tx.tx.lead != 0 {
			return errOther
		}
		for _, t := range layout() {
			if _, err := tx.exec(`DELETE FROM ` + t.name); err != nil {
				return fmt.Errorf("table %s: %w", t.name, err)
			}
		}
		return nil
	})
	if errors.Is(err, errOther) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("discard restored store: %w", err)
	}
	return true, s.recall(ctx)
}
