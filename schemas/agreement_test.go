package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"pgregory.net/rapid"
)

var testNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// decodeAt is Decode with a given clock and type.
func decodeAt(t reflect.Type, data []byte, now time.Time) (any, error) {
	v := reflect.New(t).Interface()
	if err := strict(data, v, true); err != nil {
		return nil, err
	}
	if err := ValidateAt(v, now); err != nil {
		return nil, err
	}
	return v, nil
}

func compileSchemas(t testing.TB) map[string]*jsonschema.Schema {
	t.Helper()
	compiled := map[string]*jsonschema.Schema{}
	for _, name := range JSONSchemaNames() {
		b, err := JSONSchema(name)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		c.AssertFormat()
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		compiled[name], err = c.Compile(name)
		if err != nil {
			t.Fatal(err)
		}
	}
	return compiled
}

// corpus is valid documents of a schema, as generic JSON.
func corpus(t testing.TB, schema string) []any {
	t.Helper()
	var docs []any
	patterns := []string{"testdata/" + strings.TrimSuffix(schema, ".v1") + "/*.json"}
	switch schema {
	case SchemaReferralResponse:
		patterns = append(patterns, "../deploy/examples/response-*.json")
	case SchemaSubmission:
		patterns = []string{"../deploy/examples/referral-*.json", "testdata/submission/*.json"}
	}
	for _, pattern := range patterns {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			t.Fatalf("no files match %s", pattern)
		}
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			var doc any
			if err := json.Unmarshal(b, &doc); err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			docs = append(docs, doc)
			// The parts of submissions are documents of their own.
			if schema == SchemaSubmission {
				continue
			}
		}
	}
	if schema == SchemaReferral {
		for _, s := range corpus(t, SchemaSubmission) {
			if r, ok := s.(map[string]any)["referral"]; ok {
				docs = append(docs, r)
			}
		}
	}
	return docs
}

// TestValidatorAgreesWithJSONSchema compares the validator's verdict with that of an independent JSON Schema
// implementation, on valid documents, on documents made from the types, and on mutations of both. Rules that
// JSON Schema cannot say (beyondSchema) are left out of the comparison: order of dates, today's date, and
// members that contradict one another.
func TestValidatorAgreesWithJSONSchema(t *testing.T) {
	compiled := compileSchemas(t)
	for _, s := range schemaTypes {
		t.Run(s.name, func(t *testing.T) {
			docs := corpus(t, s.name)
			verdicts := map[bool]int{}
			rapid.Check(t, func(rt *rapid.T) {
				var doc any
				if rapid.IntRange(0, 3).Draw(rt, "source") == 0 {
					doc = arbitrary(rt, s.typ, nil, 0)
				} else {
					doc = clone(rapid.SampledFrom(docs).Draw(rt, "document"))
				}
				for range rapid.IntRange(0, 4).Draw(rt, "mutations") {
					mutate(rt, s.typ, doc)
				}
				data, err := json.Marshal(doc)
				if err != nil {
					rt.Fatal(err)
				}
				verdicts[agree(rt, compiled[s.name], s.typ, data)]++
			})
			if verdicts[true] == 0 || verdicts[false] == 0 {
				t.Errorf("the generator found %d valid and %d invalid documents; it must find both", verdicts[true], verdicts[false])
			}
		})
	}
}

// agree fails when the two verdicts differ, and returns the verdict.
func agree(t interface {
	Fatalf(string, ...any)
}, schema *jsonschema.Schema, typ reflect.Type, data []byte) bool {
	_, err := decodeAt(typ, data, testNow)
	var invalid *InvalidError
	if err != nil && !errors.As(err, &invalid) {
		t.Fatalf("not an *InvalidError: %v", err)
	}
	var broken []Problem
	if invalid != nil {
		broken = slices.DeleteFunc(slices.Clone(invalid.Problems), beyondSchema)
	}
	instance, parseErr := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if parseErr != nil {
		t.Fatalf("parse: %v", parseErr)
	}
	verdict := schema.Validate(instance)
	if (verdict == nil) != (len(broken) == 0) {
		t.Fatalf("verdicts differ\nvalidator: %v\nschema: %v\ndocument: %s", broken, verdict, data)
	}
	return verdict == nil
}

// TestCorpusIsValid keeps the corpus from passing because everything in it is refused.
func TestCorpusIsValid(t *testing.T) {
	compiled := compileSchemas(t)
	for _, s := range schemaTypes {
		for i, doc := range corpus(t, s.name) {
			data, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := decodeAt(s.typ, data, testNow); err != nil {
				t.Errorf("%s %d: %v", s.name, i, err)
			}
			agree(t, compiled[s.name], s.typ, data)
		}
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		m := make(map[string]any, len(v))
		for k, x := range v {
			m[k] = clone(x)
		}
		return m
	case []any:
		s := make([]any, len(v))
		for i, x := range v {
			s[i] = clone(x)
		}
		return s
	}
	return v
}

