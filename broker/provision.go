package broker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker/network"
	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/envelope"
)

// The streams of the design: one queue per lane, so that an urgent message never waits behind a routine one.
const (
	StreamUrgent  = "MAIL_URGENT"
	StreamRoutine = "MAIL_ROUTINE"
	StreamReceipt = "MAIL_RECEIPT"
	Bucket        = "DIRECTORY"
)

// headerRoom is what headers may add to an envelope: message id, batch and deduplication headers.
const headerRoom = 4 << 10

// Stream is the mail stream of a lane.
func Stream(l schemas.Lane) string {
	switch l {
	case schemas.LaneUrgent:
		return StreamUrgent
	case schemas.LaneRoutine:
		return StreamRoutine
	case schemas.LaneReceipt:
		return StreamReceipt
	}
	return ""
}

func streamConfig(l schemas.Lane, cfg *Config) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: Stream(l), Description: "envelopes of the " + string(l) + " lane",
		Subjects:  []string{"mail." + string(l) + ".*.*"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: cfg.replicas(),
		// New messages are refused when a bound is reached: the sender's outbox keeps them. Old ones are never dropped.
		Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
		MaxMsgsPerSubject: cfg.Quotas.PerPair, MaxBytes: int64(cfg.Quotas.StreamBytes), MaxMsgs: -1, MaxConsumers: -1,
		MaxMsgSize: envelope.MaxEnvelope + headerRoom,
		Duplicates: 2 * time.Minute, AllowAtomicPublish: true,
		Metadata: notary.StreamMetadata(),
		// AllowDirect stays off: a direct get would be a second way to read, past the consumers.
	}
}

func bucketConfig(cfg *Config) jetstream.KeyValueConfig {
	return jetstream.KeyValueConfig{
		Bucket: Bucket, Description: "the signed directory", History: 64, Storage: jetstream.FileStorage, Replicas: cfg.replicas(),
		MaxBytes: int64(cfg.Quotas.StreamBytes), MaxValueSize: directory.MaxHead + headerRoom,
		Metadata: notary.StreamMetadata(),
	}
}

// Agents is the priority group of an agency's consumers. Of the agents of a pair, the server hands mail to one at a time.
const Agents = "agents"

// pinned is how long the server keeps mail for an agent that asks for no more. Longer than an agent's request for urgent mail
// waits (three seconds, then it asks again), so that an idle agent stays the pinned one and its mail comes without a detour;
// short, because an agent that cannot say that it is another one's successor waits for so long.
const pinned = 4 * time.Second

// consumerConfig is one agency's queue in one mail stream.
func consumerConfig(l schemas.Lane, agency string, cfg *Config) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: agency, FilterSubject: "mail." + string(l) + "." + agency + ".*",
		MemoryStorage: positionsKept(cfg),
		DeliverPolicy: jetstream.DeliverAllPolicy, AckPolicy: jetstream.AckExplicitPolicy,
		AckWait: 10 * time.Second, MaxDeliver: -1, MaxAckPending: 1024, MaxWaiting: 64,
		PriorityPolicy: jetstream.PriorityPolicyPinned, PriorityGroups: []string{Agents}, PinnedTTL: pinned,
		Replicas: cfg.replicas(),
	}
}

// patienceFor is how long one request to JetStream is waited for. In a cluster that is electing, a request is lost without a word,
// and asked again it is answered; alone, an answer that is late comes from a slow disk.
func patienceFor(cfg *Config) time.Duration {
	if cfg.replicas() > 1 {
		return time.Second
	}
	return 5 * time.Second
}

// Provision makes the streams and the bucket, or brings them to what cfg says, and compares what the server then
// reports with what was asked for: a server may silently clear a setting that it cannot combine with another. It is
// safe to repeat. The connection needs JetStream rights in the network's account.
func Provision(ctx context.Context, nc *nats.Conn, cfg *Config) error {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patienceFor(cfg)))
	if err != nil {
		return fmt.Errorf("provision broker: %w", err)
	}
	if err := checkVersions(ctx, js); err != nil {
		return err
	}
	at, err := provisionStream(ctx, js, positionsConfig(cfg))
	if err != nil {
		return err
	}
	for _, l := range schemas.Lanes() {
		if at.State.LastSeq > 0 {
			if err := forgetPositions(ctx, js, Stream(l)); err != nil {
				return err
			}
		}
		if _, err := provisionStream(ctx, js, streamConfig(l, cfg)); err != nil {
			return err
		}
	}
	if err := notary.Provision(ctx, js, cfg.replicas(), int64(cfg.Quotas.LedgerBytes)); err != nil {
		return err
	}
	bucket := bucketConfig(cfg)
	if _, err := js.CreateOrUpdateKeyValue(ctx, bucket); err != nil {
		return fmt.Errorf("provision bucket %s: %w", Bucket, err)
	}
	s, err := js.Stream(ctx, streamDirectory)
	if err != nil {
		return fmt.Errorf("provision bucket %s: %w", Bucket, err)
	}
	got := s.CachedInfo().Config
	if !got.AllowDirect || got.MaxMsgsPerSubject != int64(bucket.History) || got.MaxMsgSize != bucket.MaxValueSize || got.Storage != bucket.Storage || got.MaxAge != 0 || got.Replicas != bucket.Replicas {
		return fmt.Errorf("provision bucket %s: %w", Bucket, errOtherwise)
	}
	_, err = provisionStream(ctx, js, probeConfig(cfg))
	return err
}

