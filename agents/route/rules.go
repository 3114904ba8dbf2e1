package route

import (
	"errors"
	"fmt"
	"slices"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// RuleConfig is one routing rule: when its condition holds, its sinks get the delivery.
type RuleConfig struct {
	When  string   `yaml:"when" validate:"max=2000"` // expr over Facts; empty: always
	Sinks []string `yaml:"sinks" validate:"required,min=1,unique,dive,required"`
}

// Rules are compiled rules; safe for concurrent use.
type Rules struct{ rules []rule }

type rule struct {
	program *vm.Program // nil: always
	sinks   []string
}

// Compile checks every rule against Facts and every sink name. An error names the rule by number, the column and the
// reason. Rules cannot call out, see nothing but Facts, and end: no ranges, no predicate within a predicate.
func Compile(rules []RuleConfig, sinkNames []string) (*Rules, error) {
	out := &Rules{}
	for i, rc := range rules {
		for _, s := range rc.Sinks {
			if !slices.Contains(sinkNames, s) {
				return nil, fmt.Errorf("rule %d: there is no sink %q", i+1, s)
			}
		}
		r := rule{sinks: rc.Sinks}
		if rc.When != "" {
			var l loops
			p, err := expr.Compile(rc.When, expr.Patch(&l), expr.Env(Facts{}), expr.AsBool(), expr.DisableAllBuiltins(), expr.EnableBuiltin("any"),
				expr.EnableBuiltin("all"), expr.EnableBuiltin("none"), expr.EnableBuiltin("len"), expr.MaxNodes(200))
			if err != nil {
				var at *file.Error
				if errors.As(err, &at) {
					return nil, fmt.Errorf("rule %d, line %d, column %d: %s", i+1, at.Line, at.Column+1, at.Message)
				}
				return nil, fmt.Errorf("rule %d: not a condition over event, kind, urgency, lane, from, to, outcome, needs, overdue", i+1)
			}
			if l.at != nil {
				at := (&file.Error{Location: *l.at}).Bind(file.NewSource(rc.When))
				return nil, fmt.Errorf("rule %d, line %d, column %d: a rule may not loop: no ranges, no predicate within a predicate", i+1, at.Line, at.Column+1)
			}
			r.program = p
		}
		out.rules = append(out.rules, r)
	}
	return out, nil
}

// loops finds what could run for hours: a range (all(1..9999, …)) and a predicate within a predicate. It looks before the
// compiler optimises, which turns ranges into constants.
type loops struct{ at *file.Location }

// Visit implements ast.Visitor; children come before their parents.
func (l *loops) Visit(n *ast.Node) {
	switch n := (*n).(type) {
	case *ast.BinaryNode:
		if n.Operator == ".." {
			l.found(n)
		}
	case *ast.PredicateNode:
		ast.Walk(&n.Node, predicates{l})
	}
}

func (l *loops) found(n ast.Node) {
	if l.at == nil {
		at := n.Location()
		l.at = &at
	}
}

// predicates finds any within another.
type predicates struct{ l *loops }

// Visit implements ast.Visitor.
func (p predicates) Visit(n *ast.Node) {
	if inner, ok := (*n).(*ast.PredicateNode); ok {
		p.l.found(inner)
	}
}

// Match returns the sinks that at least one rule picks, in the order of the rules, each once. A rule that fails while it
// runs counts as matching: better one delivery too many inside the agency than a referral that nobody sees.
func (r *Rules) Match(f Facts) []string {
	var out []string
	for _, rule := range r.rules {
		if rule.program != nil {
			if v, err := expr.Run(rule.program, f); err == nil && v != true {
				continue
			}
		}
		for _, s := range rule.sinks {
			if !slices.Contains(out, s) {
				out = append(out, s)
			}
		}
	}
	return out
}
