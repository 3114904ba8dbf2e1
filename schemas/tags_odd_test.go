package schemas

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
)

// TestTagsOdd puts odd values into every member of good documents, at every depth, and takes every member away: both judge the
// part and the whole.
func TestTagsOdd(t *testing.T) {
	for _, s := range schemaTypes {
		t.Run(s.name, func(t *testing.T) {
			verdicts := map[bool]int{}
			docs := corpus(t, s.name)
			for _, doc := range docs[:min(2, len(docs))] {
				data, err := json.Marshal(doc)
				if err != nil {
					t.Fatal(err)
				}
				v, err := decodeAt(s.typ, data, testNow)
				if err != nil {
					t.Fatal(err)
				}
				everyPart(reflect.ValueOf(v).Elem(), func(part reflect.Value) {
					verdicts[sameVerdict(t, v, s.name)]++
					for i := range part.NumField() {
						what := part.Type().Name() + "." + part.Type().Field(i).Name
						odd(part.Field(i), func() { verdicts[sameVerdict(t, part.Addr().Interface(), what)]++ })
						was := part.Field(i).Interface()
						part.Field(i).SetZero()
						verdicts[sameVerdict(t, v, what)]++ // and of the whole document
						part.Field(i).Set(reflect.ValueOf(was))
					}
				})
			}
			verdicts[sameVerdict(t, reflect.New(s.typ).Interface(), "empty")]++
			verdicts[sameVerdict(t, filled(s.typ).Interface(), "full")]++
			if verdicts[true] == 0 || verdicts[false] == 0 {
				t.Errorf("%d good and %d bad documents; both are needed", verdicts[true], verdicts[false])
			}
		})
	}
}

// everyPart calls do for v, a struct, and every struct in it.
func everyPart(v reflect.Value, do func(part reflect.Value)) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			everyPart(v.Elem(), do)
		}
	case reflect.Slice:
		for i := range v.Len() {
			everyPart(v.Index(i), do)
		}
	case reflect.Struct:
		if isTime(v.Type()) {
			return
		}
		do(v)
		for i := range v.NumField() {
			everyPart(v.Field(i), do)
		}
	}
}

// odd puts odd values into v, asks after each, and puts back what was there.
func odd(v reflect.Value, ask func()) {
	was := reflect.New(v.Type()).Elem()
	was.Set(v)
	try := func(x reflect.Value) {
		v.Set(x)
		ask()
		v.Set(was)
	}
	try(reflect.Zero(v.Type()))
	switch v.Kind() {
	case reflect.Pointer:
		there := reflect.New(v.Type().Elem())
		try(there)
		if there.Elem().Kind() != reflect.Struct {
			odd(there.Elem(), func() { try(there) })
		}
	case reflect.String:
		samples := slices.Clone(oddStrings)
		for _, list := range samplesOf {
			samples = append(samples, list...)
		}
		if codes := codesOf(v.Type()); len(codes) > 0 {
			samples = append(samples, codes[0], codes[len(codes)-1]+"x", strings.ToUpper(codes[0]))
		}
		for _, n := range []int{1, 16, 17, 50, 51, 64, 65, 100, 101, 150, 151, 200, 201, 300, 301, 500, 501, 1000, 1001, 2000, 2001, 4000, 4001, 8000} {
			samples = append(samples, strings.Repeat("a", n), strings.Repeat("é", n))
		}
		for _, s := range samples {
			try(reflect.ValueOf(s).Convert(v.Type()))
		}
	case reflect.Bool:
		try(reflect.ValueOf(!v.Bool()))
	case reflect.Int:
		for _, n := range []int{-1, 1, 3, 4, 99, 100, 120, 121, 366, 367, 1949, 1950, 2100, 2101} {
			try(reflect.ValueOf(n))
		}
	case reflect.Slice:
		try(reflect.MakeSlice(v.Type(), 0, 0)) // not nil
		item := reflect.New(v.Type().Elem()).Elem()
		if v.Len() > 0 {
			item.Set(v.Index(0))
		}
		for _, n := range []int{0, 1, 2, 4, 5, 8, 9, 14, 15, 20, 21, 24, 25, 100, 101, 102} { // the same again and again, each another, and codes of the list
			list := reflect.MakeSlice(v.Type(), 0, n)
			for range n {
				list = reflect.Append(list, item)
			}
			try(list)
			if item.Kind() != reflect.String {
				continue
			}
			for i := range n {
				list.Index(i).SetString(strings.Repeat("x", i+1))
			}
			try(list)
			if codes := codesOf(item.Type()); n <= len(codes) {
				for i := range n {
					list.Index(i).SetString(codes[i])
				}
				try(list)
			}
		}
		if v.Len() > 0 {
			odd(v.Index(0), ask)
		}
	case reflect.Struct:
		if isTime(v.Type()) {
			try(reflect.ValueOf(time.Unix(1, 0)))
		}
	}
}
