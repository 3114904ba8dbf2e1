package agents_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"waypost/agents/store"
	"waypost/broker/brokertest"
	"waypost/deploy/examples"
	"waypost/schemas"
)

// canary stands wherever a hostile caller can put text. It may come back nowhere.
const canary = "CANARYquibblewort"

// raw sends a request as it stands and returns everything that came back.
func (m *member) raw(t *testing.T, method, path string, body io.Reader, header ...string) (int, http.Header, string) {
	t.Helper()
	req, err := http.NewRequest(method, m.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+m.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		} else if header[i+1] == "" {
			req.Header.Del(header[i])
		} else {
			req.Header.Set(header[i], header[i+1])
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, resp.Header, string(text)
}

func TestAPIRefusals(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, _ := pair(t, b, "")
	st := p.openStore(t)
	defer st.Close()
	token := func(f func(*store.Tx) error) {
		t.Helper()
		if err := st.Update(context.Background(), f); err != nil {
			t.Fatal(err)
		}
	}
	token(func(tx *store.Tx) error { return tx.AddToken("reader", "only-read", []string{"read"}, time.Now()) })
	token(func(tx *store.Tx) error { return tx.AddToken("gone", "revoked", []string{"read"}, time.Now()) })
	token(func(tx *store.Tx) error { return tx.RemoveToken("gone") })

	var zipped bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	_, _ = gz.Write(submission(t, ngo, nil))
	gz.Close()
	good := string(submission(t, ngo, nil))
	with := func(member string) string { return strings.Replace(good, "{", "{"+member+",", 1) }
	tests := []struct {
		name, method, path, body string
		header                   []string
		status                   int
		code                     string
	}{
		{"unknown member", "POST", "/v1/referrals", with(`"` + canary + `":"` + canary + `"`), nil, 422, "invalid"},
		{"duplicate member", "POST", "/v1/referrals", with(`"to":"` + canary + `"`), nil, 422, "invalid"},
		{"case variant", "POST", "/v1/referrals", with(`"Referral":"` + canary + `"`), nil, 422, "invalid"},
		{"invalid UTF-8", "POST", "/v1/referrals", with("\"to\":\"\xff" + canary + "\""), nil, 422, "invalid"},
		{"trailing data", "POST", "/v1/referrals", good + `{"` + canary + `":1}`, nil, 422, "invalid"},
		{"deep", "POST", "/v1/referrals", strings.Repeat(`{"`+canary+`":`, 5000), nil, 422, "invalid"},
		{"wrong type", "POST", "/v1/referrals", `{"to":["` + canary + `"]}`, nil, 422, "invalid"},
		{"out of list", "POST", "/v1/referrals", strings.Replace(good, `"urgency":"immediate"`, `"urgency":"`+canary+`"`, 1), nil, 422, "invalid"},
		{"not JSON", "POST", "/v1/referrals", canary, nil, 422, "invalid"},
		{"empty", "POST", "/v1/referrals", "", nil, 0, ""},
		{"too large", "POST", "/v1/referrals", `{"to":"` + strings.Repeat(canary, 70_000) + `"}`, nil, 413, "too-large"},
		{"gzip", "POST", "/v1/referrals", zipped.String(), []string{"Content-Encoding", "gzip"}, 415, "unsupported-encoding"},
		{"wrong media type", "POST", "/v1/referrals", good, []string{"Content-Type", "text/" + canary}, 415, "unsupported-media-type"},
		{"other charset", "POST", "/v1/referrals", good, []string{"Content-Type", "application/json; charset=latin1"}, 415, "unsupported-media-type"},
		{"key too long", "POST", "/v1/referrals", good, []string{"Idempotency-Key", strings.Repeat(canary, 20)}, 422, "bad-request"},
		{"bad id", "GET", "/v1/inbox/" + canary, "", nil, 422, "bad-request"},
		{"unknown id", "GET", "/v1/inbox/" + schemas.NewMessageID(), "", nil, 404, "not-found"},
		{"answer to nothing", "POST", "/v1/inbox/" + schemas.NewMessageID() + "/responses", `{"outcome":"accepted"}`, nil, 404, "not-found"},
		{"bad answer", "POST", "/v1/inbox/" + schemas.NewMessageID() + "/responses", `{"outcome":"` + canary + `"}`, nil, 422, "invalid"},
		{"unknown thread", "GET", "/v1/threads/" + schemas.NewThreadID(), "", nil, 404, "not-found"},
		{"bad limit", "GET", "/v1/inbox?limit=" + canary, "", nil, 422, "bad-request"},
		{"limit too large", "GET", "/v1/inbox?limit=501", "", nil, 422, "bad-request"},
		{"unknown query", "GET", "/v1/inbox?" + canary + "=1", "", nil, 422, "bad-request"},
		{"unknown path", "GET", "/" + canary, "", nil, 404, "no-such-path"},
		{"unknown sink", "POST", "/v1/sinks/" + canary + "/retry", "", nil, 404, "not-found"},
		{"no token", "GET", "/v1/inbox", "", []string{"Authorization", ""}, 401, "unauthorised"},
		{"other scheme", "GET", "/v1/inbox", "", []string{"Authorization", "Basic " + canary}, 401, "unauthorised"},
		{"unknown token", "GET", "/v1/inbox", "", []string{"Authorization", "Bearer " + canary}, 401, "unauthorised"},
		{"revoked token", "GET", "/v1/inbox", "", []string{"Authorization", "Bearer revoked"}, 401, "unauthorised"},
		{"missing scope", "POST", "/v1/referrals", good, []string{"Authorization", "Bearer only-read"}, 403, "missing-scope"},
		{"web page", "GET", "/v1/inbox", "", []string{"Origin", "https://" + canary + ".example"}, 403, "browser-refused"},
		{"cross site", "POST", "/v1/referrals", good, []string{"Sec-Fetch-Site", "cross-site"}, 403, "browser-refused"},
		{"rebound name", "GET", "/v1/inbox", "", []string{"Host", canary + ".example"}, 421, "unknown-host"},
	}
	for _, tc := range tests {
		t.Run(tc.name, func(t *testing.T) {
			var body io.Reader
			if tc.method == "POST" {
				body = strings.NewReader(tc.body)
			}
			status, header, text := p.raw(t, tc.method, tc.path, body, tc.header...)
			if strings.Contains(text, canary) {
				t.Errorf("the answer repeats the input: %s", text)
			}
			for k, v := range header {
				if strings.Contains(strings.Join(v, " "), canary) {
					t.Errorf("header %s repeats the input", k)
				}
			}
			var pr struct {
				Type, Code string
				Status     int
			}
			if err := json.Unmarshal([]byte(text), &pr); err != nil || header.Get("Content-Type") != "application/problem+json" {
				t.Fatalf("not a problem document: %s %s", header.Get("Content-Type"), text)
			}
			if tc.status != 0 && (status != tc.status || pr.Status != status || pr.Code != tc.code || pr.Type != "urn:waypost:problem:"+tc.code) {
				t.Errorf("got %d %+v, want %d %s", status, pr, tc.status, tc.code)
			}
			if header.Get("Cache-Control") != "no-store" {
				t.Error("may be cached")
			}
		})
	}
	if strings.Contains(p.log.String(), canary) {
		t.Error("the log repeats the input")
	}
	var out struct{ Items []item }
	if p.call(t, "GET", "/v1/outbox", nil, &out); len(out.Items) != 0 {
		t.Errorf("%d messages after nothing but refusals", len(out.Items))
	}
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, n := pair(t, b, "")
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]int{}
	for range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			a := p.mustSubmit(t, ngo, nil, "Idempotency-Key", "k1")
			mu.Lock()
			ids[a.ID]++
			mu.Unlock()
		}()
	}
	wg.Wait()
	if len(ids) != 1 {
		t.Errorf("one key made %d messages", len(ids))
	}
	if a := p.mustSubmit(t, ngo, nil, "Idempotency-Key", "k1"); !a.Repeated {
		t.Error("a repeat is not said to be one")
	}
	other := func(d map[string]any) { d["referral"].(map[string]any)["reference"] = "NS-9" }
	if _, code, pr := p.submit(t, ngo, other, "Idempotency-Key", "k1"); code != 422 || pr.Code != "idempotency-key-reused" {
		t.Errorf("same key, other content: %d %+v", code, pr)
	}
	second := p.mustSubmit(t, ngo, other, "Idempotency-Key", "k2")
	if second.Repeated {
		t.Error("another key is a repeat")
	}
	p.waitState(t, second.ID, "delivered")
	for id := range ids {
		p.waitState(t, id, "delivered")
		// Long after, and with the response clock run out, the key still gives the first answer.
		if a := p.mustSubmit(t, ngo, nil, "Idempotency-Key", "k1"); a.ID != id {
			t.Errorf("got %s, want %s", a.ID, id)
		}
	}
	if got := referrals(t, n); got != 2 {
		t.Errorf("%d referrals arrived, want 2", got)
	}
}

