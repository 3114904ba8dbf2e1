package agents_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/broker/brokertest"
	"waypost/schemas"
)

// TestWithdrawalReachesEveryHolder: the agency that took the consent withdraws it; everyone who was ever sent anything
// stops, says what it did, and nothing more goes under it.
func TestWithdrawalReachesEveryHolder(t *testing.T) {
	t.Parallel()
	_, p, n, h := trio(t)
	first, second, cert := referredOn(t, p, n, h)
	// The police learn that it went on, not what was said.
	eventually(t, "forwarding known at the police", func() bool { return p.consent(t, cert).row(housing) == "" })
	if c := p.consent(t, cert); len(c.Holders) != 2 || c.Standing != "valid" {
		t.Fatalf("before: %+v", c)
	}
	eventually(t, "the police's system is told of the forwarding", func() bool { return p.eventFiles(t, store.EventForwarded) == 1 })

	p.must(t, cert, "withdraw", "")
	for _, m := range []*member{n, h} {
		m.standing(t, cert, "withdrawn")
		eventually(t, "event at "+m.id, func() bool { return m.eventFiles(t, store.EventWithdrawn) == 1 })
	}
	if it := n.in(t, first.ID); len(it.Payload) != 0 {
		t.Error("a message under a withdrawn consent can still be read")
	}
	// Again, and nothing is sent twice.
	before := len(p.outbox(t))
	p.must(t, cert, "withdraw", "")
	if after := len(p.outbox(t)); after != before {
		t.Errorf("the second withdrawal sent %d messages", after-before)
	}

	// Nothing goes under it any more, from anybody; declining still does.
	if _, code, pr := p.submit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} }); code != 422 || pr.Code != "consent-withdrawn" {
		t.Errorf("sent under a withdrawn consent: %d %+v", code, pr)
	}
	if _, code, pr := n.submit(t, housing, func(doc map[string]any) { delete(doc, "consent"); doc["thread"] = first.Thread }); code != 422 || pr.Code != "consent-withdrawn" {
		t.Errorf("passed on under a withdrawn consent: %d %+v", code, pr)
	}
	if code, pr := h.call(t, "POST", "/v1/inbox/"+second.ID+"/responses", []byte(`{"outcome":"accepted","where":"in the north"}`), nil); code != 422 || pr.Code != "consent-withdrawn" {
		t.Errorf("accepted under a withdrawn consent: %d %+v", code, pr)
	}
	if code, pr := h.call(t, "POST", "/v1/inbox/"+second.ID+"/responses", []byte(`{"outcome":"declined","decline_reason":"no-capacity"}`), nil); code != 202 {
		t.Errorf("declining: %d %+v", code, pr)
	}

	// What the holders did.
	if c := p.consent(t, cert); c.row(ngo) != "told" || c.row(housing) != "told" {
		t.Errorf("before the answers: %q %q", c.row(ngo), c.row(housing))
	}
	h.must(t, cert, "answer", `{"outcome":"erased"}`)
	n.must(t, cert, "answer", `{"outcome":"retained","basis":"legal-obligation","reason":"criminal-investigation","until":"2099-01-31"}`)
	eventually(t, "answers at the police", func() bool {
		c := p.consent(t, cert)
		return c.row(ngo) == "answered:retained" && c.row(housing) == "answered:erased"
	})
	if it := n.in(t, first.ID); len(it.Payload) == 0 {
		t.Error("what is kept on another basis cannot be read")
	}
	var erased struct {
		Withheld string `json:"withheld"`
	}
	h.call(t, "GET", "/v1/inbox/"+second.ID, nil, &erased)
	if erased.Withheld != "erased" {
		t.Errorf("erased message says %q", erased.Withheld)
	}
	if n.consent(t, cert).Duties[0].Decided == nil {
		t.Error("the NGO still has to decide")
	}
	if _, code, pr := h.about(t, cert, "answer", `{"outcome":"retained","basis":"consent","reason":"legal-claims","until":"2099-01-31"}`); code != 422 {
		t.Errorf("kept on the consent that is gone: %d %+v", code, pr)
	}
	if _, code, pr := p.about(t, cert, "answer", `{"outcome":"stopped"}`); code != 422 || pr.Code != "not-withdrawn" {
		t.Errorf("the police answer themselves: %d %+v", code, pr)
	}
}

func (m *member) outbox(t testing.TB) []item {
	t.Helper()
	var page struct{ Items []item }
	m.call(t, "GET", "/v1/outbox?limit=500", nil, &page)
	return page.Items
}

