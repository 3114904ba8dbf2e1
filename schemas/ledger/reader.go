package ledger

import (
	"context"
	"fmt"
	"iter"
	"runtime"
	"sync"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// Item is one record as a [Reader] reads it.
type Item struct {
	Index    int64
	Record   *Record            // nil for one that is malformed
	Manifest *envelope.Manifest // of mail, nil if its note is no manifest
	Act      *Act               // of an act, nil if its line is malformed
	// Signed: whoever the manifest, the act or the entry of the directory says signed it, with a key in force then. It is
	// false for what no one signs, and for mail that was not wanted.
	Signed bool
}

// Reader reads records and rebuilds the directory on the way, so that each is judged by the directory as it stood then. It
// says nothing about the tree: that is [Verify]'s business. It is not safe for concurrent use.
type Reader struct {
	root    note.Verifier
	dir     registry
	refused bool
}

// NewReader makes a reader that believes root.
func NewReader(root note.Verifier) *Reader {
	r := &Reader{root: root}
	r.dir.init(root, func(f Finding) {
		if f.Code != FindIncomplete {
			r.refused = true
		}
	})
	return r
}

// View is the directory after what was read, nil before the first head.
func (r *Reader) View() *directory.View { return r.dir.current() }

// Read yields every record in order. Up to side records are verified side by side before the first of them is yielded: a
// caller that follows a growing log asks for 1, and one that reads a finished one for a thousand. Signatures of mail are
// verified where want says so, nil for all; it is called concurrently. An error ends it.
func (r *Reader) Read(ctx context.Context, records iter.Seq2[Stored, error], side int, want func(*envelope.Manifest) bool) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		var batch []*reading
		flush := func() bool {
			verifyAll(batch, r.root, want)
			for _, b := range batch {
				if !yield(b.Item, nil) {
					return false
				}
			}
			clear(batch)
			batch = batch[:0]
			return true
		}
		for s, err := range records {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				yield(Item{}, fmt.Errorf("read records: %w", err))
				return
			}
			batch = append(batch, r.take(s))
			if len(batch) >= side && !flush() {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Item{}, fmt.Errorf("read records: %w", err))
			return
		}
		flush()
	}
}

type reading struct {
	Item
	view *directory.View
}

func (r *Reader) take(s Stored) *reading {
	b := &reading{Item: Item{Index: s.Index}}
	rec, err := ParseRecord(s.Raw)
	if err != nil {
		return b
	}
	b.Record = rec
	switch rec.Kind {
	case KindDirectory:
		r.refused = false
		r.dir.record(s.Index, rec)
		b.Signed = !r.refused
	case KindMail, KindAct:
		b.view = r.dir.current()
	}
	return b
}

func verifyAll(batch []*reading, root note.Verifier, want func(*envelope.Manifest) bool) {
	workers := min(runtime.GOMAXPROCS(0), len(batch))
	if workers <= 1 {
		for _, b := range batch {
			b.verify(root, want)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < len(batch); i += workers {
				batch[i].verify(root, want)
			}
		}()
	}
	wg.Wait()
}

func (b *reading) verify(root note.Verifier, want func(*envelope.Manifest) bool) {
	if b.Record == nil {
		return
	}
	switch b.Record.Kind {
	case KindMail:
		m, line, err := b.Record.Manifest()
		if err != nil {
			return
		}
		b.Manifest = m
		if line.Signer != m.From || b.view == nil || want != nil && !want(m) {
			return
		}
		_, err = line.Verify(b.view.Verifiers(m.From, m.Sent)...)
		b.Signed = err == nil
	case KindAct:
		act, err := VerifyAct(b.Record.Note, root, b.view)
		if b.Signed = err == nil; !b.Signed {
			act, _, _ = ParseAct(b.Record.Note)
		}
		b.Act = act
	}
}
