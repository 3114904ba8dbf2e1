package schemas

import (
	"reflect"
	"slices"
	"strings"
	"sync"
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
		for _, f := range categorised(v.Type()) {
			field := v.Field(f.index)
			if field.IsZero() {
				continue
			}
			for _, c := range f.categories {
				found[c] = true
			}
			collect(field, found)
		}
	}
}

// fieldCategories are what the tag of one exported field says.
type fieldCategories struct {
	index      int
	categories []Category
}

// fieldLists remembers categorised by type, as memberLists does members.
var fieldLists sync.Map // reflect.Type → []fieldCategories

func categorised(t reflect.Type) []fieldCategories {
	if known, ok := fieldLists.Load(t); ok {
		return known.([]fieldCategories)
	}
	var list []fieldCategories
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		field := fieldCategories{index: i}
		if tag := f.Tag.Get("category"); tag != "" {
			for c := range strings.SplitSeq(tag, ",") {
				field.categories = append(field.categories, Category(c))
			}
		}
		list = append(list, field)
	}
	fieldLists.Store(t, list)
	return list
}
