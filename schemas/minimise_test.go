package schemas

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// drawPayload makes a payload of the type with any of its members set, valid or not.
func drawPayload(rt *rapid.T, t reflect.Type) Payload {
	v := reflect.New(t)
	drawInto(rt, v.Elem(), 0)
	return v.Interface().(Payload)
}

func drawInto(rt *rapid.T, v reflect.Value, depth int) {
	switch {
	case isTime(v.Type()):
		v.Set(reflect.ValueOf(testNow))
	case v.Type() == reflect.TypeFor[Category]():
		v.SetString(string(rapid.SampledFrom(AllCategories()).Draw(rt, "category")))
	case v.Kind() == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		drawInto(rt, v.Elem(), depth)
	case v.Kind() == reflect.Slice:
		n := rapid.IntRange(1, 3).Draw(rt, "items")
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			drawInto(rt, v.Index(i), depth+1)
		}
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			if rapid.IntRange(0, depth+1).Draw(rt, v.Type().Field(i).Name) == 0 {
				drawInto(rt, v.Field(i), depth+1)
			}
		}
	case v.Kind() == reflect.String:
		v.SetString("x")
	case v.Kind() == reflect.Bool:
		v.SetBool(true)
	case v.CanInt():
		v.SetInt(7)
	case v.CanUint():
		v.SetUint(7)
	case v.CanFloat():
		v.SetFloat(7)
	default:
		rt.Fatalf("teach drawInto and Minimise about %s", v.Type())
	}
}

func drawCategories(rt *rapid.T, label string) []Category {
	return rapid.SliceOfDistinct(rapid.SampledFrom(AllCategories()), rapid.ID).Draw(rt, label)
}

// eachType runs a property for every kind of the catalogue that has a body.
func eachType(t *testing.T, f func(*rapid.T, reflect.Type)) {
	for _, e := range catalogue {
		if e.typ != nil {
			t.Run(string(e.Kind), func(t *testing.T) { rapid.Check(t, func(rt *rapid.T) { f(rt, e.typ) }) })
		}
	}
}

// cutAll is Minimise without the question whether the rest is valid.
func cutAll(p Payload, allowed []Category) (Payload, []Cut) {
	c := newCutter(allowed)
	out := c.minimised(reflect.ValueOf(p)).Interface().(Payload)
	return out, c.cuts
}

func isSubset(a, b []Cut) bool {
	return !slices.ContainsFunc(a, func(c Cut) bool { return !slices.Contains(b, c) })
}

// TestCutsAreWhatTheyShouldBe holds for every payload, valid or not.
func TestCutsAreWhatTheyShouldBe(t *testing.T) {
	eachType(t, func(rt *rapid.T, typ reflect.Type) {
		p := drawPayload(rt, typ)
		before := deepCopy(reflect.ValueOf(p)).Interface()
		allowed := drawCategories(rt, "allowed")
		out, cuts := cutAll(p, allowed)
		if diff := cmp.Diff(before, any(p)); diff != "" {
			rt.Fatalf("the original changed:\n%s", diff)
		}
		for _, c := range Categories(out) {
			if c != CategoryCaseAdmin && !slices.Contains(allowed, c) {
				rt.Fatalf("%s is left, allowed is %v", c, allowed)
			}
		}
		for _, c := range cuts {
			if c.Category == "" || slices.Contains(allowed, c.Category) {
				rt.Fatalf("%v was cut, allowed is %v", c, allowed)
			}
		}
		if diff := cmp.Diff(cuts, Excess(p, allowed)); diff != "" {
			rt.Fatalf("Excess says otherwise:\n%s", diff)
		}
		if again, more := cutAll(out, allowed); len(more) > 0 || !reflect.DeepEqual(again, out) {
			rt.Fatalf("not idempotent: %v", more)
		}
		wider := append(drawCategories(rt, "more"), allowed...)
		if fewer := Excess(p, wider); !isSubset(fewer, cuts) {
			rt.Fatalf("more allowed cut more: %v and %v", cuts, fewer)
		}
		if whole, none := cutAll(p, AllCategories()); len(none) > 0 || !reflect.DeepEqual(whole, p) {
			rt.Fatalf("everything allowed, yet %v went", none)
		}
		sameButFor(rt, p, out, cuts)
	})
}

// sameButFor removes the cuts from the JSON of the original, by their pointers, and what became empty by it; that must be
// the JSON of the result.
func sameButFor(rt *rapid.T, p, out Payload, cuts []Cut) {
	doc, want := generic(rt, p), generic(rt, out)
	for _, c := range cuts {
		remove(doc, strings.Split(c.Path, "/")[1:])
	}
	got, _ := pruned(doc)
	want, _ = bare(want)
	got, _ = bare(got)
	if diff := cmp.Diff(want, got); diff != "" {
		rt.Fatalf("original without cuts (+) is not the result (-):\n%s", diff)
	}
}

