package schemas

import (
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// What the short ways of this package do, once more without them.

// closeStrict is strict with the close look at every document.
func closeStrict(data []byte, v any, refuseEmpty bool) error {
	if len(data) > MaxDocument {
		return readable(data, refuseEmpty)
	}
	if problems := scan(data, refuseEmpty); len(problems) > 0 {
		return invalid(problems)
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		reflect.ValueOf(v).Elem().SetZero()
		return invalid([]Problem{semanticProblem(err, v)})
	}
	return nil
}

// loose takes nearly every document, so that it is the limits that refuse.
type loose struct {
	A []loose        `json:"a"`
	B jsontext.Value `json:"b"`
	C string         `json:"c"`
	D *loose         `json:"d"`
	E uint64         `json:"e"`
	F time.Time      `json:"f"`
}

// sameStrict fails when a document is refused after the quick look and not after the close one or the other way round, for
// another reason, or read as something else.
func sameStrict(t testing.TB, data []byte) {
	for _, empty := range []bool{false, true} {
		for _, typ := range []reflect.Type{reflect.TypeFor[jsontext.Value](), reflect.TypeFor[loose](), reflect.TypeFor[Submission]()} {
			got, want := reflect.New(typ), reflect.New(typ)
			err, wantErr := strict(data, got.Interface(), empty), closeStrict(data, want.Interface(), empty)
			if d := cmp.Diff(wantErr, err); d != "" {
				t.Fatalf("%v, refusing what is empty %v: %s%q", typ, empty, d, data)
			}
			if !reflect.DeepEqual(got.Interface(), want.Interface()) {
				t.Fatalf("%v, refusing what is empty %v: read something else: %q", typ, empty, data)
			}
		}
		var want error
		if len(data) > MaxDocument {
			return
		}
		if want = invalid(scan(data, empty)); !empty && Within(data) && want != nil && jsontext.Value(data).IsValid() {
			t.Fatalf("within the limits, but %v: %q", want, data)
		}
		if d := cmp.Diff(want, readable(data, empty)); d != "" {
			t.Fatalf("readable: %s%q", d, data)
		}
	}
}

// FuzzStrict: the quick look at the limits refuses and takes what the close one does. A part that comes many times reaches them.
func FuzzStrict(f *testing.F) {
	for _, s := range []string{`{"a":[{"c":"x"},{"d":{"b":[1.0,-0,1e3,true]}}],"e":1,"f":"2026-03-01T09:30:00Z"}`, `{"c":""}`, `{"a":[ ]}`, `{"c":"\"","b":null,"\"":1}`, `{"c":"\\","b":null}`, `{"b":null}`, `{"c":"n\"ull\\"}`, `{"A":[]}`, `{"a":[],"\u0061":[]}`,
		`{"c":"\ud800"}`, "{\"c\":\"\xff\"}", `{"e":18446744073709551616}`, `{"e":-0}`, `{"e":1.0}`, `{"e":01}`, `{"f":"2026-03-01T9:30:00,5Z"}`, `{}{}`, "\ufeff{}", `{"c":"a`, `{"c":"\`, ``, `{"d":{}}`, `nul`, `{"":1}`} {
		f.Add([]byte(s), "", uint16(0), "", "")
	}
	f.Add([]byte(`{"b":`), `[`, uint16(MaxDepth-1), `]`, `}`)
	f.Add([]byte(`{"b":`), `{"":`, uint16(MaxDepth), `}`, `}`)
	f.Add([]byte(`{"b":[`), `1,`, uint16(MaxItems-1), ``, `2]}`)
	f.Add([]byte(`{"a":[`), `{},`, uint16(MaxItems), ``, `{}]}`)
	f.Add([]byte(`{"c":"`), `",[{`, uint16(MaxItems), ``, `"}`)
	f.Fuzz(func(t *testing.T, head []byte, open string, times uint16, end, tail string) {
		n := int(times) % (2 * MaxItems)
		if len(open)+len(end) > 64 {
			n %= 64
		}
		sameStrict(t, []byte(string(head)+strings.Repeat(open, n)+strings.Repeat(end, n)+tail))
	})
}

// tableText is isText with the tables alone.
func tableText(s string, prose bool) bool {
	visible, joinable := false, false
	for _, r := range s {
		switch {
		case prose && (r == '\n' || r == '\t'):
			joinable = false
		case forbiddenRune(r):
			return false
		case joiner(r):
			if !joinable {
				return false
			}
			joinable = false
		case blank(r):
			joinable = false
		default:
			visible, joinable = true, r >= utf8.RuneSelf
		}
	}
	return visible
}

func sameText(t interface{ Fatalf(string, ...any) }, s string) {
	for _, prose := range []bool{false, true} {
		if got, want := isText(s, prose), tableText(s, prose); got != want {
			t.Fatalf("in prose %v: %v, by the tables %v: %q", prose, got, want, s)
		}
	}
}

// FuzzText: what the short way for ASCII says of a text is what the tables say of it.
func FuzzText(f *testing.F) {
	for _, s := range append(oddStrings, "", " ", "\n", "a\u200db", "é\u200d", "é \u200d", "\xff\u200d", "\t\u200b", "\x7f", "a\u202eb", "💧\U000e0041") {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { sameText(t, s) })
}

// TestText draws texts of what matters: characters on both sides of every border of the tables.
func TestText(t *testing.T) {
	pieces := []string{"a", "~", " ", "\n", "\t", "\x00", "\x1f", "\x7f", "\u0080", "\u009f", "\u00a0", "é", "\u200a", "\u200b", "\u200c", "\u200d", "\u200e", "\u2028", "\u202e", "\u2060", "\ufeff", "\uffff", "\xff", "\xe2\x80", "💧", "\U000e0041"}
	rapid.Check(t, func(t *rapid.T) {
		sameText(t, strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 0, 5).Draw(t, "text"), ""))
	})
}