// TestWithdrawalRequest: the survivor tells another agency. Everybody stops at once; if it was a mistake, everything goes
// on where it was, and nothing is lost.
func TestWithdrawalRequest(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	// The NGO's system is down, so that something waits for it.
	var mu sync.Mutex
	down, took := true, map[string]int{}
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		took[r.Header.Get("Webhook-Id")]++
	}))
	t.Cleanup(hook.Close)
	p, h := enrolled(t, b, police, "police", ""), enrolled(t, b, housing, "support-provider", "")
	n := enrolled(t, b, ngo, "ngo", "sinks:\n  - name: hook\n    webhook: {url: "+hook.URL+", secret_files: [hook.secret]}\nroutes:\n  - when: 'kind == \"referral\"'\n    sinks: [hook]\n")
	write(t, filepath.Join(n.dir, "hook.secret"), "whsec_"+strings.Repeat("YWFh", 16)+"\n")
	agreeAll(t, b, police, ngo)
	agreeAll(t, b, police, housing)
	for _, m := range []*member{p, n, h} {
		m.start(t)
		m.ready(t)
	}
	first := p.mustSubmit(t, ngo, nil)
	eventually(t, "referral at the NGO", func() bool { return n.in(t, first.ID).ID != "" })
	cert := n.in(t, first.ID).Certificates[0]
	second := p.mustSubmit(t, housing, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} })
	p.waitState(t, second.ID, "delivered")

	h.must(t, cert, "withdraw", "") // the survivor told the housing provider
	for _, m := range []*member{p, n, h} {
		m.standing(t, cert, "stopped")
	}
	mu.Lock()
	down = false
	mu.Unlock()
	if code, pr := n.call(t, "POST", "/v1/sinks/hook/retry", nil, nil); code != 200 {
		t.Fatalf("retry: %d %+v", code, pr)
	}
	if it := n.in(t, first.ID); it.State != "stopped" || len(it.Payload) != 0 {
		t.Errorf("stopped message: %q, payload %d bytes", it.State, len(it.Payload))
	}
	if _, code, pr := p.submit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} }); code != 422 || pr.Code != "consent-stopped" {
		t.Errorf("sent while stopped: %d %+v", code, pr)
	}
	if d := p.consent(t, cert).Duties; len(d) != 1 || d[0].Decided != nil {
		t.Fatalf("the police's people were not asked: %+v", d)
	}
	if _, code, pr := n.about(t, cert, "stands", ""); code != 422 || pr.Code != "not-the-issuer" {
		t.Errorf("a holder said that the consent stands: %d %+v", code, pr)
	}
	mu.Lock()
	if took[first.ID] != 0 {
		t.Error("handed over while stopped")
	}
	mu.Unlock()

	p.must(t, cert, "stands", "")
	for _, m := range []*member{p, n, h} {
		m.standing(t, cert, "valid")
	}
	p.waitState(t, first.ID, "delivered")
	mu.Lock()
	if took[first.ID] != 1 {
		t.Errorf("handed over %d times after it stood", took[first.ID])
	}
	mu.Unlock()
	if d := p.consent(t, cert).Duties; d[0].Decided == nil {
		t.Error("still to decide")
	}

	// A second request is a new one, and this time it is confirmed.
	h.must(t, cert, "withdraw", "")
	p.standing(t, cert, "stopped")
	p.must(t, cert, "withdraw", "")
	for _, m := range []*member{p, n, h} {
		m.standing(t, cert, "withdrawn")
	}
	if _, code, pr := p.about(t, cert, "stands", ""); code != 422 || pr.Code != "consent-withdrawn" {
		t.Errorf("a withdrawn consent stands: %d %+v", code, pr)
	}
}

