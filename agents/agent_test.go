package agents_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"waypost/schemas"
	"waypost/schemas/directory"
)

// TestReferralGoesThrough is the main job: a referral from one agency's system into another's, answered, passed on.
func TestReferralGoesThrough(t *testing.T) {
	t.Parallel()
	_, p, n, h := trio(t)
	sent := p.mustSubmit(t, ngo, nil)
	p.waitState(t, sent.ID, "delivered")
	if !n.files(t)[sent.ID] {
		t.Fatal("delivered, but not in the folder")
	}

	// What arrived is what was sent.
	var got item
	if code, pr := n.call(t, "GET", "/v1/inbox/"+sent.ID, nil, &got); code != 200 {
		t.Fatalf("read inbox: %d %+v", code, pr)
	}
	var doc struct{ Referral schemas.Referral }
	if err := json.Unmarshal(submission(t, ngo, nil), &doc); err != nil {
		t.Fatal(err)
	}
	want, err := schemas.Encode(&doc.Referral)
	if err != nil {
		t.Fatal(err)
	}
	r, err := schemas.Decode[schemas.Referral](got.Payload)
	if err != nil {
		t.Fatal(err)
	}
	again, err := schemas.Encode(r)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != string(want) {
		t.Errorf("payload changed on the way:\n%s\n%s", want, again)
	}

	// An answer stops both clocks and reaches the police's system.
	var answer accepted
	if code, pr := n.call(t, "POST", "/v1/inbox/"+sent.ID+"/responses", []byte(`{"outcome":"accepted","where":"in the north"}`), &answer); code != http.StatusAccepted {
		t.Fatalf("respond: %d %+v", code, pr)
	}
	eventually(t, "answer in the police's folder", func() bool { return p.files(t)[answer.ID] })
	var open struct{ Items []item }
	if n.call(t, "GET", "/v1/inbox?open=true", nil, &open); len(open.Items) != 0 {
		t.Errorf("%d referrals still open after the answer", len(open.Items))
	}

	// On to the housing provider, under the certificate that came with it.
	body, err := json.Marshal(map[string]any{"to": housing, "thread": sent.Thread, "referral": got.Payload})
	if err != nil {
		t.Fatal(err)
	}
	var on accepted
	if code, pr := n.call(t, "POST", "/v1/referrals", body, &on); code != http.StatusAccepted {
		t.Fatalf("forward: %d %+v", code, pr)
	}
	n.waitState(t, on.ID, "delivered")
	// Another survivor's certificate does not cover this one.
	foreign := p.mustSubmit(t, ngo, func(d map[string]any) { d["referral"].(map[string]any)["reference"] = "NS-2" })
	p.waitState(t, foreign.ID, "delivered")
	var theirs item
	n.call(t, "GET", "/v1/inbox/"+foreign.ID, nil, &theirs)
	body, err = json.Marshal(map[string]any{"to": housing, "thread": sent.Thread, "certificates": theirs.Certificates, "referral": got.Payload})
	if err != nil {
		t.Fatal(err)
	}
	if code, pr := n.call(t, "POST", "/v1/referrals", body, nil); code != 422 || pr.Code != "foreign-certificate" {
		t.Errorf("another thread's certificate: %d %+v", code, pr)
	}
	var at item
	h.call(t, "GET", "/v1/inbox/"+on.ID, nil, &at)
	if len(at.Certificates) != 1 || at.Certificates[0] != got.Certificates[0] {
		t.Errorf("certificates at the housing provider: %v, want the police's %v", at.Certificates, got.Certificates)
	}

	// The thread's history says what happened, at both ends.
	var history struct{ Items []struct{ Event string } }
	p.call(t, "GET", "/v1/threads/"+sent.Thread, nil, &history)
	var events []string
	for _, e := range history.Items {
		events = append(events, strings.TrimPrefix(e.Event, "waypost."))
	}
	for _, want := range []string{"message.submitted", "message.published", "receipt.received", "message.received"} {
		if !strings.Contains(strings.Join(events, " "), want) {
			t.Errorf("history of the police lacks %s: %v", want, events)
		}
	}
}

