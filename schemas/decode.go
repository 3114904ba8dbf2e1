package schemas

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of every document. They are applied before anything is built from it.
const (
	MaxDocument = 1 << 20 // bytes
	MaxDepth    = 32      // objects and arrays within one another
	MaxItems    = 1000    // items of one array; the schemas ask for far fewer
)

// Strict decodes one JSON document into v, a pointer, and refuses what two readers could understand
// differently: unknown and duplicate members, another case of a member's name, invalid UTF-8, trailing data,
// null (what is not known is left out), and anything over the limits. It checks no content; see Decode. The
// error is an *InvalidError and *v is then its zero value.
func Strict(data []byte, v any) error {
	return strict(data, v, false)
}

// Decode decodes strictly and validates. It also refuses empty strings and arrays, so that a document has one
// way to say "not known". The error is an *InvalidError, and the result is then nil.
func Decode[T any](data []byte) (*T, error) {
	v := new(T)
	if err := strict(data, v, true); err != nil {
		return nil, err
	}
	if err := Validate(v); err != nil {
		return nil, err
	}
	return v, nil
}

// Encode returns v as compact JSON with its members in the order of the fields: the same value gives the same
// bytes. It does not validate.
func Encode(v any) ([]byte, error) {
	b, err := json.Marshal(v, json.Deterministic(true))
	if err != nil {
		// The library's error may quote a value.
		return nil, errors.New("encode document: a value has no JSON form")
	}
	return b, nil
}

// Readable checks what Strict checks before it builds anything: well-formed JSON within the limits, every member once, no null.
// It is for the writer of a document, who knows what is in it. The error is an *InvalidError.
func Readable(data []byte) error { return readable(data, false) }

func readable(data []byte, refuseEmpty bool) error {
	if len(data) > MaxDocument {
		return invalid([]Problem{{Path: "", Rule: RuleTooLarge, Hint: "send at most 1 MiB; larger things travel as attachments"}})
	}
	if within(data, refuseEmpty) && jsontext.Value(data).IsValid() {
		return nil
	}
	return invalid(scan(data, refuseEmpty))
}

func strict(data []byte, v any, refuseEmpty bool) error {
	// What is within the limits is decoded at once; only for what is not, or does not decode, is it found out where and why.
	sound := len(data) <= MaxDocument && within(data, refuseEmpty)
	if !sound {
		if err := readable(data, refuseEmpty); err != nil {
			return err
		}
	}
	if err := json.Unmarshal(data, v, json.RejectUnknownMembers(true)); err != nil {
		// What was decoded before the error is hostile input that nobody has checked.
		if target := reflect.ValueOf(v); target.Kind() == reflect.Pointer && !target.IsNil() {
			target.Elem().SetZero()
		}
		if problems := scan(data, refuseEmpty); len(problems) > 0 {
			return invalid(problems)
		}
		return invalid([]Problem{semanticProblem(err, v)})
	}
	return nil
}

// scan reads the tokens of the document without building anything from them. Its memory is bounded by the
// names of the objects that are open (for duplicates), by maxProblems and by maxPaths.
func scan(data []byte, refuseEmpty bool) (problems []Problem) {
	dec := jsontext.NewDecoder(bytes.NewBuffer(data))
	paths := 0
	add := func(rule, hint string) {
		path := dec.StackPointer()
		paths += len(path)
		problems = append(problems, Problem{Path: safePath(path), Rule: rule, Hint: hint})
	}
	for first := true; first || dec.StackDepth() > 0; first = false {
		if len(problems) >= maxProblems || paths > maxPaths {
			return problems
		}
		token, err := dec.ReadToken()
		if err != nil {
			return append(problems, syntaxProblem(err))
		}
		kind, length := dec.StackIndex(dec.StackDepth())
		if kind == '[' && length > MaxItems {
			// "{}," is three bytes here and a hundred as a Go struct: a list is bounded before it is built.
			problems = append(problems, Problem{Path: safePath(dec.StackPointer().Parent()), Rule: RuleMax, Hint: "list at most 1000 items"})
			return problems
		}
		switch token.Kind() {
		case 'n':
			add(RuleNull, "leave the member out when it is not known")
		case '"':
			isName := kind == '{' && length%2 == 1
			if refuseEmpty && !isName && token.String() == "" {
				add(RuleEmpty, "leave the member out when it is not known")
			}
		case '{', '[':
			if dec.StackDepth() > MaxDepth {
				add(RuleTooDeep, "nest at most 32 levels")
				return problems
			}
			if refuseEmpty && token.Kind() == '[' && dec.PeekKind() == ']' {
				add(RuleEmpty, "leave the member out when there is nothing to list")
			}
		}
	}
	if _, err := dec.ReadToken(); err != io.EOF {
		problems = append(problems, Problem{Path: "", Rule: RuleTrailingData, Hint: "send one JSON document and nothing after it"})
	}
	return problems
}

