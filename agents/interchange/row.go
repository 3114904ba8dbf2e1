package interchange

import (
	"errors"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"waypost/schemas"
)

// submission makes the document that the cells of a row say and judges it by the rules that hold for any submission.
func submission(header []Column, cells []string, o ReadOptions) (*schemas.Submission, []Refusal) {
	doc := map[string]any{}
	var refusals []Refusal
	for i, c := range header {
		if cells[i] == "" {
			continue
		}
		v, refusal := value(c, cells[i])
		if refusal != nil {
			refusals = append(refusals, *refusal)
			continue
		}
		put(doc, c.Pointer, v)
	}
	for _, c := range columns {
		if c.shape == fixed && has(doc, c.Pointer[:strings.LastIndexByte(c.Pointer, '/')]) {
			put(doc, c.Pointer, c.value)
		}
	}
	if _, ok := doc["to"]; !ok && o.To != "" {
		doc["to"] = o.To
	}
	if len(refusals) > 0 {
		return nil, refusals
	}
	if _, ok := doc["to"]; !ok {
		refusals = append(refusals, Refusal{Column: "to", Rule: schemas.RuleRequired, Hint: "name the agency to send to, here or with --to"})
	}
	text, err := json.Marshal(doc)
	if err != nil {
		// The library's error may quote a value.
		return nil, append(refusals, Refusal{Rule: schemas.RuleSyntax, Hint: "a cell of the row holds something that is no text"})
	}
	s := new(schemas.Submission)
	if err = schemas.Strict(text, s); err == nil {
		err = schemas.ValidateAt(s, o.Now)
	}
	var invalid *schemas.InvalidError
	switch {
	case errors.As(err, &invalid):
		for _, p := range invalid.Problems {
			refusals = append(refusals, Refusal{Column: columnAt(p.Path), Rule: p.Rule, Hint: p.Hint})
		}
	case err != nil:
		refusals = append(refusals, Refusal{Rule: schemas.RuleInternal, Hint: "report this as a fault of Waypost"})
	}
	return s, refusals
}

// value turns a cell that is not empty into what stands in the document.
func value(c Column, cell string) (any, *Refusal) {
	switch c.shape {
	case codes, lines, classes:
		var out []any
		for item := range strings.SplitSeq(cell, "|") {
			if item = strings.TrimSpace(item); item == "" {
				return nil, &Refusal{Column: c.Name, Rule: schemas.RuleEmpty, Hint: "separate several with one |, and leave none empty"}
			}
			if c.shape == classes {
				out = append(out, map[string]any{"role": item})
				continue
			}
			out = append(out, item)
		}
		return out, nil
	case firstOne:
		return []any{cell}, nil
	case yesNo:
		switch strings.ToLower(cell) {
		case "yes", "true":
			return true, nil
		case "no", "false":
			return false, nil
		}
		return nil, &Refusal{Column: c.Name, Rule: RuleYesNo, Hint: "write yes or no, or leave the cell empty when it is not known"}
	case number:
		n, err := strconv.Atoi(cell)
		if err != nil {
			return nil, &Refusal{Column: c.Name, Rule: RuleNumber, Hint: "write a whole number in the digits 0 to 9"}
		}
		return n, nil
	}
	return cell, nil
}

// put sets a value at a pointer. A number in the pointer is an item of a list; there is only ever item 0.
func put(doc map[string]any, pointer string, v any) {
	parts := strings.Split(strings.TrimPrefix(pointer, "/"), "/")
	for i, name := range parts[:len(parts)-1] {
		if name == "0" {
			continue
		}
		if parts[i+1] == "0" {
			items, _ := doc[name].([]any)
			if items == nil {
				items = []any{map[string]any{}}
				doc[name] = items
			}
			doc, _ = items[0].(map[string]any)
			continue
		}
		next, _ := doc[name].(map[string]any)
		if next == nil {
			next = map[string]any{}
			doc[name] = next
		}
		doc = next
	}
	doc[parts[len(parts)-1]] = v
}

// has reports whether anything stands at a pointer that ends in an item of a list.
func has(doc map[string]any, pointer string) bool {
	for name := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if name == "0" {
			return true
		}
		switch v := doc[name].(type) {
		case map[string]any:
			doc = v
		case []any:
			return true
		default:
			return false
		}
	}
	return true
}
