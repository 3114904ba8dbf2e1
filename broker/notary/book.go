package notary

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas/directory"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// positions are the last recorded numbers of the streams, in the order of ledger.Streams.
type positions [4]uint64

func (p positions) String() string {
	s := make([]string, len(p))
	for i, n := range p {
		s[i] = strconv.FormatUint(n, 10)
	}
	return strings.Join(s, " ")
}

func parsePositions(s string) (p positions, err error) {
	parts := strings.Split(s, " ")
	if len(parts) != len(p) {
		return p, errors.New("read positions of a record: not four numbers")
	}
	for i, n := range parts {
		if p[i], err = strconv.ParseUint(n, 10, 64); err != nil {
			return p, errors.New("read positions of a record: not four numbers")
		}
	}
	return p, nil
}

func indexOf(stream string) int {
	for i, s := range ledger.Streams() {
		if s == stream {
			return i
		}
	}
	return -1
}

// book is the stream LEDGER, and where it ends as far as this notary knows.
type book struct {
	js     jetstream.JetStream
	stream jetstream.Stream
	fault  func(string) error

	tree   *ledger.Tree
	at     positions
	head   uint64 // version of the newest valid head among the records
	digest string // and its digest
	root   func([]byte) (uint64, bool)

	mu     sync.Mutex
	recent map[int64]marks
}

// marks are what the headers of a record say.
type marks struct {
	at     positions
	hashes []tlog.Hash
}

// marksMax bounds what is remembered of headers, at about 200 bytes each. Halving meets the same records again and again, and
// so do proofs: without it, each proof from a large ledger makes the server read forty blocks of its files (BenchmarkProof).
const marksMax = 32 << 10

// marks reads the headers of a record, which never change.
func (b *book) marks(ctx context.Context, i int64) (marks, error) {
	b.mu.Lock()
	x, ok := b.recent[i]
	b.mu.Unlock()
	if ok {
		return x, nil
	}
	m, err := b.record(ctx, i)
	if err != nil {
		return x, err
	}
	if x.at, err = parsePositions(m.Header.Get(PositionsHeader)); err != nil {
		return x, err
	}
	if x.hashes, err = ledger.DecodeHashes(m.Header.Get(HashesHeader)); err != nil {
		return x, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.recent == nil {
		b.recent = map[int64]marks{}
	}
	for old := range b.recent { // an arbitrary one: what is asked for often is back soon
		if len(b.recent) < marksMax {
			break
		}
		delete(b.recent, old)
	}
	b.recent[i] = x
	return x, nil
}

// resume reads where the ledger ends. It is how a notary starts, how it goes on after an append of which nobody knows
// whether it was stored, and how it takes over from another one.
func (b *book) resume(ctx context.Context) error {
	info, err := b.stream.Info(ctx)
	if err != nil {
		return fmt.Errorf("read end of ledger: %w", err)
	}
	n := info.State.LastSeq
	if info.State.Msgs != n {
		return fmt.Errorf("read end of ledger: %d records are missing in the stream", n-info.State.Msgs)
	}
	b.at, b.head, b.digest = positions{}, 0, ""
	if n > 0 {
		last, err := b.stream.GetMsg(ctx, n)
		if err != nil {
			return fmt.Errorf("read last record: %w", err)
		}
		if b.at, err = parsePositions(last.Header.Get(PositionsHeader)); err != nil {
			return err
		}
	}
	if b.tree, err = ledger.Resume(int64(n), b.hashes(ctx)); err != nil { //nolint:gosec // a count
		return fmt.Errorf("read hashes of ledger: %w", err)
	}
	// The last head that counted; heads that did not count are rare, and stand in the way for one step each.
	for seq := uint64(0); ; {
		head, err := b.headBefore(ctx, seq)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read head in ledger: %w", err)
		}
		if r, err := ledger.ParseRecord(head.Data); err == nil {
			if version, ok := b.root(r.Note); ok {
				b.head, b.digest = version, directory.Digest(r.Note)
				return nil
			}
		}
		seq = head.Sequence
	}
}

const headSubject = "ledger.directory." + directory.HeadKey

func (b *book) headBefore(ctx context.Context, seq uint64) (*jetstream.RawStreamMsg, error) {
	if seq == 0 {
		return b.stream.GetLastMsgForSubject(ctx, headSubject)
	}
	for m, err := range mustSeq(jetstreamext.GetLastMsgsFor(ctx, b.js, StreamLedger, []string{headSubject}, jetstreamext.GetLastMsgsUpToSeq(seq-1))) {
		if errors.Is(err, jetstreamext.ErrNoMessages) {
			return nil, jetstream.ErrMsgNotFound
		}
		return m, err
	}
	return nil, jetstream.ErrMsgNotFound
}

// record reads record i with its headers.
func (b *book) record(ctx context.Context, i int64) (*jetstream.RawStreamMsg, error) {
	m, err := b.stream.GetMsg(ctx, uint64(i)+1) //nolint:gosec // not negative
	if err != nil {
		return nil, fmt.Errorf("read record %d: %w", i, err)
	}
	return m, nil
}

// hashes reads stored hashes from the headers of the records that complete them.
func (b *book) hashes(ctx context.Context) tlog.HashReader {
	return tlog.HashReaderFunc(func(indexes []int64) ([]tlog.Hash, error) {
		out := make([]tlog.Hash, len(indexes))
		for i, index := range indexes {
			n, place := ledger.HeldBy(index)
			x, err := b.marks(ctx, n)
			if err != nil {
				return nil, err
			}
			if place >= len(x.hashes) {
				return nil, fmt.Errorf("read record %d: it does not carry hash %d", n, place)
			}
			out[i] = x.hashes[place]
		}
		return out, nil
	})
}

