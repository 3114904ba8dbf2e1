package agents_test

import (
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"waypost/agents"
	"waypost/broker"
	"waypost/broker/brokertest"
	"waypost/schemas/directory"
	"waypost/schemas/health/healthtest"
)

// watched adds a health listener to an agency's configuration.
func (m *member) watched(t testing.TB) *member {
	t.Helper()
	text, err := os.ReadFile(m.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, m.config, string(text)+"health: {listen: \"127.0.0.1:0\"}\n")
	return m
}

// TestHealthFollowsAReferral: each number moves when, and only when, what it counts does.
func TestHealthFollowsAReferral(t *testing.T) {
	t.Parallel()
	h, sinks := newHook(t)
	b := brokertest.Start(t)
	p, n := enrolled(t, b, police, "police", "").watched(t), enrolled(t, b, ngo, "ngo", sinks).watched(t)
	agreeAll(t, b, police, ngo)
	p.start(t)
	n.start(t)
	p.ready(t)
	n.ready(t)
	if status, text := healthtest.Get(t, p.health+"/healthz", ""); status != http.StatusOK || text != "ok\n" {
		t.Errorf("healthz: %d %q", status, text)
	}
	if status, st := healthtest.State(t, p.health); status != http.StatusOK || !st.Ready || st.Code != agents.ReadyCode || len(st.Attention) != 0 {
		t.Errorf("readyz: %d %+v", status, st)
	}
	value := func(m *member, sample string) float64 {
		t.Helper()
		return healthtest.Metrics(t, m.health, "").Value(t, sample)
	}
	for sample, want := range map[string]float64{
		`waypost_agent_info{agency="northshire-police"}`: 1, `waypost_agent_ready`: 1, `waypost_agent_connected`: 1, `waypost_agent_store_read`: 1,
		`waypost_agent_outbox_messages{lane="urgent"}`: 0, `waypost_agent_outbox_oldest_age_seconds{lane="urgent"}`: 0,
		`waypost_agent_sink_attempts_total{code="failed",sink="folder"}`: 0, `waypost_agent_ledger_alarms{code="ledger-fork"}`: 0,
		`waypost_agent_answers_overdue{lane="urgent",side="awaited"}`: 0, `waypost_agent_certificate_expiry_timestamp_seconds{code="api"}`: math.Inf(1),
		`waypost_agent_certificate_expiry_timestamp_seconds{code="broker"}`: math.Inf(1), `waypost_agent_store_limit_bytes`: math.Inf(1),
		`waypost_agent_disconnected_seconds{code=""}`: 0,
	} {
		if got := value(p, sample); got != want {
			t.Errorf("before anything: %s is %v, want %v", sample, got, want)
		}
	}
	if at := value(p, `waypost_agent_directory_expiry_timestamp_seconds`); at < float64(time.Now().Unix()) {
		t.Errorf("the directory ends at %v", at)
	}

	a := p.mustSubmit(t, ngo, nil)
	p.waitState(t, a.ID, "published")
	eventually(t, "the required system fails", func() bool {
		return value(n, `waypost_agent_sink_attempts_total{code="failed",sink="hook"}`) > 0
	})
	n.clock.move(2 * time.Hour)
	p.clock.move(2 * time.Hour)
	page, sender := healthtest.Metrics(t, n.health, ""), healthtest.Metrics(t, p.health, "")
	for sample, want := range map[string]float64{
		`waypost_agent_unrouted_messages{lane="urgent"}`: 1, `waypost_agent_unrouted_messages{lane="routine"}`: 0,
		`waypost_agent_deliveries_pending{sink="hook"}`: 1, `waypost_agent_deliveries_dead{sink="hook"}`: 0,
		`waypost_agent_answers_open{lane="urgent",side="owed"}`: 1, `waypost_agent_answers_overdue{lane="urgent",side="owed"}`: 1,
		`waypost_agent_received_messages_total{lane="urgent"}`: 1,
	} {
		if got := page.Value(t, sample); got != want {
			t.Errorf("while it is not handed over: %s is %v, want %v", sample, got, want)
		}
	}
	for sample, want := range map[string]float64{
		`waypost_agent_uncollected_messages{lane="urgent"}`: 1, `waypost_agent_sent_messages_total{lane="urgent"}`: 1,
		`waypost_agent_answers_overdue{lane="urgent",side="awaited"}`: 1, `waypost_agent_answers_overdue{lane="urgent",side="owed"}`: 0,
	} {
		if got := sender.Value(t, sample); got != want {
			t.Errorf("at the sender: %s is %v, want %v", sample, got, want)
		}
	}
	for sample, page := range map[string]*healthtest.Page{`waypost_agent_unrouted_oldest_age_seconds{lane="urgent"}`: page, `waypost_agent_uncollected_oldest_age_seconds{lane="urgent"}`: sender} {
		if age := page.Value(t, sample); age < 7199 || age > 7500 {
			t.Errorf("%s after two hours: %v", sample, age)
		}
	}
	var st struct {
		Attention []struct{ Code, Sentence string }
	}
	n.call(t, "GET", "/v1/status", nil, &st)
	if len(st.Attention) == 0 || st.Attention[0].Code != "urgent-unrouted" || !strings.Contains(st.Attention[0].Sentence, "2 hours") {
		t.Errorf("a person is told %+v", st.Attention)
	}

	h.set(http.StatusNoContent)
	n.halt(t)
	n.clock.move(time.Hour)
	p.clock.move(time.Hour)
	n.start(t)
	p.waitState(t, a.ID, "delivered")
	for sample, m := range map[string]*member{
		`waypost_agent_unrouted_messages{lane="urgent"}`: n, `waypost_agent_deliveries_pending{sink="hook"}`: n, `waypost_agent_uncollected_messages{lane="urgent"}`: p,
	} {
		if got := value(m, sample); got != 0 {
			t.Errorf("after the receipt: %s is %v", sample, got)
		}
	}
	if got := value(n, `waypost_agent_sink_attempts_total{code="taken",sink="hook"}`); got != 1 {
		t.Errorf("taken %v times", got)
	}
	eventually(t, "all is found in the ledger", func() bool {
		page := healthtest.Metrics(t, p.health, "")
		return page.Samples[`waypost_agent_ledger_unproved_messages`] == 0 && page.Samples[`waypost_agent_ledger_seen_records`] > 0
	})
}

