package route_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"waypost/agents/route"
)

var full = route.Facts{Event: "waypost.message.received", Kind: "referral", Urgency: "immediate", Lane: "urgent", From: "test-police", To: "test-ngo",
	Outcome: "accepted", Needs: []string{"medical", "safe-accommodation"}, Overdue: true}

func TestRulesPickSinks(t *testing.T) {
	tests := map[string]bool{
		"":                   true,
		`kind == "referral"`: true,
		`kind == "receipt"`:  false,
		`urgency == "immediate" and lane == "urgent"`: true,
		`"safe-accommodation" in needs`:               true,
		`"childcare" in needs`:                        false,
		`from in ["test-police", "test-other"]`:       true,
		`to != "test-ngo"`:                            false,
		`outcome == "accepted" && overdue`:            true,
		`event startsWith "waypost.message."`:         true,
		`any(needs, # == "medical")`:                  true,
		`len(needs) > 2`:                              false,
	}
	for when, want := range tests {
		r, err := route.Compile([]route.RuleConfig{{When: when, Sinks: []string{"a"}}}, []string{"a"})
		if err != nil {
			t.Errorf("%s: %v", when, err)
			continue
		}
		if got := len(r.Match(full)) == 1; got != want {
			t.Errorf("%s: %v", when, got)
		}
	}
	r, err := route.Compile([]route.RuleConfig{{Sinks: []string{"b", "a"}}, {When: "overdue", Sinks: []string{"a", "c"}}}, []string{"a", "b", "c"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"b", "a", "c"}, r.Match(full)); diff != "" {
		t.Error(diff)
	}
}

func TestBadRulesSayWhere(t *testing.T) {
	tests := map[string]string{
		`kind = "referral"`:     "rule 2",
		`kind == referral`:      "column 9",
		`kind`:                  "rule 2",
		`needs > 3`:             "rule 2",
		`now() > 0`:             "rule 2",
		`env("HOME") == ""`:     "rule 2",
		`fromJSON(kind) == nil`: "rule 2",
		"overdue" + strings.Repeat(" or overdue", 500): "rule 2",
	}
	for when, want := range tests {
		_, err := route.Compile([]route.RuleConfig{{Sinks: []string{"a"}}, {When: when, Sinks: []string{"a"}}}, []string{"a"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want it to say %s", when, err, want)
		}
	}
	if _, err := route.Compile([]route.RuleConfig{{Sinks: []string{"b"}}}, []string{"a"}); err == nil || !strings.Contains(err.Error(), `"b"`) {
		t.Errorf("unknown sink: %v", err)
	}
}

func TestScheduleGrowsAndEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := route.DefaultSchedule()
		r := rapid.Float64Range(0, 0.999999).Draw(t, "random")
		s.Rand = func() float64 { return r }
		var total, last time.Duration
		n := 1
		for ; ; n++ {
			w, more := s.Next(n)
			if !more {
				break
			}
			if w < last/2 || w <= 0 {
				t.Fatalf("wait %d is %s after %s", n, w, last)
			}
			base := s.Waits[n-1]
			if w < base*8/10-time.Millisecond || w > base*12/10+time.Millisecond {
				t.Fatalf("wait %d is %s, beyond the jitter around %s", n, w, base)
			}
			total, last = total+w, w
		}
		if n < 10 || total < 48*time.Hour {
			t.Fatalf("gives up after %d tries and %s: a weekend must be survived", n-1, total)
		}
		if _, more := s.Next(0); more {
			t.Fatal("a try before the first")
		}
	})
}
