package agents_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/health/healthtest"
)

// pair starts the police and the NGO on a broker; the police's way there may lead over a proxy.
func pair(t *testing.T, b *brokertest.Broker, ngoSinks string) (p, n *member) {
	t.Helper()
	p, n = enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", ngoSinks)
	if proxy := b.Proxy(); proxy != nil {
		text, err := os.ReadFile(p.config)
		if err != nil {
			t.Fatal(err)
		}
		write(t, p.config, strings.Replace(string(text), b.URL(), proxy.URL(), 1))
	}
	agreeAll(t, b, police, ngo)
	p.start(t)
	n.start(t)
	return p.ready(t), n.ready(t)
}

func referrals(t *testing.T, m *member) int {
	t.Helper()
	var page struct{ Items []item }
	m.call(t, "GET", "/v1/inbox?limit=500", nil, &page)
	return len(page.Items)
}

// TestStoredButAckLost loses the broker's word that a message is stored: the agent publishes again, and the recipient has
// it once.
func TestStoredButAckLost(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.WithProxy())
	p, n := pair(t, b, "")
	for _, count := range []int{1, 20} { // a plain publish, and an atomic batch
		before := referrals(t, n)
		stored := b.Stored(t, schemas.LaneUrgent, "mail.urgent."+ngo+"."+police)
		b.Proxy().DropReplies()
		var ids []string
		for range count {
			ids = append(ids, p.mustSubmit(t, ngo, nil).ID)
		}
		eventually(t, "stored at the broker", func() bool {
			return b.Stored(t, schemas.LaneUrgent, "mail.urgent."+ngo+"."+police) > stored
		})
		b.Proxy().Cut()
		b.Proxy().Pass()
		for _, id := range ids {
			p.waitState(t, id, "delivered")
		}
		if got := referrals(t, n) - before; got != count {
			t.Errorf("%d referrals arrived, want %d", got, count)
		}
	}
}

// TestQuotaHoldsAndSays: what the broker does not take now waits in the outbox, and the outbox says why; other agencies'
// mail goes on.
func TestQuotaHoldsAndSays(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) { c.Quotas.PerPair = 3 }))
	p := enrolled(t, b, police, "police", "").watched(t)
	enrolled(t, b, ngo, "ngo", "")
	h := enrolled(t, b, housing, "support-provider", "")
	agreeAll(t, b, police, ngo)
	agreeAll(t, b, police, housing)
	p.start(t)
	h.start(t)
	p.ready(t)
	h.ready(t)
	var ids []string
	for range 5 {
		ids = append(ids, p.mustSubmit(t, ngo, nil).ID)
	}
	eventually(t, "the outbox says why", func() bool { return p.out(t, ids[4]).Hold == "quota" })
	if n := healthtest.Metrics(t, p.health, "").Value(t, `waypost_agent_outbox_held_messages{code="quota"}`); n != 2 {
		t.Errorf("%v are held for whoever watches, want 2", n)
	}
	other := p.mustSubmit(t, housing, nil)
	p.waitState(t, other.ID, "delivered")
	if st := p.out(t, ids[4]).State; st != "pending" {
		t.Errorf("state %s over the quota", st)
	}
}

// hook is a webhook whose answers a test chooses.
type hook struct {
	mu     sync.Mutex
	status int
	calls  int
	ids    map[string]int
	server *httptest.Server
}

func newHook(t *testing.T) (*hook, string) {
	t.Helper()
	h := &hook{status: http.StatusServiceUnavailable, ids: map[string]int{}}
	h.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.calls++
		if h.status < 300 {
			h.ids[r.Header.Get("webhook-id")]++
		}
		w.WriteHeader(h.status)
	}))
	t.Cleanup(h.server.Close)
	secret := filepath.Join(t.TempDir(), "hook.secret")
	write(t, secret, "whsec_"+base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("k"), 32)))
	return h, "sinks:\n  - name: hook\n    webhook: {url: " + h.server.URL + ", secret_files: [" + secret + "]}\n" +
		"  - name: folder\n    required: false\n    folder: {dir: systems/intake}\n" +
		"routes:\n  - when: 'event == \"waypost.message.received\"'\n    sinks: [hook]\n  - sinks: [folder]\n"
}

