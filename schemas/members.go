package schemas

import (
	"iter"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// member is one JSON member of a struct type.
type member struct {
	name  string // "" for an embedded struct, whose members are the parent's
	field reflect.StructField
	ruled bool // there are rules across members in it
}

// jsonName returns the member name of a field, "" for an embedded struct, and false when it has none.
func jsonName(f reflect.StructField) (string, bool) {
	tag, tagged := f.Tag.Lookup("json")
	name, options, _ := strings.Cut(tag, ",")
	switch {
	case tag == "-" || !f.IsExported():
		return "", false
	case name == "" && (f.Anonymous || strings.Contains(options, "inline") || strings.Contains(options, "embed")):
		return "", true
	case name == "" || !tagged:
		return f.Name, true
	}
	return name, true
}

// memberLists remembers members by type: there are few types and they do not change, and a walk asks for each many times.
var memberLists sync.Map // reflect.Type → []member

// members yields the JSON members of a struct type, those of embedded structs among them.
func members(t reflect.Type) iter.Seq[member] { return slices.Values(memberList(t)) }

func memberList(t reflect.Type) []member {
	if known, ok := memberLists.Load(t); ok {
		return known.([]member)
	}
	list := listMembers(t)
	memberLists.Store(t, list)
	return list
}

func listMembers(t reflect.Type) (list []member) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, ok := jsonName(f)
		if !ok {
			continue
		}
		if name == "" {
			for _, m := range listMembers(elemOf(f.Type)) {
				m.field.Index = append([]int{i}, m.field.Index...)
				list = append(list, m)
			}
			continue
		}
		list = append(list, member{name: name, field: f, ruled: ruled(elemOf(f.Type), nil)})
	}
	return list
}

// ruled reports whether a struct type, or one in it, has rules across members. outer are the types that it is a part of.
func ruled(t reflect.Type, outer []reflect.Type) bool {
	if t.Kind() != reflect.Struct || isTime(t) || slices.Contains(outer, t) {
		return false
	}
	p := reflect.PointerTo(t)
	if p.Implements(reflect.TypeFor[ruler]()) || p.Implements(reflect.TypeFor[rulerAt]()) {
		return true
	}
	for i := range t.NumField() {
		if ruled(elemOf(t.Field(i).Type), append(outer, t)) {
			return true
		}
	}
	return false
}

func fieldNamed(t reflect.Type, name string) (reflect.Type, bool) {
	for m := range members(t) {
		if m.name == name {
			return m.field.Type, true
		}
	}
	return nil, false
}

// elemOf strips pointers, slices, arrays and maps.
func elemOf(t reflect.Type) reflect.Type {
	for {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
			t = t.Elem()
		default:
			return t
		}
	}
}

func isTime(t reflect.Type) bool { return t == reflect.TypeFor[time.Time]() }

// isSet reports whether the member of the struct behind v is not its zero value.
func isSet(v any, name string) bool {
	s := reflect.ValueOf(v).Elem()
	for m := range members(s.Type()) {
		if m.name == name {
			return !s.FieldByIndex(m.field.Index).IsZero()
		}
	}
	return false
}

// setMembers returns the names of the members that are set in the struct v, a pointer to one. A nil pointer has none.
func setMembers(v any) (names []string) {
	p := reflect.ValueOf(v)
	if p.IsNil() {
		return nil
	}
	for m := range members(p.Elem().Type()) {
		if !p.Elem().FieldByIndex(m.field.Index).IsZero() {
			names = append(names, m.name)
		}
	}
	return names
}
