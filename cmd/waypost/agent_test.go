package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// nasty is text that must not reach a terminal as it stands: escape sequences in seven and in eight bits, a carriage return
// over what was written, a bell, backspaces, a delete, and marks that turn a line's direction round.
const nasty = "A\x1b[2J\x1b]0;x\x07B\rC\b\x7f\u009b31mD\u202eE\u2066F\u200fG\u061cH\x00I\u0085J\u202d"

// acts says that a rune may act on a terminal. It is written apart from harmful, which it tests.
func acts(r rune) bool {
	return r < ' ' && r != '\n' || r >= 0x7f && r <= 0x9f || strings.ContainsRune("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069", r)
}

func assertHarmless(t *testing.T, what, text string) {
	t.Helper()
	if i := strings.IndexFunc(text, acts); i >= 0 {
		t.Errorf("%s: %q could act on a terminal in\n%q", what, text[i:min(i+4, len(text))], text)
	}
}

// fakeAgent answers everything with nasty in every text that is anyone's to choose. A real agent would refuse to carry it;
// this is what the command line does if one does not.
func fakeAgent(t *testing.T, refuse bool) string {
	t.Helper()
	const at = `"2026-01-01T00:00:00Z"`
	n, err := json.Marshal(nasty)
	if err != nil {
		t.Fatal(err)
	}
	raw := strings.NewReplacer(`\u202e`, "\u202e", `\u009b`, "\u009b").Replace(string(n)) // JSON may carry these unescaped
	fill := func(s string) string { return strings.ReplaceAll(s, "NASTY", raw) }
	item := fill(`"n":1,"id":NASTY,"thread":NASTY,"reply_to":NASTY,"from":NASTY,"to":NASTY,"kind":NASTY,"schema":NASTY,"lane":NASTY,"seq":1,"sent":` + at + `,"basis":NASTY,"state":NASTY,"hold":NASTY,"receipt_code":NASTY,"overdue":false`)
	answers := map[string]string{
		"/v1/messages":    fill(`{"id":NASTY,"thread":NASTY,"state":NASTY}`),
		"/v1/inbox":       `{"items":[{` + item + `}]}`,
		"/v1/outbox":      `{"items":[{` + item + `}]}`,
		"/v1/inbox/x":     fill(`{` + item + `,"certificates":[NASTY],"payload":{NASTY:NASTY,"list":[NASTY,{NASTY:[NASTY]}],"deep":{"note":NASTY}},"receipts":[{"outcome":NASTY,"code":NASTY,"sent":` + at + `}],"deliveries":[{"sink":NASTY,"state":NASTY,"code":NASTY}]}`),
		"/v1/quarantine":  fill(`{"items":[{"n":1,"id":NASTY,"from":NASTY,"lane":NASTY,"code":NASTY,"received":` + at + `}]}`),
		"/v1/quarantine/": fill(`{"n":1,"id":NASTY,"from":NASTY,"lane":NASTY,"code":NASTY,"received":` + at + `,"problems":[{"path":NASTY,"rule":NASTY,"hint":NASTY}]}`),
		"/v1/threads/x":   fill(`{"items":[{"at":` + at + `,"event":NASTY,"message":NASTY,"kind":NASTY,"agency":NASTY,"code":NASTY}]}`),
		"/v1/directory":   fill(`{"version":1,"issued":` + at + `,"expires":` + at + `,"expired":true,"agencies":[{"id":NASTY,"name":NASTY,"role":NASTY,"state":NASTY,"duty_contact":NASTY,"may_send":[NASTY]}]}`),
		"/v1/status":      fill(`{"agency":NASTY,"connected":false,"code":NASTY,"directory_version":1,"counts":{}}`),
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if refuse {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, fill(`{"type":NASTY,"title":NASTY,"status":422,"code":NASTY,"detail":NASTY,"hint":NASTY,"problems":[{"path":NASTY,"rule":NASTY,"hint":NASTY}]}`))
			return
		}
		path := strings.TrimSuffix(r.URL.Path, "7")
		if strings.HasSuffix(path, "/responses") {
			path = "/v1/messages"
		}
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusAccepted)
		}
		fmt.Fprint(w, answers[path])
	}))
	t.Cleanup(srv.Close)
	return srv.URL
}