func (h *hook) set(status int) { h.mu.Lock(); defer h.mu.Unlock(); h.status = status }

func (h *hook) taken(id string) int { h.mu.Lock(); defer h.mu.Unlock(); return h.ids[id] }

func (h *hook) called() int { h.mu.Lock(); defer h.mu.Unlock(); return h.calls }

// TestSinkDownForAnHour: no receipt while the required system is away, and none is lost.
func TestSinkDownForAnHour(t *testing.T) {
	t.Parallel()
	h, sinks := newHook(t)
	b := brokertest.Start(t)
	p, n := pair(t, b, sinks)
	a := p.mustSubmit(t, ngo, nil)
	eventually(t, "the optional sink has it", func() bool { return n.files(t)[a.ID] })
	eventually(t, "the webhook was tried", func() bool { return h.called() > 0 })
	if st := p.out(t, a.ID).State; st == "delivered" {
		t.Fatal("receipt before the required sink took it")
	}
	n.clock.move(time.Hour)
	p.clock.move(time.Hour)
	n.halt(t)
	n.start(t)
	tried := h.called()
	eventually(t, "tried again after a restart", func() bool { return h.called() > tried })
	h.set(http.StatusNoContent)
	n.clock.move(time.Hour)
	p.clock.move(time.Hour)
	n.halt(t)
	n.start(t)
	p.waitState(t, a.ID, "delivered")
	if got := h.taken(a.ID); got != 1 {
		t.Errorf("taken %d times", got)
	}
}

// TestGoneSinkIsDeadLetter: 410 ends deliveries until a person asks for another round; nothing is lost meanwhile.
func TestGoneSinkIsDeadLetter(t *testing.T) {
	t.Parallel()
	h, sinks := newHook(t)
	h.set(http.StatusGone)
	b := brokertest.Start(t)
	p, n := pair(t, b, sinks)
	a := p.mustSubmit(t, ngo, nil)
	var st struct {
		Counts struct {
			Dead int `json:"dead_letters"`
		}
	}
	eventually(t, "dead letter", func() bool { n.call(t, "GET", "/v1/status", nil, &st); return st.Counts.Dead == 1 })
	eventually(t, "event about it", func() bool {
		for id := range n.files(t) {
			text, err := os.ReadFile(filepath.Join(n.dir, "systems", "intake", id+".json"))
			if err == nil && bytes.Contains(text, []byte("waypost.sink.dead-letter")) {
				return true
			}
		}
		return false
	})
	if st := p.out(t, a.ID).State; st == "delivered" {
		t.Fatal("receipt for a dead letter")
	}
	h.set(http.StatusOK)
	var r struct{ Deliveries int }
	if code, pr := n.call(t, "POST", "/v1/sinks/hook/retry", nil, &r); code != 200 || r.Deliveries != 1 {
		t.Fatalf("retry: %d %+v %+v", code, pr, r)
	}
	p.waitState(t, a.ID, "delivered")
}