func provisionStream(ctx context.Context, js jetstream.JetStream, want jetstream.StreamConfig) (*jetstream.StreamInfo, error) {
	s, err := js.CreateOrUpdateStream(ctx, want)
	if err != nil {
		return nil, fmt.Errorf("provision stream %s: %w", want.Name, err)
	}
	return s.CachedInfo(), sameStream(want, s.CachedInfo().Config)
}

// checkVersions looks at all streams that are there before any of them is changed: an older program must not bring what a
// newer one made to what it knows.
func checkVersions(ctx context.Context, js jetstream.JetStream) error {
	for _, name := range append(streamNames(), streamProbe) {
		s, err := js.Stream(ctx, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return fmt.Errorf("open stream %s: %w", name, err)
		}
		err = notary.CheckVersion(name, s.CachedInfo().Config.Metadata)
		if errors.Is(err, notary.ErrNewer) {
			return &network.Hinted{Err: err, Advice: "run the newer waypost again; to go back, restore a backup that this version made into an empty folder (`waypost broker restore`)"}
		}
		if err != nil {
			return &network.Hinted{Err: err, Advice: "there is no way from it to this version: begin with an empty data folder"}
		}
	}
	return nil
}

// streamNames are the streams of a broker that hold something, in the order in which the ledger depends on them (see Backup).
func streamNames() []string {
	return []string{streamPositions, notary.StreamCheckpoints, notary.StreamLedger, StreamReceipt, StreamUrgent, StreamRoutine, streamDirectory}
}

// streamDirectory is the stream of the bucket.
const streamDirectory = "KV_" + Bucket

// errOtherwise: what the server has is not what was asked for. Asking again does not help.
var errOtherwise = errors.New("the server made it differently")

func sameStream(want, got jetstream.StreamConfig) error {
	for _, c := range []struct {
		field string
		same  bool
	}{
		{"subjects", len(got.Subjects) == 1 && got.Subjects[0] == want.Subjects[0]},
		{"retention", got.Retention == want.Retention},
		{"storage", got.Storage == want.Storage},
		{"discard", got.Discard == want.Discard && got.DiscardNewPerSubject == want.DiscardNewPerSubject},
		{"max_msgs_per_subject", got.MaxMsgsPerSubject == want.MaxMsgsPerSubject},
		{"max_bytes", got.MaxBytes == want.MaxBytes},
		{"max_msgs", got.MaxMsgs == want.MaxMsgs},
		{"max_age", got.MaxAge == 0},
		{"max_msg_size", got.MaxMsgSize == want.MaxMsgSize},
		{"duplicate_window", got.Duplicates == want.Duplicates},
		{"allow_atomic", got.AllowAtomicPublish == want.AllowAtomicPublish},
		{"allow_direct", !got.AllowDirect && !got.MirrorDirect},
		{"num_replicas", got.Replicas == want.Replicas},
		{"sources", got.Mirror == nil && len(got.Sources) == 0 && got.RePublish == nil && got.SubjectTransform == nil},
		{"no_ack", !got.NoAck && !got.Sealed},
	} {
		if !c.same {
			return fmt.Errorf("provision stream %s: %s: %w", want.Name, c.field, errOtherwise)
		}
	}
	return nil
}

// ensureConsumers makes an agency's consumers, or corrects them. Existing ones keep their position, new ones go on where the
// agency was.
func ensureConsumers(ctx context.Context, js jetstream.JetStream, at *positions, agency string, cfg *Config) error {
	for _, l := range schemas.Lanes() {
		want := consumerConfig(l, agency, cfg)
		c, err := js.CreateOrUpdateConsumer(ctx, Stream(l), want)
		if err != nil {
			c, err = at.moveStorage(ctx, Stream(l), want, err)
		}
		if err != nil {
			return fmt.Errorf("make consumer of %s in %s: %w", agency, Stream(l), err)
		}
		got := c.CachedInfo().Config
		if got.Durable != want.Durable || got.FilterSubject != want.FilterSubject || len(got.FilterSubjects) > 0 || got.AckPolicy != want.AckPolicy ||
			got.AckWait != want.AckWait || got.MaxDeliver != want.MaxDeliver || got.MaxAckPending != want.MaxAckPending || got.InactiveThreshold != 0 || got.DeliverPolicy != want.DeliverPolicy ||
			got.MemoryStorage != want.MemoryStorage || got.PriorityPolicy != want.PriorityPolicy || !slices.Equal(got.PriorityGroups, want.PriorityGroups) || got.PinnedTTL != want.PinnedTTL {
			return fmt.Errorf("make consumer of %s in %s: the server made it differently", agency, Stream(l))
		}
		if !want.MemoryStorage {
			continue
		}
		if err := at.resume(ctx, Stream(l), c.CachedInfo()); err != nil {
			return err
		}
	}
	return nil
}
