package audit

import (
	"fmt"
	"strconv"
	"time"
)

// sheet is one table of the report, for every format.
type sheet struct {
	ID, Title, Note string
	Keys            []string // headings of the columns that name a row; the first is the agency
	Measures        []string // headings of the others
	Rows            []row
	Chart           *chart // of the same numbers, where a picture helps
}

type row struct {
	Keys  []string
	Cells []cell
	Total bool
}

// cell is one value: for people, and for programs.
type cell struct {
	Text, Raw string
	Missing   bool
}

func missing() cell { return cell{Text: "–", Missing: true} }

func countCell(c Count) cell { return cell{Text: c.String(), Raw: c.String()} }

func secondsCell(s *Seconds) cell {
	if s == nil {
		return missing()
	}
	return cell{Text: s.String(), Raw: strconv.FormatInt(int64(*s), 10)}
}

func shareCell(f *float64) cell {
	if f == nil {
		return missing()
	}
	return cell{Text: strconv.Itoa(int(*f*100+0.5)) + " %", Raw: strconv.FormatFloat(*f, 'f', 4, 64)}
}

// everyone is how the total's row is named.
const everyone = "All agencies"

// figures are all rows, the total last.
func (r *Report) figures() []*Figures { return append(append([]*Figures{}, r.Agencies...), r.Total) }

func (f *Figures) name() string {
	if f.Agency == "" {
		return everyone
	}
	return f.Agency
}

func (f *Figures) row(cells []cell, keys ...string) row {
	return row{Keys: append([]string{f.name()}, keys...), Cells: cells, Total: f.Agency == ""}
}

// sheets are the tables of the report, in the order in which they are read.
func (r *Report) sheets() []sheet {
	out := []sheet{r.backlogSheet(), r.clockSheet(), r.responseSheet(), r.withdrawalSheet()}
	if len(r.Open) > 0 {
		out = append(out, r.openSheet())
	}
	return append(out, r.refusalSheet(), r.basisSheet())
}

func (r *Report) backlogSheet() sheet {
	s := sheet{ID: "backlog", Title: "Backlog", Note: "Messages to each agency without a receipt, referrals to it that wait for a first answer, and messages to it that were deleted uncollected.",
		Keys: []string{"Agency"}, Measures: []string{"Not receipted", "Referrals not answered", "Expired uncollected"},
		Chart: &chart{Title: "Referrals not answered, by agency"}}
	if !r.Published {
		s.Measures = append(s.Measures, "Overdue", "Oldest (s)", "Sent", "Taken back")
	}
	for _, f := range r.figures() {
		cells := []cell{countCell(f.Uncollected), countCell(f.Unanswered), countCell(f.Expired)}
		if !r.Published {
			cells = append(cells, countCell(*f.Overdue), secondsCell(f.Oldest), countCell(*f.Sent), countCell(*f.Void))
		}
		s.Rows = append(s.Rows, f.row(cells))
		if f.Agency != "" {
			s.Chart.count(f.Agency, f.Unanswered)
		}
	}
	return s
}

func (r *Report) clockSheet() sheet {
	s := sheet{ID: "clocks", Title: "Answered in time", Note: "Referrals to each agency whose response clock has stopped or run out, by lane and length of the clock. Late: answered late, or not at all though the clock has run out.",
		Keys: []string{"Agency", "Clock"}, Measures: []string{"In time", "Late", "Share late"}, Chart: &chart{Title: "Share of referrals late, all agencies, by clock"}}
	for _, f := range r.figures() {
		for _, c := range f.Clocks {
			s.Rows = append(s.Rows, f.row([]cell{countCell(c.InTime), countCell(c.Late), shareCell(c.Share)}, c.Class.Words()))
			if f.Agency == "" {
				s.Chart.share(c.Class.Words(), c.Share)
			}
		}
	}
	return s
}

func (r *Report) responseSheet() sheet {
	s := sheet{ID: "responses", Title: "Response times", Note: "From the record of what was asked to the record of the first answer, by the agency that answered.",
		Keys: []string{"Agency", "Asked"}, Measures: []string{"Median (s)", "90th percentile (s)"}, Chart: &chart{Title: "Median response time to referrals, by agency"}}
	if !r.Published {
		s.Measures = append(s.Measures, "Longest (s)", "Answered")
	}
	for _, f := range r.figures() {
		for _, x := range f.Responses {
			cells := []cell{secondsCell(x.Median), secondsCell(x.P90)}
			if !r.Published {
				cells = append(cells, secondsCell(x.Longest), countCell(*x.Answered))
			}
			s.Rows = append(s.Rows, f.row(cells, x.Kind))
			if f.Agency != "" && isReferral(x.Kind) {
				s.Chart.seconds(f.Agency, x.Median)
			}
		}
	}
	return s
}

