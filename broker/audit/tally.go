package audit

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// tally counts for one agency.
type tally struct {
	sent, void, expired, withdrawalsAnswered int64
	uncollected, unanswered, overdue         int64
	withdrawalsWaiting, withdrawalsOverdue   int64
	oldest                                   time.Time
	times                                    map[string][]int64 // kind → milliseconds
	clocks                                   map[Class]*stopped
	refusals                                 map[Refusal]int64
	bases                                    map[string]int64
}

type stopped struct{ inTime, late int64 }

func newTally() *tally {
	return &tally{times: map[string][]int64{}, clocks: map[Class]*stopped{}, refusals: map[Refusal]int64{}, bases: map[string]int64{}}
}

func (g *gatherer) tally(agency string) *tally {
	if g.tallies[agency] == nil {
		g.tallies[agency] = newTally()
	}
	return g.tallies[agency]
}

func (t *tally) took(kind string, d time.Duration) {
	// The question may be recorded after its answer; that is quick, and not less than nothing.
	t.times[kind] = append(t.times[kind], max(d.Milliseconds(), 0))
}

func (t *tally) clock(e *Event) *stopped {
	c := classOf(e.Lane, e.RespondBy.Sub(*e.Sent))
	if t.clocks[c] == nil {
		t.clocks[c] = &stopped{}
	}
	return t.clocks[c]
}

// finish counts what is still open and writes everything down.
func (g *gatherer) finish() *Report {
	for _, p := range g.open {
		t := g.tally(p.Event.To)
		if p.uncollected {
			t.uncollected++
		}
		if !p.waits || !isReferral(p.Kind) {
			continue
		}
		t.unanswered++
		if t.oldest.IsZero() || p.Time.Before(t.oldest) {
			t.oldest = p.Time
		}
		if p.RespondBy != nil && g.now.After(*p.RespondBy) {
			t.overdue++
			t.clock(&p.Event).late++
		}
	}
	for _, list := range g.withdrawals {
		for _, p := range list {
			t := g.tally(p.Event.From)
			t.withdrawalsWaiting++
			w := Withdrawal{By: p.Event.From, Holder: p.Event.To, Message: p.Message, Recorded: p.Time, RespondBy: *p.RespondBy, Overdue: g.now.After(*p.RespondBy), Collected: p.receipted}
			if w.Overdue {
				t.withdrawalsOverdue++
			}
			g.Open = append(g.Open, w)
		}
	}
	slices.SortFunc(g.Open, func(a, b Withdrawal) int {
		return cmp.Or(a.Recorded.Compare(b.Recorded), cmp.Compare(a.Message, b.Message))
	})
	total := newTally()
	g.Agencies = []*Figures{}
	for _, id := range slices.Sorted(maps.Keys(g.tallies)) {
		t := g.tallies[id]
		total.plus(t)
		g.Agencies = append(g.Agencies, t.figures(id, g.now))
	}
	g.Total = total.figures("", g.now)
	return &g.Report
}

func (t *tally) plus(o *tally) {
	t.sent, t.void, t.expired = t.sent+o.sent, t.void+o.void, t.expired+o.expired
	t.uncollected, t.unanswered, t.overdue = t.uncollected+o.uncollected, t.unanswered+o.unanswered, t.overdue+o.overdue
	t.withdrawalsAnswered, t.withdrawalsWaiting, t.withdrawalsOverdue = t.withdrawalsAnswered+o.withdrawalsAnswered, t.withdrawalsWaiting+o.withdrawalsWaiting, t.withdrawalsOverdue+o.withdrawalsOverdue
	if t.oldest.IsZero() || !o.oldest.IsZero() && o.oldest.Before(t.oldest) {
		t.oldest = o.oldest
	}
	for k, v := range o.times {
		t.times[k] = append(t.times[k], v...)
	}
	for k, v := range o.clocks {
		if t.clocks[k] == nil {
			t.clocks[k] = &stopped{}
		}
		t.clocks[k].inTime, t.clocks[k].late = t.clocks[k].inTime+v.inTime, t.clocks[k].late+v.late
	}
	for k, v := range o.refusals {
		t.refusals[k] += v
	}
	for k, v := range o.bases {
		t.bases[k] += v
	}
}

func exactly(n int64) *Count { c := CountOf(n); return &c }

func (t *tally) figures(agency string, now time.Time) *Figures {
	f := &Figures{Agency: agency, Sent: exactly(t.sent), Void: exactly(t.void), Uncollected: CountOf(t.uncollected), Unanswered: CountOf(t.unanswered), Overdue: exactly(t.overdue),
		Expired: CountOf(t.expired), Responses: []Response{}, Clocks: []Clocked{}, Refusals: []Refusal{}, Bases: []BasisCount{},
		Withdrawals: Withdrawals{Answered: CountOf(t.withdrawalsAnswered), Waiting: CountOf(t.withdrawalsWaiting), Overdue: exactly(t.withdrawalsOverdue)}}
	if !t.oldest.IsZero() {
		f.Oldest = seconds(now.Sub(t.oldest))
	}
	for _, kind := range slices.Sorted(maps.Keys(t.times)) {
		ms := t.times[kind]
		slices.Sort(ms)
		f.Responses = append(f.Responses, Response{Kind: kind, Answered: exactly(int64(len(ms))), Median: rank(ms, 50), P90: rank(ms, 90), Longest: rank(ms, 100)})
	}
	for _, c := range Classes() {
		if s := t.clocks[c]; s != nil {
			f.Clocks = append(f.Clocks, Clocked{Class: c, InTime: CountOf(s.inTime), Late: CountOf(s.late), Share: share(s.late, s.inTime+s.late)})
		}
	}
	for r, n := range t.refusals {
		r.Count = CountOf(n)
		f.Refusals = append(f.Refusals, r)
	}
	for _, b := range slices.Sorted(maps.Keys(t.bases)) {
		f.Bases = append(f.Bases, BasisCount{Basis: b, Count: CountOf(t.bases[b])})
	}
	f.sort()
	return f
}

// rank is the percentile of sorted milliseconds by the nearest rank: the smallest of them that at least percent are not above.
func rank(sorted []int64, percent int) *Seconds {
	i := (len(sorted)*percent + 99) / 100
	return seconds(time.Duration(sorted[max(i, 1)-1]) * time.Millisecond)
}

func share(part, whole int64) *float64 {
	if whole == 0 {
		return nil
	}
	s := float64(part) / float64(whole)
	return &s
}

// sort puts rows into the order in which every report has them.
func (f *Figures) sort() {
	slices.SortFunc(f.Clocks, func(a, b Clocked) int {
		return cmp.Compare(slices.Index(Classes(), a.Class), slices.Index(Classes(), b.Class))
	})
	slices.SortFunc(f.Refusals, func(a, b Refusal) int { return cmp.Or(cmp.Compare(a.Outcome, b.Outcome), cmp.Compare(a.Code, b.Code)) })
	slices.SortFunc(f.Bases, func(a, b BasisCount) int { return cmp.Compare(a.Basis, b.Basis) })
}
