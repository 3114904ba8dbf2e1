package schemas

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"
)

// sameVerdict fails when the short way and the validator judge a pointer to a struct differently, and returns the verdict.
func sameVerdict(t interface {
	Helper()
	Fatalf(string, ...any)
}, v any, what string) bool {
	t.Helper()
	holds, problems := tagsHold(reflect.ValueOf(v).Elem()), validateTags(v)
	if holds != (len(problems) == 0) {
		t.Fatalf("%s: the short way says %v, the validator: %v", what, holds, problems)
	}
	return holds
}

// TestTagsPlanned: of no document is the validator asked only because the short way does not know a tag.
func TestTagsPlanned(t *testing.T) {
	for _, s := range schemaTypes {
		if planStruct(s.typ, nil) == nil {
			t.Errorf("%s has a tag that tags.go does not know", s.name)
		}
	}
}

// TestTagsUnknown: what the short way does not know it never lets pass.
func TestTagsUnknown(t *testing.T) {
	type cycle struct{ Next *cycle }
	type inside struct {
		Name string `validate:"required"`
	}
	text := "x"
	for name, v := range map[string]any{
		"tag": &struct {
			A string `validate:"omitempty,lowercase"`
		}{},
		"or": &struct {
			A string `validate:"omitempty,line|prose"`
		}{},
		"late": &struct {
			A string `validate:"max=3,omitempty"`
		}{},
		"skipped": &struct {
			A string `validate:"-"`
		}{},
		"limit": &struct {
			A string `validate:"max=x"`
		}{},
		"type": &struct {
			A float64 `validate:"max=3"`
		}{},
		"interface": &struct{ A any }{A: inside{}},
		"pointers":  &struct{ A **string }{},
		"list":      &struct{ A *[]string }{},
		"map": &struct {
			A map[string]inside `validate:"dive"`
		}{A: map[string]inside{"a": {}}},
		"unique": &struct {
			A []inside `validate:"unique=Name"`
		}{},
		"cycle":  &cycle{},
		"a time": &struct{ A notTime }{},
	} {
		if tagsHold(reflect.ValueOf(v).Elem()) {
			t.Errorf("%s: lets it pass", name)
		}
	}
	for name, v := range map[string]any{
		"embedded bad":  &struct{ inside }{},
		"embedded good": &struct{ inside }{inside{"x"}},
		"zero part":     &struct{ A inside }{},
		"optional part": &struct {
			A inside `validate:"omitempty"`
		}{},
		"needed part": &struct {
			A inside `validate:"required"`
		}{},
		"no part": &struct{ A *inside }{},
		"empty part": &struct {
			A *inside `validate:"omitempty"`
		}{A: &inside{}},
		"not needed": &struct {
			A *string `validate:"max=3"`
		}{},
		"zero there": &struct {
			A *int `validate:"required,min=0"`
		}{A: new(int)},
		"text there": &struct {
			A *string `validate:"omitempty,max=1,line"`
		}{A: &text},
		"parts": &struct{ A []inside }{A: []inside{{}}},
		"parts looked": &struct {
			A []inside `validate:"dive"`
		}{A: []inside{{}}},
		"pointers": &struct {
			A []*inside `validate:"dive"`
		}{A: []*inside{nil, {"x"}}},
		"pointer needed": &struct {
			A []*inside `validate:"dive,required"`
		}{A: []*inside{nil}},
		"list there": &struct {
			A []string `validate:"required"`
		}{A: []string{}},
		"list too short": &struct {
			A []string `validate:"omitempty,min=1"`
		}{A: []string{}},
		"private": &struct {
			a string `validate:"required"`
		}{},
	} {
		sameVerdict(t, v, name)
	}
}

type notTime time.Time // the validator takes it for a time too

// TestTagsDrawn compares the verdicts on documents made at random.
func TestTagsDrawn(t *testing.T) {
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
				v := reflect.New(s.typ).Interface()
				if strict(data, v, false) == nil {
					sameVerdict(rt, v, s.name)
				}
			})
		})
	}
}

// FuzzTags: the short way and the validator come to one verdict on whatever decodes.
func FuzzTags(f *testing.F) {
	n := 0
	for i, s := range schemaTypes {
		files, err := filepath.Glob("testdata/" + strings.TrimSuffix(s.name, ".v1") + "/*.json")
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), b)
			n++
		}
	}
	if n < 70 {
		f.Fatalf("%d seeds", n)
	}
	f.Fuzz(func(t *testing.T, which uint8, data []byte) {
		s := schemaTypes[int(which)%len(schemaTypes)]
		v := reflect.New(s.typ).Interface()
		if strict(data, v, false) == nil {
			sameVerdict(t, v, s.name)
		}
	})
}
