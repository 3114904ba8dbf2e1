package interchange

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestGuard(t *testing.T) {
	for cell, want := range map[string]string{
		"": "", "plain": "plain", "=1+1": "'=1+1", "+441632960100": "'+441632960100", "-5": "'-5", "@x": "'@x", "\t=x": "'\t=x",
		"\r=x": "'\r=x", "\nx": "'\nx", "  =x": "'  =x", "＝x": "'＝x", "\u00a0+x": "'\u00a0+x", "'Abd": "''Abd", "''x": "'''x", "a=b": "a=b",
	} {
		if got := Guard(cell); got != want {
			t.Errorf("Guard(%q) = %q, want %q", cell, got, want)
		}
		if got := Unguard(Guard(cell)); got != cell {
			t.Errorf("%q comes back as %q", cell, got)
		}
	}
	for cell, want := range map[string]string{"'Abd": "'Abd", "'": "'", "O'Neil": "O'Neil"} { // written by people
		if got := Unguard(cell); got != want {
			t.Errorf("Unguard(%q) = %q, want %q", cell, got, want)
		}
	}
}

// TestGuardAny: whatever the text, a spreadsheet sees no formula, and the text comes back whole through CSV.
func TestGuardAny(t *testing.T) {
	runes := rapid.StringOf(rapid.OneOf(rapid.SampledFrom([]rune("=+-@\t\n '\",;＝＋a1")), rapid.Rune()))
	rapid.Check(t, func(t *rapid.T) {
		text := runes.Draw(t, "text")
		safe := Guard(text)
		if rest := strings.TrimLeft(safe, " \u00a0\u3000"); rest != "" && strings.ContainsAny(rest[:1], "=+-@\t\r\n") {
			t.Fatalf("%q could run", safe)
		}
		if strings.ContainsRune(text, '\r') {
			return // readers of CSV may change line ends inside a cell
		}
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		if err := w.Write([]string{"x", safe}); err != nil {
			t.Fatal(err)
		}
		w.Flush()
		r, err := csv.NewReader(&b).Read()
		if err != nil || Unguard(r[1]) != text {
			t.Fatalf("%q came back as %q: %v", text, r, err)
		}
	})
}
