package api_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"waypost/agents/api"
	"waypost/agents/store"
	"waypost/schemas"
)

// TestScopes: every operation needs exactly its own scope, names it when it is missing, and does nothing then.
func TestScopes(t *testing.T) {
	p, _ := world(t)
	ids := map[string]string{}
	for _, s := range api.Scopes() {
		ids[s] = p.addToken(t, "only-"+s, s)
	}
	none := p.addToken(t, "none")
	message := p.call(t, "POST", "/v1/referrals", bytes.NewReader(submission(t, nil))).accepted(t)
	id := message.ID
	for _, op := range []struct{ method, path, scope string }{
		{"POST", "/v1/referrals", "send"}, {"POST", "/v1/inbox/" + id + "/responses", "respond"},
		{"GET", "/v1/inbox", "read"}, {"GET", "/v1/inbox/" + id, "read"}, {"GET", "/v1/outbox", "read"}, {"GET", "/v1/outbox/" + id, "read"},
		{"GET", "/v1/quarantine", "read"}, {"GET", "/v1/quarantine/1", "read"}, {"GET", "/v1/threads/" + message.Thread, "read"},
		{"GET", "/v1/directory", "read"}, {"GET", "/v1/status", "read"}, {"HEAD", "/v1/status", "read"}, {"POST", "/v1/sinks/folder/retry", "admin"},
		{"POST", "/v1/sinks/folder/redrive?since=2026-01-01T00:00:00Z", "admin"}, {"GET", "/v1/redeliveries", "read"}, {"POST", "/v1/redeliveries/" + id + "/refuse", "admin"},
		{"GET", "/v1/ledger", "read"}, {"POST", "/v1/messages/" + id + "/disclose", "custody"}, {"POST", "/v1/threads/" + message.Thread + "/erase", "custody"},
	} {
		t.Run(op.method+" "+op.path, func(t *testing.T) {
			body := func() *bytes.Reader { return bytes.NewReader(submission(t, nil)) }
			for scope, token := range ids {
				a := p.call(t, op.method, op.path, body(), "Authorization", "Bearer "+token)
				if scope == op.scope {
					if a.status == http.StatusUnauthorized || a.status == http.StatusForbidden {
						t.Errorf("refused with its scope: %s", a.body)
					}
					continue
				}
				if op.method == "HEAD" {
					if a.status != http.StatusForbidden {
						t.Errorf("scope %s: status %d", scope, a.status)
					}
					continue
				}
				if got := a.refused(t, http.StatusForbidden, "missing-scope"); !strings.Contains(got.Detail, " "+op.scope+".") {
					t.Errorf("the scope %s is not named: %s", op.scope, got.Detail)
				}
			}
			if a := p.call(t, op.method, op.path, body(), "Authorization", "Bearer "+none); a.status != http.StatusForbidden {
				t.Errorf("a token without scopes: %d", a.status)
			}
			if a := p.call(t, op.method, op.path, body(), "Authorization", ""); a.status != http.StatusUnauthorized || a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("no token: %d %v", a.status, a.header)
			}
		})
	}
	// One by the message above, one by the token that may send.
	if got, _ := p.ids(t, "/v1/outbox"); len(got) != 2 {
		t.Errorf("%d messages, want 2", len(got))
	}
}

// TestTokens: what is not a token is told nothing that tells one kind of wrong from another; revocation counts at once.
func TestTokens(t *testing.T) {
	p, _ := world(t)
	secret := p.addToken(t, "desk", "read")
	if a := p.call(t, "GET", "/v1/status", nil, "Authorization", "Bearer "+secret); a.status != http.StatusOK {
		t.Fatalf("%d %s", a.status, a.body)
	}
	p.withStore(t, func(tx *store.Tx) error { return tx.RemoveToken("desk") })
	var bodies []string
	for _, header := range []string{"", "Bearer " + secret, "Bearer", "Bearer ", "Bearer  " + p.token, "Basic " + canary, "Bearer " + canary, p.token,
		"Bearer " + p.token + "x", "Bearer " + p.token[:len(p.token)-1], "Bearer " + strings.ToUpper(p.token), "Bearer desk", "Bearer " + strings.Repeat(canary, 30),
		"Bearer %", "Bearer ' OR 1=1 --", "Token " + p.token} {
		a := p.call(t, "GET", "/v1/status", nil, "Authorization", header)
		a.refused(t, http.StatusUnauthorized, "unauthorised")
		bodies = append(bodies, string(a.body))
	}
	if slices.Sort(bodies); len(slices.Compact(bodies)) != 1 {
		t.Errorf("the refusals differ: %q", bodies)
	}
	// A token in the address ends up in logs and histories, so it is not one.
	p.call(t, "GET", "/v1/status?access_token="+p.token, nil, "Authorization", "").refused(t, http.StatusUnauthorized, "unauthorised")
	// The token is asked for before the request is looked at: nobody can probe without one.
	p.call(t, "GET", "/v1/inbox/"+canary+"?x=1", nil, "Authorization", "").refused(t, http.StatusUnauthorized, "unauthorised")
	p.call(t, "POST", "/v1/referrals", strings.NewReader(canary), "Authorization", "").refused(t, http.StatusUnauthorized, "unauthorised")
}

