package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
)

// TestConsentPrintID: the id form asks the agent for the certificate and for what the agencies are, and takes no other
// certificate for the one it asked for.
func TestConsentPrintID(t *testing.T) {
	script, err := os.ReadFile("testdata/script/consent_print.txtar")
	if err != nil {
		t.Fatal(err)
	}
	_, text, _ := strings.Cut(string(script), "-- consent.txt --\n")
	const id = "5f0c1f6e-0000-4000-8000-000000000004"
	answer, err := json.Marshal(map[string]any{"id": id, "text": text, "state": "valid", "anything": []int{1}})
	if err != nil {
		t.Fatal(err)
	}
	directory := `{"agencies":[{"id":"harbour-light","name":"Harbour Light","role":"legal"}]}`
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, "/v1/consents/5f0c1f6e") || strings.HasPrefix(r.URL.Path, "/v1/consents/00000000"):
			_, _ = w.Write(answer)
		case r.URL.Path == "/v1/directory" && directory != "":
			fmt.Fprint(w, directory)
		default:
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusNotFound)
			fmt.Fprint(w, `{"status":404,"code":"not-found","detail":"There is no such certificate here."}`)
		}
	}))
	defer srv.Close()
	run := func(id string) (int, string, string) {
		var out, errOut bytes.Buffer
		code := run(t.Context(), []string{"agent", "--api", srv.URL, "consent", "print", id}, strings.NewReader(""), &out, &errOut, []string{"WAYPOST_TOKEN=t"})
		return code, out.String(), errOut.String()
	}
	if code, out, errOut := run(id); code != exitOK || !strings.Contains(out, "people who tell you your rights") || strings.Contains(out, "group that") || strings.Contains(strings.ToLower(out), "harbour") {
		t.Errorf("exit %d %s\n%s", code, errOut, out)
	}
	directory = ""
	if code, out, errOut := run(id); code != exitOK || !strings.Contains(out, "1 group that you chose") {
		t.Errorf("without a directory: exit %d %s\n%s", code, errOut, out)
	}
	if code, out, errOut := run("00000000-0000-4000-8000-000000000001"); code != exitFailure || out != "" || !strings.Contains(errOut, "another one") {
		t.Errorf("another certificate: exit %d %s\n%s", code, errOut, out)
	}
	if code, out, errOut := run("11111111-0000-4000-8000-000000000001"); code != exitFailure || out != "" || !strings.Contains(errOut, "not-found") {
		t.Errorf("no certificate: exit %d %s\n%s", code, errOut, out)
	}
}