// arbitrary makes a value of the type that satisfies its tags most of the time.
func arbitrary(rt *rapid.T, t reflect.Type, rules map[string]string, depth int) any {
	switch {
	case t.Kind() == reflect.Pointer:
		return arbitrary(rt, t.Elem(), rules, depth)
	case isTime(t):
		return rapid.SampledFrom([]string{"2026-02-01T10:00:00Z", "2026-05-01T10:00:00Z", "2026-03-01T09:30:00.5+01:00", "2026-02-30T00:00:00Z", "yesterday"}).Draw(rt, "time")
	case t.Kind() == reflect.Bool:
		return rapid.Bool().Draw(rt, "bool")
	case t.Kind() == reflect.Int:
		return rapid.SampledFrom([]int{0, 1, 16, 17, 18, 27, 90, 120, 121, 366, 367, -1}).Draw(rt, "int")
	case t.Kind() == reflect.Struct:
		m := map[string]any{}
		for f := range members(t) {
			own, items, _ := strings.Cut(f.field.Tag.Get("validate"), "dive")
			tags := tagsOf(own)
			_, required := tags["required"]
			if !required && rapid.IntRange(0, 3+depth).Draw(rt, f.name+"?") != 0 {
				continue
			}
			if f.field.Type.Kind() == reflect.Slice {
				m[f.name] = list(rt, f.field.Type.Elem(), tagsOf(items), depth+1)
				continue
			}
			m[f.name] = arbitrary(rt, f.field.Type, tags, depth+1)
		}
		return m
	case t.Kind() == reflect.Slice:
		return list(rt, t.Elem(), nil, depth+1)
	}
	if _, ok := rules["code"]; ok {
		return rapid.SampledFrom(codesOf(t)).Draw(rt, "code")
	}
	for name := range rules {
		if samples, ok := samplesOf[name]; ok {
			return rapid.SampledFrom(samples).Draw(rt, name)
		}
	}
	return rapid.SampledFrom(oddStrings).Draw(rt, "string")
}

func list(rt *rapid.T, elem reflect.Type, rules map[string]string, depth int) any {
	items := []any{}
	for range rapid.IntRange(1, 3).Draw(rt, "items") {
		items = append(items, arbitrary(rt, elem, rules, depth))
	}
	return items
}

// samplesOf has good and bad strings for every rule; a rule without samples fails TestEveryRuleHasSamples.
var samplesOf = map[string][]string{
	"line":          {"Test Person A", "测试人", "می\u200cآید", "a\u200bb", "a\nb", " ", "क्\u200dष", "x\u202ey", "👩\u200d👧", "ab\u200d", "é\u200d\u200d", "\u00a0\u3000", "שלום\u200f!", "a\ufffe"},
	"prose":         {"Line one\nLine two\tend", "\n\t", "a\rb", "ໄທ\u200bລາວ", "\u2067x\u2069", "\U000e0041x", "plain", "\u0085x", "e\u0301"},
	"date":          {"2000-02-29", "2001-02-29", "1999-12-31", "99-1-1", "2026-03-01", "0000-01-01", "2020-1-01", "2020-01-01 "},
	"partial_date":  {"2024", "2024-05", "2024-05-31", "2024-02-31", "2024-13", "24", "2024-5", "2024-05-31\n"},
	"agency":        {"harbour-ngo", "lantern-housing", "a", "ab", "abc", "Harbour", "-abc", "abc-", "a.b", strings.Repeat("a", 40), strings.Repeat("a", 41), "abc\n"},
	"message_id":    {"01890a5d-ac96-774b-bcce-b302099a8057", "01890A5D-AC96-774B-BCCE-B302099A8057", "f47ac10b-58cc-4372-a567-0e02b2c3d479", "x"},
	"thread_id":     {"f47ac10b-58cc-4372-a567-0e02b2c3d479", "F47AC10B-58CC-4372-A567-0E02B2C3D479", "01890a5d-ac96-774b-bcce-b302099a8057", ""},
	"pseudonym":     {"NS-7Q2K", "abcd", "abc", "-abc", "Test Person", strings.Repeat("a", 64), strings.Repeat("a", 65)},
	"reason_code":   {"consent-missing", "x", "X", "a b", strings.Repeat("a", 65)},
	"phone":         {"+44 1632 960961", "(01632) 960-961", "112", "1", "999x", "+", "++44 1632", "٠١٢٣٤"},
	"email_address": {"a@example.org", "a.b+c@sub.example.org", "a@b", "a b@example.org", "@example.org", "a@example.org\n", "ä@example.org"},
	"language":      {"en", "vi", "ku-Latn", "ar-SD", "zh-Hant-TW", "es-419", "EN", "english", "en_GB", "e", "de-1996"},
	"region":        {"GB-NBL", "FR-75", "GB", "gb-nbl", "GB-ABCD"},
	"country":       {"GB", "VN", "XX", "gb", "GBR", "XK", "B ", " G"},
}

