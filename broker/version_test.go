package broker_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/notary"
)

// everything is the configuration of every stream, with how much is in it.
func everything(t *testing.T, js jetstream.JetStream) map[string]jetstream.StreamConfig {
	t.Helper()
	out := map[string]jetstream.StreamConfig{}
	list := js.ListStreams(t.Context())
	for info := range list.Info() {
		out[info.Config.Name] = info.Config
	}
	if err := list.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// mark writes another version into a stream, as another release would.
func mark(t *testing.T, js jetstream.JetStream, stream, version string) {
	t.Helper()
	s, err := js.Stream(t.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Metadata[notary.VersionKey] = version
	if version == "" {
		delete(cfg.Metadata, notary.VersionKey)
	}
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
}

// TestOtherVersionsAreRefused: whichever of the streams another release wrote, this one says so, says what to do, and changes
// none of them, not even those of its own version that come first.
func TestOtherVersionsAreRefused(t *testing.T) {
	b := brokertest.Start(t)
	js := b.JetStream(t)
	known, next := strconv.Itoa(notary.Version), strconv.Itoa(notary.Version+1)
	cfg := broker.DefaultConfig() // other bounds than those the streams were made with: there is something to change
	for _, tc := range []struct {
		stream, version, says, advice string
		is                            error
	}{
		{notary.StreamLedger, next, "open stream LEDGER: version " + next + ", this program knows " + known, "run the newer waypost again", notary.ErrNewer},
		{broker.StreamUrgent, "10", "open stream MAIL_URGENT: version 10, this program knows " + known, "run the newer waypost again", notary.ErrNewer},
		{"KV_" + broker.Bucket, next, "open stream KV_DIRECTORY: version " + next + ", this program knows " + known, "run the newer waypost again", notary.ErrNewer},
		{notary.StreamCheckpoints, "", "open stream CHECKPOINTS: it has no version", "no way from it", notary.ErrOlder},
		{broker.StreamReceipt, "0", "open stream MAIL_RECEIPT: version 0, this program writes " + known, "no way from it", notary.ErrOlder},
	} {
		mark(t, js, tc.stream, tc.version)
		before := everything(t, js)
		err := broker.Provision(t.Context(), b.Admin, &cfg)
		var hinted interface{ Hint() string }
		if !errors.Is(err, tc.is) || !strings.Contains(err.Error(), tc.says) || !errors.As(err, &hinted) || !strings.Contains(hinted.Hint(), tc.advice) {
			t.Errorf("%s of version %q: %v", tc.stream, tc.version, err)
		}
		if diff := cmp.Diff(before, everything(t, js)); diff != "" {
			t.Errorf("%s of version %q was refused, and something was changed:\n%s", tc.stream, tc.version, diff)
		}
		mark(t, js, tc.stream, known)
	}
	if err := broker.Provision(t.Context(), b.Admin, &cfg); err != nil {
		t.Errorf("of this version again: %v", err)
	}
}

// TestOlderBrokerStops: an older program on the data folder of a newer one ends with that error, in a moment, and the newer
// one goes on from it.
func TestOlderBrokerStops(t *testing.T) {
	b := brokertest.Start(t)
	if _, err := b.JetStream(t).Publish(t.Context(), "mail.urgent.harbour-ngo.northshire-police", []byte("sealed")); err != nil {
		t.Fatal(err)
	}
	next := strconv.Itoa(notary.Version + 1)
	mark(t, b.JetStream(t), broker.StreamUrgent, next)
	b.Stop(t)
	cfg := broker.DefaultConfig()
	cfg.Listen, cfg.Data, cfg.Bundle = "127.0.0.1:0", b.Data(), b.Authority.BrokerBundle()
	cfg.Quotas.StreamBytes, cfg.Quotas.LedgerBytes, cfg.Quotas.Disk = 256<<20, 256<<20, 2<<30
	for range 2 { // what it did not do the first time it does not do the second
		run, err := broker.New(&cfg, broker.WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		err = run.Run(ctx)
		cancel()
		if !errors.Is(err, notary.ErrNewer) || !strings.Contains(err.Error(), "open stream MAIL_URGENT: version "+next) {
			t.Fatalf("ran on the streams of a newer program: %v", err)
		}
	}
}
