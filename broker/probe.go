package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker/notary"
)

// The stream of the probe holds the last one. Nobody reads it and no backup holds it; a broker without it makes it.
const (
	streamProbe  = "PROBE"
	subjectProbe = "probe" // the broker's permissions name it
)

const (
	// probeKept is how long the outcome of a probe stands, so that however many ask, the disks are written to rarely. It is also
	// how long a node can say that it is ready after it has lost the others.
	probeKept = 5 * time.Second
	// probeWithin is how long a probe is waited for: less than whoever asked for it is kept waiting, so that it has an outcome.
	probeWithin = 2500 * time.Millisecond
)

func probeConfig(cfg *Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: streamProbe, Description: "one empty message, by which a broker sees that messages can be stored",
		Subjects: []string{subjectProbe}, Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: cfg.replicas(),
		Discard: jetstream.DiscardOld, MaxMsgs: 1, MaxBytes: 64 << 10, MaxMsgsPerSubject: -1, MaxConsumers: -1, MaxMsgSize: 4 << 10,
		Duplicates: time.Second,
		Metadata:   notary.StreamMetadata(),
	}
}

var errNoLeader = errors.New("no node leads it")

// takes says whether a message that is published through this process would be stored: its own is, which means on the disks of
// a majority, and urgent ones have a node that would take them. To ask for a stream shows neither. Of a stream that nobody
// leads, NATS lets any node that has a copy answer, for as long as that node is alone.
func (a *Asking) takes(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeWithin)
	defer cancel()
	js, err := jetstream.New(a.Conn)
	if err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	s, err := js.Stream(ctx, StreamUrgent)
	if err != nil {
		return fmt.Errorf("probe: look at stream %s: %w", StreamUrgent, err)
	}
	if c := s.CachedInfo().Cluster; c != nil && c.Leader == "" {
		return fmt.Errorf("probe: look at stream %s: %w", StreamUrgent, errNoLeader)
	}
	if _, err := js.Publish(ctx, subjectProbe, nil, jetstream.WithExpectStream(streamProbe)); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	return nil
}
