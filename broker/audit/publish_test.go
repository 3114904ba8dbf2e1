package audit

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// drawReport draws the figures of a report; every total is what a gatherer would say. Each count is made by count, which may
// make the same report with other counts.
func drawReport(t *rapid.T, label string, count func(name string) int64) *Report {
	g := newGatherer(start)
	for i := range rapid.IntRange(1, 5).Draw(t, label+"agencies") {
		name := fmt.Sprintf("agency-%d", i)
		x := g.tally(name)
		c := func(what string) int64 { return count(name + " " + what) }
		x.uncollected, x.unanswered, x.expired = c("uncollected"), c("unanswered"), c("expired")
		x.withdrawalsAnswered, x.withdrawalsWaiting = c("answered"), c("waiting")
		for _, class := range Classes() {
			x.clocks[class] = &stopped{c(string(class) + " in time"), c(string(class) + " late")}
		}
		for _, code := range []string{"bad-schema", "no-agreement"} {
			if n := c(code); n > 0 {
				x.refusals[Refusal{Outcome: "rejected", Code: code}] = n
			}
		}
		for _, b := range []string{"public-task", "vital-interests"} {
			if n := c(b); n > 0 {
				x.bases[b] = n
			}
		}
		for j := range rapid.IntRange(0, 12).Draw(t, label+"times") {
			x.times["referral"] = append(x.times["referral"], int64(rapid.IntRange(0, 1e8).Draw(t, fmt.Sprint(label, "time", j))))
		}
	}
	return g.finish()
}

func published(t tester, r *Report) string {
	t.Helper()
	var b bytes.Buffer
	for _, format := range []string{FormatText, FormatJSON, FormatCSV, FormatHTML} {
		if err := r.Publish().Write(&b, format); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestPublishedSaysNothingOfWhatIsHidden: two reports that differ only in counts of 1 to 4 are published as the same bytes
// in every format. So nobody can derive a hidden count, by subtraction or otherwise.
func TestPublishedSaysNothingOfWhatIsHidden(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		counts := map[string]int64{}
		a := drawReport(t, "", func(name string) int64 {
			n := rapid.SampledFrom([]int64{0, 0, 1, 2, 3, 4, 5, 6, 7, 12, 100}).Draw(t, name)
			counts[name] = n
			return n
		})
		hidden := 0
		g := *a
		b := regather(t, a, func(name string) int64 {
			n := counts[name]
			if n > 0 && n < Few {
				hidden++
				return rapid.Int64Range(1, Few-1).Draw(t, "other "+name)
			}
			return n
		})
		if published(t, &g) != published(t, b) {
			t.Fatalf("%d hidden counts can be told from\n%s\nagainst\n%s", hidden, published(t, &g), published(t, b))
		}
	})
}

// regather makes the report again with other counts and the same times.
func regather(t *rapid.T, a *Report, count func(string) int64) *Report {
	out := &Report{Type: a.Type, At: a.At, Unsigned: new(int64), Unplaced: new(int64), Later: new(int64)}
	total := newTally()
	for _, f := range a.Agencies {
		c := func(what string) int64 { return count(f.Agency + " " + what) }
		x := newTally()
		x.uncollected, x.unanswered, x.expired = c("uncollected"), c("unanswered"), c("expired")
		x.withdrawalsAnswered, x.withdrawalsWaiting = c("answered"), c("waiting")
		for _, class := range f.Clocks {
			x.clocks[class.Class] = &stopped{c(string(class.Class) + " in time"), c(string(class.Class) + " late")}
		}
		for _, r := range f.Refusals {
			x.refusals[Refusal{Outcome: r.Outcome, Code: r.Code}] = c(r.Code)
		}
		for _, b := range f.Bases {
			x.bases[b.Basis] = c(b.Basis)
		}
		total.plus(x)
		y := x.figures(f.Agency, start)
		y.Responses = f.Responses
		out.Agencies = append(out.Agencies, y)
	}
	out.Total = total.figures("", start)
	out.Total.Responses = a.Total.Responses
	return out
}

