//go:build unix

package agents_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"waypost/agents"
	"waypost/agents/store"
	"waypost/agents/store/postgrestest"
	"waypost/agents/vault"
	"waypost/broker/brokertest"
	"waypost/schemas/health/healthtest"
	"waypost/schemas/ledger"
)

// twins makes two agents of one agency on one PostgreSQL store, which share the folder of their sink.
func twins(t testing.TB, b *brokertest.Broker, server *postgrestest.Server, id string) [2]*member {
	t.Helper()
	first := enrolled(t, b, id, "ngo", fmt.Sprintf("sinks:\n  - name: folder\n    folder: {dir: %q}\nroutes:\n  - sinks: [folder]\n", filepath.Join(t.TempDir(), "intake"))).watched(t)
	if everywherePostgres == nil {
		first.onPostgres(t, server)
		cfg, err := agents.LoadConfig(first.config)
		if err != nil {
			t.Fatal(err)
		}
		var twice *agents.ConfigError
		if _, err := agents.OpenStore(cfg); !errors.As(err, &twice) || twice.File != "store.postgres" {
			t.Errorf("PostgreSQL beside a file that holds the agency's numbers: %v", err)
		}
		if err := os.RemoveAll(filepath.Join(first.dir, "data")); err != nil {
			t.Fatal(err)
		}
		st := first.openStore(t)
		defer st.Close()
		if err := st.Update(t.Context(), func(tx *store.Tx) error {
			return tx.AddToken("test", first.token, []string{"send", "respond", "read", "admin"}, time.Now())
		}); err != nil {
			t.Fatal(err)
		}
	}
	second := &member{id: id, dir: filepath.Join(t.TempDir(), id), clock: &clock{}, log: &logBuffer{}, token: first.token}
	if err := os.CopyFS(second.dir, os.DirFS(first.dir)); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"keys", "postgres.url"} { // CopyFS does not keep modes
		err := filepath.Walk(filepath.Join(second.dir, secret), func(path string, info os.FileInfo, err error) error {
			if err == nil && info.IsDir() {
				return os.Chmod(path, 0o700)
			}
			return os.Chmod(path, 0o600)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.RemoveAll(filepath.Join(second.dir, "data")); err != nil {
		t.Fatal(err)
	}
	second.config = filepath.Join(second.dir, "agent.yaml")
	return [2]*member{first, second}
}

func (m *member) standsBy(t testing.TB) bool {
	var st struct {
		Standby bool `json:"standby"`
	}
	code, _ := m.call(t, "GET", "/v1/status", nil, &st)
	return code == http.StatusOK && st.Standby
}

// active returns which of two works once exactly one says so, and the other one.
func active(t testing.TB, two [2]*member) (works, waits *member) {
	t.Helper()
	eventually(t, "one of the two works, the other stands by", func() bool {
		for i := range two {
			var st struct {
				Standby   bool   `json:"standby"`
				Connected bool   `json:"connected"`
				Version   uint64 `json:"directory_version"`
			}
			if code, _ := two[i].call(t, "GET", "/v1/status", nil, &st); code == http.StatusOK && !st.Standby && st.Connected && st.Version > 0 && two[1-i].standsBy(t) {
				works, waits = two[i], two[1-i]
				return true
			}
		}
		return false
	})
	return works, waits
}

// taken reads what is in the folder that the twins share.
func (m *member) taken(t testing.TB) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(m.config)
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), `folder: {dir: "`)
	dir, _, _ := strings.Cut(rest, `"`)
	out := map[string]bool{}
	entries, err := os.ReadDir(dir)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for _, e := range entries {
		if id, ok := strings.CutSuffix(e.Name(), ".json"); ok {
			out[id] = true
		}
	}
	return out
}

