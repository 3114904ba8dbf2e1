package agents_test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"waypost/schemas"
)

type consentView struct {
	ID         string   `json:"id"`
	Standing   string   `json:"standing"`
	Text       string   `json:"text"`
	ReplacedBy []string `json:"replaced_by"`
	Supersedes string   `json:"supersedes"`
	Holders    []struct {
		Agency    string                `json:"agency"`
		Via       []string              `json:"via"`
		State     string                `json:"state"`
		Reminders int                   `json:"reminders"`
		Answer    *schemas.HolderAnswer `json:"answer"`
	} `json:"holders"`
	Duties []struct {
		Act     string     `json:"act"`
		Decided *time.Time `json:"decided"`
	} `json:"duties"`
	Record json.RawMessage `json:"record"`
}

// row is a holder's line in one word: "state" or "answered:outcome".
func (c consentView) row(agency string) string {
	for _, h := range c.Holders {
		if h.Agency != agency {
			continue
		}
		if h.Answer != nil {
			return h.State + ":" + string(h.Answer.Outcome)
		}
		return h.State
	}
	return "none"
}

func (m *member) consent(t testing.TB, id string) consentView {
	t.Helper()
	var c consentView
	m.call(t, "GET", "/v1/consents/"+id, nil, &c)
	return c
}

func (m *member) about(t testing.TB, id, what, body string) (consentView, int, problem) {
	t.Helper()
	var c consentView
	var b []byte
	if body != "" {
		b = []byte(body)
	}
	code, p := m.call(t, "POST", "/v1/consents/"+id+"/"+what, b, &c)
	return c, code, p
}

func (m *member) must(t testing.TB, id, what, body string) consentView {
	t.Helper()
	c, code, p := m.about(t, id, what, body)
	if code != http.StatusOK {
		t.Fatalf("%s of %s: %d %+v", what, m.id, code, p)
	}
	return c
}

func (m *member) standing(t testing.TB, id, want string) {
	t.Helper()
	eventually(t, "consent "+want+" at "+m.id, func() bool { return m.consent(t, id).Standing == want })
}

func (m *member) in(t testing.TB, id string) item {
	t.Helper()
	var it item
	m.call(t, "GET", "/v1/inbox/"+id, nil, &it)
	return it
}

// eventFiles counts the event files of a type in the folder sink.
func (m *member) eventFiles(t testing.TB, event string) (n int) {
	t.Helper()
	for id := range m.files(t) {
		if m.sunk(t, id).Event == event {
			n++
		}
	}
	return n
}

// referralFiles lists the referrals in the folder sink.
func (m *member) referralFiles(t testing.TB) map[string]bool {
	t.Helper()
	files := m.files(t) // all at one moment
	for id := range files {
		if d := m.sunk(t, id); d.Event != "" || d.Kind != "referral" {
			delete(files, id)
		}
	}
	return files
}

type sunk struct {
	Event string `json:"event"`
	Code  string `json:"code"`
	Kind  string `json:"kind"`
}

// sunk is what lies in the folder sink under an id; events have a kind only if they are about a message.
func (m *member) sunk(t testing.TB, id string) (doc sunk) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, "systems", "intake", id+".json"))
	if err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal(text, &doc)
	return doc
}

// referredOn sends a referral from the police to the NGO and on to the housing provider, and returns both messages and the
// certificate.
func referredOn(t testing.TB, p, n, h *member) (first, second accepted, certificate string) {
	t.Helper()
	first = p.mustSubmit(t, ngo, nil)
	p.waitState(t, first.ID, "delivered")
	certificate = n.in(t, first.ID).Certificates[0]
	second = n.mustSubmit(t, housing, func(doc map[string]any) { delete(doc, "consent"); doc["thread"] = first.Thread })
	n.waitState(t, second.ID, "delivered")
	return first, second, certificate
}
