package schemas

import (
	"os"
	"testing"
)

// BenchmarkDecodeReferral measures what intake pays for every message. Sealing, signing and opening cost about
// 0.3 ms; this should be small beside it.
func BenchmarkDecodeReferral(b *testing.B) {
	data, err := os.ReadFile("testdata/referral/full.json")
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode[Referral](data); err != nil {
			b.Fatal(err)
		}
	}
}
