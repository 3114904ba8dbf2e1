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
	// positionsLast bounds the look with which a broker stops: an external NATS may be gone.
	positionsLast = time.Second
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