func TestRefusedBeforeItLeaves(t *testing.T) {
	t.Parallel()
	b, p, n, _ := trio(t)
	narrow := func(doc map[string]any) {
		doc["consent"].(map[string]any)["recipients"] = map[string]any{"agencies": []string{ngo}}
	}
	tests := map[string]struct {
		to   string
		edit func(map[string]any)
		code string
	}{
		"consent does not name the recipient": {housing, narrow, "consent-recipient"},
		"purpose not consented": {ngo, func(d map[string]any) {
			d["consent"].(map[string]any)["purposes"] = []string{"statistics"}
		}, "consent-purpose"},
		"category not consented": {ngo, func(d map[string]any) {
			d["consent"].(map[string]any)["categories"] = []string{"identity", "contact"}
		}, "consent-category"},
		"consent over": {ngo, func(d map[string]any) {
			c := d["consent"].(map[string]any)
			delete(c, "valid_for_days")
			c["given"], c["expires"] = "2020-01-01T00:00:00Z", "2020-02-01T00:00:00Z"
		}, "invalid"},
		"no consent":          {ngo, func(d map[string]any) { delete(d, "consent") }, "invalid"},
		"unknown agency":      {"nobody-known", nil, "unknown-agency"},
		"no agreement":        {"stranger-agency", nil, "no-agreement"},
		"to itself":           {police, nil, "own-agency"},
		"unknown certificate": {ngo, func(d map[string]any) { delete(d, "consent"); d["certificates"] = []string{schemas.NewThreadID()} }, "unknown-certificate"},
		"unknown thread":      {ngo, func(d map[string]any) { d["thread"] = schemas.NewThreadID() }, "unknown-thread"},
		"unknown member":      {ngo, func(d map[string]any) { d["surprise"] = "secret canary" }, "invalid"},
	}
	enrolled(t, b, "stranger-agency", "ngo", "")
	eventually(t, "directory with the stranger", func() bool {
		var d struct{ Agencies []struct{ ID string } }
		p.call(t, "GET", "/v1/directory", nil, &d)
		return len(d.Agencies) == 4
	})
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			_, code, pr := p.submit(t, tc.to, tc.edit)
			if code != http.StatusUnprocessableEntity || pr.Code != tc.code {
				t.Errorf("got %d %+v, want 422 %s", code, pr, tc.code)
			}
		})
	}
	var out struct{ Items []item }
	if p.call(t, "GET", "/v1/outbox", nil, &out); len(out.Items) != 0 {
		t.Errorf("%d messages in the outbox after nothing but refusals", len(out.Items))
	}
	if len(n.files(t)) != 0 {
		t.Error("something arrived")
	}
	if strings.Contains(p.log.String(), "canary") {
		t.Error("a value of the input is in the log")
	}
}

func TestAgencyOfflineForAWeek(t *testing.T) {
	t.Parallel()
	b, p, n, _ := trio(t)
	n.halt(t)
	var ids []string
	for range 30 {
		ids = append(ids, p.mustSubmit(t, ngo, nil).ID)
	}
	// Published, not failed: nobody has collected it, and that is what the sender is told.
	for _, id := range ids {
		p.waitState(t, id, "published")
	}
	b.Restart(t)
	for _, m := range []*member{p, n} {
		m.clock.move(7 * 24 * time.Hour)
	}
	n.start(t)
	for _, id := range ids {
		p.waitState(t, id, "delivered")
	}
	if got := len(n.files(t)); got < len(ids) {
		t.Errorf("%d files, want at least %d", got, len(ids))
	}
}

func TestBrokerGoneAndBack(t *testing.T) {
	t.Parallel()
	b, p, n, _ := trio(t)
	b.Stop(t)
	// Accepted with no broker at all: it is on disk here.
	a := p.mustSubmit(t, ngo, nil)
	if st := p.out(t, a.ID).State; st != "pending" {
		t.Fatalf("state %s without a broker", st)
	}
	p.halt(t)
	b.Restart(t)
	p.start(t)
	p.waitState(t, a.ID, "delivered")
	if len(n.files(t)) == 0 {
		t.Error("nothing in the folder")
	}
}

