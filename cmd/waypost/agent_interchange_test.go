package main

import (
	"bytes"
	"encoding/csv"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

const vital = `{"urgency":"immediate","purposes":["immediate-safety"],"needs":["medical"],"lawful_basis":{"basis":"vital-interests","reason":"danger-to-life","justification":"x","authorised_by":"y"},"person":{"age":30},"referrer":{"name":"Officer B","phone":"+44 1632 960100"}}`

// TestExportPages: every page of both boxes, nothing twice, and what cannot be read is counted and not guessed.
func TestExportPages(t *testing.T) {
	const rows = 1203
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, id, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
		item := func(n int) string {
			from := "north-police"
			if n == 7 {
				from = "Not An Agency"
			}
			kind := map[bool]string{true: "referral-response", false: "referral"}[n == 3]
			schema := map[bool]string{true: "referral.v9", false: "referral.v1"}[n == 4]
			return fmt.Sprintf(`"n":%d,"id":"%s-%d","thread":"t%d","from":%q,"to":"harbour","kind":%q,"schema":%q,"lane":"urgent","seq":1,"sent":"2026-01-01T00:00:00Z","state":"routed","overdue":false`, n, path, n, n, from, kind, schema)
		}
		switch {
		case path == "directory":
			fmt.Fprint(w, `{"agencies":[]}`)
		case id != "":
			box, number, _ := strings.Cut(id, "-")
			n, _ := strconv.Atoi(number)
			payload := map[bool]string{true: `{"urgency":"canary"}`, false: vital}[n == 6]
			if box != path || n == 5 {
				w.Header().Set("Content-Type", "application/problem+json")
				w.WriteHeader(http.StatusNotFound)
				fmt.Fprint(w, `{"status":404,"code":"not-found"}`)
				return
			}
			fmt.Fprintf(w, `{%s,"payload":%s}`, item(n), payload)
		default:
			before, _ := strconv.Atoi(r.URL.Query().Get("before"))
			limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
			if before == 0 {
				before = rows + 1
			}
			var items []string
			for n := before - 1; n > 0 && len(items) < limit; n-- {
				items = append(items, "{"+item(n)+"}")
			}
			fmt.Fprintf(w, `{"items":[%s]}`, strings.Join(items, ","))
		}
	}))
	defer srv.Close()
	var out, errOut bytes.Buffer
	if code := run(t.Context(), []string{"agent", "export", "--api", srv.URL}, strings.NewReader(""), &out, &errOut, []string{"WAYPOST_TOKEN=t"}); code != exitOK {
		t.Fatalf("exit %d: %s", code, &errOut)
	}
	assertHarmless(t, "export", out.String())
	table, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int{}
	for _, r := range table[1:] {
		ids[r[0]]++
	}
	// Of each box: 3 is an answer, 4 to 7 cannot be read. The same thread is in both.
	if want := 2 * (rows - 5); len(table)-1 != want || len(ids) != want/2 || !strings.Contains(errOut.String(), "8 referrals left out") {
		t.Errorf("%d rows of %d threads, want %d\n%s", len(table)-1, len(ids), want, &errOut)
	}
	if code := run(t.Context(), []string{"agent", "export", "--api", "http://127.0.0.1:1", "--out", filepath.Join(t.TempDir(), "x.csv")}, strings.NewReader(""), &out, &errOut, []string{"WAYPOST_TOKEN=t"}); code != exitFailure {
		t.Errorf("without an agent: exit %d", code)
	}
}

// TestExportWhole: when the agent fails half way no file is left under the name.
func TestExportWhole(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/v1/directory":
			fmt.Fprint(w, `{"agencies":[]}`)
		case "/v1/inbox":
			fmt.Fprint(w, `{"items":[{"n":1,"id":"x","thread":"t","from":"a-b","to":"c-d","kind":"referral","schema":"referral.v1","lane":"urgent","seq":1,"sent":"2026-01-01T00:00:00Z","state":"routed","overdue":false}]}`)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
	defer srv.Close()
	dir := t.TempDir()
	var out, errOut bytes.Buffer
	code := run(t.Context(), []string{"agent", "export", "--api", srv.URL, "--out", filepath.Join(dir, "x.csv")}, strings.NewReader(""), &out, &errOut, []string{"WAYPOST_TOKEN=t"})
	left, err := os.ReadDir(dir)
	if code != exitFailure || err != nil || len(left) != 0 {
		t.Errorf("exit %d, %d files left, %v: %s", code, len(left), err, &errOut)
	}
}