// TestReadyWithoutBroker: an agent that cannot reach its broker accepts, so it is ready; after a while it says that a person
// should look.
func TestReadyWithoutBroker(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p := enrolled(t, b, police, "police", "").watched(t)
	enrolled(t, b, ngo, "ngo", "")
	agreeAll(t, b, police, ngo)
	p.start(t)
	p.ready(t)
	b.Stop(t)
	eventually(t, "the agent knows", func() bool {
		return healthtest.Metrics(t, p.health, "").Samples[`waypost_agent_connected`] == 0
	})
	p.mustSubmit(t, ngo, nil)
	if status, st := healthtest.State(t, p.health); status != http.StatusOK || len(st.Attention) != 0 {
		t.Errorf("at once: %d %+v", status, st)
	}
	p.clock.move(3 * time.Minute)
	status, st := healthtest.State(t, p.health)
	if status != http.StatusOK || !st.Ready || len(st.Attention) != 1 || st.Attention[0] != agents.AttentionBroker {
		t.Errorf("after three minutes: %d %+v", status, st)
	}
	page := healthtest.Metrics(t, p.health, "")
	if n := page.Value(t, `waypost_agent_outbox_messages{lane="urgent"}`); n != 1 {
		t.Errorf("%v in the outbox", n)
	}
	if age := page.Value(t, `waypost_agent_outbox_oldest_age_seconds{lane="urgent"}`); age < 179 {
		t.Errorf("the oldest is %v s old after three minutes", age)
	}
	down := 0.0
	for sample, v := range page.Samples {
		if strings.HasPrefix(sample, "waypost_agent_disconnected_seconds{") {
			down += v
		}
	}
	if down < 179 || page.Samples[`waypost_agent_disconnected_seconds{code=""}`] != 0 {
		t.Errorf("disconnected for %v s after three minutes", down)
	}
}

