package agents

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"waypost/agents/route"
	"waypost/agents/store"
)

// handOver is one delivery and what a sink gets for it.
type handOver struct {
	d   *store.Delivery
	doc *route.Delivery
	err error // why there is no document
}

// prepare opens what is to be handed over, over the cores, and then leaves out what is no longer due: since the list was read
// a survivor may have withdrawn. A sink that takes batches asks that itself, at the last moment; here it matters only to what
// could not be opened, because it may have been erased.
func (p *dispatcher) prepare(ctx context.Context, due []*store.Delivery) []handOver {
	all := make([]handOver, len(due))
	var wg sync.WaitGroup
	limit := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, d := range due {
		limit <- struct{}{}
		wg.Add(1)
		go func() {
			defer func() { <-limit; wg.Done() }()
			doc, err := p.document(ctx, d)
			all[i] = handOver{d, doc, err}
		}()
	}
	wg.Wait()
	if _, batch := p.sink.(route.BatchSink); batch && !slices.ContainsFunc(all, func(h handOver) bool { return h.err != nil }) {
		return all
	}
	still, err := p.store.StillDue(ctx, due)
	if err != nil {
		p.log.Error("deliveries not readable", "sink", p.sink.Name(), "err", err)
		return nil // they stay due
	}
	return slices.DeleteFunc(all, func(h handOver) bool { return !still[h.d.N] })
}

// handOver gives the sink what was prepared, in order, and says what became of each. It ends at the first that failed in a way
// that will hit the next one too (false), or when ctx ends: that is not the sink's fault, and what is left stays due.
func (p *dispatcher) handOver(ctx context.Context, all []handOver) (results []result, well bool) {
	for len(all) > 0 {
		open := len(all)
		if i := slices.IndexFunc(all, func(h handOver) bool { return h.err != nil }); i >= 0 {
			open = i
		}
		taken, held, err := 0, map[int64]bool(nil), all[0].err
		if open > 0 {
			taken, held, err = p.deliver(ctx, all[:open])
		}
		when := p.now()
		for _, h := range all[:taken] {
			if !held[h.d.N] {
				results = append(results, result{h.d, nil, when})
			}
		}
		all = all[taken:]
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return results, true
		}
		if errors.Is(err, errUnreleased) {
			p.log.Error("deliveries not readable", "sink", p.sink.Name(), "err", err)
			return results, false // they stay due: the sink did nothing wrong
		}
		if errors.Is(err, store.ErrOvertaken) {
			return results, false // what was left out may still be due, and goes before what follows it
		}
		results = append(results, result{all[0].d, err, when})
		all = all[1:]
		if stop := (*route.Permanent)(nil); !errors.As(err, &stop) {
			return results, false
		}
	}
	return results, true
}

// errUnreleased: the store could not say what is still due, so nothing was shown.
var errUnreleased = errors.New("hand-overs not released")

// deliver hands over a batch to a sink that takes batches, and to another the first of it. held are those, by number, that were
// left out because they are not due any more.
func (p *dispatcher) deliver(ctx context.Context, all []handOver) (taken int, held map[int64]bool, err error) {
	batch, ok := p.sink.(route.BatchSink)
	if !ok {
		if err := p.sink.Deliver(ctx, all[0].doc); err != nil {
			return 0, nil, err
		}
		return 1, nil, nil
	}
	due, docs := make([]*store.Delivery, len(all)), make([]*route.Delivery, len(all))
	for i, h := range all {
		due[i], docs[i] = h.d, h.doc
	}
	held = map[int64]bool{}
	overtaken := error(nil)
	taken, err = batch.DeliverAll(ctx, docs, func(show func(may func(i int) bool)) error {
		err := p.store.Release(ctx, due, func(still func(n int64) bool) {
			show(func(i int) bool {
				may := still(due[i].N)
				if !may {
					held[due[i].N] = true
				}
				return may
			})
		})
		if errors.Is(err, store.ErrOvertaken) {
			p.log.Warn("sink so slow that a withdrawal did not wait for it; a document may have appeared after it was stopped", "sink", p.sink.Name(), "code", "sink-overtaken")
			overtaken = err
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errUnreleased, err)
		}
		return nil
	})
	if err == nil {
		err = overtaken
	}
	return taken, held, err
}
