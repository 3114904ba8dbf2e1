package schemas

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Cut is a member that goes when a payload is minimised.
type Cut struct {
	Path     string   `json:"path"` // JSON pointer
	Category Category `json:"category" doc:"Data category that is not covered"`
}

// Minimise returns a copy of a payload without the members whose data category is not allowed (case-admin always is), and
// which they were. Parts and list items that become empty go with them; prose goes when any category it was declared to hold
// is not allowed. The payload itself is not changed. When what is left cannot be sent, because a member that must be there
// went, the error is an *InvalidError that names it.
func Minimise(p Payload, allowed []Category) (Payload, []Cut, error) {
	data, err := Encode(p)
	if err != nil {
		return nil, nil, err
	}
	smaller := reflect.New(reflect.TypeOf(p).Elem()).Interface()
	if err := strict(data, smaller, true); err != nil {
		return nil, nil, err
	}
	cuts := cut(reflect.ValueOf(smaller).Elem(), "", allowed, true)
	if err := Validate(smaller); err != nil {
		return nil, nil, err
	}
	return smaller.(Payload), cuts, nil
}

// Excess lists what Minimise would take out.
func Excess(p Payload, allowed []Category) []Cut {
	v := reflect.ValueOf(p)
	if !v.IsValid() || v.IsNil() {
		return nil
	}
	return cut(v.Elem(), "", allowed, false)
}

// covered returns the first category of a tag that is not allowed.
func covered(tag string, allowed []Category) (Category, bool) {
	for c := range strings.SplitSeq(tag, ",") {
		if c != "" && Category(c) != CategoryCaseAdmin && !slices.Contains(allowed, Category(c)) {
			return Category(c), false
		}
	}
	return "", true
}

// proser names the members whose prose a type's declared categories are about.
type proser interface{ declaredProse() []string }

// cut walks a struct, lists the members that are set and not allowed, and takes them out if it is told to.
func cut(s reflect.Value, path string, allowed []Category, remove bool) (cuts []Cut) {
	declared := map[string]Category{}
	if d, ok := s.Addr().Interface().(declarer); ok {
		for _, c := range d.declaredCategories() {
			if _, ok := covered(string(c), allowed); !ok {
				for _, name := range d.(proser).declaredProse() {
					declared[name] = c
				}
				break
			}
		}
	}
	for m := range members(s.Type()) {
		field, err := s.FieldByIndexErr(m.field.Index)
		if err != nil || field.IsZero() {
			continue
		}
		here := path + "/" + m.name
		category, ok := covered(m.field.Tag.Get("category"), allowed)
		if c, found := declared[m.name]; ok && found {
			category, ok = c, false
		}
		if !ok {
			cuts = append(cuts, Cut{here, category})
			if remove {
				field.SetZero()
			}
			continue
		}
		cuts = append(cuts, cutParts(field, here, allowed, remove)...)
	}
	return cuts
}

// cutParts goes into a part or a list of parts, and drops what nothing is left of.
func cutParts(field reflect.Value, path string, allowed []Category, remove bool) (cuts []Cut) {
	if elem := elemOf(field.Type()); elem.Kind() != reflect.Struct || isTime(elem) {
		return nil
	}
	switch field.Kind() {
	case reflect.Struct:
		return cut(field, path, allowed, remove)
	case reflect.Pointer:
		cuts = cut(field.Elem(), path, allowed, remove)
		if remove && len(cuts) > 0 && field.Elem().IsZero() {
			field.SetZero()
		}
	case reflect.Slice:
		kept := reflect.MakeSlice(field.Type(), 0, field.Len())
		for i := range field.Len() {
			item := field.Index(i)
			here := cut(item, path+"/"+strconv.Itoa(i), allowed, remove)
			cuts = append(cuts, here...)
			if len(here) == 0 || !item.IsZero() {
				kept = reflect.Append(kept, item)
			}
		}
		if remove && kept.Len() < field.Len() {
			if kept.Len() == 0 {
				field.SetZero()
			} else {
				field.Set(kept)
			}
		}
	}
	return cuts
}
