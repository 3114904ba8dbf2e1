package thread

import (
	"cmp"
	"slices"
	"time"

	"waypost/schemas"
)

// Event is one message of a thread, as its manifest and, for those that may read it, its payload say. Times are the
// sender's.
type Event struct {
	ID          string       `json:"id"` // of the message
	Kind        schemas.Kind `json:"kind"`
	From        string       `json:"from"`
	To          string       `json:"to"`
	ReplyTo     string       `json:"reply_to,omitempty"`
	Sent        time.Time    `json:"sent"`
	Seq         uint64       `json:"seq,omitempty"`         // the sender's number; kept, not used
	Status      string       `json:"status,omitempty"`      // outcome of an answer, state of an update, change of a consent, outcome of a withdrawal
	Certificate string       `json:"certificate,omitempty"` // under which it went, or, of a kind about consent, which it is about
	Receipt     string       `json:"receipt,omitempty"`     // of a receipt: its outcome
	ReceiptOf   string       `json:"receipt_of,omitempty"`  // and the message that it is about
}

// compare is a total order: only equal events are equal in it.
func compare(a, b Event) int {
	return cmp.Or(a.Sent.Compare(b.Sent), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.From, b.From),
		cmp.Compare(a.To, b.To), cmp.Compare(a.ReplyTo, b.ReplyTo), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Status, b.Status),
		cmp.Compare(a.Certificate, b.Certificate), cmp.Compare(a.Receipt, b.Receipt), cmp.Compare(a.ReceiptOf, b.ReceiptOf))
}

// answers returns the id of the message that the event is an answer to.
func (e *Event) answers() string {
	if e.Kind == schemas.KindReceipt && e.ReceiptOf != "" {
		return e.ReceiptOf
	}
	return e.ReplyTo
}

// place is where an event belongs: ids are unique between two agencies, in either direction. What an agency does with a
// third one can then not change what the two see.
type place struct{ id, a, b string }

func placeOf(id string, e *Event) place { return place{id, min(e.From, e.To), max(e.From, e.To)} }

// ordered returns every event once: by time and id, but an answer never before what it answers, because the clocks of two
// agencies differ by minutes and a referral may be answered within them. Only messages between the same two agencies move
// one another, so both see them in one order whatever else each of them holds. Answers in a circle come last.
//
// Of different events in one place the first is kept; reused are those that were kept so.
func ordered(events []Event) (out []Event, reused map[place]bool) {
	sorted := slices.Clone(events)
	for i := range sorted {
		// One moment has many spellings; the result must not depend on which.
		sorted[i].Sent = sorted[i].Sent.UTC().Round(0)
	}
	slices.SortFunc(sorted, compare)
	sorted = slices.Compact(sorted)
	at := make(map[place]int, len(sorted))
	reused = map[place]bool{}
	once := sorted[:0]
	for _, e := range sorted {
		here := placeOf(e.ID, &e)
		if _, ok := at[here]; ok {
			reused[here] = true
			continue
		}
		at[here] = len(once)
		once = append(once, e)
	}

	out = make([]Event, 0, len(once))
	placed := make([]bool, len(once))
	waiting := map[int][]int{}
	put := func(first int) {
		for stack := []int{first}; len(stack) > 0; {
			i := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if placed[i] {
				continue
			}
			placed[i] = true
			out = append(out, once[i])
			for _, w := range slices.Backward(waiting[i]) {
				stack = append(stack, w)
			}
		}
	}
	for i := range once {
		if parent, ok := at[placeOf(once[i].answers(), &once[i])]; ok && !placed[parent] && parent != i {
			waiting[parent] = append(waiting[parent], i)
			continue
		}
		put(i)
	}
	for i := range once {
		put(i)
	}
	return out, reused
}

// Between returns the events that both agencies hold: those that went from one to the other.
func Between(events []Event, a, b string) (out []Event) {
	for _, e := range events {
		if e.From == a && e.To == b || e.From == b && e.To == a {
			out = append(out, e)
		}
	}
	return out
}

// HeldBy returns the events that an agency holds: what it sent and received.
func HeldBy(events []Event, agency string) (out []Event) {
	for _, e := range events {
		if e.From == agency || e.To == agency {
			out = append(out, e)
		}
	}
	return out
}
