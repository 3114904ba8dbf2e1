package floor

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Units are the medians of single steps, one after the other with nothing else going on.
type Units struct {
	Publish, Crypto, Commit     time.Duration // one fsynced publish; all cryptography of one message; one commit of one row
	Seal, Open, Reopen, Receipt time.Duration // of which Crypto is the sum: seal and sign; verify, open and wrap; reopen; sign and verify a receipt
}

// Units measures each step n times.
func (f *Floor) Units(ctx context.Context, n int) (Units, error) {
	p := f.pairs[0]
	s, err := openStore(f.dir, "units-"+randomID()[:8])
	if err != nil {
		return Units{}, err
	}
	defer s.close()
	times := make([][]time.Duration, 6)
	for range n {
		if ctx.Err() != nil {
			return Units{}, ctx.Err()
		}
		m := &message{id: randomID()}
		var r []byte
		for i, step := range []func() (err error){
			func() (err error) {
				m.data, m.wrapped, err = p.from.seal(p.to.identity.Recipient(), m.id, f.plain, f.certificate, f.sizes.Note)
				return err
			},
			func() (err error) {
				_, m.wrapped, err = p.to.open(p.from.public, m.data, f.certificate, p.certificateSig, f.sizes.Note)
				return err
			},
			func() error { return p.to.reopen(m.id, m.data[f.sizes.Note:], m.wrapped) },
			func() error { r = p.to.receipt(m.id, f.sizes.Receipt); return verifyReceipt(p.to.public, r) },
			func() error {
				msg := nats.NewMsg("floor.mail.unit")
				msg.Header.Set(jetstream.MsgIDHeader, m.id)
				msg.Data = m.data
				_, err := p.out.PublishMsg(ctx, msg)
				return err
			},
			func() error { return s.add(ctx, []*message{m}) },
		} {
			began := time.Now()
			if err := step(); err != nil {
				return Units{}, fmt.Errorf("measure a step: %w", err)
			}
			times[i] = append(times[i], time.Since(began))
		}
	}
	var m [6]time.Duration
	for i, t := range times {
		slices.Sort(t)
		if len(t) > 0 {
			m[i] = t[len(t)/2]
		}
	}
	return Units{Seal: m[0], Open: m[1], Reopen: m[2], Receipt: m[3], Publish: m[4], Commit: m[5], Crypto: m[0] + m[1] + m[2] + m[3]}, nil
}
