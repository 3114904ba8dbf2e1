package broker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker/notary"
	"waypost/schemas"
)

// The stream of the positions holds the last ones of each mail stream.
const (
	streamPositions  = "POSITIONS"
	subjectPositions = "positions." // and the stream that they are of; the broker's permissions name it
)

const (
	// positionsEvery is how often it is looked how far agencies have come, and positionsRest how many times as long as a look took
	// nobody looks again: with a thousand agencies one takes 50 ms.
	positionsEvery = 2 * time.Second
	positionsRest  = 100
	// positionsLast bounds the look with which a broker stops: a node that stops last has nobody left who would store it.
	positionsLast = time.Second
	// positionsHeld bounds how long a consumer that is being set on delivers nothing if whoever does it dies; the next that keeps
	// the positions lets it go. Longer than clocks of nodes differ.
	positionsHeld = 10 * time.Minute
)

func positionsConfig(cfg *Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamPositions, Description: "how far each agency has come in each mail stream",
		Subjects: []string{subjectPositions + "*"}, Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: cfg.replicas(),
		Discard: jetstream.DiscardOld, MaxMsgs: -1, MaxBytes: 64 << 20, MaxMsgsPerSubject: 1, MaxConsumers: -1, MaxMsgSize: 4 << 20,
		Duplicates: time.Second,
		Metadata:   notary.StreamMetadata(),
	}
}

// positionsKept says whether the broker remembers how far agencies have come. Alone it does: the server keeps that in memory
// (consumerConfig), because on disk it would write and sync a file for each of thousands of consumers, some times a second. In a
// cluster each consumer is a Raft group on the disks of a majority, which survives the loss of any node.
func positionsKept(cfg *Config) bool { return cfg.replicas() == 1 }

// positions remembers on disk how far each agency has come. After a restart a consumer in memory begins with the first message
// there is, and is set on from here.
//
// What is remembered is some seconds old. That is safe: what an agency gets again, it recognises. The other way round would
// lose mail, so a number here never exceeds what its agency has acknowledged and still knows: it is forgotten before an agency
// that was restored is to get everything again (rewind). And it never outlives the messages it counts: it is forgotten before a
// stream is made anew (forgetPositions), a backup reads it before the stream, and one that lies beyond the stream's end is not
// believed.
//
// Not safe for concurrent use. Two processes that keep them do not harm each other: a write expects the one that was read.
type positions struct {
	js  jetstream.JetStream
	log *slog.Logger
	of  map[string]*reached // by stream; what is missing has to be read
}

// reached is how far agencies have come in one stream: all up to the number is acknowledged.
type reached struct {
	floors   map[string]uint64
	revision uint64 // of the message they were read from, 0 for none
}

// positionsFile is a message of the stream.
type positionsFile struct {
	Type   string            `json:"type"`
	Floors map[string]uint64 `json:"floors"`
}

const positionsType = "waypost.positions.v1"

func newPositions(js jetstream.JetStream, log *slog.Logger) *positions {
	return &positions{js: js, log: log, of: map[string]*reached{}}
}

// reread has what is remembered read again: another process may have kept it meanwhile.
func (p *positions) reread() { clear(p.of) }

// look remembers how far all agencies have come, and sets consumers on that have fallen back. It returns how many consumers
// each agency has. After an error it is unknown whether the positions are stored; the next look reads first.
func (p *positions) look(ctx context.Context) (seen map[string]int, err error) {
	seen = map[string]int{}
	var all []error
	for _, l := range schemas.Lanes() {
		if err := p.lookAt(ctx, Stream(l), seen); err != nil {
			delete(p.of, Stream(l))
			all = append(all, fmt.Errorf("keep positions in %s: %w", Stream(l), err))
		}
	}
	return seen, errors.Join(all...)
}

