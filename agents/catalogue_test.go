package agents_test

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"waypost/agents/store"
	"waypost/broker/brokertest"
	"waypost/schemas"
	"waypost/schemas/directory"
)

// message sends a document of any kind.
func (m *member) message(t testing.TB, doc map[string]any) (accepted, int, problem) {
	t.Helper()
	body, err := json.Marshal(doc)
	if err != nil {
		t.Fatal(err)
	}
	var a accepted
	code, p := m.call(t, "POST", "/v1/messages", body, &a)
	return a, code, p
}

func (m *member) mustMessage(t testing.TB, doc map[string]any) accepted {
	t.Helper()
	a, code, p := m.message(t, doc)
	if code != http.StatusAccepted {
		t.Fatalf("send from %s: %d %+v", m.id, code, p)
	}
	return a
}

// payloadOf is an example of a kind.
func payloadOf(t testing.TB, kind, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile("../schemas/testdata/" + kind + "/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return doc
}

// onVital puts a payload on a basis that needs no certificate.
func onVital(doc map[string]any, purposes ...string) map[string]any {
	doc["lawful_basis"] = map[string]any{"basis": "vital-interests", "reason": "danger-to-life", "justification": "The survivor cannot be asked.", "authorised_by": "duty inspector"}
	if len(purposes) > 0 {
		doc["purposes"] = purposes
	}
	return doc
}

// TestEveryKindTravels sends every kind that an agency may send, from an agency of a role that may, to one that may receive
// it, and reads it there as it was written.
func TestEveryKindTravels(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	const authority = "competent-office"
	p, n := enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", "")
	c := enrolled(t, b, authority, "competent-authority", "")
	all := func(from, to string) {
		b.Agree(t, directory.Agreement{From: from, To: to, Kinds: []schemas.Kind{schemas.KindReferral, schemas.KindIntelligence, schemas.KindDutyToNotify},
			Purposes: schemas.Purposes(), Categories: schemas.AllCategories()})
	}
	all(police, ngo)
	all(ngo, police)
	all(authority, ngo)
	all(police, authority)
	for _, m := range []*member{p, n, c} {
		m.start(t)
		m.ready(t)
	}
	intelligence := n.mustMessage(t, map[string]any{"to": police, "intelligence": onVital(payloadOf(t, "intelligence", "full"))})
	request := p.mustMessage(t, map[string]any{"to": ngo, "information_request": onVital(payloadOf(t, "information-request", "full"))})
	n.waitState(t, intelligence.ID, "delivered")
	p.waitState(t, request.ID, "delivered")
	for _, x := range []struct {
		from, to *member
		kind     string
		lane     string
		more     map[string]any
	}{
		{p, n, "referral-update", "urgent", nil}, // somebody is missing
		{n, p, "availability", "routine", nil},
		{c, n, "nrm-decision", "routine", nil},
		{n, p, "support-entitlement", "routine", nil},
		{p, n, "justice-update", "urgent", nil}, // bail
		{p, n, "intelligence-feedback", "routine", map[string]any{"reply_to": intelligence.ID}},
		{n, p, "information-answer", "routine", map[string]any{"reply_to": request.ID}},
		{p, n, "message", "routine", nil},
		{p, n, "message", "urgent", map[string]any{"urgent": true}},
		{p, c, "duty-to-notify", "routine", nil},
	} {
		payload := payloadOf(t, x.kind, "full")
		if _, shares := payload["lawful_basis"]; shares {
			onVital(payload)
		}
		want, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		doc := map[string]any{"to": x.to.id, strings.ReplaceAll(x.kind, "-", "_"): payload}
		for k, v := range x.more {
			doc[k] = v
		}
		a := x.from.mustMessage(t, doc)
		x.from.waitState(t, a.ID, "delivered")
		var got struct {
			item
			Lane string `json:"lane"`
		}
		x.to.call(t, "GET", "/v1/inbox/"+a.ID, nil, &got)
		var sent, came any
		if err := json.Unmarshal(want, &sent); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(got.Payload, &came); err != nil {
			t.Fatal(err)
		}
		s, _ := json.Marshal(sent)
		r, _ := json.Marshal(came)
		if string(s) != string(r) || got.Lane != x.lane || got.Kind != x.kind {
			t.Errorf("%s in lane %s:\n%s\n%s", x.kind, got.Lane, s, r)
		}
	}
	// Who may not.
	for name, x := range map[string]struct {
		from *member
		doc  map[string]any
		code string
	}{
		"a decision by the police": {p, map[string]any{"to": ngo, "nrm_decision": payloadOf(t, "nrm-decision", "minimal")}, "role-kind"},
		"intelligence to an NGO":   {p, map[string]any{"to": ngo, "intelligence": onVital(payloadOf(t, "intelligence", "minimal"))}, "role-kind"},
		"two messages":             {p, map[string]any{"to": ngo, "message": onVital(payloadOf(t, "message", "minimal")), "availability": payloadOf(t, "availability", "minimal")}, "invalid"},
		"nothing":                  {p, map[string]any{"to": ngo}, "invalid"},
		"an answer to nothing":     {n, map[string]any{"to": police, "information_answer": onVital(payloadOf(t, "information-answer", "minimal"))}, "invalid"},
		"an answer to another's":   {n, map[string]any{"to": police, "reply_to": intelligence.ID, "information_answer": onVital(payloadOf(t, "information-answer", "minimal"))}, "unknown-message"},
		"an urgent list of places": {n, map[string]any{"to": police, "urgent": true, "availability": payloadOf(t, "availability", "minimal")}, "invalid"},
		"a notice that names":      {p, map[string]any{"to": authority, "duty_to_notify": map[string]any{"purposes": []string{"statistics"}, "reason": "statutory-duty", "authorised_by": "supervisor", "name": "Test Person A"}}, "invalid"},
		"no agreement that way":    {c, map[string]any{"to": police, "message": onVital(payloadOf(t, "message", "minimal"))}, ""},
		"duty basis on a message": {p, map[string]any{"to": ngo, "message": func() map[string]any {
			d := payloadOf(t, "message", "minimal")
			d["lawful_basis"] = map[string]any{"basis": "duty-to-notify", "reason": "statutory-duty", "authorised_by": "inspector"}
			return d
		}()}, "invalid"},
		"consent without any":        {p, map[string]any{"to": ngo, "message": payloadOf(t, "message", "minimal")}, "invalid"},
		"consent on a list of rooms": {n, map[string]any{"to": police, "certificates": []string{schemas.NewThreadID()}, "availability": payloadOf(t, "availability", "minimal")}, "invalid"},
	} {
		_, code, pr := x.from.message(t, x.doc)
		if x.code == "" {
			if code != http.StatusAccepted { // a message follows the referral agreement in the other direction
				t.Errorf("%s: %d %+v", name, code, pr)
			}
			continue
		}
		if code != 422 || pr.Code != x.code {
			t.Errorf("%s: %d %+v, want %s", name, code, pr, x.code)
		}
	}
}

// TestDatesRing: dates in messages and consents come back as events in time, once, also after a restart.
func TestDatesRing(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	support := onVital(payloadOf(t, "support-entitlement", "minimal"))
	now := time.Now()
	support["starts"], support["ends"] = now.Format(time.DateOnly), now.AddDate(0, 0, 65).Format(time.DateOnly)
	delete(support, "review")
	a := p.mustMessage(t, map[string]any{"to": ngo, "support_entitlement": support})
	p.waitState(t, a.ID, "delivered")
	n.halt(t)
	n.start(t)
	soon := func() int { return n.eventFiles(t, store.EventClockSoon) }
	if soon() != 0 {
		t.Fatal("warned 65 days before")
	}
	for i, days := range []int{6, 30, 23} { // 59, 29 and 6 days before the end
		n.clock.move(time.Duration(days) * 24 * time.Hour)
		eventually(t, "warning", func() bool { return soon() == i+1 })
		n.halt(t)
		n.start(t)
	}
	n.clock.move(8 * 24 * time.Hour)
	eventually(t, "end", func() bool { return n.eventFiles(t, store.EventClockOver) == 1 })
	if soon() != 3 {
		t.Errorf("%d warnings", soon())
	}
}

// TestPlaces: what providers last said can be searched; what has run out says nothing.
func TestPlaces(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	now := time.Now().UTC()
	say := func(until time.Duration, places ...map[string]any) {
		t.Helper()
		var list []any
		for _, x := range places {
			list = append(list, x)
		}
		doc := map[string]any{"as_of": now.Format(time.RFC3339), "until": now.Add(until).Format(time.RFC3339)}
		if list != nil {
			doc["places"] = list
		}
		a := n.mustMessage(t, map[string]any{"to": police, "availability": doc})
		n.waitState(t, a.ID, "delivered")
	}
	found := func(query string) (out []string) {
		t.Helper()
		var page struct {
			Items []struct {
				Agency string
				Place  schemas.Place
			}
		}
		if code, pr := p.call(t, "GET", "/v1/places?"+query, nil, &page); code != 200 {
			t.Fatalf("%s: %d %+v", query, code, pr)
		}
		for _, it := range page.Items {
			out = append(out, string(it.Place.Type))
		}
		return out
	}
	house := map[string]any{"type": "safe-house", "region": "GB-NBL", "free": 2, "genders": []string{"woman"}, "family_size_max": 3, "children": true, "out_of_hours": true, "accessibility": []string{"step-free"}}
	hotel := map[string]any{"type": "hotel", "region": "GB-NBL", "free": 1}
	say(48*time.Hour, house, hotel)
	for query, want := range map[string]string{
		"": "safe-house hotel", "region=GB-NBL&gender=woman": "safe-house hotel", "gender=man": "hotel", "children=true": "safe-house", "family_size=3": "safe-house",
		"family_size=4": "", "tonight=true": "safe-house", "access=step-free": "safe-house", "access=step-free&access=hearing": "", "type=hotel": "hotel", "region=GB-SCT": "",
	} {
		if got := strings.Join(found(query), " "); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	say(time.Hour, hotel) // the newer word replaces the older
	if got := strings.Join(found(""), " "); got != "hotel" {
		t.Errorf("after the newer list: %q", got)
	}
	p.clock.move(2 * time.Hour)
	if got := found(""); len(got) != 0 {
		t.Errorf("after it has run out: %v", got)
	}
}

// TestProvenanceStays: whoever passes intelligence on passes on the text, not who told it.
func TestProvenanceStays(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	const court = "crown-prosecution"
	p, n := enrolled(t, b, police, "police", ""), enrolled(t, b, ngo, "ngo", "")
	c := enrolled(t, b, court, "prosecution", "")
	for _, g := range [][2]string{{ngo, police}, {police, court}} {
		b.Agree(t, directory.Agreement{From: g[0], To: g[1], Kinds: []schemas.Kind{schemas.KindIntelligence}, Purposes: schemas.Purposes(), Categories: schemas.AllCategories()})
	}
	for _, m := range []*member{p, n, c} {
		m.start(t)
		m.ready(t)
	}
	told := n.mustMessage(t, map[string]any{"to": police, "intelligence": onVital(payloadOf(t, "intelligence", "full"))})
	n.waitState(t, told.ID, "delivered")
	var got map[string]any
	if err := json.Unmarshal(p.in(t, told.ID).Payload, &got); err != nil {
		t.Fatal(err)
	}
	if got["provenance"] == nil {
		t.Fatal("the police were not told how it is known")
	}
	on := p.mustMessage(t, map[string]any{"to": court, "thread": told.Thread, "intelligence": got})
	p.waitState(t, on.ID, "delivered")
	if text := string(c.in(t, on.ID).Payload); strings.Contains(text, "provenance") || strings.Contains(text, "support session") || !strings.Contains(text, "van") {
		t.Errorf("passed on: %s", text)
	}
}

// TestAnswerDueSoon: whoever is on duty hears of it before an answer is overdue, unless it was given.
func TestAnswerDueSoon(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	waits, answered := p.mustSubmit(t, ngo, nil), p.mustSubmit(t, ngo, nil)
	for _, a := range []accepted{waits, answered} {
		p.waitState(t, a.ID, "delivered")
	}
	if code, pr := n.call(t, "POST", "/v1/inbox/"+answered.ID+"/responses", []byte(`{"outcome":"declined","decline_reason":"no-capacity"}`), nil); code != http.StatusAccepted {
		t.Fatalf("respond: %d %+v", code, pr)
	}
	if n.eventFiles(t, store.EventClockSoon) != 0 {
		t.Error("warned at once")
	}
	n.clock.move(50 * time.Minute) // of an hour
	eventually(t, "one warning", func() bool { return n.eventFiles(t, store.EventClockSoon) == 1 })
	n.clock.move(15 * time.Minute)
	eventually(t, "overdue", func() bool { return n.eventFiles(t, store.EventOverdue) == 1 })
	if soon, over := n.eventFiles(t, store.EventClockSoon), n.eventFiles(t, store.EventClockOver); soon != 1 || over != 0 {
		t.Errorf("%d warnings, %d ends", soon, over)
	}
}

// TestAskedAgain: under a consent that asks for it, passing on needs the survivor's word each time; it travels signed, and
// the recipient looks for it too.
func TestAskedAgain(t *testing.T) {
	t.Parallel()
	_, p, n, h := trio(t)
	sent := p.mustSubmit(t, ngo, func(doc map[string]any) { doc["consent"].(map[string]any)["onward"] = "reconfirm" })
	p.waitState(t, sent.ID, "delivered")
	on := func(asked bool) (accepted, int, problem) {
		return n.submit(t, housing, func(doc map[string]any) {
			delete(doc, "consent")
			doc["thread"] = sent.Thread
			if asked {
				doc["reconfirmed"] = true
			}
		})
	}
	if _, code, pr := on(false); code != 422 || pr.Code != "consent-reconfirm" {
		t.Fatalf("passed on without asking again: %d %+v", code, pr)
	}
	a, code, pr := on(true)
	if code != 202 {
		t.Fatalf("asked again: %d %+v", code, pr)
	}
	n.waitState(t, a.ID, "delivered")
	if h.in(t, a.ID).ID == "" {
		t.Error("not in the inbox of the housing provider")
	}
	// Back to the agency that took the consent, nobody needs to be asked.
	update := map[string]any{"purposes": []string{"support-planning"}, "lawful_basis": map[string]any{"basis": "consent"}, "note": "The survivor has arrived."}
	back := n.mustMessage(t, map[string]any{"to": police, "thread": sent.Thread, "referral_update": update})
	n.waitState(t, back.ID, "delivered")
	// Weeks later it counts no more.
	for _, m := range []*member{p, n, h} {
		m.clock.move(8 * 24 * time.Hour)
	}
	if _, code, pr := on(false); code != 422 || pr.Code != "consent-reconfirm" {
		t.Errorf("an old asking counts: %d %+v", code, pr)
	}
}
