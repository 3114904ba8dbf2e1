package floor

import (
	"fmt"
	"path/filepath"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// keep commits what was sealed before it may leave.
func (w *flow) keep(s *store, in <-chan *message, out chan<- *message) error {
	for {
		batch := gather(w.ctx, in, collectMost)
		if len(batch) == 0 {
			return nil
		}
		if err := s.add(w.ctx, batch); err != nil {
			return err
		}
		for _, m := range batch {
			if !send(w.ctx, out, m) {
				return nil
			}
		}
	}
}

// publish sends what waits: one alone plainly, several in one atomic batch with one fsync.
func (w *flow) publish(js jetstream.JetStream, subject string, in <-chan *message) error {
	for {
		batch := gather(w.ctx, in, publishMost)
		if len(batch) == 0 {
			return nil
		}
		msgs := make([]*nats.Msg, len(batch))
		for i, m := range batch {
			msgs[i] = nats.NewMsg(subject)
			msgs[i].Header.Set(jetstream.MsgIDHeader, m.id)
			msgs[i].Data = m.data
		}
		var err error
		if len(msgs) == 1 {
			_, err = js.PublishMsg(w.ctx, msgs[0])
		} else {
			_, err = jetstreamext.PublishMsgBatch(w.ctx, js, msgs)
		}
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
}

func consume(c jetstream.Consumer) (<-chan *message, func(), error) {
	out := make(chan *message, 2048) // more than may be unacknowledged: the callback never waits
	cc, err := c.Consume(func(m jetstream.Msg) { out <- &message{data: m.Data(), msg: m} }, jetstream.PullMaxMessages(512))
	if err != nil {
		return nil, nil, fmt.Errorf("consume: %w", err)
	}
	return out, cc.Stop, nil
}

// collect verifies, opens, commits and acknowledges.
func (w *flow) collect(p *pair, s *store, in <-chan *message, count int, out chan<- []*message) error {
	for got := 0; got < count; {
		batch := gather(w.ctx, in, collectMost)
		if len(batch) == 0 {
			return nil
		}
		got += len(batch)
		err := w.parallel(batch, func(m *message) (err error) {
			if !w.parts.Crypto {
				m.id = string(m.data[:idSize])
				return nil
			}
			m.id, m.wrapped, err = p.to.open(p.from.public, m.data, w.certificate, p.certificateSig, w.sizes.Note)
			return err
		})
		if err == nil {
			err = s.add(w.ctx, batch)
		}
		for _, m := range batch {
			if err == nil {
				err = m.msg.Ack()
			}
		}
		if err != nil {
			return err
		}
		select {
		case out <- batch:
		case <-w.ctx.Done():
			return nil
		}
	}
	return nil
}

// handOver opens the kept copy, gives it to the agency's own system and answers.
func (w *flow) handOver(p *pair, in <-chan []*message, out chan<- *message) error {
	for batch := range in {
		answers := make([]*message, len(batch))
		err := w.parallel(batch, func(m *message) error {
			if !w.parts.Crypto {
				return nil
			}
			return p.to.reopen(m.id, m.data[w.sizes.Note:], m.wrapped)
		})
		if err == nil && w.parts.Stores {
			err = sink(filepath.Join(w.dir, "sink-"+w.name+"-"+strconv.Itoa(p.n)), batch, w.sizes.Plain)
		}
		if err != nil {
			return err
		}
		for i, m := range batch {
			answers[i] = &message{id: "r" + m.id, data: make([]byte, w.sizes.Receipt)}
			if w.parts.Crypto {
				answers[i].data = p.to.receipt(m.id, w.sizes.Receipt)
			}
			if !send(w.ctx, out, answers[i]) {
				return nil
			}
		}
	}
	return nil
}

// settle verifies and acknowledges receipts.
func (w *flow) settle(p *pair, in <-chan *message, count int, arrived func()) error {
	for got := 0; got < count; {
		batch := gather(w.ctx, in, collectMost)
		if len(batch) == 0 {
			return nil
		}
		for _, m := range batch {
			if w.parts.Crypto {
				if err := verifyReceipt(p.to.public, m.data); err != nil {
					return err
				}
			}
			if err := m.msg.Ack(); err != nil {
				return fmt.Errorf("acknowledge: %w", err)
			}
			got++
			arrived()
		}
	}
	return p.sender.Flush()
}
