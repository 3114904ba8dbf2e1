package api_test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"waypost/schemas"
)

// TestHostileDocuments: whatever is wrong with a body, it is refused whole, in words that repeat nothing of it.
func TestHostileDocuments(t *testing.T) {
	p, n := world(t)
	good := string(submission(t, nil))
	inside := func(member string) string { return strings.Replace(good, `"referral":{`, `"referral":{`+member+`,`, 1) }
	set := func(edit func(referral map[string]any)) string {
		return string(submission(t, func(doc map[string]any) { edit(doc["referral"].(map[string]any)) }))
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	fmt.Fprint(z, good)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	big := `{"to":"` + canary + strings.Repeat("a", schemas.MaxDocument) + `"}`
	// chunked hides the length from net/http, so that no Content-Length is sent.
	chunked := func(s string) io.Reader { return struct{ io.Reader }{strings.NewReader(s)} }
	const invalid = http.StatusUnprocessableEntity
	for _, c := range []struct {
		name   string
		body   io.Reader
		header []string
		status int
		code   string
		rule   string // "path rule" that must be among the problems
	}{
		{"empty", strings.NewReader(""), nil, http.StatusBadRequest, "bad-request", ""},
		{"no body", http.NoBody, nil, http.StatusBadRequest, "bad-request", ""},
		{"spaces", strings.NewReader("   \n"), nil, invalid, "invalid", ""},
		{"not JSON", strings.NewReader(canary), nil, invalid, "invalid", ""},
		{"cut off", strings.NewReader(good[:len(good)-40] + canary), nil, invalid, "invalid", ""},
		{"null", strings.NewReader("null"), nil, invalid, "invalid", ""},
		{"list", strings.NewReader(`["` + canary + `"]`), nil, invalid, "invalid", ""},
		{"string", strings.NewReader(`"` + canary + `"`), nil, invalid, "invalid", ""},
		{"unknown member at the top", strings.NewReader(strings.Replace(good, "{", `{"`+canary+`":1,`, 1)), nil, invalid, "invalid", "/* unknown_member"},
		{"unknown member inside", strings.NewReader(inside(`"` + canary + `":{"` + canary + `":"` + canary + `"}`)), nil, invalid, "invalid", "/referral/* unknown_member"},
		{"duplicate member", strings.NewReader(strings.Replace(good, "{", `{"to":"`+canary+`",`, 1)), nil, invalid, "invalid", "/to duplicate_member"},
		{"duplicate unknown member", strings.NewReader(`{"` + canary + `":1,"` + canary + `":2}`), nil, invalid, "invalid", ""},
		{"duplicate hidden by an escape", strings.NewReader(strings.Replace(good, "{", `{"\u0074o":"`+canary+`",`, 1)), nil, invalid, "invalid", "/to duplicate_member"},
		{"case variant", strings.NewReader(strings.Replace(good, `"to":`, `"TO":`, 1)), nil, invalid, "invalid", ""},
		{"invalid UTF-8 in a value", strings.NewReader(inside(`"summary2":"` + canary + "\xff\xfe" + `"`)), nil, invalid, "invalid", ""},
		{"invalid UTF-8 in a name", strings.NewReader(inside(`"` + canary + "\xc3\x28" + `":1`)), nil, invalid, "invalid", ""},
		{"lone surrogate", strings.NewReader(strings.Replace(good, "{", `{"thread":"`+canary+`\ud800",`, 1)), nil, invalid, "invalid", ""},
		{"byte order mark", strings.NewReader("\ufeff" + good), nil, invalid, "invalid", ""},
		{"UTF-16", bytes.NewReader([]byte{0xff, 0xfe, '{', 0, '}', 0}), nil, invalid, "invalid", ""},
		{"trailing data", strings.NewReader(good + canary), nil, invalid, "invalid", " trailing_data"},
		{"trailing document", strings.NewReader(good + good), nil, invalid, "invalid", " trailing_data"},
		{"too deep", strings.NewReader(inside(`"x":` + strings.Repeat("[", 200) + `"` + canary + `"` + strings.Repeat("]", 200))), nil, invalid, "invalid", ""},
		{"too deep to end", strings.NewReader(strings.Repeat("[", 500_000)), nil, invalid, "invalid", ""},
		{"wrong type", strings.NewReader(strings.Replace(good, "{", `{"certificates":"`+canary+`",`, 1)), nil, invalid, "invalid", ""},
		{"not of a code list", strings.NewReader(set(func(r map[string]any) { r["urgency"] = canary })), nil, invalid, "invalid", ""},
		{"not a date", strings.NewReader(set(func(r map[string]any) { r["person"].(map[string]any)["date_of_birth"] = canary })), nil, invalid, "invalid", ""},
		{"control characters", strings.NewReader(set(func(r map[string]any) { r["summary"] = canary + "\x1b[2J" })), nil, invalid, "invalid", "/referral/summary"},
		{"unknown recipient", bytes.NewReader(submission(t, func(d map[string]any) { d["to"] = canary })), nil, invalid, "unknown-agency", "/to unknown-agency"},
		{"not an agency id", bytes.NewReader(submission(t, func(d map[string]any) { d["to"] = "../" + canary })), nil, invalid, "invalid", "/to"},
		{"unknown thread", bytes.NewReader(submission(t, func(d map[string]any) { d["thread"] = schemas.NewThreadID() })), nil, invalid, "unknown-thread", ""},
		{"unknown certificate", bytes.NewReader(submission(t, func(d map[string]any) { d["certificates"] = []string{schemas.NewThreadID()} })), nil, invalid, "unknown-certificate", ""},
		{"to ourselves", bytes.NewReader(submission(t, func(d map[string]any) { d["to"] = police })), nil, invalid, "own-agency", ""},
		{"too large, says so", strings.NewReader(big), nil, http.StatusRequestEntityTooLarge, "too-large", ""},
		{"too large, in chunks", chunked(big), nil, http.StatusRequestEntityTooLarge, "too-large", ""},
		{"one byte too large, in chunks", chunked(good + strings.Repeat(" ", schemas.MaxDocument+1-len(good))), nil, http.StatusRequestEntityTooLarge, "too-large", ""},
		{"no content type", strings.NewReader(good), []string{"Content-Type", ""}, http.StatusUnsupportedMediaType, "unsupported-media-type", ""},
		{"text/plain", strings.NewReader(good), []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType, "unsupported-media-type", ""},
		{"form", strings.NewReader("to=" + canary), []string{"Content-Type", "application/x-www-form-urlencoded"}, http.StatusUnsupportedMediaType, "unsupported-media-type", ""},
		{"strange content type", strings.NewReader(good), []string{"Content-Type", canary + "/" + canary}, http.StatusUnsupportedMediaType, "unsupported-media-type", ""},
		{"broken content type", strings.NewReader(good), []string{"Content-Type", "application/json; " + canary + "=;;"}, http.StatusUnsupportedMediaType, "unsupported-media-type", ""},
		{"other charset", strings.NewReader(good), []string{"Content-Type", "application/json; charset=utf-16"}, http.StatusUnsupportedMediaType, "unsupported-media-type", ""},
		{"compressed", &zipped, []string{"Content-Encoding", "gzip"}, http.StatusUnsupportedMediaType, "unsupported-encoding", ""},
		{"said to be compressed", strings.NewReader(good), []string{"Content-Encoding", canary}, http.StatusUnsupportedMediaType, "unsupported-encoding", ""},
		{"key too long", strings.NewReader(good), []string{"Idempotency-Key", canary + strings.Repeat("k", 256)}, invalid, "bad-request", "header.Idempotency-Key invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := p.call(t, "POST", "/v1/referrals", c.body, c.header...).refused(t, c.status, c.code)
			if c.code == "invalid" && len(got.Problems) == 0 {
				t.Errorf("no field is named")
			}
			if c.rule != "" && !slices.ContainsFunc(got.rules(), func(r string) bool { return strings.HasPrefix(r, c.rule) }) {
				t.Errorf("problems %q, want %q", got.rules(), c.rule)
			}
		})
	}
	// Nothing of it was kept: no message, no certificate, no history, nothing on its way.
	if ids, _ := p.ids(t, "/v1/outbox"); len(ids) != 0 {
		t.Errorf("refused documents left %d messages in the outbox", len(ids))
	}
	// And the same agent still works, up to the last allowed byte.
	full := set(func(r map[string]any) { r["reference"], r["summary"] = canary, "Test Person A, "+canary })
	full += strings.Repeat(" ", schemas.MaxDocument-len(full))
	id := p.call(t, "POST", "/v1/referrals", strings.NewReader(full)).accepted(t).ID
	eventually(t, "a good referral after all that", func() bool {
		ids, _ := n.ids(t, "/v1/inbox")
		return slices.Equal(ids, []string{id})
	})

	t.Run("responses", func(t *testing.T) {
		for name, body := range map[string]string{
			"spaces": " ", "unknown member": `{"outcome":"accepted","` + canary + `":1}`, "not of the list": `{"outcome":"` + canary + `"}`,
			"no reason": `{"outcome":"declined"}`, "duplicate": `{"outcome":"accepted","outcome":"declined"}`,
		} {
			t.Run(name, func(t *testing.T) {
				n.call(t, "POST", "/v1/inbox/"+id+"/responses", strings.NewReader(body)).refused(t, invalid, "invalid")
			})
		}
		n.call(t, "POST", "/v1/inbox/"+schemas.NewMessageID()+"/responses", strings.NewReader(`{"outcome":"declined","decline_reason":"no-capacity"}`)).
			refused(t, http.StatusNotFound, "not-found")
		if ids, _ := n.ids(t, "/v1/outbox"); len(ids) != 0 {
			t.Errorf("refused answers left %d messages", len(ids))
		}
		if ids, _ := n.ids(t, "/v1/inbox?open=true"); len(ids) != 1 {
			t.Errorf("the referral no longer waits for an answer: %v", ids)
		}
	})
}