func TestOverdueAtBothEnds(t *testing.T) {
	t.Parallel()
	_, p, n, _ := trio(t)
	a := p.mustSubmit(t, ngo, nil)
	p.waitState(t, a.ID, "delivered")
	for _, m := range []*member{p, n} {
		m.clock.move(61 * time.Minute)
		// Any new referral makes the clocks look again; time itself does not run in a test.
		m.halt(t)
		m.start(t)
	}
	eventually(t, "overdue at the sender", func() bool { return p.out(t, a.ID).Overdue })
	for _, m := range []*member{p, n} {
		eventually(t, "overdue event in the folder of "+m.id, func() bool {
			entries, err := os.ReadDir(filepath.Join(m.dir, "systems", "intake"))
			if err != nil {
				return false
			}
			for _, e := range entries {
				text, err := os.ReadFile(filepath.Join(m.dir, "systems", "intake", e.Name()))
				if err == nil && strings.Contains(string(text), "waypost.referral.overdue") && strings.Contains(string(text), a.ID) {
					return true
				}
			}
			return false
		})
	}
}

func TestSuspendedAgency(t *testing.T) {
	t.Parallel()
	b, p, n, _ := trio(t)
	if err := b.Authority.Suspend(police); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	eventually(t, "the suspended agency is cut off", func() bool {
		var st struct{ Connected bool }
		p.call(t, "GET", "/v1/status", nil, &st)
		return !st.Connected
	})
	eventually(t, "the others know", func() bool {
		_, _, pr := n.submit(t, police, nil)
		return pr.Code == directory.CodeSuspendedAgency
	})
	a, code, pr := p.submit(t, ngo, nil) // accepted or refused, but never lost or delivered
	if code == http.StatusAccepted {
		if st := p.out(t, a.ID).State; st != "pending" {
			t.Errorf("a suspended agency's message is %s", st)
		}
	} else if pr.Code != directory.CodeSuspendedAgency {
		t.Errorf("refused with %+v", pr)
	}
	if err := b.Authority.Restore(police); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	eventually(t, "restored agency sends again", func() bool {
		x, code, _ := p.submit(t, ngo, nil)
		return code == http.StatusAccepted && p.out(t, x.ID).State != ""
	})
	if code == http.StatusAccepted {
		p.waitState(t, a.ID, "delivered")
	}
}

func TestExpiredDirectory(t *testing.T) {
	t.Parallel()
	b, p, n, _ := trio(t)
	p.clock.move(60 * 24 * time.Hour)
	_, code, pr := p.submit(t, ngo, nil)
	if code != http.StatusServiceUnavailable || pr.Code != "directory-expired" {
		t.Fatalf("got %d %+v", code, pr)
	}
	// The recipient holds what comes until the directory is renewed, and loses nothing.
	p.clock.move(-60 * 24 * time.Hour)
	n.clock.move(60 * 24 * time.Hour)
	a := p.mustSubmit(t, ngo, nil)
	p.waitState(t, a.ID, "published")
	eventually(t, "an expired directory is said loudly", func() bool {
		return strings.Contains(n.log.String(), "directory-expired") || strings.Contains(n.log.String(), "directory needs attention")
	})
	if n.files(t)[a.ID] {
		t.Fatal("let in on the word of an expired directory")
	}
	n.clock.move(-60 * 24 * time.Hour)
	if err := b.Authority.SignHead(time.Now()); err != nil {
		t.Fatal(err)
	}
	b.Publish(t)
	p.waitState(t, a.ID, "delivered")
}

func TestSecondAgentOnTheSameStore(t *testing.T) {
	t.Parallel()
	_, p, _, _ := trio(t)
	other := *p
	err := other.tryStart(t)
	if err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second agent: %v", err)
	}
}