func syntaxProblem(err error) Problem {
	p := Problem{Rule: RuleSyntax, Hint: "the document is not well-formed JSON at this place"}
	var syntactic *jsontext.SyntacticError
	if errors.As(err, &syntactic) {
		p.Path = safePath(syntactic.JSONPointer)
		switch {
		case errors.Is(err, jsontext.ErrDuplicateName):
			p.Rule, p.Hint = RuleDuplicateMember, "give every member once"
		case strings.Contains(syntactic.Err.Error(), "invalid UTF-8"), strings.Contains(syntactic.Err.Error(), "surrogate"):
			p.Rule, p.Hint = RuleInvalidUTF8, "write the document in UTF-8"
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		p.Hint = "the document ends too early"
	}
	return p
}

func semanticProblem(err error, v any) Problem {
	p := Problem{Rule: RuleType, Hint: "give the member the type that the schema names"}
	var semantic *json.SemanticError
	if !errors.As(err, &semantic) {
		return syntaxProblem(err)
	}
	p.Path = safePath(semantic.JSONPointer)
	if errors.Is(err, json.ErrUnknownName) {
		p.Rule, p.Hint = RuleUnknownMember, "remove the member; the schema does not know it"
		if known := memberLike(reflect.TypeOf(v), semantic.JSONPointer); known != "" {
			p.Rule = RuleMemberCase
			p.Hint = "write the member exactly as in the schema: " + known
			// A variant of one of our own names says nothing about anybody.
			p.Path = safePath(semantic.JSONPointer.Parent()) + "/" + semantic.JSONPointer.LastToken()
		}
		return p
	}
	if semantic.GoType != nil {
		p.Hint = "give " + typeWord(semantic.GoType) + " here"
	}
	return p
}

func typeWord(t reflect.Type) string {
	if t == reflect.TypeFor[time.Time]() {
		return "a time such as 2026-03-01T09:30:00Z"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeWord(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Struct, reflect.Map:
		return "an object"
	default:
		return "a whole number"
	}
}

// memberLike returns the member of the struct at the pointer's parent whose name differs from the pointer's last
// token in case and separators only, or "".
func memberLike(t reflect.Type, pointer jsontext.Pointer) string {
	for token := range pointer.Parent().Tokens() {
		t = elemOf(t)
		if t.Kind() == reflect.Struct {
			f, ok := fieldNamed(t, token)
			if !ok {
				return ""
			}
			t = f
		}
	}
	t = elemOf(t)
	if t.Kind() != reflect.Struct {
		return ""
	}
	wanted := fold(pointer.LastToken())
	for f := range members(t) {
		if fold(f.name) == wanted {
			return f.name
		}
	}
	return ""
}

func fold(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

var plainToken = regexp.MustCompile(`^(?:[a-z][a-z_]{0,39}|[0-9]{1,6})$`)

// safePath copies a pointer for showing. A member name comes from the document and may itself say something
// about a person; only what looks like one of our own names is repeated, anything else becomes "*".
func safePath(p jsontext.Pointer) string {
	var b strings.Builder
	for token := range p.Tokens() {
		b.WriteByte('/')
		if plainToken.MatchString(token) {
			b.WriteString(token)
		} else {
			b.WriteByte('*')
		}
	}
	return b.String()
}
