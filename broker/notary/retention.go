package notary

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/mod/sumdb/tlog"

	"waypost/schemas"
	"waypost/schemas/envelope"
	"waypost/schemas/ledger"
)

// retention deletes messages from the mail streams, one by one and overwritten (JetStream's secure delete): ciphertext a
// time after its recipient's receipt, and everything at a maximum age. What has neither is never deleted. It works from
// the ledger: only what is recorded is known here, so nothing can be deleted before it is recorded.
//
// What nobody receipted is deleted at its maximum age only after the ledger says so.
//
// Memory: about 200 bytes for each message with a body that lies at the broker, and 32 for each receipt whose grace time
// runs.
type retention struct {
	n        *Notary
	b        *book
	streams  [4]jetstream.Stream
	expiries chan expiry

	mu      sync.Mutex
	at      positions // recorded so far
	held    map[uuid.UUID]*held
	due     []receipt // in the order of the ledger
	expired map[place]bool
}

// place is a message of a mail stream.
type place struct {
	stream int
	seq    uint64
}

// held is a message with a body that lies in a mail stream. Stored twice, it has two places.
type held struct {
	id        uuid.UUID
	thread    uuid.UUID
	note      tlog.Hash
	from, to  string
	places    []place
	receipted bool // by a receipt whose signature holds
}

type receipt struct {
	record int64
	stored time.Time
}

// expiry asks the appending session to record that a message expires.
type expiry struct {
	place
	recorded chan struct{}
}

// newRetention reads what the mail streams hold from the ledger, beginning with the oldest message that is still there.
func newRetention(ctx context.Context, n *Notary, b *book) (*retention, error) {
	r := &retention{n: n, b: b, at: b.at, expiries: make(chan expiry), held: map[uuid.UUID]*held{}, expired: map[place]bool{}}
	size := b.tree.Size()
	from := size
	gone := map[place]bool{}
	var first positions
	for i, name := range ledger.Streams() {
		s, err := n.js.Stream(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("read what is held: %w", err)
		}
		r.streams[i] = s
		if i == 0 {
			continue
		}
		info, err := s.Info(ctx, jetstream.WithDeletedDetails(true))
		if err != nil {
			return nil, fmt.Errorf("read what is held: %w", err)
		}
		first[i] = info.State.FirstSeq
		for _, seq := range info.State.Deleted {
			gone[place{i, seq}] = true
		}
		if info.State.Msgs == 0 {
			continue
		}
		at, err := b.find(ctx, i, info.State.FirstSeq, size)
		if err != nil {
			return nil, err
		}
		from = min(from, at)
	}
	err := b.each(ctx, from, size, func(index int64, raw []byte) {
		rec, err := ledger.ParseRecord(raw)
		if err != nil {
			return // altered on disk: the audit says so
		}
		if s := indexOf(rec.Stream); s >= 1 && rec.Seq >= first[s] && !gone[place{s, rec.Seq}] {
			r.add(index, rec)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read what is held: %w", err)
	}
	return r, nil
}

// note takes what was appended.
func (r *retention) note(first int64, records []*ledger.Record, at positions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, rec := range records {
		r.add(first+int64(i), rec)
	}
	r.at = at
}

// add takes one record of a mail stream. The lock is held, or nobody else knows r.
func (r *retention) add(index int64, rec *ledger.Record) {
	p := place{indexOf(rec.Stream), rec.Seq}
	if rec.Kind == ledger.KindExpired {
		r.expired[p] = true
	}
	if p.stream < 1 || rec.Kind != ledger.KindMail {
		return
	}
	m, _, err := rec.Manifest()
	if err != nil {
		return
	}
	if m.Kind == schemas.KindReceipt {
		r.due = append(r.due, receipt{record: index, stored: rec.Time})
		return
	}
	if m.Body == "" {
		return
	}
	id, digest := uuid.MustParse(m.ID), ledger.Leaf(rec.Note)
	switch h := r.held[id]; {
	case h == nil:
		r.held[id] = &held{id: id, thread: uuid.MustParse(m.Thread), note: digest, from: m.From, to: m.To, places: []place{p}}
	case h.note == digest:
		h.places = append(h.places, p)
	}
	// Another message under a known id is left to its maximum age: were it to take the first one's place, a member could
	// have another's message deleted or kept.
}

// run deletes what is due until ctx ends.
func (r *retention) run(ctx context.Context) {
	tick := time.NewTicker(min(max(r.n.cfg.Interval, 50*time.Millisecond), time.Minute))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := r.sweep(ctx); err != nil && ctx.Err() == nil {
			r.n.log.WarnContext(ctx, "ciphertext not deleted yet", "err", err)
		}
	}
}

// sweep deletes what is due now.
func (r *retention) sweep(ctx context.Context) error {
	now := r.n.cfg.Now()
	for {
		r.mu.Lock()
		if len(r.due) == 0 || r.due[0].stored.Add(r.n.cfg.Receipt).After(now) {
			r.mu.Unlock()
			break
		}
		next := r.due[0]
		r.mu.Unlock()
		h, err := r.proves(ctx, next.record)
		if err != nil {
			return err
		}
		if h != nil {
			if err := r.delete(ctx, h); err != nil {
				return err
			}
		}
		r.mu.Lock()
		r.due = r.due[1:]
		r.mu.Unlock()
	}
	for s := 1; s < len(r.streams); s++ {
		if err := r.age(ctx, s, now); err != nil {
			return err
		}
	}
	return nil
}

// age deletes from the front of a stream what is too old.
func (r *retention) age(ctx context.Context, s int, now time.Time) error {
	for {
		info, err := r.streams[s].Info(ctx)
		if err != nil {
			return fmt.Errorf("read age of messages: %w", err)
		}
		p := place{s, info.State.FirstSeq}
		r.mu.Lock()
		recorded := p.seq <= r.at[s]
		r.mu.Unlock()
		if info.State.Msgs == 0 || info.State.FirstTime.Add(r.n.cfg.MaxAge).After(now) || !recorded {
			return nil
		}
		if err := r.expire(ctx, p); err != nil {
			return err
		}
		if err := r.remove(ctx, p); err != nil {
			return err
		}
	}
}

// expire has it recorded that a message goes which nobody receipted.
func (r *retention) expire(ctx context.Context, p place) error {
	m, err := r.streams[p.stream].GetMsg(ctx, p.seq)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read old message: %w", err)
	}
	e, err := envelope.Parse(m.Data)
	if err != nil || len(e.Body) == 0 {
		return nil //nolint:nilerr // no message, or one without anything in it: the ledger has all of it
	}
	id := uuid.MustParse(e.Manifest.ID)
	r.mu.Lock()
	h, known := r.held[id], r.expired[p]
	if h != nil && !slices.Contains(h.places, p) {
		h = nil
	}
	r.mu.Unlock()
	if known {
		return nil
	}
	if h != nil {
		if err := r.settleReceipts(ctx, h); err != nil {
			return err
		}
		if r.isReceipted(h) {
			return nil
		}
	}
	x := expiry{place: p, recorded: make(chan struct{})}
	select {
	case r.expiries <- x:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-x.recorded:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.n.log.WarnContext(ctx, "a message nobody receipted reached its maximum age", "message", id.String(), "agency", e.Manifest.To, "peer", e.Manifest.From)
	return nil
}

func (r *retention) isReceipted(h *held) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return h.receipted
}