var oddStrings = []string{"", "x", "yes", "consent", "duty-to-notify", "child", "GB", "2026-01-01", strings.Repeat("é", 101), strings.Repeat("a", 8001)}

// mutate changes one place of the document: removes, adds, replaces or repeats.
func mutate(rt *rapid.T, t reflect.Type, doc any) {
	m, ok := doc.(map[string]any)
	if !ok || t.Kind() != reflect.Struct || isTime(t) {
		return
	}
	// Walk down a random way first.
	names := slices.Sorted(maps.Keys(m))
	if len(names) > 0 && rapid.IntRange(0, 2).Draw(rt, "down") > 0 {
		name := rapid.SampledFrom(names).Draw(rt, "way")
		if ft, ok := fieldNamed(t, name); ok {
			child := m[name]
			if l, ok := child.([]any); ok && len(l) > 0 {
				child = l[rapid.IntRange(0, len(l)-1).Draw(rt, "index")]
			}
			if _, ok := child.(map[string]any); ok {
				mutate(rt, elemOf(ft), child)
				return
			}
		}
	}
	switch rapid.IntRange(0, 5).Draw(rt, "mutation") {
	case 0:
		if len(names) > 0 {
			delete(m, rapid.SampledFrom(names).Draw(rt, "remove"))
		}
	case 1:
		m[rapid.SampledFrom([]string{"nickname", "Urgency", "person ", "x"}).Draw(rt, "unknown")] = "x"
	case 2:
		if len(names) > 0 {
			m[rapid.SampledFrom(names).Draw(rt, "replace")] = rapid.SampledFrom([]any{
				nil, "", "x", true, false, 17, 18, 27.5, []any{}, map[string]any{}, []any{"x", "x"}, strings.Repeat("a", 8001),
			}).Draw(rt, "with")
		}
	case 3:
		if len(names) > 0 {
			name := rapid.SampledFrom(names).Draw(rt, "repeat")
			if l, ok := m[name].([]any); ok && len(l) > 0 {
				for range rapid.SampledFrom([]int{1, 20, 50}).Draw(rt, "times") {
					l = append(l, clone(l[0]))
				}
				m[name] = l
			}
		}
	default:
		all := slices.Collect(members(t))
		f := all[rapid.IntRange(0, len(all)-1).Draw(rt, "member")]
		own, items, _ := strings.Cut(f.field.Tag.Get("validate"), "dive")
		if f.field.Type.Kind() == reflect.Slice {
			m[f.name] = list(rt, f.field.Type.Elem(), tagsOf(items), 2)
		} else {
			m[f.name] = arbitrary(rt, f.field.Type, tagsOf(own), 2)
		}
	}
}

func TestEveryRuleHasSamples(t *testing.T) {
	for _, rule := range stringRules {
		good, bad := 0, 0
		for _, s := range samplesOf[rule.name] {
			if rule.holds(s) {
				good++
			} else {
				bad++
			}
		}
		if good == 0 || bad == 0 {
			t.Errorf("rule %s has %d good and %d bad samples; both are needed", rule.name, good, bad)
		}
	}
}

// TestTextAgreesWithPattern compares the text check with its pattern on arbitrary characters: the dangerous ones
// are too rare for documents made at random.
func TestTextAgreesWithPattern(t *testing.T) {
	for _, prose := range []bool{false, true} {
		name := map[bool]string{false: RuleLine, true: RuleProse}[prose]
		b, err := json.Marshal(ruleNamed(name).jsonSchema())
		if err != nil {
			t.Fatal(err)
		}
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		c := jsonschema.NewCompiler()
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		schema := c.MustCompile(name)
		special := []rune{'a', 'é', ' ', '\n', '\t', '\r', 0, 0x7f, 0x85, 0xa0, 0xad, 0x200b, 0x200c, 0x200d, 0x200e, 0x202e, 0x2066, 0x2060, 0xfeff, 0xfffe, 0xe0041, 0x1f469, 'क', '्'}
		rapid.Check(t, func(rt *rapid.T) {
			r := rapid.OneOf(rapid.SampledFrom(special), rapid.Rune())
			s := string(rapid.SliceOfN(r, 1, 6).Draw(rt, "runes"))
			if got, want := isText(s, prose), schema.Validate(s) == nil; got != want {
				rt.Fatalf("%s %+q: check says %v, pattern says %v", name, s, got, want)
			}
		})
	}
}
