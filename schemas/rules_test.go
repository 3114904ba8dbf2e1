package schemas

import (
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// everyRule is rulesOf that goes into every struct there is.
func everyRule(v reflect.Value, path string, now time.Time) (problems []Problem) {
	switch {
	case v.Kind() == reflect.Pointer && !v.IsNil():
		return everyRule(v.Elem(), path, now)
	case v.Kind() == reflect.Slice:
		for i := range v.Len() {
			problems = append(problems, everyRule(v.Index(i), path+"/"+strconv.Itoa(i), now)...)
		}
	case v.Kind() == reflect.Struct && !isTime(v.Type()):
		if r, ok := v.Addr().Interface().(ruler); ok {
			problems = append(problems, below(path, r.Rules())...)
		}
		if r, ok := v.Addr().Interface().(rulerAt); ok {
			problems = append(problems, below(path, r.RulesAt(now))...)
		}
		for m := range members(v.Type()) {
			if field, err := v.FieldByIndexErr(m.field.Index); err == nil {
				problems = append(problems, everyRule(field, path+"/"+m.name, now)...)
			}
		}
	}
	return problems
}

func below(path string, problems []Problem) (out []Problem) {
	for _, p := range problems {
		p.Path = path + p.Path
		out = append(out, p)
	}
	return out
}

// TestRulesFound: the rules that a document breaks are found in every part of it, each at its place, and in one order.
func TestRulesFound(t *testing.T) {
	broken := 0
	for _, s := range schemaTypes {
		t.Run(s.name, func(t *testing.T) {
			docs := corpus(t, s.name)
			rapid.Check(t, func(rt *rapid.T) {
				doc := clone(rapid.SampledFrom(docs).Draw(rt, "document"))
				if rapid.Bool().Draw(rt, "another") {
					doc = arbitrary(rt, s.typ, nil, 0)
				}
				for range rapid.IntRange(0, 4).Draw(rt, "mutations") {
					mutate(rt, s.typ, doc)
				}
				data, err := json.Marshal(doc)
				if err != nil {
					rt.Fatal(err)
				}
				v := reflect.New(s.typ)
				if strict(data, v.Interface(), false) != nil {
					return
				}
				want := everyRule(v, "", testNow)
				if d := cmp.Diff(want, rulesOf(v, testNow)); d != "" {
					rt.Fatal(d)
				}
				broken += len(want)
			})
		})
	}
	if broken == 0 {
		t.Error("no rule was broken: the test says nothing")
	}
}

// TestRulesInOrder: what is refused for several dates is refused for the same one first every time.
func TestRulesInOrder(t *testing.T) {
	for _, doc := range []ruler{
		&NRMDecision{Decided: "2026-03-01", Served: "2026-02-01", ReconsiderationUntil: "2026-02-01", RecoveryPeriodEnds: "2026-02-01"},
		&SupportEntitlement{Starts: "2026-03-01", Ends: "2026-02-01", Review: "2026-02-01"},
	} {
		want := doc.Rules()
		if len(want) < 2 {
			t.Fatalf("%T: %v", doc, want)
		}
		for range 50 {
			if d := cmp.Diff(want, doc.Rules()); d != "" {
				t.Fatalf("%T: %s", doc, d)
			}
		}
	}
}