// settleReceipts looks whether a receipt for h is among those whose grace time still runs.
func (r *retention) settleReceipts(ctx context.Context, h *held) error {
	r.mu.Lock()
	due := slices.Clone(r.due)
	r.mu.Unlock()
	for _, d := range due {
		if r.isReceipted(h) {
			return nil
		}
		if _, err := r.proves(ctx, d.record); err != nil {
			return err
		}
	}
	return nil
}

// proves returns the message that a recorded receipt is for, if it proves that its recipient has decided on it: signed by
// the recipient, about a message to it. Nil if it proves nothing.
func (r *retention) proves(ctx context.Context, record int64) (*held, error) {
	m, err := r.b.record(ctx, record)
	if err != nil {
		return nil, err
	}
	view := r.n.cfg.View()
	if view == nil {
		return nil, errors.New("read receipt: no directory yet")
	}
	rec, err := ledger.ParseRecord(m.Data)
	if err != nil {
		return nil, nil //nolint:nilerr // altered on disk: it proves nothing, and the audit says so
	}
	claimed, _, err := rec.Manifest()
	if err != nil {
		return nil, nil //nolint:nilerr // as above
	}
	got, err := rec.VerifyManifest(view.Verifiers(claimed.From, claimed.Sent))
	if err != nil {
		return nil, nil //nolint:nilerr // a forged receipt deletes nothing
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.held[uuid.MustParse(got.ReplyTo)]
	if h == nil || h.from != got.To || h.to != got.From {
		return nil, nil
	}
	h.receipted = true
	return h, nil
}

// delete removes all copies of a message.
func (r *retention) delete(ctx context.Context, h *held) error {
	r.mu.Lock()
	places := slices.Clone(h.places)
	r.mu.Unlock()
	for _, p := range places {
		if err := r.remove(ctx, p); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	// A copy stored meanwhile keeps its entry, and goes at the next occasion.
	if h.places = h.places[len(places):]; len(h.places) == 0 {
		delete(r.held, h.id)
	}
	return nil
}

// remove overwrites one message in its stream. One that is gone already is as good.
func (r *retention) remove(ctx context.Context, p place) error {
	if err := r.n.cfg.Fault("delete"); err != nil {
		return err
	}
	if err := r.streams[p.stream].SecureDeleteMsg(ctx, p.seq); err != nil && !isGone(err) {
		return fmt.Errorf("delete message %d of %s: %w", p.seq, ledger.Streams()[p.stream], err)
	}
	r.mu.Lock()
	delete(r.expired, p)
	r.mu.Unlock()
	return r.n.cfg.Fault("deleted")
}

func isGone(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, jetstream.ErrMsgNotFound) || errors.As(err, &api) && (api.ErrorCode == jetstream.JSErrCodeMessageNotFound || api.ErrorCode == notDeleted)
}

// notDeleted is JetStream's code for a message that could not be deleted; of a number that is no longer there.
const notDeleted = 10057

// erase deletes what the broker still holds of a thread for a recipient that asks for it, before its time. What has no
// receipt stays, and is counted: it was not collected, and erasing what nobody has read would lose it.
func (r *retention) erase(ctx context.Context, thread, to string) (deleted, waiting int, err error) {
	id, err := uuid.Parse(thread)
	if err != nil {
		return 0, 0, fmt.Errorf("erase thread: %w", err)
	}
	r.mu.Lock()
	var found []*held
	for _, h := range r.held {
		if h.thread == id && h.to == to {
			found = append(found, h)
		}
	}
	r.mu.Unlock()
	for _, h := range found {
		if err := r.settleReceipts(ctx, h); err != nil {
			return deleted, waiting, err
		}
		if !r.isReceipted(h) {
			waiting++
			continue
		}
		if err := r.delete(ctx, h); err != nil {
			return deleted, waiting, err
		}
		deleted++
	}
	return deleted, waiting, nil
}
