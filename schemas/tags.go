package schemas

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// tagsHold reports whether v, a struct, surely keeps the validate tags of its type and of every struct in it. It is the short
// way for what is right, which nearly everything is: the validator makes the path of every member, in case it has to name it.
// False means "ask the validator", which alone says what is wrong; of a tag or a type that is not understood here it is
// always false. A test holds the verdicts of both against each other.
func tagsHold(v reflect.Value) bool {
	t := v.Type()
	known, ok := tagPlans.Load(t)
	if !ok {
		known, _ = tagPlans.LoadOrStore(t, planStruct(t, nil))
	}
	return known.(*structPlan).hold(v)
}

// tagPlans remembers plans by type. A type that is not understood has a nil plan.
var tagPlans sync.Map // reflect.Type → *structPlan

// structPlan is what the tags of a struct type ask.
type structPlan struct {
	fields []fieldPlan
}

type fieldPlan struct {
	index int
	valuePlan
}

// valuePlan is what is asked of one value, a member or an item of a list.
type valuePlan struct {
	pointer  bool // the value stands behind a pointer
	optional bool // nothing more is asked of a value that is not there
	checks   []func(reflect.Value) bool
	items    *valuePlan  // of a list
	part     *structPlan // of a struct
}

func (p *structPlan) hold(v reflect.Value) bool {
	if p == nil {
		return false
	}
	for i := range p.fields {
		f := &p.fields[i]
		if !f.hold(v.Field(f.index)) {
			return false
		}
	}
	return true
}

func (p *valuePlan) hold(v reflect.Value) bool {
	switch {
	case p.pointer:
		if v.IsNil() {
			return p.optional
		}
		v = v.Elem() // there, even if zero
	case p.optional && !present(v):
		return true
	}
	for _, check := range p.checks {
		if !check(v) {
			return false
		}
	}
	if p.items != nil {
		for i := range v.Len() {
			if !p.items.hold(v.Index(i)) {
				return false
			}
		}
	}
	return p.part == nil || p.part.hold(v)
}

// present is what the validator takes for a value: a list that is not nil, or anything that is not zero.
func present(v reflect.Value) bool {
	if v.Kind() == reflect.Slice {
		return !v.IsNil()
	}
	return !v.IsZero()
}

// planStruct makes the plan of a struct type, nil when there is something in it that only the validator understands. outer are
// the types that it is a part of.
func planStruct(t reflect.Type, outer []reflect.Type) *structPlan {
	if slices.Contains(outer, t) || t.ConvertibleTo(reflect.TypeFor[time.Time]()) {
		return nil
	}
	plan := &structPlan{}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		var tags []string
		if tag := f.Tag.Get("validate"); tag != "" {
			tags = strings.Split(tag, ",")
		}
		value := planValue(f.Type, tags, append(outer, t))
		if value == nil {
			return nil
		}
		if len(tags) > 0 || value.part != nil {
			plan.fields = append(plan.fields, fieldPlan{i, *value})
		}
	}
	return plan
}

// planValue makes the plan of a value with such tags, nil as planStruct does.
func planValue(t reflect.Type, tags []string, outer []reflect.Type) *valuePlan {
	plan := &valuePlan{pointer: t.Kind() == reflect.Pointer}
	if plan.pointer {
		plan.optional, t = len(tags) == 0, t.Elem()
	}
	if len(tags) > 0 && tags[0] == "omitempty" {
		plan.optional, tags = true, tags[1:]
	}
	for i, tag := range tags {
		if tag == "dive" && t.Kind() == reflect.Slice {
			if plan.items = planValue(t.Elem(), tags[i+1:], outer); plan.items == nil {
				return nil
			}
			break
		}
		check := checkOf(t, tag, plan.pointer)
		if check == nil {
			return nil
		}
		plan.checks = append(plan.checks, check)
	}
	switch {
	case t.Kind() == reflect.Struct && !isTime(t):
		if plan.part = planStruct(t, outer); plan.part == nil {
			return nil
		}
	case t.Kind() == reflect.Pointer, t.Kind() == reflect.Interface, t.Kind() == reflect.Slice && plan.pointer:
		return nil // the validator looks behind them
	}
	return plan
}

// checkOf is one tag as a function, nil when it is not known for values of that type.
func checkOf(t reflect.Type, tag string, pointer bool) func(reflect.Value) bool {
	name, param, _ := strings.Cut(tag, "=")
	switch kind := t.Kind(); {
	case tag == "required" && pointer:
		return func(reflect.Value) bool { return true } // hold has looked
	case tag == "required":
		return present
	case name == "min" || name == "max":
		return limitOf(kind, name == "min", param)
	case tag == "unique" && kind == reflect.Slice && (t.Elem().Kind() == reflect.String || t.Elem().Kind() == reflect.Struct && t.Elem().Comparable()):
		return distinct
	case tag == "must_be_true" && kind == reflect.Bool:
		return reflect.Value.Bool
	case tag == "code" && kind == reflect.String:
		codes := map[string]bool{}
		for _, c := range codesOf(t) {
			codes[c] = true
		}
		return func(v reflect.Value) bool { return codes[v.String()] }
	case kind == reflect.String:
		if rule := ruleNamed(tag); rule != nil {
			return func(v reflect.Value) bool { return rule.holds(v.String()) }
		}
	}
	return nil
}

func limitOf(kind reflect.Kind, least bool, param string) func(reflect.Value) bool {
	limit, err := strconv.Atoi(param)
	if err != nil {
		return nil
	}
	var size func(reflect.Value) int
	switch kind {
	case reflect.String:
		if !least {
			// A character has a byte at least: only what could be too long is counted.
			return func(v reflect.Value) bool { return v.Len() <= limit || utf8.RuneCountInString(v.String()) <= limit }
		}
		size = func(v reflect.Value) int { return utf8.RuneCountInString(v.String()) }
	case reflect.Slice:
		size = reflect.Value.Len
	case reflect.Int:
		size = func(v reflect.Value) int { return int(v.Int()) }
	default:
		return nil
	}
	if least {
		return func(v reflect.Value) bool { return size(v) >= limit }
	}
	return func(v reflect.Value) bool { return size(v) <= limit }
}

// distinct reports whether no item of a list stands there twice. Of a list too long for comparing each with each it says no,
// and the validator is asked.
func distinct(v reflect.Value) bool {
	n := v.Len()
	if n > 100 {
		return false
	}
	for i := 1; i < n; i++ {
		item := v.Index(i)
		for j := range i {
			if item.Equal(v.Index(j)) {
				return false
			}
		}
	}
	return true
}
