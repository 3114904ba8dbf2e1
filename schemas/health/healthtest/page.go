// Package healthtest reads a health listener as a scraper or an orchestrator does. It is imported by tests only.
package healthtest

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"waypost/schemas/health"
)

// Page is what /metrics answered.
type Page struct {
	Text    string
	Samples map[string]float64 // by name and labels as they stand there: name{a="b",c="d"}
	Help    map[string]string  // by name
	Type    map[string]string
}

// Get asks and returns status and body. A token may be empty. Certificates are not checked.
func Get(t testing.TB, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true} //nolint:gosec // of the test's own making
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// Metrics reads /metrics of a listener.
func Metrics(t testing.TB, url, token string) *Page {
	t.Helper()
	status, text := Get(t, url+"/metrics", token)
	if status != http.StatusOK {
		t.Fatalf("scrape: %d %s", status, text)
	}
	p := &Page{Text: text, Samples: map[string]float64{}, Help: map[string]string{}, Type: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if rest, ok := strings.CutPrefix(line, "# HELP "); ok {
			name, help, _ := strings.Cut(rest, " ")
			p.Help[name] = help
		} else if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, kind, _ := strings.Cut(rest, " ")
			p.Type[name] = kind
		} else if i := strings.LastIndexByte(line, ' '); i > 0 {
			v, err := strconv.ParseFloat(line[i+1:], 64)
			if err != nil {
				t.Fatalf("not a sample: %s", line)
			}
			p.Samples[line[:i]] = v
		}
	}
	return p
}

// Value is one sample; the test fails when it is not there.
func (p *Page) Value(t testing.TB, sample string) float64 {
	t.Helper()
	v, ok := p.Samples[sample]
	if !ok {
		t.Errorf("no sample %s", sample)
	}
	return v
}

// State reads /readyz of a listener.
func State(t testing.TB, url string) (status int, st health.State) {
	t.Helper()
	status, text := Get(t, url+"/readyz", "")
	if err := json.Unmarshal([]byte(text), &st); err != nil {
		t.Fatalf("read state: %d %s", status, text)
	}
	return status, st
}
