package notary

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"waypost/schemas/ledger"
)

// TestTakeMerges: whatever the clocks do and wherever numbers are missing, each stream keeps its own order, nothing is left
// out or doubled, every hole is said, and among streams the earlier head goes first.
func TestTakeMerges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q queues
		var at positions
		want := map[string][]uint64{}
		base := time.Unix(1_700_000_000, 0)
		for i, s := range ledger.Streams() {
			at[i] = rapid.Uint64Range(0, 3).Draw(t, "recorded")
			seq, now := uint64(0), base
			for range rapid.IntRange(0, 8).Draw(t, "messages") {
				seq += rapid.Uint64Range(1, 3).Draw(t, "step")
				now = now.Add(time.Duration(rapid.IntRange(-5, 10).Draw(t, "seconds")) * time.Second)
				q.push(&ledger.Record{Kind: ledger.KindOpaque, Stream: s, Seq: seq, Time: now})
				if seq > at[i] {
					want[s] = append(want[s], seq)
				}
			}
		}
		last := at
		heads := func() (earliest time.Time) {
			for i := range q {
				for _, r := range q[i] {
					if r.Seq > at[i] {
						if earliest.IsZero() || r.Time.Before(earliest) {
							earliest = r.Time
						}
						break
					}
				}
			}
			return earliest
		}
		first := heads()
		got := map[string][]uint64{}
		out := q.take(at)
		for n, r := range out {
			i := indexOf(r.Stream)
			if r.Seq != last[i]+1 {
				t.Fatalf("%s: %d after %d", r.Stream, r.Seq, last[i])
			}
			last[i] = max(r.Seq, r.Last)
			if r.Kind != ledger.KindGap {
				got[r.Stream] = append(got[r.Stream], r.Seq)
			}
			if n == 0 && !r.Time.Equal(first) {
				t.Fatal("the first is not the earliest")
			}
		}
		for _, s := range ledger.Streams() {
			if !slices.Equal(got[s], want[s]) {
				t.Fatalf("%s: %v, want %v", s, got[s], want[s])
			}
		}
		if q.size() > 0 {
			t.Fatal("something stays behind")
		}
	})
}