// TestWithdrawnInFlight: what a system is being handed while the consent is withdrawn, and takes, is receipted as delivered: the
// sender must not be told that nobody has it. What waited behind it is refused.
func TestWithdrawnInFlight(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	asked, answer := make(chan string, 8), make(chan struct{})
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked <- r.Header.Get("Webhook-Id")
		<-answer
	}))
	t.Cleanup(hook.Close)
	release := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(release)
	p := enrolled(t, b, police, "police", "")
	n := enrolled(t, b, ngo, "ngo", "sinks:\n  - name: hook\n    webhook: {url: "+hook.URL+", secret_files: [hook.secret]}\nroutes:\n  - when: 'kind == \"referral\" && event == \"waypost.message.received\"'\n    sinks: [hook]\n")
	write(t, filepath.Join(n.dir, "hook.secret"), "whsec_"+strings.Repeat("YWFh", 16)+"\n")
	agreeAll(t, b, police, ngo)
	for _, m := range []*member{p, n} {
		m.start(t)
		m.ready(t)
	}
	first := p.mustSubmit(t, ngo, nil)
	if id := <-asked; id != first.ID {
		t.Fatalf("%s handed over, want %s", id, first.ID)
	}
	cert := n.in(t, first.ID).Certificates[0]
	second := p.mustSubmit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} })
	eventually(t, "the second at the NGO", func() bool { return n.in(t, second.ID).ID != "" })
	p.must(t, cert, "withdraw", "")
	p.waitState(t, second.ID, "rejected") // so it was looked at what the withdrawal left
	release()
	p.waitState(t, first.ID, "delivered")
	if len(asked) > 0 {
		t.Errorf("%s handed over as well", <-asked)
	}
}

// TestWithdrawnBeforeItLeft: what is still in the outbox is taken back, and what was accepted but not routed is refused with
// a receipt that says why. The numbers have no hole.
func TestWithdrawnBeforeItLeft(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t, brokertest.WithProxy())
	p, n := pair(t, b, "")
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	cert := n.in(t, sent.ID).Certificates[0]
	b.Proxy().Cut()
	var waiting []string
	for range 5 {
		waiting = append(waiting, p.mustSubmit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} }).ID)
	}
	p.must(t, cert, "withdraw", "")
	for _, id := range waiting {
		p.waitState(t, id, "void")
	}
	b.Proxy().Pass()
	n.standing(t, cert, "withdrawn")
	after := p.mustSubmit(t, ngo, nil)
	p.waitState(t, after.ID, "delivered")
	var page struct{ Items []item }
	n.call(t, "GET", "/v1/inbox?limit=500", nil, &page)
	for _, it := range page.Items {
		for _, id := range waiting {
			if it.ID == id {
				t.Errorf("%s was taken back and arrived", id)
			}
		}
	}
	var st struct {
		Gaps []any `json:"gaps"`
	}
	n.call(t, "GET", "/v1/status", nil, &st)
	if len(st.Gaps) != 0 {
		t.Errorf("gaps: %v", st.Gaps)
	}
	var opened struct {
		Withheld string `json:"withheld"`
	}
	p.call(t, "GET", "/v1/outbox/"+waiting[0], nil, &opened)
	if opened.Withheld != "void" {
		t.Errorf("taken back: %q", opened.Withheld)
	}
}

// TestReminders: an answer that never comes is asked for again by itself, and the table says so.
func TestReminders(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	cert := n.in(t, sent.ID).Certificates[0]
	p.must(t, cert, "withdraw", "")
	n.standing(t, cert, "withdrawn")
	// Past any working day, holidays included.
	for _, m := range []*member{p, n} {
		m.clock.move(10 * 24 * time.Hour)
	}
	b.Publish(t)
	eventually(t, "reminder sent", func() bool { c := p.consent(t, cert); return c.row(ngo) == "overdue" && c.Holders[0].Reminders == 1 })
	eventually(t, "overdue here and there", func() bool {
		return p.eventFiles(t, store.EventWithdrawalOverdue) > 0 && n.eventFiles(t, store.EventWithdrawalOverdue) > 0
	})
	eventually(t, "a decision is overdue", func() bool {
		for id := range n.files(t) {
			if n.sunk(t, id).Code == "decision-overdue-by-us" {
				return true
			}
		}
		return false
	})
	n.must(t, cert, "answer", `{"outcome":"stopped"}`)
	eventually(t, "late answer counts", func() bool { return p.consent(t, cert).row(ngo) == "answered:stopped" })
	for _, m := range []*member{p, n} {
		m.clock.move(5 * 24 * time.Hour)
	}
	n.must(t, cert, "answer", `{"outcome":"erased"}`)
	eventually(t, "later answer counts more", func() bool { return p.consent(t, cert).row(ngo) == "answered:erased" })
	if c := p.consent(t, cert); c.Holders[0].Reminders != 1 {
		t.Errorf("%d reminders after the answer", c.Holders[0].Reminders)
	}
}