// TestNotReady: what keeps the agent from accepting is said by its code, and that it is over as well.
func TestNotReady(t *testing.T) {
	fileOnly(t)
	t.Parallel()
	b := brokertest.Start(t)
	p := enrolled(t, b, police, "police", "").watched(t)
	enrolled(t, b, ngo, "ngo", "")
	agreeAll(t, b, police, ngo)
	b.Stop(t)
	p.start(t)
	code := func(want string, ready bool) {
		t.Helper()
		status, st := healthtest.State(t, p.health)
		if st.Code != want || st.Ready != ready || ready != (status == http.StatusOK) || st.Sentence == "" {
			t.Errorf("%d %+v, want %s", status, st, want)
		}
		if got := healthtest.Metrics(t, p.health, "").Value(t, "waypost_agent_ready") == 1; got != ready {
			t.Errorf("metric says %v at %s", got, want)
		}
	}
	code(agents.CodeNoDirectory, false)
	b.Restart(t)
	p.ready(t)
	code(agents.ReadyCode, true)
	p.clock.move(60 * 24 * time.Hour)
	code(agents.CodeDirectoryExpired, false)
	eventually(t, "the alarm about it is counted", func() bool {
		return healthtest.Metrics(t, p.health, "").Samples[`waypost_agent_directory_alarms_total{code="expired"}`] == 1
	})
	p.clock.move(-60 * 24 * time.Hour)
	code(agents.ReadyCode, true)
	var st struct{ Attention []struct{ Code string } }
	p.clock.move(28 * 24 * time.Hour)
	p.call(t, "GET", "/v1/status", nil, &st)
	if !slices.ContainsFunc(st.Attention, func(c struct{ Code string }) bool { return c.Code == "directory-expires" }) {
		t.Errorf("28 days on, a person is told %+v", st.Attention)
	}
	p.clock.move(-28 * 24 * time.Hour)
	p.halt(t)

	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.config, string(text)+"max_store_mb: 1\n")
	b.Stop(t) // so that nothing leaves and makes room
	p.start(t)
	code(agents.ReadyCode, true)
	for range 5000 {
		if _, status, _ := p.submit(t, ngo, nil); status == http.StatusInsufficientStorage {
			code(agents.CodeStoreFull, false)
			page := healthtest.Metrics(t, p.health, "")
			if used, limit := page.Value(t, "waypost_agent_store_bytes"), page.Value(t, "waypost_agent_store_limit_bytes"); limit != 1<<20 || used < 0.8*limit {
				t.Errorf("store of %v with a limit of %v, and it is full", used, limit)
			}
			return
		}
	}
	t.Error("never full")
}

// TestOlderDirectoryIsCounted: a broker that serves an older head is refused, and whoever watches is told.
func TestOlderDirectoryIsCounted(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p := enrolled(t, b, police, "police", "").watched(t)
	enrolled(t, b, ngo, "ngo", "")
	p.start(t)
	p.ready(t)
	page := healthtest.Metrics(t, p.health, "")
	version := page.Value(t, "waypost_agent_directory_version")
	if n := page.Value(t, `waypost_agent_directory_alarms_total{code="rollback"}`); n != 0 {
		t.Fatalf("%v before anything happened", n)
	}
	kv, err := b.JetStream(t).KeyValue(t.Context(), "DIRECTORY")
	if err != nil {
		t.Fatal(err)
	}
	history, err := kv.History(t.Context(), directory.HeadKey)
	if err != nil || len(history) < 2 {
		t.Fatalf("%d heads in history (%v)", len(history), err)
	}
	if _, err := kv.Put(t.Context(), directory.HeadKey, history[0].Value()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the older head is noticed", func() bool {
		page = healthtest.Metrics(t, p.health, "")
		return page.Samples[`waypost_agent_directory_alarms_total{code="rollback"}`] == 1
	})
	if got := page.Value(t, "waypost_agent_directory_version"); got != version {
		t.Errorf("directory of version %v after one of %v", got, version)
	}
	if _, st := healthtest.State(t, p.health); !st.Ready {
		t.Errorf("%+v", st)
	}
}

