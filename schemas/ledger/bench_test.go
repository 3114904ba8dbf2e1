package ledger

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
)

// endless is a log of any length that is made while it is read. Its messages repeat a few signed ones, so that every
// signature is really verified and signing takes no part of the time. An audit tells them as repeats, which leaves it clean.
type endless struct {
	w    *world
	n    int64
	mail []Record
	cp   []byte
}

func newEndless(b *testing.B, n int64) *endless {
	w := emptyWorld(b, 1, police, ngo, housing, council)
	w.publishAll()
	e := &endless{w: w, n: n}
	head := len(w.recs)
	for i := range 512 {
		ids := w.ids()
		m := w.manifest(ids[i%4], ids[(i+1)%4], schemas.KindReferral, schemas.LaneUrgent)
		w.send(m)
		w.send(w.receipt(m, schemas.OutcomeDelivered))
	}
	for _, r := range w.recs[head:] {
		e.mail = append(e.mail, *r)
	}
	w.recs = w.recs[:head]
	w.build()
	// The checkpoint of the whole: the tree is grown once, before the clock runs.
	var tree Tree
	for s := range e.all() {
		tree.Append(Leaf(s.Raw))
	}
	e.cp = w.signCheckpoint(w.now(int(n)), tree.Root(), w.heads[len(w.heads)-1])
	return e
}

// all makes the records: those of the directory, and then mail, numbered on in each stream.
func (e *endless) all() iter.Seq[Stored] {
	return func(yield func(Stored) bool) {
		for i, raw := range e.w.raw {
			if !yield(Stored{Index: int64(i), Raw: raw}) {
				return
			}
		}
		seq := map[string]uint64{}
		at := e.w.clock
		for i := int64(len(e.w.raw)); i < e.n; i++ {
			r := &e.mail[(i-int64(len(e.w.raw)))%int64(len(e.mail))]
			seq[r.Stream]++
			at = at.Add(10 * time.Millisecond)
			// By hand: encoding, and parsing what was encoded, would take a third of the time.
			raw := fmt.Appendf(make([]byte, 0, 128+len(r.Note)), `{"type":"waypost.record.v1","kind":"mail","time":"%s","stream":"%s","seq":%d}`+"\n",
				at.Format("2006-01-02T15:04:05.999Z07:00"), r.Stream, seq[r.Stream])
			if !yield(Stored{Index: i, Raw: append(raw, r.Note...)}) {
				return
			}
		}
	}
}

func (e *endless) Records(context.Context) iter.Seq2[Stored, error] {
	return func(yield func(Stored, error) bool) {
		for s := range e.all() {
			if !yield(s, nil) {
				return
			}
		}
	}
}

func (e *endless) Checkpoints(context.Context) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) { yield(e.cp, nil) }
}

// BenchmarkVerify audits logs of two lengths and says the most heap that was in use: it must not grow with the log.
func BenchmarkVerify(b *testing.B) {
	for _, n := range []int64{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			e := newEndless(b, n)
			var peak, calls uint64
			sample := func() {
				if calls++; calls%2048 == 0 {
					var m runtime.MemStats
					runtime.ReadMemStats(&m)
					peak = max(peak, m.HeapAlloc)
				}
			}
			b.ResetTimer()
			for b.Loop() {
				runtime.GC()
				s, err := Verify(b.Context(), e, Options{Root: e.w.root, Quorum: 2, Scratch: b.TempDir(),
					Seen: func(int64) { sample() }, Found: func(Finding) { sample() }})
				if err != nil || !s.Clean() || s.Records != n || s.Witnessed != n || s.Kinds[KindMail] != n-int64(len(e.w.raw)) {
					b.Fatalf("%+v %v", s, err)
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(peak)/1e6, "MB-heap")
		})
	}
}

// BenchmarkTree is what the notary does for each record beside storing it.
func BenchmarkTree(b *testing.B) {
	var t Tree
	var leaf tlog.Hash
	for b.Loop() {
		t.Append(leaf)
	}
}
