package notary_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"waypost/broker/notary"
	"waypost/schemas"
	"waypost/schemas/directory"
	"waypost/schemas/ledger"
)

// said hands over each line of a log.
type said chan string

func (s said) Write(p []byte) (int, error) {
	select {
	case s <- string(p):
	default: // nobody listens
	}
	return len(p), nil
}

// TestOlderNotaryWaits: a notary that finds that a newer program has made the ledger its own appends nothing, and goes on
// when the ledger is of its version again.
func TestOlderNotaryWaits(t *testing.T) {
	k, police, ngo := newKeeper(t)
	js := k.b.JetStream(t)
	mark := func(version string) {
		t.Helper()
		s, err := js.Stream(t.Context(), notary.StreamLedger)
		if err != nil {
			t.Fatal(err)
		}
		cfg := s.CachedInfo().Config
		cfg.Metadata[notary.VersionKey] = version
		if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
	}
	mark(fmt.Sprint(notary.Version + 1))
	police.send(t, k.b, ngo.ID(), schemas.LaneUrgent, nil)
	log := make(said, 100)
	n, err := notary.New(notary.Config{Conn: k.b.Admin, Root: k.b.Authority.Root(), Log: k.key.Log, View: func() *directory.View { return k.view },
		Interval: 20 * time.Millisecond, Receipt: k.rcpt, MaxAge: k.age, Now: k.now, Logger: slog.New(slog.NewTextHandler(log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("run notary: %v", err)
		}
	}()
	for tries := 0; tries < 2; {
		select {
		case line := <-log:
			if strings.Contains(line, fmt.Sprintf("open stream LEDGER: version %d, this program knows %d", notary.Version+1, notary.Version)) {
				tries++
			}
		case <-time.After(wait):
			t.Fatal("does not say that the ledger is a newer program's")
		}
	}
	s, err := js.Stream(t.Context(), notary.StreamLedger)
	if err != nil || s.CachedInfo().State.LastSeq != 0 {
		t.Fatalf("%d records in a ledger that it does not know (%v)", s.CachedInfo().State.LastSeq, err)
	}
	mark(fmt.Sprint(notary.Version))
	if sum, found := whole(t, k.b, 1); len(found) > 0 || sum.Kinds[ledger.KindMail] != 1 {
		t.Errorf("%v, found %v", sum.Kinds, found)
	}
}