// TestHostileAddresses: paths, queries and methods are input too.
func TestHostileAddresses(t *testing.T) {
	p, _ := world(t)
	for _, c := range []struct {
		method, path string
		status       int
		code         string
	}{
		{"GET", "/", http.StatusNotFound, "no-such-path"},
		{"GET", "/" + canary, http.StatusNotFound, "no-such-path"},
		{"GET", "/v1/" + canary, http.StatusNotFound, "no-such-path"},
		{"GET", "/v1/inbox/", http.StatusNotFound, "no-such-path"},
		{"GET", "/v1//inbox/" + canary, http.StatusNotFound, "no-such-path"},
		{"GET", "/v1/../" + canary, http.StatusNotFound, "no-such-path"},
		{"GET", "/v1/./" + canary, http.StatusNotFound, "no-such-path"},
		{"GET", "/v1/%2e%2e/" + canary, http.StatusNotFound, "no-such-path"},
		{"GET", "/docs", http.StatusNotFound, "no-such-path"},
		{"GET", "/schemas/Item.json", http.StatusNotFound, "no-such-path"},
		{"GET", "/openapi.yaml", http.StatusNotFound, "no-such-path"},
		{"DELETE", "/v1/inbox", http.StatusMethodNotAllowed, "method-not-allowed"},
		{"PUT", "/v1/referrals?" + canary, http.StatusMethodNotAllowed, "method-not-allowed"},
		{"GET", "/v1/referrals", http.StatusMethodNotAllowed, "method-not-allowed"},
		{"POST", "/healthz", http.StatusMethodNotAllowed, "method-not-allowed"},
		{canary, "/v1/inbox", http.StatusMethodNotAllowed, "method-not-allowed"},
		{"GET", "/v1/inbox?" + canary + "=1", http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/inbox?limit=" + canary, http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/inbox?open=" + canary, http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/inbox/" + canary, http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/inbox/" + strings.Repeat("0", 36), http.StatusNotFound, "not-found"},
		{"GET", "/v1/inbox/" + schemas.NewMessageID(), http.StatusNotFound, "not-found"},
		{"GET", "/v1/outbox/" + schemas.NewMessageID(), http.StatusNotFound, "not-found"},
		{"GET", "/v1/outbox/..%2f" + canary, http.StatusNotFound, "no-such-path"},
		{"GET", "/v1/threads/" + schemas.NewThreadID(), http.StatusNotFound, "not-found"},
		{"GET", "/v1/threads/" + canary, http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/quarantine/" + canary, http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/quarantine/0", http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/quarantine/99999999999999999999", http.StatusUnprocessableEntity, "bad-request"},
		{"GET", "/v1/quarantine/7", http.StatusNotFound, "not-found"},
		{"POST", "/v1/sinks/" + canary + "/retry", http.StatusNotFound, "not-found"},
		{"POST", "/v1/sinks/" + strings.Repeat(canary, 5) + "/retry", http.StatusUnprocessableEntity, "bad-request"},
	} {
		t.Run(c.method+" "+c.path, func(t *testing.T) {
			p.call(t, c.method, c.path, nil).refused(t, c.status, c.code)
		})
	}
	t.Run("Allow", func(t *testing.T) {
		a := p.call(t, "DELETE", "/v1/inbox", nil)
		if got := a.header.Get("Allow"); got != "GET, HEAD" {
			t.Errorf("Allow: %q", got)
		}
	})
}

// TestPagingBounds: what is out of bounds is refused and not quietly put right.
func TestPagingBounds(t *testing.T) {
	p, _ := world(t)
	for range 5 { // the same without a key is a new message every time
		p.call(t, "POST", "/v1/referrals", bytes.NewReader(submission(t, nil))).accepted(t)
	}
	for _, q := range []string{"limit=0", "limit=501", "limit=-1", "limit=1.5", "limit=", "before=-1", "before=9223372036854775808", "limit=1&limit=" + canary} {
		t.Run(q, func(t *testing.T) {
			for _, list := range []string{"inbox", "outbox", "quarantine"} {
				a := p.call(t, "GET", "/v1/"+list+"?"+q, nil)
				if q == "limit=" || q == "limit=1&limit="+canary { // the first value counts, an empty one is none
					if a.status != http.StatusOK || bytes.Contains(a.body, []byte(canary)) {
						t.Errorf("%s: %d %s", list, a.status, a.body)
					}
					continue
				}
				a.refused(t, http.StatusUnprocessableEntity, "bad-request")
			}
		})
	}
	if ids, _ := p.ids(t, "/v1/outbox?limit=500"); len(ids) != 5 {
		t.Errorf("the largest limit gave %d rows", len(ids))
	}
	if ids, _ := p.ids(t, "/v1/outbox?before=1"); len(ids) != 0 {
		t.Errorf("rows before the first: %v", ids)
	}
}
