package notary

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"waypost/schemas/ledger"
)

// The ledger's streams.
const (
	StreamLedger      = "LEDGER"
	StreamCheckpoints = "CHECKPOINTS"
)

// Headers of a record.
const (
	HashesHeader    = "Waypost-Hashes"
	PositionsHeader = "Waypost-Positions"
)

// VersionKey names, in the metadata of every stream of a broker, the layout that it is written in; Version is the one that
// this program writes and reads. A program that does not know a layout must not touch what is in it.
const (
	VersionKey = "waypost-version"
	Version    = 2
)

// What CheckVersion finds.
var (
	ErrNewer = errors.New("the streams were written by a newer version of waypost")
	ErrOlder = errors.New("the streams were written by an unreleased version of waypost")
)

// StreamMetadata marks a stream as written in this program's layout.
func StreamMetadata() map[string]string { return map[string]string{VersionKey: strconv.Itoa(Version)} }

// CheckVersion refuses a stream of another layout than this program's; the error names both.
func CheckVersion(name string, metadata map[string]string) error {
	v, err := strconv.Atoi(metadata[VersionKey])
	switch {
	case err != nil:
		return fmt.Errorf("open stream %s: it has no version, this program writes %d: %w", name, Version, ErrOlder)
	case v > Version:
		return fmt.Errorf("open stream %s: version %d, this program knows %d: %w", name, v, Version, ErrNewer)
	case v < Version:
		return fmt.Errorf("open stream %s: version %d, this program writes %d: %w", name, v, Version, ErrOlder)
	}
	return nil
}

// headerRoom is what the headers of a record take: 63 hashes in base64, positions, and those of JetStream.
const headerRoom = 8 << 10

// checkpointsKept is how many checkpoints of the log, and cosignatures of each agency, the broker keeps. A newer one stands
// for the older ones: it covers all of their records.
const checkpointsKept = 10_000

func ledgerConfig(replicas int, maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: StreamLedger, Description: "one record for every stored message and every change of the directory",
		Subjects:  []string{"ledger.>"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		Discard: jetstream.DiscardNew, MaxBytes: maxBytes, MaxMsgs: -1, MaxConsumers: -1, MaxMsgsPerSubject: -1,
		MaxMsgSize: ledger.MaxRecord + headerRoom,
		DenyDelete: true, DenyPurge: true, AllowDirect: true, AllowAtomicPublish: true,
		Metadata:   StreamMetadata(),
		Duplicates: time.Second, // nothing here relies on it: the expected last sequence decides
	}
}

func checkpointsConfig(replicas int, maxBytes int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: StreamCheckpoints, Description: "signed states of the ledger, and agencies' cosignatures",
		Subjects:  []string{"checkpoint.log", "checkpoint.witness.*"},
		Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		Discard: jetstream.DiscardOld, MaxBytes: min(1<<30, max(maxBytes/8, 8<<20)), MaxMsgs: -1, MaxConsumers: -1, MaxMsgsPerSubject: checkpointsKept,
		MaxMsgSize: ledger.MaxCheckpoint + headerRoom,
		DenyDelete: true, DenyPurge: true, AllowDirect: true, Duplicates: time.Second,
		Metadata: StreamMetadata(),
	}
}

// ErrOtherwise: a stream of the ledger is not as it must be.
var ErrOtherwise = errors.New("the server has it otherwise")

// Provision makes the ledger's streams if they are not there, and refuses to run on ones that are not as they must be: a
// ledger that can be purged is none. It changes nothing on streams that exist; it has no right to.
func Provision(ctx context.Context, js jetstream.JetStream, replicas int, maxBytes int64) error {
	for _, want := range []jetstream.StreamConfig{ledgerConfig(replicas, maxBytes), checkpointsConfig(replicas, maxBytes)} {
		s, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			s, err = js.CreateStream(ctx, want)
		}
		if err != nil {
			return fmt.Errorf("provision stream %s: %w", want.Name, err)
		}
		got := s.CachedInfo().Config
		if err := CheckVersion(want.Name, got.Metadata); err != nil {
			return err
		}
		switch {
		case !got.DenyDelete || !got.DenyPurge:
			err = errors.New("messages can be deleted from it")
		case got.MaxAge != 0 || got.AllowMsgTTL || got.AllowMsgSchedules || got.SubjectDeleteMarkerTTL != 0 || got.AllowRollup:
			err = errors.New("messages in it can expire or be replaced")
		case got.Discard != want.Discard || got.MaxMsgs != -1 || got.MaxMsgsPerSubject != want.MaxMsgsPerSubject || got.Retention != want.Retention:
			err = errors.New("its limits are not the ones asked for")
		case got.Storage != want.Storage || got.Replicas != want.Replicas:
			err = errors.New("it is stored in another way than asked for")
		case !got.AllowDirect || got.AllowAtomicPublish != want.AllowAtomicPublish || got.MaxMsgSize != want.MaxMsgSize:
			err = errors.New("it was made by another version")
		case got.Mirror != nil || len(got.Sources) > 0 || got.SubjectTransform != nil || got.RePublish != nil || got.Sealed || got.NoAck:
			err = errors.New("it is fed or fixed in another way")
		}
		if err != nil {
			return fmt.Errorf("provision stream %s: %w: %w", want.Name, ErrOtherwise, err)
		}
	}
	return nil
}