func generic(rt *rapid.T, p Payload) (doc any) {
	b, err := Encode(p)
	if err != nil {
		rt.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		rt.Fatal(err)
	}
	return doc
}

type removed struct{}

func remove(doc any, path []string) {
	for _, step := range path[:len(path)-1] {
		switch d := doc.(type) {
		case map[string]any:
			doc = d[step]
		case []any:
			i, _ := strconv.Atoi(step)
			doc = d[i]
		}
	}
	if m, ok := doc.(map[string]any); ok && m[path[len(path)-1]] != nil {
		m[path[len(path)-1]] = removed{}
	}
}

// pruned takes the marks out and every container that is empty because of it.
func pruned(doc any) (any, bool) {
	went := false
	switch d := doc.(type) {
	case removed:
		return nil, true
	case map[string]any:
		for k, v := range d {
			v, gone := pruned(v)
			went = went || gone
			if d[k] = v; v == nil {
				delete(d, k)
			}
		}
		if rest, _ := bare(maps.Clone(d)); went && rest == nil {
			return nil, true
		}
		return d, went
	case []any:
		var out []any
		for _, v := range d {
			v, gone := pruned(v)
			went = went || gone
			if v != nil {
				out = append(out, v)
			}
		}
		if len(out) == 0 {
			return nil, went
		}
		return out, went
	}
	return doc, false
}

// bare drops what says nothing: the encoder writes required members that are not set.
func bare(doc any) (any, bool) {
	switch d := doc.(type) {
	case map[string]any:
		for k, v := range d {
			if x, nothing := bare(v); nothing {
				delete(d, k)
			} else {
				d[k] = x
			}
		}
		if len(d) == 0 {
			return nil, true
		}
	case []any:
		for i := range d {
			d[i], _ = bare(d[i])
		}
		if len(d) == 0 {
			return nil, true
		}
	case nil, bool, string, json.Number:
		if doc == nil || doc == false || doc == "" || doc == json.Number("0") || doc == "0001-01-01T00:00:00Z" {
			return nil, true
		}
	}
	return doc, false
}

// TestMinimisedIsValidOrRefused takes examples that are valid, without some of their members.
func TestMinimisedIsValidOrRefused(t *testing.T) {
	for _, e := range catalogue {
		if e.typ == nil {
			continue
		}
		t.Run(string(e.Kind), func(t *testing.T) {
			docs := corpus(t, e.Schema)
			valid, refused := 0, 0
			rapid.Check(t, func(rt *rapid.T) {
				doc := clone(rapid.SampledFrom(docs).Draw(rt, "document"))
				for range rapid.IntRange(0, 6).Draw(rt, "mutations") {
					mutate(rt, e.typ, doc)
				}
				data, _ := json.Marshal(doc)
				p, err := DecodePayload(e.Schema, data)
				if err != nil {
					rt.Skip("not valid")
				}
				before := deepCopy(reflect.ValueOf(p)).Interface()
				allowed := drawCategories(rt, "allowed")
				out, cuts, err := Minimise(p, allowed)
				if diff := cmp.Diff(before, any(p)); diff != "" {
					rt.Fatalf("the original changed:\n%s", diff)
				}
				if err != nil {
					refused++
					var broken *InvalidError
					if !errors.As(err, &broken) || len(broken.Problems) == 0 || broken.Has(RuleInternal) || out != nil || cuts != nil {
						rt.Fatalf("error %v, result %v, cuts %v", err, out, cuts)
					}
					if excess := Excess(p, allowed); !slices.ContainsFunc(broken.Problems, func(x Problem) bool {
						return slices.ContainsFunc(excess, func(c Cut) bool { return c.Path == x.Path || strings.HasPrefix(c.Path, x.Path+"/") })
					}) {
						rt.Fatalf("no member that cannot go is named: %v", err)
					}
					return
				}
				valid++
				encoded, err := Encode(out)
				if err != nil {
					rt.Fatal(err)
				}
				if _, err := DecodePayload(e.Schema, encoded); err != nil {
					rt.Fatalf("what is left is refused on arrival: %v", err)
				}
			})
			if valid == 0 || e.Kind == KindReferral && refused == 0 {
				t.Errorf("%d valid and %d refused; the test must see both", valid, refused)
			}
		})
	}
}

