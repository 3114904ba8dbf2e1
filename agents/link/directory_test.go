package link

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"waypost/agents/store"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// shelf answers for a directory as the broker does, counts what it is asked for, and can lack a key.
type shelf struct {
	mu    sync.Mutex
	dir   string
	lacks string
	asked map[string]int
}

func (s *shelf) answer(m *nats.Msg) {
	key := strings.TrimPrefix(m.Subject, directoryGet)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[key]++
	entry, err := os.ReadFile(filepath.Join(s.dir, key))
	if err != nil || key == s.lacks {
		_ = m.RespondMsg(&nats.Msg{Header: nats.Header{"Status": {"503"}}})
		return
	}
	_ = m.Respond(entry)
}

func (s *shelf) counts() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.asked
	s.asked = map[string]int{}
	return out
}

// TestDirectoryComesInParts: what came is not fetched again, neither when the rest did not come nor when the directory changes.
func TestDirectoryComesInParts(t *testing.T) {
	b := brokertest.Start(t)
	b.Join(t, "north-police", schemas.RolePolice)
	b.Join(t, "harbour-ngo", schemas.RoleNGO)
	plain, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	plain.Start()
	t.Cleanup(func() { plain.Shutdown(); plain.WaitForShutdown() })
	nc, err := nats.Connect(plain.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	s := &shelf{dir: filepath.Join(b.Authority.Dir(), "directory"), lacks: "agency.harbour-ngo", asked: map[string]int{}}
	if _, err := nc.Subscribe(directoryGet+">", s.answer); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(filepath.Join(t.TempDir(), "agent.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	d, err := NewDirectory(t.Context(), b.Authority.Root(), st, time.Now, slog.New(slog.DiscardHandler), func(string, string) {})
	if err != nil {
		t.Fatal(err)
	}
	d.nc = nc

	if came, err := d.Refresh(t.Context()); came || err == nil {
		t.Fatalf("without an entry: %t, %v", came, err)
	}
	first := s.counts()
	if len(first) < 3 || first["agency.north-police"] != 1 {
		t.Fatalf("asked for %v", first)
	}
	s.mu.Lock()
	s.lacks = ""
	s.mu.Unlock()
	if came, err := d.Refresh(t.Context()); !came || err != nil {
		t.Fatalf("whole: %t, %v", came, err)
	}
	if again := s.counts(); len(again) != 2 || again["agency.harbour-ngo"] != 1 || again[directory.HeadKey] != 1 {
		t.Errorf("the second time it asked for %v", again)
	}
	if d.part != nil {
		t.Error("what lies in the store is held in memory too")
	}

	b.Join(t, "valley-house", schemas.RoleSupportProvider)
	if came, err := d.Refresh(t.Context()); !came || err != nil {
		t.Fatalf("changed: %t, %v", came, err)
	}
	for key := range s.counts() {
		if first[key] > 0 && key != directory.HeadKey && key != "log" {
			t.Errorf("%s came before and was fetched again", key)
		}
	}
	if _, ok := d.View().Agency("valley-house"); !ok {
		t.Error("the new agency is not there")
	}
}