func (p *positions) lookAt(ctx context.Context, stream string, seen map[string]int) error {
	s, err := p.js.Stream(ctx, stream)
	if err != nil {
		return err
	}
	r, err := p.read(ctx, stream, s.CachedInfo().State.LastSeq)
	if err != nil {
		return err
	}
	var behind []*jetstream.ConsumerInfo
	var all []error
	moved := false
	list := s.ListConsumers(ctx)
	for c := range list.Info() {
		if c.Config.Durable == "" { // a notary's; it begins where the ledger ends
			continue
		}
		seen[c.Name]++
		switch at := c.AckFloor.Stream; {
		case at > r.floors[c.Name]:
			r.floors[c.Name], moved = at, true
		case at < r.floors[c.Name]:
			behind = append(behind, c)
			continue
		}
		if c.Paused { // it was set on, and not let go
			all = append(all, p.letGo(ctx, stream, c.Name))
		}
	}
	if err := list.Err(); err != nil {
		return err
	}
	if moved {
		if err := p.write(ctx, stream, r); err != nil {
			return err
		}
	}
	if len(behind) == 0 {
		return errors.Join(all...)
	}
	// Another process may have had an agency begin anew since we read.
	delete(p.of, stream)
	if r, err = p.read(ctx, stream, s.CachedInfo().State.LastSeq); err != nil {
		return err
	}
	for _, c := range behind {
		if at := r.floors[c.Name]; at > 0 {
			all = append(all, p.setOn(ctx, stream, c, at))
		}
	}
	return errors.Join(all...)
}

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

// read gives what is remembered of a stream that ends at last.
func (p *positions) read(ctx context.Context, stream string, last uint64) (*reached, error) {
	if r, ok := p.of[stream]; ok {
		return r, nil
	}
	s, err := p.js.Stream(ctx, streamPositions)
	if err != nil {
		return nil, err
	}
	r := &reached{floors: map[string]uint64{}}
	m, err := s.GetLastMsgForSubject(ctx, subjectPositions+stream)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
	case err != nil:
		return nil, err
	default:
		r.revision = m.Sequence
		r.floors = p.parse(ctx, stream, m.Data, last)
	}
	p.of[stream] = r
	return r, nil
}

// parse believes nothing that cannot be: mail then comes again, which harms nobody.
func (p *positions) parse(ctx context.Context, stream string, data []byte, last uint64) map[string]uint64 {
	if len(data) == 0 {
		return map[string]uint64{} // forgotten
	}
	var f positionsFile
	if err := json.Unmarshal(data, &f); err != nil || f.Type != positionsType || f.Floors == nil {
		p.log.ErrorContext(ctx, "positions cannot be read: agencies get again what is still stored", "stream", stream)
		return map[string]uint64{}
	}
	for agency, at := range f.Floors {
		if at > last {
			p.log.ErrorContext(ctx, "a position lies beyond the stream's end: the agency gets again what is still stored", "stream", stream, "agency", agency)
			delete(f.Floors, agency)
		}
	}
	return f.Floors
}

func (p *positions) write(ctx context.Context, stream string, r *reached) error {
	data, err := json.Marshal(positionsFile{Type: positionsType, Floors: r.floors}, json.Deterministic(true))
	if err != nil {
		return err
	}
	ack, err := p.js.Publish(ctx, subjectPositions+stream, data, jetstream.WithExpectStream(streamPositions), jetstream.WithExpectLastSequencePerSubject(r.revision))
	if err != nil {
		return err
	}
	r.revision = ack.Sequence
	return nil
}

// forgetPositions forgets how far agencies have come in a stream that is not there and about to be made: its numbers begin anew.
func forgetPositions(ctx context.Context, js jetstream.JetStream, stream string) error {
	_, err := js.Stream(ctx, stream)
	if err == nil {
		return nil
	}
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		_, err = js.Publish(ctx, subjectPositions+stream, nil, jetstream.WithExpectStream(streamPositions))
	}
	if err != nil {
		return fmt.Errorf("forget positions in %s: %w", stream, err)
	}
	return nil
}
