package agents_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"waypost/agents/api"
)

func (m *member) thread(t testing.TB, id string) api.ThreadView {
	t.Helper()
	var v api.ThreadView
	m.call(t, "GET", "/v1/threads/"+id, nil, &v)
	return v
}

// stateOf is how a referral stands at an agency, as JSON of everything both ends must agree on.
func (m *member) stateOf(t testing.TB, threadID, referral string) (state string, whole string) {
	t.Helper()
	for _, r := range m.thread(t, threadID).Referrals {
		if r.ID == referral {
			text, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			return string(r.State), string(text)
		}
	}
	return "", ""
}

// TestBothEndsAgree plays a referral through its states; after each word both agencies show the same.
func TestBothEndsAgree(t *testing.T) {
	t.Parallel()
	_, p, n, h := trio(t)
	sent := p.mustSubmit(t, ngo, nil)
	agree := func(want string) {
		t.Helper()
		eventually(t, "both ends say "+want, func() bool {
			a, x := p.stateOf(t, sent.Thread, sent.ID)
			b, y := n.stateOf(t, sent.Thread, sent.ID)
			return a == want && b == want && x == y
		})
	}
	agree("received")
	respond := func(body string) {
		t.Helper()
		if code, pr := n.call(t, "POST", "/v1/inbox/"+sent.ID+"/responses", []byte(body), nil); code != http.StatusAccepted {
			t.Fatalf("respond: %d %+v", code, pr)
		}
	}
	respond(`{"outcome":"waitlisted","expected_wait":"under-1-month"}`)
	agree("waitlisted")
	respond(`{"outcome":"accepted","where":"in the north"}`)
	agree("accepted")
	update := func(m *member, to, state string) {
		t.Helper()
		doc := map[string]any{"purposes": []string{"support-planning"}, "lawful_basis": map[string]any{"basis": "consent"}, "state": state}
		if state != "in-progress" && state != "completed" {
			doc["state_reason"] = "The survivor asked for it."
		}
		m.mustMessage(t, map[string]any{"to": to, "thread": sent.Thread, "referral_update": doc})
	}
	update(n, police, "in-progress")
	agree("in-progress")
	// The NGO refers on in the same thread: another referral, which the police do not see and which changes nothing for them.
	on := n.mustSubmit(t, housing, func(doc map[string]any) { delete(doc, "consent"); doc["thread"] = sent.Thread })
	eventually(t, "referred on", func() bool { s, _ := h.stateOf(t, sent.Thread, on.ID); return s == "received" })
	agree("in-progress")
	// A word that is not its author's to say is kept and flagged, and changes nothing.
	update(p, ngo, "completed")
	eventually(t, "flagged at both ends", func() bool {
		return len(p.thread(t, sent.Thread).Flags) == 1 && len(n.thread(t, sent.Thread).Flags) == 1
	})
	agree("in-progress")
	update(p, ngo, "cancelled") // either side may
	agree("cancelled")
	// A withdrawal is no step of the work, and makes none impossible.
	cert := n.in(t, sent.ID).Certificates[0]
	p.must(t, cert, "withdraw", "")
	agree("withdrawn")
	v := n.thread(t, sent.Thread)
	for _, r := range v.Referrals {
		if r.ID == sent.ID && (r.Work != "cancelled" || r.Delivery != "delivered") {
			t.Errorf("work %s, delivery %s", r.Work, r.Delivery)
		}
	}
	if len(v.Items) == 0 {
		t.Error("no history")
	}
}