// TestNarrowing: a narrowed consent goes to those it still covers, and is withdrawn from the others; what was sent keeps
// what it went under.
func TestNarrowing(t *testing.T) {
	t.Parallel()
	_, p, n, h := trio(t)
	first, _, cert := referredOn(t, p, n, h)
	eventually(t, "forwarding known", func() bool { return p.consent(t, cert).row(housing) == "" })
	var record map[string]any
	if err := json.Unmarshal(p.consent(t, cert).Record, &record); err != nil {
		t.Fatal(err)
	}
	record["recipients"] = map[string]any{"agencies": []string{ngo}}
	body, err := json.Marshal(record)
	if err != nil {
		t.Fatal(err)
	}
	if _, code, pr := n.about(t, cert, "replace", string(body)); code != 422 || pr.Code != "not-the-issuer" {
		t.Errorf("a holder narrowed it: %d %+v", code, pr)
	}
	next := p.must(t, cert, "replace", string(body))
	if next.Supersedes != cert || next.Standing != "valid" {
		t.Fatalf("replacement: %+v", next)
	}
	h.standing(t, cert, "withdrawn")
	n.standing(t, cert, "superseded")
	p.standing(t, cert, "superseded")
	if it := n.in(t, first.ID); len(it.Payload) == 0 {
		t.Error("what went under the old consent can no longer be read")
	}
	if _, code, pr := n.submit(t, housing, func(doc map[string]any) { delete(doc, "consent"); doc["thread"] = first.Thread }); code != 422 || pr.Code == "" {
		t.Errorf("passed on to an agency that is no longer covered: %d %+v", code, pr)
	}
	if _, code, pr := p.submit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} }); code != 422 || pr.Code != "consent-superseded" {
		t.Errorf("new message under the old consent: %d %+v", code, pr)
	}
	// The thread goes on under the new one by itself.
	again := p.mustSubmit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["thread"] = first.Thread })
	p.waitState(t, again.ID, "delivered")
	if got := n.in(t, again.ID).Certificates; len(got) != 1 || got[0] != next.ID {
		t.Errorf("went under %v", got)
	}
	if _, code, pr := p.about(t, cert, "replace", string(body)); code != 422 || pr.Code != "consent-superseded" {
		t.Errorf("replaced twice: %d %+v", code, pr)
	}
	// To the survivor old and new are one: withdrawing the new one reaches what went under the old.
	p.must(t, next.ID, "withdraw", "")
	for _, id := range []string{cert, next.ID} {
		n.standing(t, id, "withdrawn")
	}
	for _, id := range []string{first.ID, again.ID} {
		if it := n.in(t, id); len(it.Payload) != 0 {
			t.Error("a message under a withdrawn chain can still be read")
		}
	}
	record["survivor"] = "Somebody-else"
	body, _ = json.Marshal(record)
	if _, code, pr := p.about(t, next.ID, "replace", string(body)); code != 422 || pr.Code != "another-survivor" {
		t.Errorf("another survivor's consent: %d %+v", code, pr)
	}
}

// TestMinimise: what the consent does not cover is named, goes only if that is asked for, and never travels.
func TestMinimise(t *testing.T) {
	t.Parallel()
	_, p, n, _ := trio(t)
	narrow := func(doc map[string]any) {
		c := doc["consent"].(map[string]any)
		var keep []any
		for _, x := range c["categories"].([]any) {
			if x != "health" && x != "offender" && x != "criminal-justice" {
				keep = append(keep, x)
			}
		}
		c["categories"] = keep
	}
	_, code, pr := p.submit(t, ngo, narrow)
	if code != 422 || pr.Code != "consent-category" || len(pr.Problems) == 0 {
		t.Fatalf("uncovered: %d %+v", code, pr)
	}
	for _, x := range pr.Problems {
		if !strings.HasPrefix(x.Path, "/referral/") || !strings.Contains(x.Hint, "minimise") {
			t.Errorf("offer: %+v", x)
		}
	}
	var a struct {
		accepted
		Left []schemas.Cut `json:"left_out"`
	}
	code, pr = p.call(t, "POST", "/v1/referrals", submission(t, ngo, func(doc map[string]any) { narrow(doc); doc["minimise"] = true }), &a)
	if code != 202 || len(a.Left) != len(pr.Problems)+len(a.Left) {
		t.Fatalf("minimised: %d %+v %v", code, pr, a.Left)
	}
	p.waitState(t, a.ID, "delivered")
	got := n.in(t, a.ID)
	r, err := schemas.Decode[schemas.Referral](got.Payload)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range schemas.Categories(r) {
		if c == "health" || c == "offender" || c == "criminal-justice" {
			t.Errorf("%s travelled", c)
		}
	}
	for _, id := range []string{a.ID} {
		if strings.Contains(string(got.Payload), `"health"`) {
			t.Errorf("%s holds health", id)
		}
	}
	// With nothing covered there is no message left.
	_, code, pr = p.submit(t, ngo, func(doc map[string]any) {
		doc["consent"].(map[string]any)["categories"] = []string{"case-admin"}
		doc["minimise"] = true
	})
	if code != 422 || pr.Code != "cannot-minimise" {
		t.Errorf("nothing left: %d %+v", code, pr)
	}
}

