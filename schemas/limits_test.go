package schemas

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// quickAgrees fails when the quick look lets pass what the close one finds fault with.
func quickAgrees(t *testing.T, data []byte) {
	t.Helper()
	for _, refuseEmpty := range []bool{false, true} {
		var v jsontext.Value
		if !within(data, refuseEmpty) || json.Unmarshal(data, &v) != nil {
			continue
		}
		if problems := scan(data, refuseEmpty); len(problems) > 0 {
			t.Fatalf("let pass: %v", problems)
		}
	}
}

// TestQuickLook: the quick look at a document takes every good one, and lets nothing pass that the close one would not.
func TestQuickLook(t *testing.T) {
	for name, doc := range map[string]string{
		"null": `{"a":null}`, "null in a list": `[null]`, "empty string": `{"a":""}`, "empty name": `{"":1}`, "empty list": `{"a":[ \n]}`,
		"too deep": strings.Repeat("[", MaxDepth+1) + "1" + strings.Repeat("]", MaxDepth+1), "long list": "[" + strings.Repeat("1,", MaxItems) + "1]",
		"long list inside": `{"a":{"b":[` + strings.Repeat("{},", MaxItems) + `{}],"c":1}}`,
	} {
		quickAgrees(t, []byte(doc))
		if within([]byte(doc), true) {
			t.Errorf("%s: lets it pass", name)
		}
	}
	for name, doc := range map[string]string{
		"nothing special": `{"a":"n\"ull","b":[1,2.5e3,true,false],"c":{"d":"[[[[{{{{"}}`, "deep": strings.Repeat("[", MaxDepth) + "1" + strings.Repeat("]", MaxDepth),
		"many": "[" + strings.Repeat("1,", MaxItems-1) + "1]", "many members": `{"a":[1` + strings.Repeat(",2", MaxItems-1) + `],"b":1}`, "backslashes": `{"a":"\\","b":"\\\""}`,
	} {
		if !within([]byte(doc), true) || len(scan([]byte(doc), true)) > 0 {
			t.Errorf("%s: looked at closely", name)
		}
	}
	files, err := filepath.Glob("testdata/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no documents", err)
	}
	good := 0
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		quickAgrees(t, data)
		if !bytes.Contains(data, []byte(`""`)) && len(scan(data, true)) == 0 {
			if good++; !within(data, true) {
				t.Errorf("%s: looked at closely", f)
			}
		}
	}
	if good == 0 {
		t.Fatal("no good documents")
	}
}

// TestQuickLookMutated: bytes of good documents are changed, doubled and left out.
func TestQuickLookMutated(t *testing.T) {
	base, err := os.ReadFile("testdata/referral/full.json")
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{`"`, `\`, `[`, `]`, `{`, `}`, `,`, `null`, `""`, `[]`, `:`, ` `, "\n", `[ ]`, `{"a":1}`, "\x00", "é"}
	for i := range 3000 {
		at, to := r.IntN(len(base)), 0
		to = min(len(base), at+r.IntN(8))
		var piece string
		if r.IntN(4) > 0 {
			piece = pieces[r.IntN(len(pieces))]
		}
		data := bytes.Join([][]byte{base[:at], []byte(piece), base[to:]}, nil)
		t.Run(fmt.Sprint(i), func(t *testing.T) { quickAgrees(t, data) })
	}
}

// TestLongNames: a document is not said to be wrong again and again at the cost of its whole length.
func TestLongNames(t *testing.T) {
	for length, want := range map[int]int{10: maxProblems, maxPaths: 1} {
		doc := []byte(`{"` + strings.Repeat("k", length) + `":[` + strings.Repeat("null,", MaxItems-1) + `1]}`)
		if got := scan(doc, false); len(got) != want || got[0].Rule != RuleNull {
			t.Errorf("a name of %d bytes: %d problems, want %d: %v", length, len(got), want, got[0])
		}
	}
}

// BenchmarkLimits is what the quick look saves for every document.
func BenchmarkLimits(b *testing.B) {
	data, err := os.ReadFile("testdata/referral/full.json")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("quick", func(b *testing.B) {
		for b.Loop() {
			if !within(data, true) {
				b.Fatal("looked at closely")
			}
		}
	})
	b.Run("close", func(b *testing.B) {
		for b.Loop() {
			if len(scan(data, true)) > 0 {
				b.Fatal("problems")
			}
		}
	})
}
