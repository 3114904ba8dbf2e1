package schemas

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the committed JSON Schemas anew")

// TestJSONSchemasFresh compares the committed schemas with the types. After a change of the types run
// go test ./schemas -run TestJSONSchemasFresh -update
func TestJSONSchemasFresh(t *testing.T) {
	for _, name := range JSONSchemaNames() {
		want, err := JSONSchema(name)
		if err != nil {
			t.Fatal(err)
		}
		file := name + ".schema.json"
		if *update {
			if err := os.WriteFile(file, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the types say; run: go test ./schemas -run TestJSONSchemasFresh -update", file)
		}
		for i, b := range got {
			if b >= 0x7f {
				t.Fatalf("%s: byte %d is not ASCII: a file that people read holds no hidden characters", file, i)
			}
		}
	}
	if _, err := JSONSchema("referral.v0"); err == nil {
		t.Error("an unknown name has a schema")
	}
}

// everyType calls f for every struct type below the payloads, once.
func everyType(f func(reflect.Type)) {
	seen := map[reflect.Type]bool{}
	var visit func(t reflect.Type)
	visit = func(t reflect.Type) {
		t = elemOf(t)
		if t.Kind() != reflect.Struct || isTime(t) || seen[t] {
			return
		}
		seen[t] = true
		f(t)
		for m := range members(t) {
			visit(m.field.Type)
		}
	}
	for _, s := range schemaTypes {
		visit(s.typ)
	}
}

// TestEveryFieldHasCategoryAndLimit: a field without a category escapes consent and agreements; a text or a
// list without a limit lets a sender fill the recipient's disk.
func TestEveryFieldHasCategoryAndLimit(t *testing.T) {
	types := 0
	everyType(func(typ reflect.Type) {
		types++
		for m := range members(typ) {
			where := typ.Name() + "." + m.name
			rules, items, _ := strings.Cut(m.field.Tag.Get("validate"), "dive")
			elem := elemOf(m.field.Type)
			leaf := elem.Kind() != reflect.Struct || isTime(elem)
			category := m.field.Tag.Get("category")
			switch {
			case leaf && category == "":
				t.Errorf("%s has no category", where)
			case leaf:
				for c := range strings.SplitSeq(category, ",") {
					if !slices.Contains(AllCategories(), Category(c)) {
						t.Errorf("%s has an unknown category", where)
					}
				}
			}
			if m.field.Type.Kind() == reflect.Slice {
				if tagsOf(rules)["max"] == "" {
					t.Errorf("%s has no limit of items", where)
				}
				if !strings.Contains(m.field.Tag.Get("validate"), "dive") {
					t.Errorf("%s does not check its items", where)
				}
				rules = items
			}
			if elem.Kind() == reflect.String {
				limited := tagsOf(rules)["max"] != ""
				for name := range tagsOf(rules) {
					rule := ruleNamed(name)
					limited = limited || name == "code" || rule != nil && rule.name != RuleLine && rule.name != RuleProse
				}
				if !limited {
					t.Errorf("%s has no limit of length", where)
				}
				tags := tagsOf(rules)
				_, line := tags[RuleLine]
				_, prose := tags[RuleProse]
				if tags["max"] != "" && !line && !prose {
					t.Errorf("%s is text without a text rule", where)
				}
			}
		}
	})
	if types < 25 {
		t.Errorf("visited %d types only", types)
	}
}

// TestTagsDoNotPanic validates an empty and a full value of every type: the validator panics on a tag that
// does not fit its field.
func TestTagsDoNotPanic(t *testing.T) {
	everyType(func(typ reflect.Type) {
		for _, v := range []reflect.Value{reflect.New(typ), filled(typ)} {
			for _, p := range validateTags(v.Interface()) {
				if p.Rule == RuleInternal {
					t.Errorf("%s: the validator panics", typ.Name())
				}
			}
		}
	})
}

// filled returns a pointer to a value with every field set to something.
func filled(t reflect.Type) reflect.Value {
	v := reflect.New(t)
	fill(v.Elem(), 0)
	return v
}

func fill(v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), depth)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), depth)
		}
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int:
		v.SetInt(7)
	case reflect.Struct:
		if isTime(v.Type()) {
			v.Set(reflect.ValueOf(testNow))
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), depth+1)
			}
		}
	}
}