// TestWithdrawalRacesWithSends: whoever is first, nothing goes on under a withdrawn consent: what was accepted before is
// stopped or taken back, what comes after is refused.
func TestWithdrawalRacesWithSends(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	cert := n.in(t, sent.ID).Certificates[0]
	var wg sync.WaitGroup
	var mu sync.Mutex
	went, refused := 0, 0
	for range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 15 {
				_, code, pr := p.submit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} })
				mu.Lock()
				switch {
				case code == 202:
					went++
				case code == 422 && pr.Code == "consent-withdrawn":
					refused++
				default:
					t.Errorf("%d %+v", code, pr)
				}
				half := went == 40
				mu.Unlock()
				if half {
					p.must(t, cert, "withdraw", "")
				}
			}
		}()
	}
	wg.Wait()
	if went < 40 || refused == 0 {
		t.Fatalf("%d went, %d were refused: no race", went, refused)
	}
	n.standing(t, cert, "withdrawn")
	eventually(t, "every message has come to its end", func() bool {
		for _, it := range p.outbox(t) {
			if it.Kind == "referral" && it.State != "delivered" && it.State != "rejected" && it.State != "void" {
				return false
			}
		}
		return true
	})
	var page struct{ Items []item }
	n.call(t, "GET", "/v1/inbox?limit=500", nil, &page)
	for _, it := range page.Items {
		if it.Kind == "referral" && len(n.in(t, it.ID).Payload) != 0 {
			t.Errorf("%s can still be read", it.ID)
		}
	}
}

// TestWithdrawalStorm: a withdrawal is quick however much went under the consent.
func TestWithdrawalStorm(t *testing.T) {
	t.Parallel()
	count := 300
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	cert := n.in(t, sent.ID).Certificates[0]
	n.halt(t)
	for range count {
		p.mustSubmit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} })
	}
	p.must(t, cert, "withdraw", "")
	n.start(t)
	n.ready(t)
	n.standing(t, cert, "withdrawn")
	eventually(t, "every message is delivered, refused or taken back", func() bool {
		for _, it := range p.outbox(t) {
			switch it.State {
			case "delivered", "rejected", "void":
			default:
				return false
			}
		}
		return true
	})
	for _, it := range p.outbox(t) {
		if it.State == "rejected" && it.ReceiptCode != "consent-withdrawn" {
			t.Errorf("refused for %s", it.ReceiptCode)
		}
	}
}

// TestNothingAppearsAfterStopped: however many documents a sink is taking at this moment, what has not appeared when the
// withdrawal is answered does not appear.
func TestNothingAppearsAfterStopped(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	cert := n.in(t, sent.ID).Certificates[0]
	for round := range 3 {
		n.halt(t)
		for range 200 {
			p.mustSubmit(t, ngo, func(doc map[string]any) { delete(doc, "consent"); doc["certificates"] = []string{cert} })
		}
		had := len(n.files(t))
		n.start(t)
		eventually(t, "the first appear", func() bool { return len(n.files(t)) > had })
		n.must(t, cert, "withdraw", "") // the survivor told the NGO, which did not take the consent: it asks, and stops at once
		there := n.referralFiles(t)
		eventually(t, "the event behind them", func() bool { return n.eventFiles(t, store.EventStopRequested) == round+1 })
		p.standing(t, cert, "stopped")
		for id := range n.referralFiles(t) {
			if !there[id] {
				t.Errorf("referral %s appeared after the withdrawal was answered", id)
			}
		}
		p.must(t, cert, "stands", "")
		n.standing(t, cert, "valid")
		eventually(t, "everything goes on", func() bool { return len(n.referralFiles(t)) == 200*(round+1)+1 })
	}
}
