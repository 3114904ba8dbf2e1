package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestHostileReferrals reads testdata/hostile: lines "expect: <path> <rule>" (nothing else may be found),
// "comment:", an empty line, then the document, which ends before the last line break.
func TestHostileReferrals(t *testing.T) {
	files, err := filepath.Glob("testdata/hostile/*.txt")
	if err != nil || len(files) < 60 {
		t.Fatalf("found %d vectors, want at least 60 (%v)", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, doc := readVector(t, file)
			v, err := decodeAt(reflect.TypeFor[Referral](), doc, testNow)
			if v != nil {
				t.Error("a result beside the error")
			}
			var invalid *InvalidError
			if !errors.As(err, &invalid) {
				t.Fatalf("want *InvalidError, got %v", err)
			}
			var got []string
			for _, p := range invalid.Problems {
				got = append(got, p.Path+" "+p.Rule)
				if p.Hint == "" {
					t.Errorf("%s %s has no hint", p.Path, p.Rule)
				}
			}
			slices.Sort(want)
			slices.Sort(got)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func readVector(t *testing.T, file string) (want []string, doc []byte) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, doc, ok := bytes.Cut(b, []byte("\n\n"))
	if !ok {
		t.Fatal("no empty line after the head")
	}
	comment := false
	for line := range strings.SplitSeq(string(head), "\n") {
		switch {
		case strings.HasPrefix(line, "expect: "):
			want = append(want, strings.TrimPrefix(line, "expect: "))
		case strings.HasPrefix(line, "comment: "):
			comment = true
		default:
			t.Fatalf("unknown line in the head: %q", line)
		}
	}
	if len(want) == 0 || !comment {
		t.Fatal("a vector has expect: and comment:")
	}
	return want, bytes.TrimSuffix(doc, []byte("\n"))
}

// TestGoldenReferrals decodes the examples, and checks that what we encode we also decode, to the same value.
func TestGoldenReferrals(t *testing.T) {
	for _, name := range []string{"minimal", "typical", "full"} {
		b, err := os.ReadFile("testdata/referral/" + name + ".json")
		if err != nil {
			t.Fatal(err)
		}
		r, err := Decode[Referral](b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		again, err := Encode(r)
		if err != nil {
			t.Fatal(err)
		}
		p, err := DecodePayload(SchemaReferral, again)
		if err != nil {
			t.Fatalf("%s encoded: %v", name, err)
		}
		if diff := cmp.Diff(Payload(r), p); diff != "" {
			t.Errorf("%s changed on the way:\n%s", name, diff)
		}
		third, err := Encode(p)
		if err != nil || !bytes.Equal(again, third) {
			t.Errorf("%s: encoding twice gives different bytes (%v)", name, err)
		}
		if p.Kind() != KindReferral || p.Schema() != SchemaReferral {
			t.Errorf("%s is a %s %s", name, p.Schema(), p.Kind())
		}
	}
}

// TestFullExamplesAreFull keeps the full example of every kind full: every member that one message may have.
func TestFullExamplesAreFull(t *testing.T) {
	absent := map[string]bool{ // because they exclude others in the example
		"Person.age": true, "Person.age_disputed": true, "Person.stateless": true, "SafeContact.do_not_contact": true,
		"ConsentNotice.replacement": true, "Consent.valid_for_days": true,
	}
	for _, e := range Catalogue() {
		if e.typ == nil || e.Kind == KindReferralResponse { // its outcomes exclude one another
			continue
		}
		b, err := os.ReadFile("testdata/" + string(e.Kind) + "/full.json")
		if err != nil {
			b, err = os.ReadFile("testdata/" + string(e.Kind) + "/minimal.json")
		}
		if err != nil {
			t.Fatal(err)
		}
		p, err := DecodePayload(e.Schema, b)
		if err != nil {
			t.Fatalf("%s: %v", e.Kind, err)
		}
		seen := map[string]bool{}
		var visit func(v reflect.Value)
		visit = func(v reflect.Value) {
			switch v.Kind() {
			case reflect.Pointer:
				if !v.IsNil() {
					visit(v.Elem())
				}
			case reflect.Slice:
				for i := range v.Len() {
					visit(v.Index(i))
				}
			case reflect.Struct:
				for m := range members(v.Type()) {
					f := v.FieldByIndex(m.field.Index)
					if !f.IsZero() {
						seen[v.Type().Name()+"."+m.name] = true
					}
					visit(f)
				}
			}
		}
		visit(reflect.ValueOf(p))
		done := map[reflect.Type]bool{}
		var all func(t reflect.Type)
		all = func(typ reflect.Type) {
			typ = elemOf(typ)
			// Parts that every kind has are full in the referral's example.
			if typ.Kind() != reflect.Struct || done[typ] || e.Kind != KindReferral && (typ == reflect.TypeFor[SafeContact]() || typ == reflect.TypeFor[LawfulBasis]()) {
				return
			}
			done[typ] = true
			for m := range members(typ) {
				name := typ.Name() + "." + m.name
				if !seen[name] && !absent[name] && typ != reflect.TypeFor[LawfulBasis]() && !isTime(typ) {
					t.Errorf("%s: the full example has no %s", e.Kind, name)
				}
				all(m.field.Type)
			}
		}
		all(e.typ)
	}
}

func TestDecodePayloadRefusesOtherSchemas(t *testing.T) {
	for _, schema := range []string{"", "referral", "referral.v2", "Referral.v1", SchemaReceipt, SchemaConsentTerms, SchemaSubmission} {
		p, err := DecodePayload(schema, []byte(`{}`))
		var invalid *InvalidError
		if !errors.As(err, &invalid) || !invalid.Has(RuleUnknownSchema) || p != nil {
			t.Errorf("%q: payload %v, error %v", schema, p, err)
		}
	}
	// A nil *Referral must not become a Payload that is not nil.
	if p, err := DecodePayload(SchemaReferral, []byte(`{}`)); err == nil || p != nil {
		t.Errorf("payload %v, error %v", p, err)
	}
	for _, s := range KnownSchemas() {
		if k, ok := SchemaKind(s); !ok || !Known(k) {
			t.Errorf("%s has no kind", s)
		}
	}
}

func TestTooLarge(t *testing.T) {
	doc := append(bytes.Repeat([]byte(" "), MaxDocument-1), "{}"...)
	var invalid *InvalidError
	if err := Strict(doc, &struct{}{}); !errors.As(err, &invalid) || !invalid.Has(RuleTooLarge) {
		t.Errorf("one byte too many: %v", err)
	}
	if err := Strict(doc[1:], &struct{}{}); err != nil {
		t.Errorf("exactly at the limit: %v", err)
	}
}

// TestLimitsComeBeforeAllocation: a document that is refused for its form must not cost more memory than it has
// bytes, times a small number.
func TestLimitsComeBeforeAllocation(t *testing.T) {
	docs := map[string][]byte{
		"deep":     bytes.Repeat([]byte("["), MaxDocument),
		"deeper":   bytes.Repeat([]byte(`{"a":`), MaxDocument/5),
		"nulls":    []byte(`{"needs":[` + strings.Repeat("null,", 200_000) + `null]}`),
		"trailing": []byte(`{}` + strings.Repeat("{}", MaxDocument/2-1)),
		"items":    []byte(`{"dependants":[` + strings.Repeat("{},", 340_000) + `{}]}`),
		"large":    bytes.Repeat([]byte("["), 64<<20),
	}
	for name, doc := range docs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := Decode[Referral](doc)
		runtime.ReadMemStats(&after)
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
		if cost := after.TotalAlloc - before.TotalAlloc; cost > 8<<20 {
			t.Errorf("%s costs %d bytes", name, cost)
		}
	}
}

// TestStrictLeavesNothing: after an error nothing of the hostile document is left in the target.
func TestStrictLeavesNothing(t *testing.T) {
	var r Referral
	if err := Strict([]byte(`{"reference":"x","urgency":7}`), &r); err == nil {
		t.Fatal("accepted")
	}
	if diff := cmp.Diff(Referral{}, r); diff != "" {
		t.Error(diff)
	}
}

const secret = "Zq7-secret-of-Test-Person-A"

// TestErrorsHoldNoValue puts a secret at every place of the full example and looks for it in what the errors say,
// also in the ways in which a careless caller may print them.
func TestErrorsHoldNoValue(t *testing.T) {
	b, err := os.ReadFile("testdata/referral/full.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	refused := 0
	try := func() {
		data, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		_, err = Decode[Referral](data)
		if err == nil {
			return
		}
		refused++
		var invalid *InvalidError
		if !errors.As(err, &invalid) {
			t.Fatal(err)
		}
		said := fmt.Sprintf("%v %+v %#v %q", err, invalid.Problems, invalid.Problems, err)
		if strings.Contains(said, secret) || strings.Contains(said, "Test Person") || strings.Contains(said, "\u202e") {
			t.Fatalf("an error says a value: %s", said)
		}
	}
	var visit func(v any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, x := range v {
				for _, bad := range []any{secret + "\u202e", "Test Person A\n\u0000" + secret, map[string]any{secret: secret}, []any{secret, secret}, 1234567.5} {
					v[k] = bad
					try()
				}
				delete(v, k)
				v[secret] = x
				try()
				delete(v, secret)
				v[k] = x
				visit(x)
			}
		case []any:
			for i, x := range v {
				v[i] = secret + "\u202e"
				try()
				v[i] = x
				visit(x)
			}
		}
	}
	visit(doc)
	if refused < 500 {
		t.Errorf("%d documents refused only", refused)
	}
}

func TestInvalidErrorIsBounded(t *testing.T) {
	doc := `{"needs":[` + strings.TrimSuffix(strings.Repeat(`"",`, 5000), ",") + `]}`
	_, err := Decode[Referral]([]byte(doc))
	var invalid *InvalidError
	if !errors.As(err, &invalid) || len(invalid.Problems) > maxProblems || len(err.Error()) > 1000 {
		t.Errorf("%d problems, %d bytes", len(invalid.Problems), len(err.Error()))
	}
}

func TestValidateOddInput(t *testing.T) {
	var none *Referral
	for _, v := range []any{nil, none, 7, "x", []Referral{{}}} {
		if err := Validate(v); err == nil {
			t.Errorf("%T is valid", v)
		}
	}
	if err := Validate(Referral{}); err == nil {
		t.Error("a struct value is not checked")
	}
}
