package schemas

import (
	"reflect"
	"slices"
	"strings"
)

// declarer is a type whose prose holds categories that its author declared.
type declarer interface{ declaredCategories() []Category }

// Categories returns the data categories of all fields of p that are set, from their struct tags, sorted and
// without repeats. p is a payload or a pointer to one; nil has none. This is what consent and agreements are
// checked against, so a field without a tag would be a hole: a test keeps every field tagged.
func Categories(p any) []Category {
	found := map[Category]bool{}
	if p != nil {
		v := reflect.ValueOf(p)
		if v.Kind() == reflect.Struct {
			// Methods have pointer receivers: without an address declaredCategories would be passed over.
			v = reflect.New(v.Type())
			v.Elem().Set(reflect.ValueOf(p))
		}
		collect(v, found)
	}
	list := make([]Category, 0, len(found))
	for c := range found {
		list = append(list, c)
	}
	slices.Sort(list)
	return list
}

func collect(v reflect.Value, found map[Category]bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			collect(v.Elem(), found)
		}
	case reflect.Slice:
		for i := range v.Len() {
			collect(v.Index(i), found)
		}
	case reflect.Struct:
		if isTime(v.Type()) {
			return
		}
		if v.CanAddr() {
			if d, ok := v.Addr().Interface().(declarer); ok {
				for _, c := range d.declaredCategories() {
					found[c] = true
				}
			}
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() || v.Field(i).IsZero() {
				continue
			}
			if tag := f.Tag.Get("category"); tag != "" {
				for c := range strings.SplitSeq(tag, ",") {
					found[Category(c)] = true
				}
			}
			collect(v.Field(i), found)
		}
	}
}