// TestBrowsersAndHosts: no web page and no rebound name gets further than a refusal, at any address.
func TestBrowsersAndHosts(t *testing.T) {
	p, _ := world(t)
	port := p.url[strings.LastIndex(p.url, ":"):]
	for _, path := range []string{"/healthz", "/openapi.json", "/v1/status", "/v1/referrals", "/" + canary} {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			for _, h := range [][]string{
				{"Origin", "https://" + canary + ".example"}, {"Origin", "null"}, {"Origin", p.url},
				{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Sec-Fetch-Site", "same-origin"}, {"Sec-Fetch-Site", canary},
			} {
				a := p.call(t, method, path, nil, h...)
				if method == "HEAD" && a.status == http.StatusForbidden {
					continue
				}
				a.refused(t, http.StatusForbidden, "browser-refused")
			}
			for _, host := range []string{canary + ".example", canary + ".example" + port, "127.0.0.1." + canary + ".example", "localhost.", "localhost.example", "[" + canary + "]", "127.0.0.1@x"} {
				a := p.call(t, method, path, nil, "Host", host)
				if a.status == http.StatusBadRequest && !bytes.Contains(a.body, []byte(canary)) {
					continue // net/http itself refused a name that is none
				}
				if method == "HEAD" && a.status == http.StatusMisdirectedRequest {
					continue
				}
				a.refused(t, http.StatusMisdirectedRequest, "unknown-host")
			}
		}
	}
	for _, host := range []string{"127.0.0.1", "localhost", "LOCALHOST" + port, "[::1]" + port, "::1", "192.0.2.7" + port} {
		if a := p.call(t, "GET", "/healthz", nil, "Host", host); a.status != http.StatusOK {
			t.Errorf("Host %s: %d", host, a.status)
		}
	}
	// Somebody who types the address sees the description; there is nothing else to see.
	for _, path := range []string{"/healthz", "/openapi.json"} {
		a := p.call(t, "GET", path, nil, "Authorization", "", "Sec-Fetch-Site", "none")
		if a.status != http.StatusOK || a.header.Get("Content-Security-Policy") == "" || a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", path, a.status, a.header)
		}
	}
}

// TestIdempotencyScope: a key belongs to one token and one operation.
func TestIdempotencyScope(t *testing.T) {
	p, n := world(t)
	other := p.addToken(t, "other", "send")
	send := func(token string, edit func(map[string]any)) answer {
		return p.call(t, "POST", "/v1/referrals", bytes.NewReader(submission(t, edit)), "Authorization", "Bearer "+token, "Idempotency-Key", canary)
	}
	first := send(p.token, nil).accepted(t)
	if first.Repeated || first.State != "pending" {
		t.Errorf("first: %+v", first)
	}
	if again := send(p.token, nil).accepted(t); !again.Repeated || again.ID != first.ID || again.Thread != first.Thread {
		t.Errorf("again: %+v, want %+v", again, first)
	}
	// The same document in other spelling is the same request.
	spelled := bytes.Replace(submission(t, nil), []byte("{"), []byte("{\n  "), 1)
	if again := p.call(t, "POST", "/v1/referrals", bytes.NewReader(spelled), "Idempotency-Key", canary).accepted(t); again.ID != first.ID {
		t.Errorf("other spaces made another message")
	}
	changed := func(d map[string]any) { d["referral"].(map[string]any)["reference"] = canary }
	send(p.token, changed).refused(t, http.StatusUnprocessableEntity, "idempotency-key-reused")
	// A refused document leaves its key free.
	p.call(t, "POST", "/v1/referrals", strings.NewReader("{}"), "Idempotency-Key", "k2").refused(t, http.StatusUnprocessableEntity, "invalid")
	if a := p.call(t, "POST", "/v1/referrals", bytes.NewReader(submission(t, nil)), "Idempotency-Key", "k2").accepted(t); a.Repeated {
		t.Errorf("a refused request used its key up")
	}
	// Another token's key is another key, whatever it is called.
	theirs := send(other, nil).accepted(t)
	if theirs.Repeated || theirs.ID == first.ID {
		t.Errorf("a token was given another token's answer: %+v", theirs)
	}
	if again := send(other, nil).accepted(t); !again.Repeated || again.ID != theirs.ID {
		t.Errorf("%+v", again)
	}
	if ids, _ := p.ids(t, "/v1/outbox"); len(ids) != 3 {
		t.Errorf("%d messages, want 3", len(ids))
	}

	eventually(t, "three referrals at the other side", func() bool { ids, _ := n.ids(t, "/v1/inbox"); return len(ids) == 3 })
	respond := func(id, body string) answer {
		return n.call(t, "POST", "/v1/inbox/"+id+"/responses", strings.NewReader(body), "Idempotency-Key", canary)
	}
	const yes, no = `{"outcome":"accepted"}`, `{"outcome":"declined","decline_reason":"no-capacity"}`
	var wg sync.WaitGroup
	answers := make([]answer, 20)
	for i := range answers {
		wg.Go(func() { answers[i] = respond(first.ID, yes) })
	}
	wg.Wait()
	one := answers[0].accepted(t).ID
	for _, a := range answers {
		if id := a.accepted(t).ID; id != one {
			t.Errorf("one key made several answers: %s and %s", one, id)
		}
	}
	respond(first.ID, no).refused(t, http.StatusUnprocessableEntity, "idempotency-key-reused")
	respond(theirs.ID, yes).refused(t, http.StatusUnprocessableEntity, "idempotency-key-reused")
	if ids, _ := n.ids(t, "/v1/outbox"); len(ids) != 1 {
		t.Errorf("%d answers, want 1", len(ids))
	}
}