// TestTerminal: nothing that an agent answers can act on the terminal of whoever reads it, and --json gives it back whole.
func TestTerminal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "referral.json")
	if err := os.WriteFile(file, []byte(`{"to":"harbour-ngo"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	commands := [][]string{
		{"send", file}, {"respond", "x", "--accept"}, {"inbox"}, {"outbox"}, {"show", "x"}, {"thread", "x"}, {"quarantine"}, {"quarantine", "7"}, {"directory"}, {"status"},
	}
	good, bad := fakeAgent(t, false), fakeAgent(t, true)
	agent := func(url string, args ...string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := run(t.Context(), append([]string{"agent", "--api", url}, args...), strings.NewReader(""), &out, &errOut, []string{"WAYPOST_TOKEN=t"})
		return code, out.String(), errOut.String()
	}
	for _, c := range commands {
		name := strings.Join(c, " ")
		code, out, errOut := agent(good, c...)
		if code != exitOK || !strings.Contains(out, "A\ufffd") {
			t.Errorf("%s: exit %d, and not what the agent said:\n%s%s", name, code, out, errOut)
		}
		assertHarmless(t, name, out)

		code, out, errOut = agent(good, append(c, "--json")...)
		assertHarmless(t, name+" --json", out)
		var v any
		if err := json.Unmarshal([]byte(out), &v); err != nil || code != exitOK {
			t.Errorf("%s --json: exit %d, %v\n%s", name, code, err, errOut)
		}
		if !holds(v, nasty) {
			t.Errorf("%s --json does not give back what the agent said: %s", name, out)
		}

		code, out, errOut = agent(bad, c...)
		if code != exitFailure || out != "" {
			t.Errorf("%s refused: exit %d, output %q", name, code, out)
		}
		assertHarmless(t, name+" refused", errOut)
		if strings.Count(errOut, "waypost: ") != 1 || !strings.Contains(errOut, "\nhint: A") {
			t.Errorf("%s refused: want one line of what, one of what next:\n%s", name, errOut)
		}
	}
}

// holds looks for a string anywhere in a decoded document.
func holds(v any, s string) bool {
	switch x := v.(type) {
	case string:
		return x == s
	case []any:
		for _, y := range x {
			if holds(y, s) {
				return true
			}
		}
	case map[string]any:
		for _, y := range x {
			if holds(y, s) {
				return true
			}
		}
	}
	return false
}

// TestAgentMistakes: a mistake ends with the right code, one line, what to do next where we know it, no token and no text
// of a file, and it leaves nothing behind.
func TestAgentMistakes(t *testing.T) {
	const secret = "wpt_canary7hq2"
	none := "http://127.0.0.1:1" // nothing listens on port 1
	for _, c := range []struct {
		args  string
		stdin string
		code  int
		err   string // start of the line
		hint  bool
	}{
		{"nonsense", "", exitUsage, "unknown command", true},
		{"init", "", exitUsage, "--agency is missing", true},
		{"init --agency Not_An_Id", "", exitFailure, "agency: not an agency's id", true},
		{"init --agency ../../etc", "", exitFailure, "agency: not an agency's id", true},
		{"init --agency harbour-ngo --passphrase-file none.txt", "", exitFailure, "read passphrase", false},
		{"init --agency harbour-ngo --passphrase-file short.txt", "", exitUsage, "the passphrase is shorter", true},
		{"init extra --agency harbour-ngo", "", exitUsage, "waypost agent init takes 0 arguments", true},
		{"join", "", exitUsage, "waypost agent join takes 1 arguments", true},
		{"join none.json", "", exitFailure, "read grant", false},
		{"join secret.txt", "", exitFailure, "read grant", false},
		{"run --config none.yaml", "", exitFailure, "none.yaml: there is no such file", true},
		{"run --log-level loud --config none.yaml", "", exitUsage, "--log-level", true},
		{"token", "", exitOK, "", false},
		{"token add x --config none.yaml", "", exitUsage, "--scope is missing", true},
		{"token add x --scope all --config none.yaml", "", exitUsage, "there is no scope", true},
		{"token add x --scope read --config none.yaml", "", exitFailure, "none.yaml: there is no such file", true},
		{"inbox --token-file none.txt", "", exitFailure, "read token", false},
		{"inbox --api " + none, "", exitFailure, "no agent answers at " + none, true},
		{"inbox --api not::an::address", "", exitFailure, "", false},
		{"inbox extra", "", exitUsage, "waypost agent inbox takes 0 arguments", true},
		{"inbox --limit many", "", exitUsage, "invalid argument", true},
		{"quarantine one", "", exitUsage, "quarantine takes a number", true},
		{"quarantine 1 2", "", exitUsage, "waypost agent quarantine takes", true},
		{"show", "", exitUsage, "waypost agent show takes 1 arguments", true},
		{"send", "", exitUsage, "waypost agent send takes 1 arguments", true},
		{"send none.json --to harbour-ngo", "", exitFailure, "read document", false},
		{"send . --to harbour-ngo", "", exitFailure, "read document", false},
		{"send to.json --to other-ngo", "", exitUsage, "the file is addressed to another agency", true},
		{"send open.json", "", exitUsage, "the file does not say which agency", true},
		{"send -", "{}", exitUsage, "the file does not say which agency", true},
		{"send - --to harbour-ngo", strings.Repeat(" ", 1<<20) + "{}", exitUsage, "the document is larger", true},
		{"respond x", "", exitUsage, "say one of", true},
		{"respond x --accept --decline no-capacity", "", exitUsage, "say one of", true},
		{"respond x --file none.json", "", exitFailure, "read document", false},
	} {
		t.Run(c.args, func(t *testing.T) {
			t.Chdir(t.TempDir())
			files := map[string]string{
				"short.txt": "canary7hq2", "secret.txt": "canary7hq2 is not a grant", "to.json": `{"to":"harbour-ngo","referral":"canary7hq2"}`, "open.json": `{"referral":"canary7hq2"}`,
			}
			for name, text := range files {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var out, errOut bytes.Buffer
			env := []string{"WAYPOST_TOKEN=" + secret, "WAYPOST_API=" + none}
			if code := run(t.Context(), append([]string{"agent"}, strings.Fields(c.args)...), strings.NewReader(c.stdin), &out, &errOut, env); code != c.code {
				t.Errorf("exit code %d, want %d: %s", code, c.code, &errOut)
			}
			if c.code == exitOK {
				return
			}
			lines := strings.Split(strings.TrimSuffix(errOut.String(), "\n"), "\n")
			if !strings.HasPrefix(lines[0], "waypost: "+c.err) || len(lines) > 2 || len(lines) == 2 && !strings.HasPrefix(lines[1], "hint: ") || c.hint != (len(lines) == 2) {
				t.Errorf("want one line %q and hint: %t\n%s", "waypost: "+c.err, c.hint, &errOut)
			}
			if out.Len() != 0 {
				t.Errorf("output of a command that failed: %s", &out)
			}
			if strings.Contains(errOut.String(), "canary7hq2") {
				t.Errorf("the error repeats a secret or a file: %s", &errOut)
			}
			err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
				if _, ours := files[path]; !ours && path != "." {
					t.Errorf("%s was left behind", path)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestAgentToken: --token-file wins over the environment, and its line end does not count.
func TestAgentToken(t *testing.T) {
	var seen []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r.Header.Get("Authorization"))
		fmt.Fprint(w, `{"items":[]}`)
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, c := range []struct {
		args, env []string
		want      string
	}{
		{nil, []string{"WAYPOST_TOKEN=from-env", "WAYPOST_API=" + srv.URL}, "Bearer from-env"},
		{[]string{"--token-file", file}, []string{"WAYPOST_TOKEN=from-env", "WAYPOST_API=" + host}, "Bearer from-file"},
		{[]string{"--api", host, "--token-file", file}, []string{"WAYPOST_API=127.0.0.1:1"}, "Bearer from-file"},
	} {
		var out, errOut bytes.Buffer
		seen = nil
		if code := run(t.Context(), append([]string{"agent", "inbox"}, c.args...), strings.NewReader(""), &out, &errOut, c.env); code != exitOK {
			t.Errorf("%v: exit %d %s", c.args, code, &errOut)
		}
		if len(seen) != 1 || seen[0] != c.want {
			t.Errorf("%v: the agent saw %q, want %q", c.args, seen, c.want)
		}
	}
	var out, errOut bytes.Buffer
	seen = nil
	if code := run(t.Context(), []string{"agent", "inbox", "--api", srv.URL}, strings.NewReader(""), &out, &errOut, nil); code != exitUsage || len(seen) != 0 || !strings.Contains(errOut.String(), "no token given") {
		t.Errorf("without a token: exit %d, %d requests, %s", code, len(seen), &errOut)
	}
}

// TestSendKey: the same command again is the same request, whatever else differs is another.
func TestSendKey(t *testing.T) {
	type request struct{ path, key, body string }
	var seen []request
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var b bytes.Buffer
		_, _ = b.ReadFrom(r.Body)
		seen = append(seen, request{r.URL.Path, r.Header.Get("Idempotency-Key"), b.String()})
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprint(w, `{"id":"i","thread":"t","state":"pending"}`)
	}))
	defer srv.Close()
	file := filepath.Join(t.TempDir(), "referral.json")
	if err := os.WriteFile(file, []byte(`{"referral":{"summary":"Test Person A"}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	last := func(args ...string) request {
		t.Helper()
		var out, errOut bytes.Buffer
		n := len(seen)
		if code := run(t.Context(), append([]string{"agent", "--api", srv.URL}, args...), strings.NewReader(""), &out, &errOut, []string{"WAYPOST_TOKEN=t"}); code != exitOK || len(seen) != n+1 {
			t.Fatalf("%v: exit %d, %d requests: %s", args, code, len(seen)-n, &errOut)
		}
		return seen[n]
	}
	first := last("send", file, "--to", "harbour-ngo")
	if first.path != "/v1/messages" || first.body != `{"to":"harbour-ngo","referral":{"summary":"Test Person A"}}` {
		t.Errorf("sent %+v", first)
	}
	if again := last("send", file, "--to", "harbour-ngo"); again != first {
		t.Errorf("again: %+v, want %+v", again, first)
	}
	if strings.Contains(first.key, "Person") || len(first.key) < 20 || len(first.key) > 255 {
		t.Errorf("key %q", first.key)
	}
	keys := map[string]string{first.key: "first"}
	for name, args := range map[string][]string{
		"another recipient": {"send", file, "--to", "lantern-housing"}, "again": {"send", file, "--to", "harbour-ngo", "--again"},
		"again again": {"send", file, "--to", "harbour-ngo", "--again"}, "given": {"send", file, "--to", "harbour-ngo", "--idempotency-key", "mine"},
		"answer": {"respond", "x", "--accept"}, "answer to another": {"respond", "y", "--accept"}, "other answer": {"respond", "x", "--decline", "no-capacity"},
	} {
		key := last(args...).key
		if other, ok := keys[key]; ok {
			t.Errorf("%s has the key of %s", name, other)
		}
		keys[key] = name
	}
	if _, ok := keys["mine"]; !ok {
		t.Error("the given key was not used")
	}
}
