package schemas

import (
	"errors"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-playground/validator/v10"
)

// A type with rules that span several members has one of these, with paths relative to itself.
type (
	ruler   interface{ Rules() []Problem }
	rulerAt interface{ RulesAt(now time.Time) []Problem }
)

// Validate checks the content of v, a struct or a pointer to one: the validate tags, then the rules across
// members of v and of every struct in it (methods Rules and RulesAt). Rules that need to know today's date (a
// birthday tells a child from an adult) use the machine's clock; see ValidateAt. The error is an *InvalidError.
func Validate(v any) error { return ValidateAt(v, time.Now()) }

// ValidateAt is Validate with a given clock. A payload that is valid now is also valid later: a message that waited
// is not refused for its age. A Submission is not, because it may bring a consent that ends.
func ValidateAt(v any, now time.Time) error {
	value := reflect.ValueOf(v)
	if !value.IsValid() || elemOf(value.Type()).Kind() != reflect.Struct || value.Kind() == reflect.Pointer && value.IsNil() {
		return invalid([]Problem{{Rule: RuleRequired, Hint: "give a document"}})
	}
	var problems []Problem
	if direct := reflect.Indirect(value); direct.Kind() != reflect.Struct || !tagsHold(direct) {
		problems = validateTags(v)
	}
	if value.Kind() != reflect.Pointer {
		// Rules have pointer receivers, so they are found on an addressable copy only.
		p := reflect.New(value.Type())
		p.Elem().Set(value)
		value = p
	}
	problems = append(problems, rulesOf(value, now)...)
	return invalid(problems)
}

// inlineMark names embedded structs in the validator's namespace: their members belong to the parent.
const inlineMark = "~"

var theValidator = sync.OnceValue(func() *validator.Validate {
	v := validator.New(validator.WithRequiredStructEnabled())
	v.RegisterTagNameFunc(func(f reflect.StructField) string {
		name, _ := jsonName(f)
		if name == "" {
			return inlineMark
		}
		return name
	})
	for _, rule := range stringRules {
		must(v.RegisterValidation(rule.name, func(fl validator.FieldLevel) bool {
			return fl.Field().Kind() == reflect.String && rule.holds(fl.Field().String())
		}))
	}
	must(v.RegisterValidation("code", func(fl validator.FieldLevel) bool {
		for _, code := range codesOf(fl.Field().Type()) {
			if code == fl.Field().String() {
				return true
			}
		}
		return false
	}))
	must(v.RegisterValidation("must_be_true", func(fl validator.FieldLevel) bool { return fl.Field().Bool() }))
	return v
})

func must(err error) {
	if err != nil {
		panic(err)
	}
}

func validateTags(v any) (problems []Problem) {
	// The validator panics on a tag that does not fit its field. A test validates every type empty and full;
	// should one slip through, a document must not stop the agent.
	defer func() {
		if recover() != nil {
			problems = append(problems, Problem{Rule: RuleInternal, Hint: "report this as a fault of Waypost"})
		}
	}()
	err := theValidator().Struct(v)
	if err == nil {
		return nil
	}
	var fields validator.ValidationErrors
	if !errors.As(err, &fields) {
		return []Problem{{Rule: RuleInternal, Hint: "report this as a fault of Waypost"}}
	}
	for _, f := range fields {
		// FieldError.Value and Error hold the value: neither is touched.
		problems = append(problems, Problem{Path: pointerOf(f.Namespace()), Rule: ruleOf(f), Hint: hintOf(f)})
	}
	return problems
}

// pointerOf turns the validator's namespace "Referral.person.names[0].text" into "/person/names/0/text".
func pointerOf(namespace string) string {
	var b strings.Builder
	for i, part := range strings.Split(namespace, ".") {
		if i == 0 || part == inlineMark {
			continue
		}
		name, rest, _ := strings.Cut(part, "[")
		b.WriteString("/" + name)
		for rest != "" {
			var index string
			index, rest, _ = strings.Cut(rest, "]")
			b.WriteString("/" + index)
			rest = strings.TrimPrefix(rest, "[")
		}
	}
	return b.String()
}

func ruleOf(f validator.FieldError) string {
	switch f.Tag() {
	case "code":
		return RuleOneOf
	case "must_be_true":
		return RuleRequired
	}
	return f.Tag()
}

func hintOf(f validator.FieldError) string {
	switch f.Tag() {
	case "required":
		return "this member is needed"
	case "unique":
		return "list every item once"
	case "must_be_true":
		return "leave the member out or make it true; otherwise this is not consent"
	case "code":
		codes := codesOf(f.Type())
		if len(codes) <= 30 {
			return "use one of: " + strings.Join(codes, ", ")
		}
		return "use a code of the list"
	case "min", "max":
		word := map[string]string{"min": "at least ", "max": "at most "}[f.Tag()]
		switch f.Kind() {
		case reflect.String:
			return "write " + word + f.Param() + " characters"
		case reflect.Slice:
			return "list " + word + f.Param() + " items"
		default:
			return "give " + word + f.Param()
		}
	}
	for _, rule := range stringRules {
		if rule.name == f.Tag() {
			return rule.hint
		}
	}
	return "see the schema"
}

// rulesOf calls the rules of v and of every struct below it, and returns the problems with their paths from v. v is addressable
// or a pointer.
func rulesOf(v reflect.Value, now time.Time) (problems []Problem) {
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return nil
		}
		return rulesOf(v.Elem(), now)
	case reflect.Slice:
		if elemOf(v.Type()).Kind() != reflect.Struct {
			return nil
		}
		for i := range v.Len() {
			problems = appendBelow(problems, strconv.Itoa(i), rulesOf(v.Index(i), now))
		}
		return problems
	case reflect.Struct:
	default:
		return nil
	}
	if isTime(v.Type()) {
		return nil
	}
	if v.CanAddr() {
		self := v.Addr().Interface()
		if r, ok := self.(ruler); ok {
			problems = append(problems, r.Rules()...)
		}
		if r, ok := self.(rulerAt); ok {
			problems = append(problems, r.RulesAt(now)...)
		}
	}
	list := memberList(v.Type())
	for i := range list {
		m := &list[i]
		if !m.ruled {
			continue
		}
		field, err := v.FieldByIndexErr(m.field.Index)
		if err != nil {
			continue // inside an embedded nil pointer
		}
		problems = appendBelow(problems, m.name, rulesOf(field, now))
	}
	return problems
}

// appendBelow adds the problems of a member. Only what is wrong gets a path.
func appendBelow(problems []Problem, member string, below []Problem) []Problem {
	for _, p := range below {
		p.Path = "/" + member + p.Path
		problems = append(problems, p)
	}
	return problems
}
