package schemas

import (
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

type schemaType struct {
	name string
	typ  reflect.Type
}

// schemaTypes are the types that have a JSON Schema of their own: every kind, and what never travels by itself.
var schemaTypes = func() (out []schemaType) {
	for _, e := range catalogue {
		if e.typ != nil {
			out = append(out, schemaType{e.Schema, e.typ})
		}
	}
	return append(out, schemaType{SchemaReceipt, reflect.TypeFor[Receipt]()}, schemaType{SchemaConsentTerms, reflect.TypeFor[Consent]()},
		schemaType{SchemaHolderAnswer, reflect.TypeFor[HolderAnswer]()},
		schemaType{SchemaSubmission, reflect.TypeFor[Submission]()})
}()

// JSONSchemaNames returns the names that JSONSchema knows.
func JSONSchemaNames() []string {
	var names []string
	for _, s := range schemaTypes {
		names = append(names, s.name)
	}
	return names
}

// JSONSchema returns the JSON Schema (draft 2020-12) of a document, made from the validate tags and from the
// rules across members as far as JSON Schema can say them. The same bytes are committed as
// <name>.schema.json. A validator must assert formats; "x-category" is the data category of a member.
func JSONSchema(schema string) ([]byte, error) {
	for _, s := range schemaTypes {
		if s.name == schema {
			b, err := generate(s.name, s.typ)
			if err != nil {
				return nil, fmt.Errorf("generate schema %s: %w", schema, err)
			}
			return b, nil
		}
	}
	return nil, errors.New("generate schema: unknown name; use one of " + strings.Join(JSONSchemaNames(), ", "))
}

type object = map[string]any

// ruleFragments is a type with rules across members, as JSON Schema: a JSON array for "allOf".
type ruleFragments interface{ schemaRules() string }

type generator struct{ defs object }

func generate(name string, t reflect.Type) ([]byte, error) {
	g := &generator{defs: object{}}
	root, err := g.object(t)
	if err != nil {
		return nil, err
	}
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "urn:waypost:schema:" + name
	root["title"] = name
	root["$defs"] = g.defs
	b, err := json.Marshal(root, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, err
	}
	return append(ascii(b), '\n'), nil
}

// object describes a struct type.
func (g *generator) object(t reflect.Type) (object, error) {
	properties, required := object{}, []string{}
	for m := range members(t) {
		rules, items, _ := strings.Cut(m.field.Tag.Get("validate"), "dive")
		p, err := g.value(m.field.Type, tagsOf(rules), tagsOf(items))
		if err != nil {
			return nil, fmt.Errorf("%s.%s: %w", t.Name(), m.name, err)
		}
		if c := m.field.Tag.Get("category"); c != "" {
			p["x-category"] = c
		}
		properties[m.name] = p
		if _, ok := tagsOf(rules)["required"]; ok {
			required = append(required, m.name)
		}
	}
	o := object{"type": "object", "additionalProperties": false, "properties": properties}
	if len(required) > 0 {
		o["required"] = required
	}
	if r, ok := reflect.New(t).Interface().(ruleFragments); ok {
		var fragments []any
		if err := json.Unmarshal([]byte(r.schemaRules()), &fragments); err != nil {
			return nil, fmt.Errorf("read rules of %s: %w", t.Name(), err)
		}
		o["allOf"] = fragments
	}
	return o, nil
}

// value describes a member of the type; items are the rules for the items of a list.
func (g *generator) value(t reflect.Type, rules, items map[string]string) (object, error) {
	if t.Kind() == reflect.Pointer {
		return g.value(t.Elem(), rules, items)
	}
	o := object{}
	for name := range rules {
		switch name {
		case "required", "omitempty", "min", "max", "unique", "code", "must_be_true":
		default:
			if ruleNamed(name) == nil {
				return nil, errors.New("no JSON Schema for rule " + name)
			}
		}
	}
	switch {
	case isTime(t):
		o["type"], o["format"] = "string", "date-time"
	case t.Kind() == reflect.Struct:
		return g.ref(t.Name(), func() (object, error) { return g.object(t) })
	case t.Kind() == reflect.Bool:
		o["type"] = "boolean"
		_, required := rules["required"]
		_, mustBe := rules["must_be_true"]
		if required || mustBe {
			o["const"] = true
		}
	case t.Kind() == reflect.Int:
		o["type"] = "integer"
		number(o, "minimum", rules["min"])
		number(o, "maximum", rules["max"])
		if _, ok := rules["omitempty"]; ok && o["minimum"] != nil && o["minimum"] != 0 {
			o = object{"anyOf": []any{o, object{"const": 0}}} // 0 is the absent member
		}
	case t.Kind() == reflect.Slice:
		o["type"], o["minItems"] = "array", 1 // an empty list is a member to leave out
		number(o, "minItems", rules["min"])
		number(o, "maxItems", rules["max"])
		if _, ok := rules["unique"]; ok {
			o["uniqueItems"] = true
		}
		item, err := g.value(t.Elem(), items, nil)
		if err != nil {
			return nil, err
		}
		o["items"] = item
	case t.Kind() == reflect.String:
		return g.text(t, rules)
	default:
		return nil, errors.New("no JSON Schema for type " + t.String())
	}
	return o, nil
}

func (g *generator) text(t reflect.Type, rules map[string]string) (object, error) {
	if _, ok := rules["code"]; ok {
		return g.ref(t.Name(), func() (object, error) {
			codes := codesOf(t)
			if codes == nil {
				return nil, errors.New("no code list for " + t.Name())
			}
			return object{"type": "string", "enum": codes}, nil
		})
	}
	o := object{"type": "string", "minLength": 1}
	for name := range rules {
		if rule := ruleNamed(name); rule != nil {
			ref, err := g.ref(name, func() (object, error) { return rule.jsonSchema(), nil })
			if err != nil {
				return nil, err
			}
			o = ref
		}
	}
	number(o, "minLength", rules["min"])
	number(o, "maxLength", rules["max"])
	return o, nil
}

// ref defines a name once and returns a reference to it.
func (g *generator) ref(name string, define func() (object, error)) (object, error) {
	if _, ok := g.defs[name]; !ok {
		g.defs[name] = nil // stops a type that contains itself
		o, err := define()
		if err != nil {
			return nil, err
		}
		g.defs[name] = o
	}
	return object{"$ref": "#/$defs/" + name}, nil
}

func ruleNamed(name string) *stringRule {
	for i := range stringRules {
		if stringRules[i].name == name {
			return &stringRules[i]
		}
	}
	return nil
}

func tagsOf(tag string) map[string]string {
	tags := map[string]string{}
	for part := range strings.SplitSeq(tag, ",") {
		if name, param, _ := strings.Cut(part, "="); name != "" {
			tags[name] = param
		}
	}
	return tags
}

func number(o object, keyword, param string) {
	if n, err := strconv.Atoi(param); err == nil {
		o[keyword] = n
	}
}