// watchedPair: whoever watches sees which one works, and is not told that the other should reach the broker.
func watchedPair(t *testing.T, works, waits *member) {
	t.Helper()
	for m, want := range map[*member]struct {
		status int
		code   string
		active float64
	}{works: {http.StatusOK, agents.ReadyCode, 1}, waits: {http.StatusServiceUnavailable, agents.CodeStandby, 0}} {
		m.clock.move(3 * time.Minute)
		if status, st := healthtest.State(t, m.health); status != want.status || st.Code != want.code || len(st.Attention) > 0 {
			t.Errorf("%d %+v, want %s", status, st, want.code)
		}
		page := healthtest.Metrics(t, m.health, "")
		for sample, value := range map[string]float64{"waypost_agent_active": want.active, "waypost_agent_connected": want.active, "waypost_agent_paired": 1, "waypost_agent_store_read": 1,
			`waypost_agent_received_messages_total{lane="urgent"}`: 1} {
			if got := page.Value(t, sample); got != value {
				t.Errorf("%s is %v at the one that is %s", sample, got, want.code)
			}
		}
		var status struct{ Attention []struct{ Code string } }
		m.call(t, "GET", "/v1/status", nil, &status)
		for _, c := range status.Attention {
			if c.Code == agents.AttentionBroker {
				t.Errorf("a person is told to look at the broker by the one that is %s", want.code)
			}
		}
		m.clock.move(-3 * time.Minute)
	}
}

// TestPair: of two agents on one store one works; the other answers reads and refuses the rest; it takes over when the
// first one ends, and back; a PostgreSQL that is restarted is found again.
func TestPair(t *testing.T) {
	server := postgrestest.Start(t)
	b := brokertest.Start(t)
	p := enrolled(t, b, police, "police", "")
	two := twins(t, b, server, ngo)
	agreeAll(t, b, police, ngo)
	p.start(t)
	p.ready(t)
	for _, m := range two {
		m.start(t)
	}
	works, waits := active(t, two)
	first := p.mustSubmit(t, ngo, nil)
	p.waitState(t, first.ID, "delivered")
	watchedPair(t, works, waits)

	var seen item
	if code, _ := waits.call(t, "GET", "/v1/inbox/"+first.ID, nil, &seen); code != http.StatusOK || seen.ID != first.ID {
		t.Errorf("the one that stands by does not show what came: %d", code)
	}
	answer := []byte(`{"outcome":"accepted","contact":{"name":"Test Worker","role":"intake","phone":"+441632960001"}}`)
	request, err := http.NewRequest("POST", waits.url+"/v1/inbox/"+first.ID+"/responses", strings.NewReader(string(answer)))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+waits.token)
	request.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	var refusal problem
	if err := json.Unmarshal(text, &refusal); err != nil || resp.StatusCode != http.StatusServiceUnavailable || refusal.Code != "standby" || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a write to the one that stands by: %d %s %q", resp.StatusCode, refusal.Code, resp.Header.Get("Retry-After"))
	}

	works.halt(t)
	eventually(t, "the other takes over", func() bool { return !waits.standsBy(t) })
	second := p.mustSubmit(t, ngo, nil)
	p.waitState(t, second.ID, "delivered")
	works.start(t)
	waits, works = active(t, [2]*member{waits, works})
	if works == waits {
		t.Fatal("two work")
	}

	server.Stop()
	third := p.mustSubmit(t, ngo, nil)
	if everywherePostgres == nil {
		p.waitState(t, third.ID, "published")
	}
	if err := server.Run(); err != nil {
		t.Fatal(err)
	}
	active(t, two)
	p.waitState(t, third.ID, "delivered")
	for _, m := range two {
		for _, a := range []accepted{first, second, third} {
			if !m.taken(t)[a.ID] {
				t.Errorf("message %s is not in the folder", a.ID)
			}
		}
	}
	if n := len(two[0].taken(t)); n != 3 {
		t.Errorf("%d files for 3 messages", n)
	}
}

