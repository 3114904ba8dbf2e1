package store_test

import (
	"path/filepath"
	"testing"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
)

// BenchmarkChores is what an agent asks of its store at each tick, ten times a second while messages come and go.
func BenchmarkChores(b *testing.B) {
	s, err := store.Open(filepath.Join(b.TempDir(), "agent.db"))
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	sign := storetest.Signer(b)
	by := storetest.Now.AddDate(0, 0, 7)
	storetest.Update(b, s, func(tx *store.Tx) error {
		for range 100 {
			if err := tx.AddOutgoing(storetest.Referral(storetest.Them, &by), sign); err != nil {
				return err
			}
		}
		return nil
	})
	for b.Loop() {
		due, err := s.Chores(b.Context(), storetest.Now, storetest.Now, 14)
		if err != nil || due.Clock == nil || due.LeftOver || due.Silent || due.Undecided || due.Ringing {
			b.Fatal(due, err)
		}
	}
}
