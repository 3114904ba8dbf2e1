package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const canary = "Canary-Name-7781"

// place is one member of a document.
type place struct {
	path string
	was  any
}

// places lists every member of a document, at every depth.
func places(v any) (out []place) {
	var walk func(v any, path string)
	walk = func(v any, path string) {
		switch x := v.(type) {
		case map[string]any:
			for _, k := range slices.Sorted(maps.Keys(x)) {
				out = append(out, place{path + "/" + k, x[k]})
				walk(x[k], path+"/"+k)
			}
		case []any:
			for i, item := range x {
				out = append(out, place{path + "/" + strconv.Itoa(i), item})
				walk(item, path+"/"+strconv.Itoa(i))
			}
		}
	}
	walk(v, "")
	return out
}

type nothing struct{}

// at returns a copy of the document with a value put at the path, or with what stands there removed.
func at(doc any, path string, v any) any {
	doc = clone(doc)
	parts := strings.Split(strings.TrimPrefix(path, "/"), "/")
	var edit func(d any, parts []string) any
	edit = func(d any, parts []string) any {
		switch x := d.(type) {
		case map[string]any:
			if len(parts) == 1 {
				if _, gone := v.(nothing); gone {
					delete(x, parts[0])
				} else {
					x[parts[0]] = v
				}
				return x
			}
			x[parts[0]] = edit(x[parts[0]], parts[1:])
			return x
		case []any:
			i, _ := strconv.Atoi(parts[0])
			if len(parts) == 1 {
				if _, gone := v.(nothing); gone {
					return slices.Delete(x, i, i+1)
				}
				x[i] = v
				return x
			}
			x[i] = edit(x[i], parts[1:])
			return x
		}
		return d
	}
	return edit(doc, parts)
}

// TestBadInput breaks every member of every kind in every way a person, a program or an attacker would. The verdict is
// either that it is fine, or an *InvalidError that says where and which rule, and never what stood there.
func TestBadInput(t *testing.T) {
	ways := map[string]any{
		"missing": nothing{}, "null": nil, "true": true, "number": 17, "fraction": 1.5, "huge number": json.Number("1e400"), "text": canary, "empty text": "", "empty list": []any{}, "empty object": map[string]any{},
		"list of text": []any{canary}, "object": map[string]any{"canary": canary}, "over-long": strings.Repeat("x", 8001), "ten megabytes": strings.Repeat("x", 10<<20),
		"bidi override": canary + "\u202e", "bidi isolate": "\u2067" + canary, "zero width": "Can\u200bary-Name-7781", "nul": canary + "\x00", "line break": canary + "\n", "carriage return": canary + "\r",
		"homoglyph agency": "hаrbour-ngo", "29 February": "2025-02-29", "year 9999": "9999-12-31", "year 0": "0000-01-01", "a time": "2026-03-01T25:00:00Z", "leap second": "2026-06-30T23:59:60Z", "zone": "2026-03-01T10:00:00+14:00",
		"many": slices.Repeat([]any{"x"}, 1200), "deep": deep(40),
	}
	cases, refused := 0, 0
	for _, s := range schemaTypes {
		files, _ := filepath.Glob("testdata/" + strings.TrimSuffix(s.name, ".v1") + "/*.json")
		if s.name == SchemaReferral && testing.Short() {
			continue
		}
		for _, file := range files {
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var doc any
			if err := json.Unmarshal(raw, &doc); err != nil {
				t.Fatal(err)
			}
			full := strings.HasSuffix(file, "full.json")
			for _, p := range places(doc) {
				for name, way := range ways {
					// The heavy ones where they say something: on texts of the smallest example.
					if _, text := p.was.(string); (name == "ten megabytes" || name == "many") && (full || !text || s.name == SchemaSubmission) {
						continue
					}
					data, err := json.Marshal(at(doc, p.path, way))
					if err != nil {
						continue // has no JSON form
					}
					cases++
					_, err = decodeAt(s.typ, data, testNow)
					if err == nil {
						continue
					}
					refused++
					checkRefusal(t, fmt.Sprintf("%s %s: %s", file, p.path, name), err)
				}
			}
		}
	}
	t.Logf("%d broken documents: %d refused", cases, refused)
	if cases < 10000 && !testing.Short() || refused < cases/2 {
		t.Errorf("%d cases, %d refused: the test says little", cases, refused)
	}
}

func checkRefusal(t *testing.T, what string, err error) {
	t.Helper()
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) == 0 {
		t.Errorf("%s: %T", what, err)
		return
	}
	text := err.Error()
	for _, p := range invalid.Problems {
		if p.Rule == "" || p.Hint == "" || p.Path != "" && p.Path[0] != '/' {
			t.Errorf("%s: problem %+v says too little", what, p)
		}
		text += p.Path + p.Hint
	}
	if strings.Contains(text, "Canary") || len(text) > 100*300 {
		t.Errorf("%s: the refusal repeats what was sent, or goes on and on (%d bytes)", what, len(text))
	}
}

func deep(n int) any {
	if n == 0 {
		return "x"
	}
	return []any{deep(n - 1)}
}

// TestRawForms are documents that no JSON encoder would write.
func TestRawForms(t *testing.T) {
	valid, err := os.ReadFile("testdata/message/minimal.json")
	if err != nil {
		t.Fatal(err)
	}
	body := strings.TrimSpace(string(valid))
	for name, text := range map[string]string{
		"twice":            `{"text": "` + canary + `",` + body[1:],
		"another case":     strings.Replace(body, `"text"`, `"Text"`, 1),
		"trailing":         body + "{}",
		"lone surrogate":   strings.Replace(body, `"text": "`, `"text": "\ud800`, 1),
		"ten thousand":     strings.Repeat("[", 10000),
		"invalid UTF-8":    strings.Replace(body, `"text": "`, "\"text\": \"\xff\xfe", 1),
		"overlong UTF-8":   strings.Replace(body, `"text": "`, "\"text\": \"\xc0\xaf", 1),
		"comment":          "/* x */" + body,
		"single quotes":    strings.ReplaceAll(body, `"`, `'`),
		"byte order mark":  "\ufeff" + body,
		"UTF-16":           "\xff\xfe{\x00}\x00",
		"ten megabytes":    strings.Replace(body, `"text": "`, `"text": "`+strings.Repeat("a", 10<<20), 1),
		"cut in the midst": body[:len(body)/2],
		"nothing":          "",
		"a list":           "[" + body + "]",
		"a text":           `"` + canary + `"`,
	} {
		p, err := DecodePayload(SchemaMessage, []byte(text))
		if err == nil || p != nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		checkRefusal(t, name, err)
	}
	// What people are called, and where they live, is accepted as it is.
	for _, text := range []string{"Nguyễn Thị Thử", "شخص تجريبي", "测试人员", "می\u200cخواهم", "क्\u200dष", "👩\u200d👧", "e\u0301\u0323", "ຄົນທົດສອບ", "ბათუმი", "Ñuñoa, 3°", "שלום\u200f!"} {
		doc := strings.Replace(body, `"text": "`, `"text": "`+text+" ", 1)
		p, err := DecodePayload(SchemaMessage, []byte(doc))
		if err != nil {
			t.Errorf("%+q: %v", text, err)
			continue
		}
		if !strings.HasPrefix(p.(*Message).Text, text) {
			t.Errorf("%+q changed", text)
		}
	}
}