func (r *Report) withdrawalSheet() sheet {
	s := sheet{ID: "withdrawals", Title: "Withdrawals of consent", Note: "Withdrawals that each agency sent to holders with a clock: how many holders have said what they did, and how many have not.",
		Keys: []string{"Agency"}, Measures: []string{"Answered", "Waiting"}}
	if !r.Published {
		s.Measures = append(s.Measures, "Overdue")
	}
	for _, f := range r.figures() {
		cells := []cell{countCell(f.Withdrawals.Answered), countCell(f.Withdrawals.Waiting)}
		if !r.Published {
			cells = append(cells, countCell(*f.Withdrawals.Overdue))
		}
		s.Rows = append(s.Rows, f.row(cells))
	}
	return s
}

func (r *Report) openSheet() sheet {
	s := sheet{ID: "open-withdrawals", Title: "Holders that have not answered a withdrawal", Note: "Telephone them: what they hold under a withdrawn consent must not be used.",
		Keys: []string{"Withdrawn by", "Holder", "Message"}, Measures: []string{"Recorded", "Answer due", "Overdue", "Receipted"}}
	for _, w := range r.Open {
		s.Rows = append(s.Rows, row{Keys: []string{w.By, w.Holder, w.Message}, Cells: []cell{whenCell(w.Recorded), whenCell(w.RespondBy), yesCell(w.Overdue), yesCell(w.Collected)}})
	}
	return s
}

func whenCell(t time.Time) cell { return cell{Text: moment(t), Raw: stamp(&t)} }

func yesCell(b bool) cell {
	if b {
		return cell{Text: "yes", Raw: "true"}
	}
	return cell{Text: "no", Raw: "false"}
}

func (r *Report) refusalSheet() sheet {
	s := sheet{ID: "refusals", Title: "Refusals", Note: "Receipts that say rejected or quarantined, by the agency that gave them, with their code.",
		Keys: []string{"Agency", "Outcome", "Code"}, Measures: []string{"Receipts"}}
	for _, f := range r.figures() {
		for _, x := range f.Refusals {
			s.Rows = append(s.Rows, f.row([]cell{countCell(x.Count)}, x.Outcome, x.Code))
		}
	}
	return s
}

func (r *Report) basisSheet() sheet {
	s := sheet{ID: "bases", Title: "Sent without consent", Note: "Messages that each agency sent under a basis other than consent.",
		Keys: []string{"Agency", "Basis"}, Measures: []string{"Messages"}}
	for _, f := range r.figures() {
		for _, x := range f.Bases {
			s.Rows = append(s.Rows, f.row([]cell{countCell(x.Count)}, x.Basis))
		}
	}
	return s
}

// about says what the report covers, line by line.
func (r *Report) about() []string {
	out := []string{"As at " + moment(r.At) + " UTC."}
	switch {
	case r.Published:
		out = append(out, fmt.Sprintf("Records of %s to %s. Counts of 1 to %d are not shown; totals are given between bounds where they would show them. Times are for %d answers or more.",
			r.From.UTC().Format(time.DateOnly), r.To.UTC().Format(time.DateOnly), Few-1, Few))
	default:
		out = append(out, fmt.Sprintf("%d records, %s to %s UTC.", r.Records, moment(r.From), moment(r.To)), "For administrators: it holds small numbers. Show others the published form.")
		if *r.Unsigned > 0 {
			out = append(out, fmt.Sprintf("%d messages are not signed by their sender and are counted nowhere.", *r.Unsigned))
		}
		if *r.Unplaced > 0 {
			out = append(out, fmt.Sprintf("%d expiries are of receipts, or of messages that are not counted.", *r.Unplaced))
		}
		if *r.Later > 0 {
			out = append(out, fmt.Sprintf("%d records are later and left out.", *r.Later))
		}
	}
	return append(out, "Made from what agencies sign about their messages; no message was read. Times are the broker's.")
}
