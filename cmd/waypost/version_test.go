package main

import (
	"bytes"
	"crypto/sha256"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"waypost/agents"
	"waypost/agents/store"
	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/broker/notary"
)

// TestNewerData: an older program that is given what a newer one wrote ends, says which versions met and what to do, and
// leaves everything as it was.
func TestNewerData(t *testing.T) {
	b := brokertest.Start(t)
	config := enrolledAgent(t, b)
	file := filepath.Join(filepath.Dir(config), "data", agents.StoreFile)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", "file:"+file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(fmt.Sprintf("PRAGMA user_version = %d", store.Version+1)); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	refused := func(says, advice string, args ...string) {
		t.Helper()
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, strings.NewReader(""), &stdout, &stderr, nil); code != exitFailure {
			t.Errorf("%v: status %d", args, code)
		}
		if lines := strings.Split(stderr.String(), "\n"); !strings.Contains(stderr.String(), "waypost: "+says+"\n") || !strings.HasPrefix(lines[len(lines)-2], "hint: "+advice) {
			t.Errorf("%v says:\n%s", args, &stderr)
		}
	}
	digest := func() [32]byte {
		t.Helper()
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(text)
	}
	before := digest()
	sentence := fmt.Sprintf("open store: version %d, this program knows %d: store was written by a newer version of waypost", store.Version+1, store.Version)
	refused(sentence, "run the newer waypost again", "agent", "run", "--config", config)
	refused(sentence, "run the newer waypost again", "agent", "token", "add", "test", "--scope", "read", "--config", config)
	if digest() != before {
		t.Error("the agent's store was changed")
	}

	js := b.JetStream(t)
	s, err := js.Stream(t.Context(), broker.StreamUrgent)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Metadata[notary.VersionKey] = fmt.Sprint(notary.Version + 1)
	if _, err := js.UpdateStream(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	b.Stop(t)
	settings := filepath.Join(t.TempDir(), "broker.yaml")
	if err := os.WriteFile(settings, fmt.Appendf(nil, "listen: 127.0.0.1:0\ndata: %s\nbundle: %s\n", b.Data(), b.Authority.BrokerBundle()), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(fmt.Sprintf("open stream MAIL_URGENT: version %d, this program knows %d: the streams were written by a newer version of waypost", notary.Version+1, notary.Version),
		"run the newer waypost again", "broker", "run", "--config", settings)
}
