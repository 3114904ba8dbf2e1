package schemas

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
)

// Cut is a member that goes because a data category that it holds is not allowed.
type Cut struct {
	Path     string   `json:"path"`     // JSON pointer (RFC 6901) into the payload as it was
	Category Category `json:"category"` // what is not allowed; a member that holds several such categories has a cut for each
}

// Minimise returns a deep copy of p that holds the allowed categories and case-admin only, with what went, in the order of
// the members. It is how an agency forwards no more than a consent and an agreement cover (Caldicott principle 3, UK GDPR
// Art. 5(1)(c)).
//
// A member goes as a whole when one of its categories is not allowed, prose also when one of the categories goes that its
// author declared for it, and with it the declaration. List items and parts that become empty go too, and have no cut of
// their own. Nothing else changes: what is left has the values it had.
//
// Some members cannot go: others need them. The error is then an *InvalidError that names them and what is broken without
// them, both by their path in p, and the results are zero. A payload that was not valid before is an error too. p is never
// changed. Like Validate, it reads today's date.
func Minimise[P Payload](p P, allowed []Category) (P, []Cut, error) {
	var none P
	v := reflect.ValueOf(p)
	if !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return none, nil, Validate(p)
	}
	c := newCutter(allowed)
	copied := c.minimised(v)
	out := copied.Interface().(P)
	broken := c.problems(out)
	if len(broken) > 0 {
		return none, nil, invalid(append(c.needed(v, broken), broken...))
	}
	// A member that the walk did not understand must not leave the agency.
	for _, held := range Categories(out) {
		if !c.allowed[held] {
			return none, nil, invalid([]Problem{{Rule: RuleInternal, Hint: "report this as a fault of Waypost"}})
		}
	}
	return out, c.cuts, nil
}

// Excess returns what Minimise would cut, whether or not the rest would be valid, without copying anything.
func Excess(p Payload, allowed []Category) []Cut {
	v := reflect.ValueOf(p)
	if !v.IsValid() {
		return nil
	}
	c := newCutter(allowed)
	c.dry = true
	c.walk(addressable(v), "")
	return c.cuts
}

// cutter walks one payload, once.
type cutter struct {
	allowed map[Category]bool
	dry     bool   // only list
	keep    string // a member, or a part with all in it, that stays although it should go; "" is none
	cuts    []Cut
	moved   map[string]string // path of a list item afterwards, below its parent's path before, to its path before
}

func newCutter(allowed []Category) *cutter {
	c := &cutter{allowed: map[Category]bool{CategoryCaseAdmin: true}, moved: map[string]string{}}
	for _, a := range allowed {
		c.allowed[a] = true
	}
	return c
}

// minimised returns a copy of v without what is cut, of v's type.
func (c *cutter) minimised(v reflect.Value) reflect.Value {
	copied := deepCopy(v)
	a := addressable(copied)
	c.walk(a, "")
	if v.Kind() != reflect.Pointer {
		return a
	}
	return copied
}

// walk cuts below v, a struct or a pointer to one, and reports whether something went.
func (c *cutter) walk(v reflect.Value, path string) (cut bool) {
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return false
		}
		v = v.Elem()
	}
	if v.Kind() != reflect.Struct {
		return false
	}
	declared := declarations(v)
	for m := range members(v.Type()) {
		field, err := v.FieldByIndexErr(m.field.Index)
		if err != nil || field.IsZero() {
			continue
		}
		at := path + "/" + m.name
		gone := c.missing(m.field, declared[m.field.Name])
		switch {
		case len(gone) > 0 && !c.keeps(at):
			for _, category := range gone {
				c.cuts = append(c.cuts, Cut{at, category})
			}
			if !c.dry {
				field.SetZero()
			}
			cut = true
		case isPart(field.Type()):
			cut = c.part(field, at) || cut
		}
	}
	return cut
}

// part walks a part or a list of parts and removes what became empty.
func (c *cutter) part(field reflect.Value, path string) (cut bool) {
	if field.Kind() != reflect.Slice {
		cut = c.walk(field, path)
		if cut && !c.dry && field.Kind() == reflect.Pointer && isEmpty(field) {
			field.SetZero()
		}
		return cut
	}
	left := 0
	for i := range field.Len() {
		item, at := field.Index(i), path+"/"+strconv.Itoa(i)
		went := c.walk(item, at)
		cut = cut || went
		if c.dry || went && isEmpty(item) {
			continue
		}
		if left != i {
			field.Index(left).Set(item)
			c.moved[path+"/"+strconv.Itoa(left)] = at
		}
		left++
	}
	switch {
	case c.dry || left == field.Len():
	case left == 0:
		field.SetZero()
	default:
		field.Set(field.Slice3(0, left, left))
	}
	return cut
}

