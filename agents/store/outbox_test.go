package store_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"waypost/agents/store"
	"waypost/agents/store/storetest"
	"waypost/schemas"
)

// BenchmarkPendingOutgoing is what a lane asks before each batch. How many may leave at once is another number each time, see
// link.
func BenchmarkPendingOutgoing(b *testing.B) {
	for _, waiting := range []int{0, 8, 64} {
		b.Run(fmt.Sprintf("waiting=%d", waiting), func(b *testing.B) {
			s, err := store.Open(filepath.Join(b.TempDir(), "agent.db"))
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			sign := storetest.Signer(b)
			storetest.Update(b, s, func(tx *store.Tx) error {
				for range waiting {
					if err := tx.AddOutgoing(storetest.Referral(storetest.Them, nil), sign); err != nil {
						return err
					}
				}
				return nil
			})
			for i := 0; b.Loop(); i++ {
				out, err := s.PendingOutgoing(b.Context(), schemas.LaneUrgent, 64+i%16, nil)
				if err != nil || len(out) != waiting {
					b.Fatal(len(out), err)
				}
			}
		})
	}
}