// TestOpenAPI: every reference in the description resolves, and the schema in it accepts our own examples.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, _ := pair(t, b, "")
	status, _, text := p.raw(t, "GET", "/openapi.json", nil, "Authorization", "")
	if status != 200 {
		t.Fatalf("status %d", status)
	}
	doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	refs := 0
	var walk func(v any)
	walk = func(v any) {
		switch x := v.(type) {
		case map[string]any:
			if r, ok := x["$ref"].(string); ok {
				refs++
				if _, err := c.Compile("mem:///openapi.json" + r); err != nil {
					t.Errorf("%s: %v", r, err)
				}
			}
			for _, y := range x {
				walk(y)
			}
		case []any:
			for _, y := range x {
				walk(y)
			}
		}
	}
	walk(doc)
	if refs < 20 {
		t.Errorf("only %d references: the payloads are not described", refs)
	}
	sch, err := c.Compile("mem:///openapi.json#/components/schemas/submission_v1")
	if err != nil {
		t.Fatal(err)
	}
	entries, err := examples.Files.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), "referral-") {
			continue
		}
		n++
		text, err := examples.Files.ReadFile(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := sch.Validate(v); err != nil {
			t.Errorf("%s: %v", e.Name(), err)
		}
	}
	if n < 4 {
		t.Errorf("only %d examples", n)
	}
	if status, _, text := p.raw(t, "GET", "/healthz", nil, "Authorization", ""); status != 200 || text != "ok\n" {
		t.Errorf("health: %d %q", status, text)
	}
}

func TestPaging(t *testing.T) {
	t.Parallel()
	b := brokertest.Start(t)
	p, _ := pair(t, b, "")
	want := map[string]bool{}
	for range 7 {
		want[p.mustSubmit(t, ngo, nil).ID] = true
	}
	before, pages := int64(0), 0
	for {
		var page struct {
			Items []struct {
				N  int64
				ID string
			}
		}
		path := "/v1/outbox?limit=3"
		if before > 0 {
			path += "&before=" + strings.TrimSpace(jsonNumber(before))
		}
		if code, pr := p.call(t, "GET", path, nil, &page); code != 200 {
			t.Fatalf("%d %+v", code, pr)
		}
		if len(page.Items) == 0 {
			break
		}
		pages++
		for _, it := range page.Items {
			if !want[it.ID] {
				t.Errorf("%s twice or unknown", it.ID)
			}
			delete(want, it.ID)
			before = it.N
		}
	}
	if len(want) != 0 || pages != 3 {
		t.Errorf("%d missing after %d pages", len(want), pages)
	}
}

func jsonNumber(n int64) string { b, _ := json.Marshal(n); return string(b) }