// TestImportAgain: a run that the agent breaks off goes on where it was, with the same key for the same row.
func TestImportAgain(t *testing.T) {
	var mu sync.Mutex
	taken, keys, calls := map[string]string{}, []string{}, 0
	fail := 3
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/v1/directory" {
			w.WriteHeader(http.StatusForbidden) // a token that may only send
			return
		}
		var body bytes.Buffer
		_, _ = body.ReadFrom(r.Body)
		key := r.Header.Get("Idempotency-Key")
		calls++
		keys = append(keys, key)
		if calls == fail { // taken, and the answer lost
			taken[key] = body.String()
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		if old, ok := taken[key]; ok && old != body.String() {
			w.WriteHeader(http.StatusConflict)
			return
		}
		_, repeated := taken[key]
		taken[key] = body.String()
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"id":"m","thread":"t","state":"pending","repeated":%t}`, repeated)
	}))
	defer srv.Close()
	var table strings.Builder
	table.WriteString("to,urgency,purposes,needs,basis,basis_reason,justification,authorised_by,age,referrer_name,referrer_phone\n")
	for n := range 5 {
		fmt.Fprintf(&table, "harbour,immediate,immediate-safety,medical,vital-interests,danger-to-life,x,y,%d,Officer B,+44 1632 960100\n", 30+n)
	}
	again := func(text string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := run(t.Context(), []string{"agent", "import", "-", "--api", srv.URL}, strings.NewReader(text), &out, &errOut, []string{"WAYPOST_TOKEN=t"})
		return code, out.String(), errOut.String()
	}
	if code, out, _ := again(table.String()); code != exitFailure || !strings.Contains(out, "; 2 sent") || calls != 3 {
		t.Fatalf("exit %d after %d calls: %s", code, calls, out)
	}
	if code, out, errOut := again(table.String()); code != exitOK || strings.Count(out, "sent before") != 3 || len(taken) != 5 {
		t.Errorf("exit %d, %d taken: %s%s", code, len(taken), out, errOut)
	}
	// Another order and one row more: only that one is new.
	lines := strings.Split(strings.TrimSpace(table.String()), "\n")
	slices.Reverse(lines[1:])
	lines = append(lines, strings.Replace(lines[1], ",34,", ",50,", 1))
	if code, out, errOut := again(strings.Join(lines, "\n")); code != exitOK || strings.Count(out, "sent before") != 5 || len(taken) != 6 {
		t.Errorf("exit %d, %d taken: %s%s", code, len(taken), out, errOut)
	}
	for _, k := range keys {
		if !strings.HasPrefix(k, "import-") || len(k) > 255 {
			t.Errorf("key %q", k)
		}
	}
}

// TestPseudonyms: a kept key gives the same ids in every export, no key gives others each time, and no id shows its thread.
func TestPseudonyms(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	ids := func(path string) []string {
		f, err := pseudonyms(path)
		if err != nil {
			t.Fatal(err)
		}
		return []string{f("thread-a"), f("thread-a"), f("thread-b")}
	}
	kept := ids(path)
	if again := ids(path); !slices.Equal(kept, again) || kept[0] != kept[1] || kept[0] == kept[2] || len(kept[0]) != 24 {
		t.Errorf("%v %v", kept, again)
	}
	if a, b := ids(""), ids(""); a[0] == b[0] || a[0] == kept[0] {
		t.Error("without a key the ids can be told")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	for _, text := range []string{"", "00", "canary"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := pseudonyms(path); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