// TestPublishedCannotBeSubtracted attacks each column as a reader would: the total less what is shown leaves every hidden
// count at least two values.
func TestPublishedCannotBeSubtracted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawReport(t, "", func(name string) int64 {
			return rapid.SampledFrom([]int64{0, 1, 2, 4, 5, 9}).Draw(t, name)
		}).Publish()
		attack := func(what string, total Count, cells []Count) {
			least, most, hidden := total.least, total.most, int64(0)
			for _, c := range cells {
				n, ok := c.Exact()
				if ok && n > 0 && n < Few {
					t.Fatalf("%s: %d is shown", what, n)
				}
				if !ok {
					hidden++
					if c.String() != FewText {
						t.Fatalf("%s: %s", what, c)
					}
					continue
				}
				least, most = least-n, most-n
			}
			if hidden == 0 {
				if least != 0 || most != 0 {
					t.Fatalf("%s: nothing is hidden, and the total %v is not the sum", what, total)
				}
				return
			}
			// One hidden count lies between what is left when the others are largest, and when they are smallest.
			if lo, hi := max(1, least-(hidden-1)*(Few-1)), min(Few-1, most-(hidden-1)); lo != 1 || hi != Few-1 {
				t.Fatalf("%s: a hidden count is %d to %d", what, lo, hi)
			}
		}
		column := func(pick func(*Figures) Count) (total Count, cells []Count) {
			for _, f := range r.Agencies {
				cells = append(cells, pick(f))
			}
			return pick(r.Total), cells
		}
		for what, pick := range map[string]func(*Figures) Count{
			"uncollected": func(f *Figures) Count { return f.Uncollected }, "unanswered": func(f *Figures) Count { return f.Unanswered },
			"expired": func(f *Figures) Count { return f.Expired }, "answered": func(f *Figures) Count { return f.Withdrawals.Answered },
			"waiting": func(f *Figures) Count { return f.Withdrawals.Waiting },
			"late":    func(f *Figures) Count { return f.Clocks[0].Late }, "in time": func(f *Figures) Count { return f.Clocks[3].InTime },
			"refusals": func(f *Figures) Count { return sumOf(f.Refusals, "bad-schema") },
		} {
			total, cells := column(pick)
			attack(what, total, cells)
		}
		for _, f := range append(r.Agencies, r.Total) {
			if f.Sent != nil || f.Void != nil || f.Overdue != nil || f.Oldest != nil || f.Withdrawals.Overdue != nil {
				t.Fatalf("%s: what could be set against another column is shown", f.name())
			}
			for _, c := range f.Clocks {
				_, in := c.InTime.Exact()
				_, late := c.Late.Exact()
				if c.Share != nil && !(in && late) {
					t.Fatalf("%s: a share of what is hidden", f.name())
				}
			}
		}
	})
}

func sumOf(list []Refusal, code string) Count {
	for _, x := range list {
		if x.Code == code {
			return x.Count
		}
	}
	return Count{}
}

func TestPublishedTimes(t *testing.T) {
	for n, want := range map[int]string{4: "<nil> <nil>", 5: "2min <nil>", 9: "4min <nil>", 10: "4min 8min"} {
		g := newGatherer(start)
		for i := range n {
			g.tally("a").took("referral", time.Duration(i)*time.Minute+30*time.Second)
		}
		r := g.finish().Publish()
		for _, f := range []*Figures{r.Agencies[0], r.Total} {
			x := f.Responses[0]
			if got := fmt.Sprint(x.Median, " ", x.P90); got != want || x.Longest != nil || x.Answered != nil {
				t.Errorf("%d answers: %s, want %s", n, got, want)
			}
		}
	}
}

// TestPublishedNamesNoMessage: no id of a message, thread or certificate, and no time of one.
func TestPublishedNamesNoMessage(t *testing.T) {
	w, _ := story(t)
	w.withdraw(police, ngo, "", time.Hour)
	text := published(t, gather(t, w.after(2*time.Hour)))
	if id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}`).FindString(text); id != "" {
		t.Errorf("an id is published: %s", id)
	}
	for _, want := range []string{police, ngo, FewText} {
		if !strings.Contains(text, want) {
			t.Errorf("%s is missing", want)
		}
	}
}
