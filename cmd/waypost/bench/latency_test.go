package bench

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestLatencies compares every quantile with the one that sorting finds.
func TestLatencies(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		times := rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(-10, 200), rapid.Int64Range(0, int64(time.Second)), rapid.Int64Range(0, math.MaxInt64)), 1, 300).Draw(t, "times")
		q := rapid.OneOf(rapid.SampledFrom([]float64{0, 0.5, 0.99, 1}), rapid.Float64Range(0, 1)).Draw(t, "q")
		var l Latencies
		for _, v := range times {
			l.Record(time.Duration(v))
		}
		for i := range times {
			times[i] = max(times[i], 0)
		}
		slices.Sort(times)
		want := times[max(int(math.Ceil(q*float64(len(times))))-1, 0)]
		got := int64(l.Quantile(q))
		if got < want || float64(got-want) > float64(want)/64+1 {
			t.Fatalf("quantile %v is %d, sorting says %d", q, got, want)
		}
		if l.Count() != uint64(len(times)) || int64(l.Max()) != times[len(times)-1] {
			t.Fatalf("count %d, max %d", l.Count(), l.Max())
		}
		if n := l.Between(-1, math.MaxInt64); n != l.Count() {
			t.Fatalf("%d of %d lie somewhere", n, l.Count())
		}
	})
}

func TestLatenciesEmpty(t *testing.T) {
	var l Latencies
	if l.Quantile(0.5) != 0 || l.Count() != 0 || l.Max() != 0 {
		t.Error("an empty histogram has times")
	}
}
