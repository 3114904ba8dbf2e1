package route_test

import (
	"fmt"
	"strings"
	"testing"

	"waypost/agents/route"
)

func compile(when string) (*route.Rules, error) {
	return route.Compile([]route.RuleConfig{{When: when, Sinks: []string{"a"}}}, []string{"a"})
}

// TestRulesEnd: a rule that runs for hours would hold up every referral behind it.
func TestRulesEnd(t *testing.T) {
	for _, when := range []string{
		`len(1..1000000) > 0`,
		`5 in 1..9`,
		`any(1..9, # == 3)`,
		`all(1..9999, all(1..9999, all(1..9999, overdue)))`,
		`all(needs, all(needs, # == kind))`,
		`any(needs, len(needs) > 0 ? none(needs, # == "x") : false)`,
		`any(needs, {"a": any(needs, true)}.a)`,
	} {
		r, err := compile(when)
		if err == nil || r != nil || !strings.Contains(err.Error(), "rule 1, line 1, column ") {
			t.Errorf("%s: %v, want a refusal that says where", when, err)
		}
	}
	// Side by side is no nesting.
	if _, err := compile(`any(needs, # == "a") and all(needs, # != "b")`); err != nil {
		t.Error(err)
	}
}

// TestFailingRuleMatches: better one delivery too many inside the agency than a referral that nobody sees.
func TestFailingRuleMatches(t *testing.T) {
	r, err := compile(`needs[5] == "x"`)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Match(full); len(got) != 1 {
		t.Errorf("matched %v", got)
	}
}

func TestRuleErrorsNameLineAndColumn(t *testing.T) {
	for when, want := range map[string]string{
		"kind == referral":                    "rule 1, line 1, column 9",
		"overdue and\n  knid == \"referral\"": "rule 1, line 2, column 3",
	} {
		if _, err := compile(when); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", when, err, want)
		}
	}
}

func FuzzCompile(f *testing.F) {
	seeds := []string{`kind == "referral"`, `any(needs, # == "x")`, `needs[0]`, `$env`, `1..3`, `let x = kind; x == "y"`, `kind ?? "x" == "x"`, `all(1..9, all(1..9, true))`}
	if len(seeds) < 8 {
		f.Fatal("the seed corpus is gone")
	}
	for _, s := range seeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, when string) {
		r, err := compile(when)
		if (r == nil) == (err == nil) {
			t.Fatalf("%v beside %v", r, err)
		}
		if err == nil {
			r.Match(full)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	var rules []route.RuleConfig
	for i := range 10 {
		rules = append(rules, route.RuleConfig{When: fmt.Sprintf(`lane == "urgent" and from != "agency-%d" and "medical" in needs`, i), Sinks: []string{"a"}})
	}
	r, err := route.Compile(rules, []string{"a"})
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		r.Match(full)
	}
}
