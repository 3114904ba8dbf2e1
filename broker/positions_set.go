package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// positionsHeld bounds how long a consumer that is being set on delivers nothing if whoever does it dies; the next that keeps
// the positions lets it go. Longer than clocks of nodes differ.
const positionsHeld = 10 * time.Minute

// rewind has an agency get everything again that the stream still holds: its store was restored from a backup. It is written
// down first, or the next look would set the consumer on again; and once more at the end, so that another process that looked
// in between cannot write down what it saw. After an error nothing may have changed, or the position be unknown and the
// consumer as it was; to be repeated until it returns nil.
func (p *positions) rewind(ctx context.Context, stream, agency string) error {
	if err := p.forget(ctx, stream, agency); err != nil {
		return err
	}
	c, err := p.js.Consumer(ctx, stream, agency)
	if err != nil {
		return fmt.Errorf("rewind %s in %s: %w", agency, stream, err)
	}
	if err := p.setOn(ctx, stream, c.CachedInfo(), 0); err != nil {
		return err
	}
	return p.forget(ctx, stream, agency)
}

func (p *positions) forget(ctx context.Context, stream, agency string) error {
	delete(p.of, stream)
	s, err := p.js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("rewind %s in %s: %w", agency, stream, err)
	}
	r, err := p.read(ctx, stream, s.CachedInfo().State.LastSeq)
	if err != nil {
		return fmt.Errorf("rewind %s in %s: %w", agency, stream, err)
	}
	delete(r.floors, agency)
	if err := p.write(ctx, stream, r); err != nil {
		delete(p.of, stream)
		return fmt.Errorf("rewind %s in %s: %w", agency, stream, err)
	}
	return nil
}

// resume sets a consumer on that was just made, or has fallen back.
func (p *positions) resume(ctx context.Context, stream string, c *jetstream.ConsumerInfo) error {
	r, ok := p.of[stream]
	if !ok {
		s, err := p.js.Stream(ctx, stream)
		if err != nil {
			return fmt.Errorf("read positions in %s: %w", stream, err)
		}
		if r, err = p.read(ctx, stream, s.CachedInfo().State.LastSeq); err != nil {
			return fmt.Errorf("read positions in %s: %w", stream, err)
		}
	}
	if at := r.floors[c.Name]; at > c.AckFloor.Stream {
		return p.setOn(ctx, stream, c, at)
	}
	return nil
}

// setOn has the server go on after number at. Messages on their way to the agency come again.
func (p *positions) setOn(ctx context.Context, stream string, c *jetstream.ConsumerInfo, at uint64) (err error) {
	if c.Config.Replicas > 1 {
		err = p.remake(ctx, stream, c.Config, at)
	} else {
		_, err = p.js.ResetConsumerToSequence(ctx, stream, c.Name, at+1)
	}
	if err != nil {
		return fmt.Errorf("set consumer of %s in %s on: %w", c.Name, stream, err)
	}
	p.log.DebugContext(ctx, "consumer set on", "agency", c.Name, "stream", stream, "after", at)
	return nil
}

// remake makes a consumer anew that goes on after number at. For one with copies on several nodes, the server's reset alone is not safe while mail flows: what it
// delivers between proposing the reset and applying it is entered after it, under the old count, and the floor then passes
// messages by that nobody has acknowledged; a node that was away may keep what was before (nats-server 2.15.2,
// applyConsumerEntries; TestRewindWhileMailFlows). So the new one delivers nothing before it stands where it
// should. An agent that waits is told and asks again. Whatever step is the last, the next look goes on.
func (p *positions) remake(ctx context.Context, stream string, cfg jetstream.ConsumerConfig, at uint64) error {
	name := cfg.Durable
	if err := p.js.DeleteConsumer(ctx, stream, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	cfg.PauseUntil, cfg.Metadata = nil, nil
	if at == 0 {
		_, err := p.js.CreateConsumer(ctx, stream, cfg)
		return err
	}
	until := time.Now().Add(positionsHeld)
	cfg.PauseUntil = &until
	if _, err := p.js.CreateConsumer(ctx, stream, cfg); err != nil {
		return err
	}
	is, err := p.js.ResetConsumerToSequence(ctx, stream, name, at+1)
	if err != nil {
		return err
	}
	if !is.Paused { // another process let it go
		return p.rewind(ctx, stream, name)
	}
	return p.letGo(ctx, stream, name)
}

func (p *positions) letGo(ctx context.Context, stream, agency string) error {
	if _, err := p.js.ResumeConsumer(ctx, stream, agency); err != nil {
		return fmt.Errorf("let consumer of %s in %s go: %w", agency, stream, err)
	}
	return nil
}

// moveStorage makes a consumer anew where it stands, if why it could not be made is that it lies in memory and should not, or the
// other way round: a backup of a single broker was restored into a cluster. Otherwise it returns the error that there was.
func (p *positions) moveStorage(ctx context.Context, stream string, want jetstream.ConsumerConfig, failed error) (jetstream.Consumer, error) {
	c, err := p.js.Consumer(ctx, stream, want.Durable)
	if err != nil || c.CachedInfo().Config.MemoryStorage == want.MemoryStorage {
		return nil, failed
	}
	if err := p.remake(ctx, stream, want, c.CachedInfo().AckFloor.Stream); err != nil {
		return nil, err
	}
	return p.js.Consumer(ctx, stream, want.Durable)
}
