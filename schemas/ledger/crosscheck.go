package ledger

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/envelope"
)

type pair struct{ from, to, lane string }

// voidMark stands for every message that was taken back.
var voidMark = tlog.Hash{'v', 'o', 'i', 'd'}

// remembered is how many numbers of a pair are told apart from a reuse after they were seen.
const remembered = 64

// holes is how many runs of missing numbers are remembered for a pair. When there are more, the oldest is told at once and is
// never thought filled: memory stays bounded whatever a member sends.
const holes = 64

// hole is a run of numbers that did not come, and the message that came in their place.
type hole struct {
	from, to uint64
	after    Finding
}

// numbers follows the sequence numbers of one pair in one lane.
type numbers struct {
	last    uint64
	ring    [remembered]tlog.Hash // of the notes of the last numbers
	missing []hole
}

// saw takes the next message. It returns what is wrong with its number: a reuse, a repeat, or that it comes late. A gap is only
// remembered: what is missing may still come, after what was taken back has been told of, or from an outbox after the broker
// lost it. told are holes of which too many were remembered.
func (n *numbers) saw(seq uint64, digest tlog.Hash, about Finding) (what Code, told []hole) {
	at := &n.ring[seq%remembered]
	switch {
	case seq > n.last:
		if seq != n.last+1 {
			n.missing = append(n.missing, hole{n.last + 1, seq - 1, about})
		}
		for missed := max(n.last+1, seq-min(seq, remembered)); missed < seq; missed++ {
			n.ring[missed%remembered] = tlog.Hash{}
		}
		n.last = seq
		*at = digest
	case n.fills(seq):
		if n.last-seq < remembered {
			*at = digest
		}
		what = FindSequenceLate
	case n.last-seq >= remembered:
		what = FindRepeat // too long ago to tell by the number; the cross-check tells by the id
	case *at == tlog.Hash{}: // in a hole that was told of already
		*at = digest
		what = FindSequenceLate
	case *at == voidMark: // from now on it is this one's, or a second one could follow unseen
		*at = digest
		what = FindRepeat
	case *at == digest, digest == voidMark:
		what = FindRepeat
	default:
		what = FindSequenceReused
	}
	for len(n.missing) > holes {
		told, n.missing = append(told, n.missing[0]), n.missing[1:]
	}
	return what, told
}

// fills takes a number out of the holes; false when it is in none.
func (n *numbers) fills(seq uint64) bool {
	for i, h := range n.missing {
		switch {
		case seq < h.from || seq > h.to:
			continue
		case h.from == h.to:
			n.missing = slices.Delete(n.missing, i, i+1)
		case seq == h.from:
			n.missing[i].from++
		case seq == h.to:
			n.missing[i].to--
		default:
			rest := hole{seq + 1, h.to, h.after}
			n.missing[i].to = seq - 1
			n.missing = slices.Insert(n.missing, i+1, rest)
		}
		return true
	}
	return false
}

// crosscheck compares what lies far apart: a receipt with its message, a message with another of its id. Ids are written to
// temporary files, parted by their random end, and compared file by file, so that memory does not grow with the log.
type crosscheck struct {
	dir      string
	files    [parts]*os.File
	buffers  [parts]*bufio.Writer
	agencies map[string]uint32
	names    []string
}

const (
	parts     = 64
	markSize  = 16
	entrySize = 16 + 8 + 4 + 4 + 1 + markSize
)

const (
	entryMessage byte = iota
	entryDelivered
	entryQuarantined
	entryRejected
	entryUnverified
)

func newCrosscheck(scratch string) (*crosscheck, error) {
	dir, err := os.MkdirTemp(scratch, "waypost-audit-")
	if err != nil {
		return nil, fmt.Errorf("make scratch folder: %w", err)
	}
	c := &crosscheck{dir: dir, agencies: map[string]uint32{}}
	for i := range parts {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprint(i)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			c.close()
			return nil, fmt.Errorf("make scratch file: %w", err)
		}
		c.files[i], c.buffers[i] = f, bufio.NewWriterSize(f, 8<<10)
	}
	return c, nil
}

func (c *crosscheck) close() {
	for _, f := range c.files {
		if f != nil {
			_ = f.Close()
		}
	}
	_ = os.RemoveAll(c.dir)
}

func (c *crosscheck) agency(id string) uint32 {
	n, ok := c.agencies[id]
	if !ok {
		n = uint32(len(c.names)) //nolint:gosec // as many as there are agencies
		c.agencies[id], c.names = n, append(c.names, id)
	}
	return n
}

