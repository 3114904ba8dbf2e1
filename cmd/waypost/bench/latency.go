package bench

import (
	"math/bits"
	"time"
)

// Latencies is a histogram of times with a relative error of at most 1/64, like an HDR histogram: 64 equal steps in every
// power of two of nanoseconds. Its size does not depend on how many times it holds. The zero value is empty and ready; it is
// not safe for concurrent use.
type Latencies struct {
	counts [(64 - subBits) << subBits]uint64
	n      uint64
	most   time.Duration
	least  time.Duration
}

const subBits = 6

// Record adds one time. A negative one, which two clocks can make, counts as zero.
func (l *Latencies) Record(d time.Duration) {
	d = max(d, 0)
	if l.n == 0 || d < l.least {
		l.least = d
	}
	l.counts[slot(uint64(d))]++
	l.n++
	l.most = max(l.most, d)
}

// Count is how many times were recorded.
func (l *Latencies) Count() uint64 { return l.n }

// Max is the longest, exactly.
func (l *Latencies) Max() time.Duration { return l.most }

// Quantile is the time that a share q (0 to 1) of all times does not exceed, by the nearest rank; 0 when there are none. It is
// never below the true one and at most 1/64 above.
func (l *Latencies) Quantile(q float64) time.Duration {
	if l.n == 0 {
		return 0
	}
	rank := uint64(q * float64(l.n))
	if float64(rank) < q*float64(l.n) || rank == 0 {
		rank++
	}
	var seen uint64
	for i, c := range l.counts {
		if seen += c; seen >= rank {
			return min(time.Duration(upper(i)), l.most)
		}
	}
	return l.most
}

// Between is how many times lie in (after, upTo], to the histogram's precision.
func (l *Latencies) Between(after, upTo time.Duration) uint64 {
	var n uint64
	for i, c := range l.counts {
		if u := time.Duration(upper(i)); c > 0 && u > after && u <= upTo {
			n += c
		}
	}
	return n
}

// slot and upper: values below 64 have a step each; above, the step is 1/64 of the power of two below the value.
func slot(v uint64) int {
	if v < 1<<subBits {
		return int(v)
	}
	shift := bits.Len64(v) - subBits - 1
	return (shift+1)<<subBits + int(v>>shift) - 1<<subBits
}

func upper(i int) uint64 {
	if i < 1<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i&(1<<subBits-1)+1<<subBits)+1)<<shift - 1
}
