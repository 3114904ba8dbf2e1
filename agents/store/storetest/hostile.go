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

// noTextIsRefused: what is no text is stored by neither database, the error names the rule, and what shared the commit is stored.
func noTextIsRefused(t *testing.T, p Place) {
	ctx := context.Background()
	s := open(t, p)
	for _, word := range []string{"a\x00b", "\xff", "ends\xc3"} {
		if err := s.Update(ctx, func(tx *store.Tx) error { return tx.AddToken(word, "secret of "+word, []string{"read"}, Now) }); !errors.Is(err, store.ErrText) {
			t.Errorf("stored %q: %v, want ErrText", word, err)
		}
		err := s.Update(ctx, func(tx *store.Tx) error {
			if err := tx.AddEvent(&store.Event{Type: store.EventGap, Code: word, At: Now}); !errors.Is(err, store.ErrText) {
				t.Errorf("event of code %q: %v, want ErrText", word, err)
			}
			// The statement did not reach the database: the update goes on.
			return tx.AddEvent(&store.Event{Type: store.EventGap, Code: "good", At: Now})
		})
		if err != nil {
			t.Errorf("after %q: %v", word, err)
		}
		if err := s.Update(ctx, func(tx *store.Tx) error { return tx.Decide(messageID(1), Them, "accepted", word, Now) }); !errors.Is(err, store.ErrText) {
			t.Errorf("decided with code %q: %v, want ErrText", word, err)
		}
	}
	tokens, err := s.Tokens(ctx)
	if err != nil || len(tokens) != 0 {
		t.Errorf("tokens %v, %v", tokens, err)
	}
	events := 0
	err = s.Dump(ctx, func(table string, row []byte) error {
		if table == "events" {
			events++
		}
		return nil
	})
	if err != nil || events != 3 {
		t.Errorf("%d events, want 3: %v", events, err)
	}
}
