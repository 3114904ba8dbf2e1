package audit

import "strconv"

// remembered is how many numbers of a pair are told apart from a reuse.
const remembered = 64

// numbers are the sequence numbers seen of one sender, recipient and lane. They grow with the holes in them, not with the
// messages.
type numbers struct {
	spans []span // apart from one another, in order
	last  [remembered]numbered
}

type span struct{ first, last uint64 }

type numbered struct {
	seq, id uint64
}

// again takes a message and reports whether it was recorded before: its number was seen, and as far as is remembered with its
// id. An agency restored from an old backup uses numbers again for other messages, and these count.
func (n *numbers) again(seq uint64, id string) bool {
	short, _ := strconv.ParseUint(tail(id), 16, 64) // ids of manifests are UUIDs
	slot := &n.last[seq%remembered]
	if n.add(seq) {
		if seq >= slot.seq {
			*slot = numbered{seq, short}
		}
		return false
	}
	if slot.seq != seq || slot.id == short {
		return true
	}
	slot.id = short
	return false
}

// add returns false for a number that is there already.
func (n *numbers) add(seq uint64) bool {
	i := len(n.spans)
	for i > 0 && n.spans[i-1].first > seq {
		i--
	}
	// spans[i-1] begins at or before seq, spans[i] after it.
	before, after := i > 0 && n.spans[i-1].last+1 >= seq, i < len(n.spans) && n.spans[i].first == seq+1
	switch {
	case i > 0 && n.spans[i-1].last >= seq:
		return false
	case before && after:
		n.spans[i-1].last = n.spans[i].last
		n.spans = append(n.spans[:i], n.spans[i+1:]...)
	case before:
		n.spans[i-1].last = seq
	case after:
		n.spans[i].first = seq
	default:
		n.spans = append(n.spans, span{})
		copy(n.spans[i+1:], n.spans[i:])
		n.spans[i] = span{seq, seq}
	}
	return true
}
