package store

import (
	"context"
	"fmt"

	"waypost/schemas"
)

// Exchange is everything that was sent and accepted in a thread, receipts included, with the bodies of messages: what the
// state of its referrals is folded from. Bounded, oldest first.
func (s *Store) Exchange(ctx context.Context, self, thread string) (out []*Outgoing, in []*Incoming, receipts []schemas.Receipt, err error) {
	const most = 5000
	err = each(ctx, s.read, func(r row) error {
		o, err := scanOutgoing(r, self)
		out = append(out, o)
		return err
	}, `SELECT `+outboxColumns+` FROM `+outboxFrom+` WHERE thread = ? ORDER BY n LIMIT ?`, thread, most)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read thread: %w", err)
	}
	err = each(ctx, s.read, func(r row) error {
		m, err := scanIncoming(r, self)
		in = append(in, m)
		return err
	}, `SELECT `+inboxColumns+` FROM `+inboxFrom+` WHERE thread = ? ORDER BY n LIMIT ?`, thread, most)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read thread: %w", err)
	}
	err = each(ctx, s.read, func(r row) error {
		x := schemas.Receipt{Thread: thread, To: self}
		var outcome string
		var sent int64
		err := r.Scan(&x.ID, &x.ReplyTo, &x.From, &outcome, &x.Code, &sent)
		x.Outcome, x.Sent = schemas.Outcome(outcome), moment(sent)
		receipts = append(receipts, x)
		return err
	}, `SELECT r.id, r.message, r.peer, r.outcome, r.code, r.sent FROM receipts r JOIN outbox o ON o.id = r.message WHERE o.thread = ? ORDER BY r.sent, r.id LIMIT ?`, thread, most)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("read thread: %w", err)
	}
	return out, in, receipts, nil
}
