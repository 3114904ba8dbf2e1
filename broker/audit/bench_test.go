package audit

import (
	"fmt"
	"testing"
	"time"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

// BenchmarkReplay: the package documentation has the command.
func BenchmarkReplay(b *testing.B) {
	const records = 100_000
	w := newWorld(b)
	var thread string
	for len(w.records) < records {
		m := w.after(time.Second).refer(police, ngo, time.Hour)
		w.receipt(m, schemas.OutcomeDelivered, "")
		w.answer(m)
		w.send(envelope.Manifest{From: ngo, To: shelter, Kind: schemas.KindMessage, Basis: "public-task"})
		thread = m.Thread
	}
	run := func(name string, f Filter) {
		b.Run(name, func(b *testing.B) {
			n := 0
			for b.Loop() {
				n = 0
				if err := Replay(b.Context(), w, Options{Root: w.root, Filter: f}, func(Event) error { n++; return nil }); err != nil {
					b.Fatal(err)
				}
			}
			if n == 0 {
				b.Fatal("nothing was replayed")
			}
			b.ReportMetric(float64(len(w.records))*float64(b.N)/b.Elapsed().Seconds(), "records/s")
		})
	}
	run(fmt.Sprintf("All-%d", records), Filter{})
	run("Thread", Filter{Thread: thread})
}

// BenchmarkGather makes the report of 100,000 records.
func BenchmarkGather(b *testing.B) {
	w := newWorld(b)
	for len(w.records) < 100_000 {
		m := w.after(time.Second).refer(police, ngo, time.Hour)
		w.receipt(m, schemas.OutcomeDelivered, "")
		w.receipt(w.answer(m), schemas.OutcomeDelivered, "")
	}
	for b.Loop() {
		gather(b, w)
	}
	b.ReportMetric(float64(len(w.records))*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}