// TestHealthNamesNobody: whatever is in referrals, in refused submissions, in what is quarantined and in the names that other
// agencies gave themselves, nothing of it is in what health listeners or logs say; nor is a message, a thread, a kind of need.
func TestHealthNamesNobody(t *testing.T) {
	t.Parallel()
	words := []string{"Quibblewort", "Zanzifrax", "Ombrellon", "Vexatiously", "Krimmelsk"}
	_, sinks := newHook(t) // fails: what is not handed over is where numbers come from
	b := brokertest.Start(t, brokertest.WithConfig(func(c *broker.Config) { c.Health.Listen = "127.0.0.1:0" }))
	p, n := enrolled(t, b, police, "police", "").watched(t), enrolled(t, b, ngo, "ngo", sinks).watched(t)
	agreeAll(t, b, police, ngo)
	p.start(t)
	n.start(t)
	p.ready(t)
	n.ready(t)
	raw, err := os.ReadFile("../schemas/testdata/referral/full.json")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i, s := range append(hostileStrings[:12:12], words...) {
		a, status, _ := p.submit(t, ngo, func(d map[string]any) {
			var full any
			if err := json.Unmarshal(raw, &full); err != nil {
				t.Fatal(err)
			}
			if i%2 == 0 { // every text, also where none may stand: refused
				full = texts(full, "", func(string, string) string { return words[i%len(words)] + s })
			} else {
				r := d["referral"].(map[string]any)
				r["summary"] = words[i%len(words)] + " " + strings.Map(printable, s) + " waypost_agent_ready{x=\"" + words[0] + "\"} 1"
				full = r
			}
			d["referral"] = full
		})
		if status == http.StatusAccepted {
			ids = append(ids, a.ID, a.Thread)
		}
	}
	if len(ids) < 8 {
		t.Fatalf("only %d accepted: the test did not test", len(ids)/2)
	}
	// What nobody can read is quarantined under the subject that it came by.
	js := b.JetStream(t)
	for _, w := range words {
		if _, err := js.Publish(t.Context(), "mail.urgent."+ngo+"."+police, []byte(w+"\n\x00— "+w+" "+w)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "everything has come", func() bool {
		page := healthtest.Metrics(t, n.health, "")
		held := 0.0
		for sample, v := range page.Samples {
			if strings.HasPrefix(sample, "waypost_agent_quarantine_messages{") {
				held += v
			}
		}
		return held >= float64(len(words)) && page.Samples[`waypost_agent_unrouted_messages{lane="urgent"}`] == float64(len(ids)/2)
	})
	said := map[string]string{"log of the police": p.log.String(), "log of the NGO": n.log.String()}
	for name, url := range map[string]string{"police": p.health, "NGO": n.health, "broker": b.HealthURL()} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			_, text := healthtest.Get(t, url+path, "")
			said[path+" of "+name] = text
		}
	}
	uuid := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-`)
	for where, text := range said {
		for _, w := range words {
			if strings.Contains(text, w) {
				t.Errorf("%q is in %s", w, where)
			}
		}
		if strings.HasPrefix(where, "log") {
			continue // names messages by their ids, which is what a log is for
		}
		if id := uuid.FindString(text); id != "" {
			t.Errorf("%s names something: %s", where, id)
		}
		for _, need := range []string{"emergency-accommodation", "medical", "interpretation", "trafficking", "referral"} {
			if strings.Contains(text, need) {
				t.Errorf("%s says what somebody needs: %s", where, need)
			}
		}
		if !strings.HasSuffix(where, "broker") && strings.Contains(text, map[bool]string{true: police, false: ngo}[strings.HasSuffix(where, "NGO")]) {
			t.Errorf("%s says with whom the agency has to do", where)
		}
	}
}

// TestCertificatesAreWatched: when the broker's certificate ends, as it was shown, and the API's, as it is served, is said and
// told to a person in time.
func TestCertificatesAreWatched(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.WithTLS())
	p := enrolled(t, b, police, "police", "")
	cert, key, _ := brokertest.Certificates(t, p.dir) // for a day
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	write(t, p.config, strings.Replace(string(text), `api: {listen: "127.0.0.1:0"}`, `api: {listen: "127.0.0.1:0", cert: `+cert+`, key: `+key+`}`, 1)+"health: {listen: \"127.0.0.1:0\"}\n")
	p.start(t)
	if !strings.HasPrefix(p.health, "https://") {
		t.Errorf("health answers at %s", p.health)
	}
	var page *healthtest.Page
	eventually(t, "the broker has shown its certificate", func() bool {
		page = healthtest.Metrics(t, p.health, "")
		_, ok := page.Samples[`waypost_agent_certificate_expiry_timestamp_seconds{code="broker"}`]
		return ok && page.Samples["waypost_agent_connected"] == 1
	})
	for _, code := range []string{"broker", "api"} {
		at := page.Value(t, `waypost_agent_certificate_expiry_timestamp_seconds{code="`+code+`"}`)
		if left := at - float64(time.Now().Unix()); left < 80_000 || left > 87_000 {
			t.Errorf("the certificate of the %s ends in %v s, want a day", code, left)
		}
	}
}

func printable(r rune) rune {
	if r < ' ' || r >= 0x7f {
		return '.'
	}
	return r
}

// TestHealthConfig: a listener that anybody on the network could read in passing is refused.
func TestHealthConfig(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "long.token"), strings.Repeat("x", 32))
	write(t, filepath.Join(dir, "short.token"), "short")
	write(t, filepath.Join(dir, "open.token"), strings.Repeat("x", 32))
	if err := os.Chmod(filepath.Join(dir, "open.token"), 0o644); err != nil {
		t.Fatal(err)
	}
	const tls = "api: {listen: \"127.0.0.1:1\", cert: a.crt, key: a.key}\n"
	for name, tc := range map[string][2]string{
		"no port":             {`health: {listen: localhost}`, "health.listen: not a host:port"},
		"token without":       {`health: {token_file: long.token}`, "health.listen: is missing"},
		"open to all":         {`health: {listen: "0.0.0.0:1", token_file: long.token}`, "without TLS"},
		"open without token":  {tls + `health: {listen: "0.0.0.0:1"}`, "without a token"},
		"no such token":       {`health: {listen: "127.0.0.1:1", token_file: none}`, "there is no such file"},
		"token for everybody": {`health: {listen: "127.0.0.1:1", token_file: open.token}`, "others may read"},
		"loopback":            {`health: {listen: "[::1]:1"}`, ""},
		"beyond":              {tls + `health: {listen: "0.0.0.0:1", token_file: long.token}`, ""},
	} {
		path := filepath.Join(dir, "agent.yaml")
		write(t, path, "agency: test-ngo\n"+tc[0]+"\n")
		_, err := agents.LoadConfig(path)
		var at *agents.ConfigError
		if tc[1] == "" && err == nil || errors.As(err, &at) && tc[1] != "" && strings.Contains(err.Error(), tc[1]) && at.Hint() != "" {
			continue
		}
		t.Errorf("%s: %v, want %q and a hint", name, err, tc[1])
	}
}