// TestPairLeadsAgain: the agent that led loses the lead, and leads again in the same process. What it knew of its first term's
// connection says nothing about the second's: the broker was restored in between, and what it lost goes before what is new.
func TestPairLeadsAgain(t *testing.T) {
	fileOnly(t) // the other agency's: the lead is taken away with a broad brush
	server := postgrestest.Start(t)
	b := brokertest.Start(t)
	p := enrolled(t, b, police, "police", "")
	two := twins(t, b, server, ngo)
	agreeAll(t, b, police, ngo)
	agreeAll(t, b, ngo, police)
	m := two[0]
	for _, m := range []*member{p, m} {
		m.startWatchful(t)
	}
	toPolice := func(edit map[string]any) {
		edit["consent"].(map[string]any)["recipients"].(map[string]any)["agencies"] = []string{police}
	}
	exchange := func() (there, back string) {
		there, back = m.mustSubmit(t, police, toPolice).ID, p.mustSubmit(t, ngo, nil).ID
		m.waitState(t, there, "delivered")
		p.waitState(t, back, "delivered")
		return there, back
	}
	exchange()
	m.caughtUp(t)
	dir := b.Backup(t)
	exchange() // what the broker loses
	lost := max(p.caughtUp(t), m.caughtUp(t))
	b.Stop(t)
	b.Wipe(t)
	after := m.mustSubmit(t, police, toPolice)

	// Somebody else takes the lead: a tool, which does nothing with it.
	tool := m.openStore(t)
	defer tool.Close()
	var lead *store.Lead
	eventually(t, "the lead is another's", func() (taken bool) {
		server.Exec(t, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'`)
		short, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		var err error
		lead, err = tool.TakeLead(short)
		return err == nil
	})
	eventually(t, "it stands by", func() bool { return m.standsBy(t) })
	ready := b.AwaitRestore(t)
	restored, err := b.Restore(t, dir)
	if err != nil {
		t.Fatal(err)
	}
	ready()
	b.Publish(t)
	if _, err := b.Authority.RecordRestored(t.Context(), b.URL(), int64(restored.Records), lost, restored.Root); err != nil {
		t.Fatal(err)
	}
	lead.Release()
	m.ready(t)
	m.waitState(t, after.ID, "delivered")
	// Everything that an agent does, it does again.
	there, back := exchange()
	if !m.taken(t)[back] || !p.files(t)[there] {
		t.Error("what was sent in the second term is with nobody")
	}
	m.caughtUp(t)
	if got := strings.Count(m.log.String(), "agent active"); got != 2 {
		t.Errorf("active %d times in one process, want 2", got)
	}
	// The numbers stand in the ledger in their order: what is new did not leave before what was lost.
	_, found := verified(t, b, 12)
	broken(t, found, ledger.FindRepeat, ledger.FindRestored)
}

// TestPairKilledAnywhere: two agents as processes on one store, traffic both ways, and the active one is killed at a commit
// of its choosing, or stopped for longer than its lease and let go on. Nothing is lost, nothing doubled, numbers have no hole.
func TestPairKilledAnywhere(t *testing.T) {
	server := postgrestest.Start(t)
	b := brokertest.Start(t)
	n := *seed
	if n == 0 {
		n = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d (repeat with -seed %d)", n, n)
	random := rand.New(rand.NewPCG(n, 0))
	p := enrolled(t, b, police, "police", "")
	two := twins(t, b, server, ngo)
	agreeAll(t, b, police, ngo)
	agreeAll(t, b, ngo, police)
	p.start(t)
	p.ready(t)
	var procs [2]*process
	for i, m := range two {
		logFile, err := os.Create(filepath.Join(m.dir, "log"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { logFile.Close() })
		procs[i] = &process{m: m, t: t, log: logFile}
		procs[i].start("")
		m.url = procs[i].url
		t.Cleanup(procs[i].kill)
	}
	active(t, two)

	const rounds, each = 3, 4
	end := time.Now().Add(*soak)
	var to, from []string // accepted by police for the pair, and by the pair for police
	var mu sync.Mutex
	round := 0
	for ; round < rounds || time.Now().Before(end); round++ {
		works, _ := active(t, two)
		i := 0
		if works == two[1] {
			i = 1
		}
		stop := round%3 == 2
		t.Logf("round %d: %s", round, []string{"killed", "dies at a commit", "stopped"}[round%3])
		if !stop && round%3 == 1 {
			// It dies by itself, just before or after one of its next commits.
			procs[i].kill()
			procs[i].start(fmt.Sprintf("%s:%d", []string{"before", "after"}[random.IntN(2)], 1+random.IntN(12)))
			two[i].url = procs[i].url
			procs[1-i].kill()
			eventually(t, "the one that is to die works", func() bool {
				return !two[i].standsBy(t) || procs[i].cmd.ProcessState != nil
			})
			procs[1-i].start("")
			two[1-i].url = procs[1-i].url
		}
		var wg sync.WaitGroup
		for k := range each {
			wg.Add(2)
			key, body := fmt.Sprintf("key-%d-%d", round, k), submission(t, police, func(doc map[string]any) {
				doc["consent"].(map[string]any)["recipients"].(map[string]any)["agencies"] = []string{police}
			})
			go func() {
				defer wg.Done()
				a := p.mustSubmit(t, ngo, nil)
				mu.Lock()
				to = append(to, a.ID)
				mu.Unlock()
			}()
			go func() {
				defer wg.Done()
				// As a system does: to one agent, else to the other, with one key, until one says 202.
				deadline := time.Now().Add(2 * time.Minute)
				for try := 0; time.Now().Before(deadline); try++ {
					if id := submitWithin(two[try%2], body, key, 3*time.Second); id != "" {
						mu.Lock()
						from = append(from, id)
						mu.Unlock()
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
				t.Error("neither takes a message")
			}()
		}
		if stop {
			_ = procs[i].cmd.Process.Signal(syscall.SIGSTOP)
			stopped := time.Now()
			eventually(t, "the other takes over from one that is stopped", func() bool { return !two[1-i].standsBy(t) })
			t.Logf("the other took over after %s", time.Since(stopped).Round(100*time.Millisecond))
		} else {
			time.Sleep(time.Duration(random.IntN(300)) * time.Millisecond)
			procs[i].kill()
		}
		wg.Wait()
		if stop {
			_ = procs[i].cmd.Process.Signal(syscall.SIGCONT)
			eventually(t, "the one that was stopped stands by", func() bool { return two[i].standsBy(t) })
		} else {
			procs[i].start("")
			two[i].url = procs[i].url
		}
	}
	active(t, two)
	for _, id := range to {
		p.waitState(t, id, "delivered")
	}
	for _, id := range from {
		two[0].waitState(t, id, "delivered")
	}
	got := two[0].taken(t)
	for _, id := range to {
		if !got[id] {
			t.Errorf("message %s to the pair is not in its folder", id)
		}
	}
	if came := accepts(t, two[0], from); came != len(to) {
		t.Errorf("the pair accepted %d messages, %d were sent", came, len(to))
	}
	if came := accepts(t, p, to); came != len(from) {
		t.Errorf("%d messages of the pair were accepted, it was given %d", came, len(from))
	}
	back := p.files(t)
	for _, id := range from {
		if !back[id] {
			t.Errorf("message %s of the pair did not arrive", id)
		}
	}
	for _, m := range []*member{p, two[0]} {
		var st struct {
			Gaps []any `json:"gaps"`
		}
		if code, _ := m.call(t, "GET", "/v1/status", nil, &st); code != http.StatusOK || len(st.Gaps) != 0 {
			t.Errorf("%s: %d, gaps %v", m.id, code, st.Gaps)
		}
	}
	t.Logf("%d rounds, %d messages to the pair, %d from it", round, len(to), len(from))
}

// submitWithin returns the id of an accepted message, "" when nobody said in time that it was accepted: a stopped process
// takes connections and says nothing.
func submitWithin(m *member, body []byte, key string, patience time.Duration) string {
	request, err := http.NewRequest("POST", m.url+"/v1/referrals", bytes.NewReader(body))
	if err != nil {
		return ""
	}
	request.Header.Set("Authorization", "Bearer "+m.token)
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Idempotency-Key", key)
	resp, err := (&http.Client{Timeout: patience}).Do(request)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	var a accepted
	if resp.StatusCode != http.StatusAccepted || json.NewDecoder(resp.Body).Decode(&a) != nil {
		return ""
	}
	return a.ID
}

// accepts counts the messages that an agency accepted, and sees that each of those that it sent has one receipt.
func accepts(t testing.TB, m *member, sent []string) int {
	t.Helper()
	st := m.openStore(t)
	defer st.Close()
	for _, id := range sent {
		if receipts, err := st.Receipts(t.Context(), id); err != nil || len(receipts) != 1 {
			t.Errorf("message %s of %s has %d receipts (%v)", id, m.id, len(receipts), err)
		}
	}
	came := 0
	for page := (store.Page{Limit: 500}); ; {
		rows, err := st.ListIncoming(t.Context(), m.id, false, page)
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) == 0 {
			return came
		}
		came, page.Before = came+len(rows), rows[len(rows)-1].N
	}
}

// BenchmarkTakeover is the time from SIGKILL of the agent that works to the receipt of an urgent referral sent at that
// moment: of a pair, where the other takes over, and of an agent alone that is started again at once.
func BenchmarkTakeover(b *testing.B) {
	run := func(b *testing.B, pair bool) {
		broker := brokertest.Start(b)
		p := enrolled(b, broker, police, "police", "")
		var members []*member
		if pair {
			two := twins(b, broker, postgrestest.Start(b), ngo)
			members = two[:]
		} else {
			members = []*member{enrolled(b, broker, ngo, "ngo", "")}
		}
		agreeAll(b, broker, police, ngo)
		p.start(b)
		p.ready(b)
		procs := map[*member]*process{}
		for _, m := range members {
			procs[m] = &process{m: m, t: b}
			procs[m].start("")
			m.url = procs[m].url
			b.Cleanup(procs[m].kill)
		}
		for b.Loop() {
			b.StopTimer()
			works := members[0]
			if pair {
				works, _ = active(b, [2]*member{members[0], members[1]})
			}
			p.waitState(b, p.mustSubmit(b, ngo, nil).ID, "delivered") // it is pinned
			b.StartTimer()
			procs[works].kill()
			id := p.mustSubmit(b, ngo, nil).ID
			procs[works].start("")
			works.url = procs[works].url
			p.waitState(b, id, "delivered")
		}
	}
	b.Run("pair", func(b *testing.B) { run(b, true) })
	b.Run("alone", func(b *testing.B) { run(b, false) })
}

// TestEmptyDatabaseIsRefused: an agent that has a store in PostgreSQL does not begin anew in an empty database, which is the wrong
// one, and a backup of what is not there is not called complete.
func TestEmptyDatabaseIsRefused(t *testing.T) {
	fileOnly(t)
	server := postgrestest.Start(t)
	p := lone(t)
	p.onPostgres(t, server)
	if err := os.RemoveAll(filepath.Join(p.dir, "data")); err != nil {
		t.Fatal(err)
	}
	cfg, err := agents.LoadConfig(p.config)
	if err != nil {
		t.Fatal(err)
	}
	refused := func(what string, err error) {
		t.Helper()
		var c *agents.ConfigError
		if !errors.As(err, &c) || c.File != "store.postgres.url_file" || c.Advice == "" {
			t.Errorf("%s: %v", what, err)
		}
	}
	out := filepath.Join(t.TempDir(), "agent.backup")
	_, err = agents.MakeBackup(t.Context(), cfg, out, vault.BackupTo{Passphrase: []byte(backupPass)}, p.clock.now)
	refused("a backup of an agent that never ran", err)
	if _, err := os.Stat(out); err == nil {
		t.Error("left a backup of nothing")
	}
	st, err := agents.OpenStore(cfg)
	if err != nil {
		t.Fatalf("the first time: %v", err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	other, _ := server.Schema(t)
	write(t, cfg.Store.Postgres.URLFile, other)
	_, err = agents.OpenStore(cfg)
	refused("another database, which is empty", err)
}
