package audit

import (
	"slices"
	"time"
)

// P90From is the number of answers from which on a published report gives a 90th percentile: of fewer it is the longest, and
// that is one survivor's.
const P90From = 10

// Publish makes the form that may be shown to everybody. It is made from counts as published: a total is the sum of what is
// shown, with bounds where something is hidden, and never the sum of what was counted. So nothing of a hidden count can be
// had by subtraction, or in any other way: reports that differ in hidden counts only are published as the same bytes.
//
//   - A count of 1 to 4 is "fewer than 5"; 0 and 5 and more are shown.
//   - A share is shown if both counts that it is made of are.
//   - A median stands for 5 answers or more, a 90th percentile for 10, in whole minutes; no longest and no oldest is shown.
//   - Left out is what is a part or the sum of something shown: records, messages sent and taken back, answers, what is
//     overdue. With them, two columns could be set against each other.
//   - So is every single message: withdrawals that wait for an answer. Of the first and the last record the day is given.
//
// Agencies keep their names. What it cannot hide is the difference between two reports: publish at fixed dates, not on
// demand.
func (r *Report) Publish() *Report {
	out := &Report{Type: r.Type, At: r.At, From: r.From.Truncate(24 * time.Hour), To: r.To.Truncate(24 * time.Hour), Published: true, Agencies: []*Figures{}}
	total := &Figures{Responses: publishTimes(r.Total.Responses), Clocks: []Clocked{}, Refusals: []Refusal{}, Bases: []BasisCount{}}
	for _, f := range r.Agencies {
		p := f.publish()
		out.Agencies = append(out.Agencies, p)
		total.plus(p)
	}
	for i := range total.Clocks {
		total.Clocks[i].share()
	}
	total.sort()
	out.Total = total
	return out
}

func (f *Figures) publish() *Figures {
	p := &Figures{Agency: f.Agency, Uncollected: f.Uncollected.published(), Unanswered: f.Unanswered.published(), Expired: f.Expired.published(),
		Responses: publishTimes(f.Responses), Clocks: []Clocked{}, Refusals: []Refusal{}, Bases: []BasisCount{},
		Withdrawals: Withdrawals{Answered: f.Withdrawals.Answered.published(), Waiting: f.Withdrawals.Waiting.published()}}
	for _, c := range f.Clocks {
		c.InTime, c.Late = c.InTime.published(), c.Late.published()
		c.share()
		p.Clocks = append(p.Clocks, c)
	}
	for _, x := range f.Refusals {
		x.Count = x.Count.published()
		p.Refusals = append(p.Refusals, x)
	}
	for _, b := range f.Bases {
		b.Count = b.Count.published()
		p.Bases = append(p.Bases, b)
	}
	return p
}

func (c *Clocked) share() {
	in, ok := c.InTime.Exact()
	late, ok2 := c.Late.Exact()
	if c.Share = nil; ok && ok2 {
		c.Share = share(late, in+late)
	}
}

func publishTimes(list []Response) []Response {
	out := []Response{}
	for _, x := range list {
		n, _ := x.Answered.Exact()
		x.Answered, x.Longest = nil, nil
		if n < P90From {
			x.P90 = nil
		}
		if n < Few {
			x.Median = nil
		}
		x.Median, x.P90 = minutes(x.Median), minutes(x.P90)
		out = append(out, x)
	}
	return out
}

func minutes(s *Seconds) *Seconds {
	if s == nil {
		return nil
	}
	m := *s / 60 * 60
	return &m
}

// plus adds the published counts of an agency to those of all.
func (f *Figures) plus(p *Figures) {
	f.Uncollected, f.Unanswered, f.Expired = f.Uncollected.plus(p.Uncollected), f.Unanswered.plus(p.Unanswered), f.Expired.plus(p.Expired)
	f.Withdrawals.Answered, f.Withdrawals.Waiting = f.Withdrawals.Answered.plus(p.Withdrawals.Answered), f.Withdrawals.Waiting.plus(p.Withdrawals.Waiting)
	for _, c := range p.Clocks {
		if i := slices.IndexFunc(f.Clocks, func(x Clocked) bool { return x.Class == c.Class }); i >= 0 {
			f.Clocks[i].InTime, f.Clocks[i].Late = f.Clocks[i].InTime.plus(c.InTime), f.Clocks[i].Late.plus(c.Late)
		} else {
			c.InTime, c.Late = c.InTime.plus(Count{}), c.Late.plus(Count{})
			f.Clocks = append(f.Clocks, c)
		}
	}
	for _, c := range p.Refusals {
		if i := slices.IndexFunc(f.Refusals, func(x Refusal) bool { return x.Outcome == c.Outcome && x.Code == c.Code }); i >= 0 {
			f.Refusals[i].Count = f.Refusals[i].Count.plus(c.Count)
		} else {
			c.Count = c.Count.plus(Count{})
			f.Refusals = append(f.Refusals, c)
		}
	}
	for _, c := range p.Bases {
		if i := slices.IndexFunc(f.Bases, func(x BasisCount) bool { return x.Basis == c.Basis }); i >= 0 {
			f.Bases[i].Count = f.Bases[i].Count.plus(c.Count)
		} else {
			c.Count = c.Count.plus(Count{})
			f.Bases = append(f.Bases, c)
		}
	}
}