// TestNoPlaintextAtRest looks for every word of a referral in everything that broker and agents keep and log.
func TestNoPlaintextAtRest(t *testing.T) {
	t.Parallel()
	b, p, n, h := trio(t)
	words := []string{"Quibblewort", "Zanzifrax", "Ombrellon", "Vexatiously"}
	edit := func(d map[string]any) {
		r := d["referral"].(map[string]any)
		r["summary"] = "Quibblewort was seen near Zanzifrax."
		r["person"].(map[string]any)["name"] = nil
		delete(r["person"].(map[string]any), "name")
		r["referrer"].(map[string]any)["name"] = "Officer Ombrellon"
		d["consent"].(map[string]any)["words"] = "Vexatiously said"
	}
	a := p.mustSubmit(t, ngo, edit)
	p.waitState(t, a.ID, "delivered")
	var answer accepted
	if code, pr := n.call(t, "POST", "/v1/inbox/"+a.ID+"/responses", []byte(`{"outcome":"accepted","note":"Zanzifrax it is"}`), &answer); code != http.StatusAccepted {
		t.Fatalf("respond: %d %+v", code, pr)
	}
	n.waitState(t, answer.ID, "delivered")
	// Also what is refused, with the words where they are least expected.
	var doc map[string]any
	if err := json.Unmarshal(submission(t, ngo, edit), &doc); err != nil {
		t.Fatal(err)
	}
	doc["Zanzifrax"] = "Quibblewort"
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	p.call(t, "POST", "/v1/referrals", body, nil)
	p.call(t, "GET", "/v1/outbox/Zanzifrax", nil, nil)
	for _, m := range []*member{p, n, h} {
		m.halt(t)
	}
	b.Stop(t)

	// The test can fail: the words are in the sink, which is the agency's own.
	found := false
	files := 0
	search := func(root string, skip string) {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if d.IsDir() {
				return nil
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files++
			for _, w := range words {
				if !bytes.Contains(text, []byte(w)) {
					continue
				}
				if skip != "" && strings.Contains(path, skip) {
					found = true
					continue
				}
				t.Errorf("%q is in %s", w, path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	search(b.Data(), "")
	for _, m := range []*member{p, n, h} {
		search(m.dir, "systems")
		for _, w := range words {
			if strings.Contains(m.log.String(), w) {
				t.Errorf("%q is in the log of %s", w, m.id)
			}
		}
	}
	if !found || files < 20 {
		t.Errorf("searched %d files and found the words in a sink: %v; the search is broken", files, found)
	}
}

// TestDiskFull: a full store refuses with a code of its own, and nothing that was answered with 202 is lost.
func TestDiskFull(t *testing.T) {
	fileOnly(t) // storetest says what a full disk does to PostgreSQL
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	p.halt(t)
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.config, string(text)+"max_store_mb: 1\n")
	b.Stop(t) // so that nothing leaves and makes room
	p.start(t)
	var ids []string
	for i := 0; ; i++ {
		a, code, pr := p.submit(t, ngo, nil)
		if code == http.StatusAccepted {
			ids = append(ids, a.ID)
			continue
		}
		if code != http.StatusInsufficientStorage || pr.Code != "store-full" {
			t.Fatalf("message %d: %d %+v", i, code, pr)
		}
		break
	}
	if len(ids) < 10 {
		t.Fatalf("full after %d messages: the test did not test", len(ids))
	}
	p.halt(t)
	write(t, p.config, string(text))
	b.Restart(t)
	p.start(t)
	for _, id := range ids {
		p.waitState(t, id, "delivered")
	}
	if got := referrals(t, n); got != len(ids) {
		t.Errorf("%d arrived, %d were accepted", got, len(ids))
	}
}

// TestClockAhead: the duty officer's machine is two minutes fast, and the consent was taken just now by that clock. The
// referral goes through: clocks that disagree this little keep nobody waiting.
func TestClockAhead(t *testing.T) {
	t.Parallel()
	_, p, n, _ := trio(t)
	p.clock.move(2 * time.Minute)
	a := p.mustSubmit(t, ngo, nil)
	p.waitState(t, a.ID, "delivered")
	if !n.files(t)[a.ID] {
		t.Error("delivered, and not in the folder")
	}
	var answer accepted
	if code, pr := n.call(t, "POST", "/v1/inbox/"+a.ID+"/responses", []byte(`{"outcome":"accepted","where":"in the north"}`), &answer); code != http.StatusAccepted {
		t.Fatalf("answered at once: %d %+v", code, pr)
	}
	n.waitState(t, answer.ID, "delivered")
}