// broken is an agent whose store fails in the ways a store can.
type broken struct {
	api.Service
	token error
	do    func() error
}

func (b broken) Token(_ context.Context, secret string) (*store.Token, error) {
	return &store.Token{Name: "t", Scopes: api.Scopes()}, b.token
}

func (b broken) Status(context.Context) (*api.Status, error) { return nil, b.do() }

func (b broken) Submit(context.Context, *schemas.Submission, api.Key) (*api.Accepted, error) {
	return nil, b.do()
}

// TestInside: what goes wrong inside is told to nobody outside, and a panic takes neither the process nor a payload with it.
func TestInside(t *testing.T) {
	boom := errors.New("disk says " + canary)
	for _, c := range []struct {
		name   string
		with   broken
		status int
		code   string
		logged string // code that the log must have
	}{
		{"an unknown error", broken{do: func() error { return boom }}, http.StatusInternalServerError, "internal", "internal"},
		{"a panic", broken{do: func() error { panic(canary) }}, http.StatusInternalServerError, "internal", "internal"},
		{"a panic with an error", broken{do: func() error { panic(boom) }}, http.StatusInternalServerError, "internal", "internal"},
		{"no store for tokens", broken{token: boom}, http.StatusServiceUnavailable, "store-unavailable", ""},
		{"a refusal with a cause", broken{do: func() error {
			return &api.Error{Status: http.StatusInsufficientStorage, Code: "store-full", Sentence: "Full.", Cause: errors.New("no room")}
		}}, http.StatusInsufficientStorage, "store-full", "store-full"},
	} {
		t.Run(c.name, func(t *testing.T) {
			log := &logBuffer{}
			srv := httptest.NewServer(api.New(c.with, api.Options{Log: slog.New(slog.NewTextHandler(log, nil))}))
			defer srv.Close()
			m := &member{url: srv.URL, token: "x"}
			m.call(t, "GET", "/v1/status", nil).refused(t, c.status, c.code)
			m.call(t, "POST", "/v1/referrals", bytes.NewReader(submission(t, nil))).refused(t, c.status, c.code)
			if a := m.call(t, "GET", "/healthz", nil); a.status != http.StatusOK {
				t.Errorf("afterwards: %d", a.status)
			}
			if c.logged != "" && strings.Count(log.String(), "code="+c.logged) != 2 {
				t.Errorf("the log does not tell: %s", log)
			}
			if strings.HasPrefix(c.name, "a panic") && strings.Contains(log.String(), canary) {
				t.Errorf("the log has the panic's value, which may be payload: %s", log)
			}
		})
	}
}

// TestServe: what is under way when the agent stops is finished, and the port is free afterwards.
func TestServe(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	h := api.New(broken{do: func() error {
		close(entered)
		<-release
		return &api.Error{Status: http.StatusConflict, Code: "late", Sentence: "Late."}
	}}, api.Options{Log: slog.New(slog.DiscardHandler)})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done, answered := make(chan error, 1), make(chan answer, 1)
	go func() { done <- api.Serve(ctx, ln, h) }()
	m := &member{url: "http://" + ln.Addr().String(), token: "x"}
	go func() {
		defer close(answered)
		answered <- m.call(t, "GET", "/v1/status", nil, "Connection", "close")
	}()
	<-entered
	stop()
	eventually(t, "no new connections", func() bool {
		c, err := net.DialTimeout("tcp", ln.Addr().String(), time.Second)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	select {
	case err := <-done:
		t.Fatalf("stopped with a request under way: %v", err)
	default:
	}
	close(release)
	(<-answered).refused(t, http.StatusConflict, "late")
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}