// missing returns the categories of a member that are not allowed. A value without a category is a hole and goes; a part
// without one is judged by its members.
func (c *cutter) missing(f reflect.StructField, declared []Category) (out []Category) {
	tag := f.Tag.Get("category")
	if tag == "" && !isPart(f.Type) {
		return []Category{""}
	}
	for name := range strings.SplitSeq(tag, ",") {
		if name != "" && !c.allowed[Category(name)] {
			out = append(out, Category(name))
		}
	}
	for _, d := range declared {
		if !c.allowed[d] && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// declarationSuffix makes the field in which an author declares what the prose of another holds: Summary and
// SummaryCategories.
const declarationSuffix = "Categories"

// declarations returns what each field of the struct was declared to hold, by the name of the field. A declaration goes
// with its prose, so it is declared to hold what the prose is tagged with.
func declarations(v reflect.Value) map[string][]Category {
	var out map[string][]Category
	for m := range members(v.Type()) {
		prose, ok := strings.CutSuffix(m.field.Name, declarationSuffix)
		if !ok || prose == "" || m.field.Type != reflect.TypeFor[[]Category]() {
			continue
		}
		f, ok := v.Type().FieldByName(prose)
		if !ok || v.FieldByIndex(f.Index).IsZero() {
			continue
		}
		held, _ := v.FieldByIndex(m.field.Index).Interface().([]Category)
		if out == nil {
			out = map[string][]Category{}
		}
		out[prose] = held
		with := slices.Clone(held)
		for name := range strings.SplitSeq(f.Tag.Get("category"), ",") {
			with = append(with, Category(name))
		}
		out[m.field.Name] = with
	}
	return out
}

// problems validates what is left, with the paths that its members had before.
func (c *cutter) problems(out any) []Problem {
	err, _ := Validate(out).(*InvalidError)
	if err == nil {
		return nil
	}
	problems := slices.Clone(err.Problems)
	for i, p := range problems {
		var before string
		for token := range strings.SplitSeq(strings.TrimPrefix(p.Path, "/"), "/") {
			if p.Path == "" {
				break
			}
			before += "/" + token
			if was, ok := c.moved[before]; ok {
				before = was
			}
		}
		problems[i].Path = before
	}
	return problems
}

// maxTries bounds how long a hostile document can keep needed busy; the largest honest one has fewer cuts.
const maxTries = 3 * maxProblems

// keeps reports whether a member stays although it should go.
func (c *cutter) keeps(path string) bool {
	return c.keep != "" && (path == c.keep || strings.HasPrefix(path, c.keep+"/"))
}

// needed finds the members without which there would be fewer problems. They are tried one by one; a part whose members need
// one another is tried as a whole.
func (c *cutter) needed(v reflect.Value, broken []Problem) (out []Problem) {
	tries := 0
	fewer := func(keep string) bool {
		if tries++; tries > maxTries {
			return false
		}
		try := &cutter{allowed: c.allowed, keep: keep, moved: map[string]string{}}
		return len(try.problems(try.minimised(v).Interface())) < len(broken)
	}
	name := func(under string) {
		for _, cut := range c.cuts {
			if cut.Path == under || strings.HasPrefix(cut.Path, under+"/") {
				out = append(out, Problem{cut.Path, RuleRequired, "this member cannot go, or not together with the others that are named; ask for category " + string(cut.Category)})
			}
		}
	}
	tried := map[string]bool{}
	for _, cut := range c.cuts {
		if !tried[cut.Path] && fewer(cut.Path) {
			name(cut.Path)
		}
		tried[cut.Path] = true
	}
	if len(out) > 0 {
		return out
	}
	for _, cut := range c.cuts {
		part := cut.Path[:strings.LastIndexByte(cut.Path, '/')]
		if part != "" && !tried[part] && fewer(part) {
			name(part)
		}
		tried[part] = true
	}
	return out
}
