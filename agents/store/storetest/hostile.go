package storetest

import (
	"context"
	"errors"
	"testing"

	"waypost/agents/store"
)

// hostileWords: what cannot be an id is not found; it is no failure of the store.
func hostileWords(t *testing.T, p Place) {
	ctx := context.Background()
	s := open(t, p)
	for _, word := range []string{"", "a\x00b", "\xff", "'; DROP TABLE inbox; --", "?1", "$1", "%"} {
		if _, err := s.Incoming(ctx, Us, word); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%q: %v, want ErrNotFound", word, err)
		}
		if _, err := s.History(ctx, word); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("history of %q: %v, want ErrNotFound", word, err)
		}
		if err := s.Update(ctx, func(tx *store.Tx) error { _, err := tx.EraseThread(word, Now); return err }); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("erase %q: %v, want ErrNotFound", word, err)
		}
	}
}
