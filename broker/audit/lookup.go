package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/note"

	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// side is how many records are verified side by side.
const side = 1024

// place is where the broker stored a message.
type place struct {
	stream string
	seq    uint64
}

// lookup is what a first reading learns so that the second can say what a record without a manifest is about: which places
// expired, which messages were disclosed, and which messages are a thread's. It grows with expiries, disclosures and the one
// thread, not with the log.
type lookup struct {
	thread       string
	messages     map[string]bool               // of the thread, signed
	certificates map[string]bool               // that they went under, as a basis
	expired      map[place]*envelope.Manifest  // nil until the second reading meets it
	disclosed    map[string]*envelope.Manifest // by message id
}

func newLookup(thread string) *lookup {
	return &lookup{thread: thread, messages: map[string]bool{}, certificates: map[string]bool{}, expired: map[place]*envelope.Manifest{},
		disclosed: map[string]*envelope.Manifest{}}
}

// look reads a source once.
func look(ctx context.Context, src ledger.Source, root note.Verifier, thread string) (*lookup, error) {
	l := newLookup(thread)
	if thread == "" {
		for s, err := range src.Records(ctx) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return nil, fmt.Errorf("read records: %w", err)
			}
			if rec, err := ledger.ParseRecord(s.Raw); err == nil {
				l.note(rec)
			}
		}
		return l, ctx.Err()
	}
	want := func(m *envelope.Manifest) bool { return m.Thread == thread }
	for it, err := range ledger.NewReader(root).Read(ctx, src.Records(ctx), side, want) {
		if err != nil {
			return nil, err
		}
		if it.Record == nil {
			continue
		}
		l.note(it.Record)
		if m := it.Manifest; m != nil && it.Signed && want(m) {
			l.messages[m.ID] = true
			if isConsent(m.Basis) {
				l.certificates[m.Basis] = true
			}
		}
	}
	return l, nil
}

func (l *lookup) note(rec *ledger.Record) {
	switch rec.Kind {
	case ledger.KindExpired:
		l.expired[place{rec.Stream, rec.Seq}] = nil
	case ledger.KindAct:
		if a, _, err := ledger.ParseAct(rec.Note); err == nil && a.Act == ledger.ActDisclosed {
			l.disclosed[a.Message] = nil
		}
	}
}

// complete adds to an event what earlier records say about it, and remembers what later ones will need. Whose an expired
// message was is what its manifest said, signed or not; of two messages with one id the first counts.
func (l *lookup) complete(e *Event, it *ledger.Item) {
	switch {
	case e.Type == TypeExpired:
		if m := l.expired[place{e.Stream, e.StreamSeq}]; m != nil {
			e.of(m)
		}
	case e.Type == TypeAct && e.Kind == string(ledger.ActDisclosed):
		if m := l.disclosed[e.Message]; m != nil {
			e.of(m)
		}
	case it.Manifest != nil:
		if at := (place{e.Stream, e.StreamSeq}); has(l.expired, at) {
			l.expired[at] = it.Manifest
		}
		if m, ok := l.disclosed[it.Manifest.ID]; ok && m == nil {
			l.disclosed[it.Manifest.ID] = it.Manifest
		}
	}
}

func has[K comparable, V any](m map[K]V, k K) bool { _, ok := m[k]; return ok }

// belongs reports whether an event is the thread's. What names one of the thread's messages belongs to it, whatever thread
// it claims itself.
func (l *lookup) belongs(e *Event) bool {
	if l.thread == "" || e.Thread == l.thread || e.unplaced() {
		return true
	}
	return e.ReplyTo != "" && l.messages[e.ReplyTo] || e.Message != "" && l.messages[e.Message]
}

// withdraws reports whether an event ends, or asks to end, a consent that the thread's messages went under.
func (l *lookup) withdraws(e *Event) bool {
	return e.Basis != "" && l.certificates[e.Basis] && isWithdrawal(e.Kind)
}