// each reads records from..to-1 in order.
func (b *book) each(ctx context.Context, from, to int64, f func(index int64, raw []byte)) error {
	for from < to {
		before := from
		for m, err := range mustSeq(jetstreamext.GetBatch(ctx, b.js, StreamLedger, 1000, jetstreamext.GetBatchSeq(uint64(from)+1), jetstreamext.GetBatchMaxBytes(4<<20))) { //nolint:gosec // not negative
			if err != nil {
				return fmt.Errorf("read records: %w", err)
			}
			if int64(m.Sequence) != from+1 { //nolint:gosec // a number of a message
				return fmt.Errorf("read records: record %d is missing", from)
			}
			f(from, m.Data)
			if from++; from == to {
				return nil
			}
		}
		if from == before {
			return fmt.Errorf("read records: record %d is missing", from)
		}
	}
	return nil
}

// find returns the number of the first record, of the first size ones, at which a stream was recorded up to seq; size if
// there is none. Positions only grow, so halving finds it in about twenty reads of a million.
func (b *book) find(ctx context.Context, stream int, seq uint64, size int64) (int64, error) {
	low, high := int64(0), size
	for low < high {
		mid := low + (high-low)/2
		x, err := b.marks(ctx, mid)
		if err != nil {
			return 0, err
		}
		if x.at[stream] >= seq {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low, nil
}

// errOther: the ledger does not end where this notary thinks. Another one appended.
var errOther = errors.New("another notary appended")

// wrongLast are JetStream's codes for an expected last sequence that is not.
var wrongLast = map[jetstream.ErrorCode]bool{10071: true, 10164: true}

// append stores records at the end, all or none. After any error the book must be resumed: they may have been stored.
func (b *book) append(ctx context.Context, records []*ledger.Record) error {
	tree, at, head, digest := b.tree.Clone(), b.at, b.head, b.digest
	msgs := make([]*nats.Msg, len(records))
	for i, r := range records {
		raw, err := r.Encode()
		if err != nil {
			return fmt.Errorf("encode record: %w", err)
		}
		if s := indexOf(r.Stream); s >= 0 && r.Kind != ledger.KindExpired {
			at[s] = max(r.Seq, r.Last)
		}
		if r.Kind == ledger.KindDirectory && r.Key() == directory.HeadKey {
			if v, ok := b.root(r.Note); ok && v >= head {
				head, digest = v, directory.Digest(r.Note)
			}
		}
		m := nats.NewMsg(subject(r))
		m.Data = raw
		m.Header.Set(HashesHeader, ledger.EncodeHashes(tree.Append(ledger.Leaf(raw))))
		m.Header.Set(PositionsHeader, at.String())
		msgs[i] = m
	}
	msgs[0].Header.Set(jetstream.ExpectedLastSeqHeader, strconv.FormatInt(b.tree.Size(), 10))
	if err := b.fault("append"); err != nil {
		return err
	}
	if err := b.publish(ctx, msgs); err != nil {
		return err
	}
	if err := b.fault("appended"); err != nil {
		return err
	}
	b.tree, b.at, b.head, b.digest = tree, at, head, digest
	return nil
}

func (b *book) publish(ctx context.Context, msgs []*nats.Msg) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if len(msgs) == 1 { // a batch of one costs five times a plain publication
		_, err = b.js.PublishMsg(ctx, msgs[0], jetstream.WithRetryAttempts(0))
	} else {
		_, err = jetstreamext.PublishMsgBatch(ctx, b.js, msgs)
	}
	var code jetstream.ErrorCode
	if api := new(jetstream.APIError); errors.As(err, &api) {
		code = api.ErrorCode
	} else if e := jetstream.JetStreamError(nil); errors.As(err, &e) && e.APIError() != nil {
		code = e.APIError().ErrorCode
	}
	if wrongLast[code] {
		return errOther
	}
	if err != nil {
		return fmt.Errorf("append records: %w", err)
	}
	return nil
}

// subject is where a record is stored, so that what concerns one agency can be found.
func subject(r *ledger.Record) string {
	switch r.Kind {
	case ledger.KindMail:
		if m, _, err := r.Manifest(); err == nil {
			return "ledger.mail." + m.To + "." + m.From
		}
	case ledger.KindDirectory:
		return "ledger.directory." + r.Key()
	case ledger.KindAct:
		if a, _, err := ledger.ParseAct(r.Note); err == nil {
			return actSubject(a)
		}
	}
	return "ledger." + string(r.Kind) + "." + r.Stream
}

// actSubject puts an act where the agency that it concerns looks, and where a repetition finds it.
func actSubject(a *ledger.Act) string {
	about := a.By
	if a.Agency != "" {
		about = a.Agency
	}
	return "ledger.act." + about + "." + a.ID
}

// find an act's record, or jetstream.ErrMsgNotFound.
func (b *book) act(ctx context.Context, a *ledger.Act) (*jetstream.RawStreamMsg, error) {
	return b.stream.GetLastMsgForSubject(ctx, actSubject(a))
}

// maxBatch bounds one append; a batch shares one sync.
const (
	maxBatch      = 500
	maxBatchBytes = 4 << 20
)

// seqMax keeps numbers readable for every JSON reader.
const seqMax = envelope.MaxSeq

// mustSeq turns a failed request into a sequence of one error.
func mustSeq(seq func(func(*jetstream.RawStreamMsg, error) bool), err error) func(func(*jetstream.RawStreamMsg, error) bool) {
	if err != nil {
		return func(yield func(*jetstream.RawStreamMsg, error) bool) { yield(nil, err) }
	}
	return seq
}