func (c *crosscheck) message(index int64, m *envelope.Manifest, digest tlog.Hash) error {
	if err := c.put(index, m.ID, m.From, m.To, entryMessage, digest); err != nil {
		return err
	}
	if m.Kind != schemas.KindReceipt {
		return nil
	}
	outcome := map[schemas.Outcome]byte{schemas.OutcomeDelivered: entryDelivered, schemas.OutcomeQuarantined: entryQuarantined, schemas.OutcomeRejected: entryRejected}[m.Outcome]
	// A receipt travels the other way.
	return c.put(index, m.ReplyTo, m.To, m.From, outcome, tlog.Hash{})
}

// unverified notes a message whose signature does not hold, so that a receipt for it is not taken for one for nothing.
func (c *crosscheck) unverified(index int64, m *envelope.Manifest) error {
	return c.put(index, m.ID, m.From, m.To, entryUnverified, tlog.Hash{})
}

func (c *crosscheck) put(index int64, id, from, to string, kind byte, digest tlog.Hash) error {
	u, err := uuid.Parse(id)
	if err != nil {
		return fmt.Errorf("note message: %w", err)
	}
	var e [entrySize]byte
	copy(e[:16], u[:])
	binary.BigEndian.PutUint64(e[16:], uint64(index)) //nolint:gosec // not negative
	binary.BigEndian.PutUint32(e[24:], c.agency(from))
	binary.BigEndian.PutUint32(e[28:], c.agency(to))
	e[32] = kind
	copy(e[33:], digest[:markSize])
	if _, err := c.buffers[u[15]%parts].Write(e[:]); err != nil {
		return fmt.Errorf("write scratch file: %w", err)
	}
	return nil
}

// settle compares, part by part.
func (c *crosscheck) settle(ctx context.Context, found func(Finding)) error {
	for i, f := range c.files {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := c.buffers[i].Flush(); err != nil {
			return fmt.Errorf("write scratch file: %w", err)
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("read scratch file: %w", err)
		}
		raw, err := io.ReadAll(f)
		if err != nil {
			return fmt.Errorf("read scratch file: %w", err)
		}
		all := make([][]byte, 0, len(raw)/entrySize)
		for len(raw) >= entrySize {
			all, raw = append(all, raw[:entrySize:entrySize]), raw[entrySize:]
		}
		slices.SortFunc(all, func(a, b []byte) int { return bytes.Compare(a[:24], b[:24]) })
		for len(all) > 0 {
			n := 1
			for n < len(all) && bytes.Equal(all[n][:16], all[0][:16]) {
				n++
			}
			c.compare(all[:n], found)
			all = all[n:]
		}
	}
	return nil
}

// compare judges everything about one message id.
func (c *crosscheck) compare(group [][]byte, found func(Finding)) {
	finding := func(code Code, e []byte) {
		from, to := c.names[binary.BigEndian.Uint32(e[24:])], c.names[binary.BigEndian.Uint32(e[28:])]
		if e[32] != entryMessage {
			from, to = to, from
		}
		found(Finding{Code: code, Record: int64(binary.BigEndian.Uint64(e[16:])), Agency: from, Peer: to, Message: uuid.UUID(e[:16]).String()}) //nolint:gosec // it was one
	}
	var message, receipt []byte
	unverified := false
	for _, e := range group {
		switch {
		case e[32] == entryUnverified:
			unverified = true
		case e[32] != entryMessage:
		case message == nil:
			message = e
		case bytes.Equal(message[33:], voidMark[:markSize]):
			finding(FindRepeat, e)
			message = e // or two different ones could follow a void one unseen
		case bytes.Equal(e[33:], message[33:]), bytes.Equal(e[33:], voidMark[:markSize]):
			finding(FindRepeat, e)
		default:
			finding(FindAltered, e)
		}
	}
	for _, e := range group {
		switch {
		case e[32] == entryMessage, e[32] == entryUnverified:
		case message == nil && unverified:
		case message == nil:
			finding(FindReceiptUnknown, e)
		case !bytes.Equal(e[24:32], message[24:32]):
			finding(FindReceiptParties, e)
		case receipt == nil:
			receipt = e
		case receipt[32] != e[32]:
			finding(FindReceiptDiffers, e)
		}
	}
}

func sorted(set map[string]bool) []string {
	out := slices.Sorted(maps.Keys(set))
	if out == nil {
		out = []string{}
	}
	return out
}