// TestNothingAllowed: no kind panics, full or empty, and what holds case-admin only stays whole.
func TestNothingAllowed(t *testing.T) {
	for _, e := range catalogue {
		if e.typ == nil {
			continue
		}
		empty := reflect.New(e.typ).Interface().(Payload)
		if out, _, err := Minimise(empty, nil); err == nil && out == nil {
			t.Errorf("%s: neither result nor error", e.Kind)
		}
		for i, doc := range corpus(t, e.Schema) {
			data, _ := json.Marshal(doc)
			p, err := DecodePayload(e.Schema, data)
			if err != nil {
				t.Fatal(err)
			}
			out, cuts, err := Minimise(p, nil)
			if (err == nil) == (out == nil) {
				t.Errorf("%s %d: result %v beside error %v", e.Kind, i, out, err)
			}
			if e.Control && (err != nil || len(cuts) > 0) {
				t.Errorf("%s %d serves consent, but %v went (%v)", e.Kind, i, cuts, err)
			}
		}
	}
	if _, _, err := Minimise[Payload](nil, nil); err == nil {
		t.Error("nil has no error")
	}
	if _, _, err := Minimise((*Referral)(nil), nil); err == nil {
		t.Error("a nil referral has no error")
	}
	if cuts := Excess((*Referral)(nil), nil); cuts != nil || Excess(nil, nil) != nil {
		t.Error("nil has an excess")
	}
}

// TestDeclaredProseHasItsPair keeps every type that declares categories in the form that Minimise understands.
func TestDeclaredProseHasItsPair(t *testing.T) {
	var look func(reflect.Type, map[reflect.Type]bool)
	look = func(typ reflect.Type, seen map[reflect.Type]bool) {
		if typ.Kind() != reflect.Struct || isTime(typ) || seen[typ] {
			return
		}
		seen[typ] = true
		pair := false
		for m := range members(typ) {
			if prose, ok := strings.CutSuffix(m.field.Name, declarationSuffix); ok {
				_, found := typ.FieldByName(prose)
				pair = pair || prose != "" && found
			}
			look(elemOf(m.field.Type), seen)
		}
		if reflect.PointerTo(typ).Implements(reflect.TypeFor[declarer]()) && !pair {
			t.Errorf("%s declares categories, but has no field <Prose>%s beside its <Prose>", typ, declarationSuffix)
		}
	}
	for _, e := range catalogue {
		if e.typ != nil {
			look(e.typ, map[reflect.Type]bool{})
		}
	}
}

func fullReferral(t *testing.T) *Referral {
	t.Helper()
	b, err := os.ReadFile("testdata/referral/full.json")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Decode[Referral](b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestMinimiseFullReferral says in one example what goes and what stays.
func TestMinimiseFullReferral(t *testing.T) {
	r := fullReferral(t)
	everything := AllCategories()
	without := func(gone ...Category) []Category {
		return slices.DeleteFunc(slices.Clone(everything), func(c Category) bool { return slices.Contains(gone, c) })
	}
	r.Summary, r.SummaryCategories = "Needs a bed tonight; sleeps badly.", []Category{CategoryMentalHealth}
	out, cuts, err := Minimise(r, without(CategoryMentalHealth))
	if err != nil {
		t.Fatal(err)
	}
	if out.Summary != "" || out.SummaryCategories != nil || out.Health.MentalHealth != "" || out.Health.Conditions == "" {
		t.Error("prose that was declared to tell of mental health stays, or other health went")
	}
	for _, path := range []string{"/summary", "/summary_categories", "/health/mental_health"} {
		if !slices.Contains(cuts, Cut{path, CategoryMentalHealth}) {
			t.Errorf("%s is missing in %v", path, cuts)
		}
	}
	if out, _, err = Minimise(r, without(CategoryFamily)); err != nil || out.Dependants != nil || out.Child != nil && out.Child.WithFamily != nil || out.Summary == "" {
		t.Errorf("dependants stay or more went (%v)", err)
	}

	_, _, err = Minimise(r, without(CategoryIdentity))
	var broken *InvalidError
	if !errors.As(err, &broken) || !broken.Has(RuleRequired) {
		t.Errorf("identity cannot go, but: %v", err)
	}
	// Only the name's members may be named, by their place in the original.
	r.Person.Documents = []IdentityDocument{{Type: DocumentPassport}, {Type: DocumentPassport, HeldBy: HeldByExploiter}}
	_, _, err = Minimise(r, without(CategoryIdentity))
	if !errors.As(err, &broken) || !slices.ContainsFunc(broken.Problems, func(p Problem) bool { return p.Path == "/person/documents/1/type" && p.Rule == RuleRequired }) {
		t.Errorf("the second document is not named: %v", err)
	}
}

// TestNeededTogether: members of a part that need one another are named together.
func TestNeededTogether(t *testing.T) {
	u := &ReferralUpdate{Sharing: Sharing{Purposes: []Purpose{PurposeSupportPlanning}, LawfulBasis: LawfulBasis{Basis: BasisConsent}},
		Alert: &SafetyAlert{What: AlertMissing, When: "2000-02-29"}}
	_, _, err := Minimise(u, nil)
	wantProblem(t, err, "/alert/what", RuleRequired)
	wantProblem(t, err, "/alert/when", RuleRequired)
}
