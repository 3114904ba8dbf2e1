package bench

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"math"
	"time"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

// chart is a histogram of one stage: bars over a logarithmic scale of time. Its numbers are in the table beside it.
type chart struct {
	ID, Title, Words string
	Bars             []bar
	Ticks            []tick
	Text             string
}

type bar struct {
	X, Y, Width, Height int
	Label               string
	Count               uint64
}

type tick struct {
	X     int
	Label string
}

const (
	chartBars   = 24
	chartWidth  = 480
	chartHeight = 120
)

// charts draws the stages of a group over one scale, so that they can be compared.
func charts(g group) []chart {
	least, most := time.Duration(math.MaxInt64), time.Duration(0)
	for _, s := range g.stages {
		if s.times == nil || s.times.Count() == 0 {
			return nil
		}
		least, most = min(least, s.times.least), max(most, s.times.Max())
	}
	least = max(least, time.Microsecond)
	most = max(most, least+least/2)
	edge := func(i int) time.Duration {
		return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), float64(i)/chartBars))
	}
	var out []chart
	for _, s := range g.stages {
		c := chart{ID: g.id + "-" + s.Stage, Title: "Until " + s.Stage, Words: s.Words,
			Text: fmt.Sprintf("Histogram of %d messages over a logarithmic scale of time. Half took at most %s, 99 of 100 at most %s, the longest %s.", s.Count, shown(s.P50), shown(s.P99), shown(s.Max))}
		var top uint64 = 1
		for i := range chartBars {
			from, to := edge(i), edge(i+1)
			if i == 0 {
				from = -1
			}
			if i == chartBars-1 {
				to = math.MaxInt64
			}
			n := s.times.Between(from, to)
			top = max(top, n)
			c.Bars = append(c.Bars, bar{X: i * chartWidth / chartBars, Width: chartWidth/chartBars - 2, Label: shown(ms(edge(i))) + " to " + shown(ms(edge(i+1))), Count: n})
		}
		for i := range c.Bars {
			b := &c.Bars[i]
			if b.Count > 0 {
				b.Height = max(1, int(float64(b.Count)/float64(top)*chartHeight))
			}
			b.Y = chartHeight - b.Height
		}
		for _, i := range []int{0, chartBars / 2, chartBars} {
			c.Ticks = append(c.Ticks, tick{i * chartWidth / chartBars, shown(ms(edge(i)))})
		}
		out = append(out, c)
	}
	return out
}

func shown(milliseconds float64) string {
	switch {
	case milliseconds < 10:
		return fmt.Sprintf("%.2f ms", milliseconds)
	case milliseconds < 1000:
		return fmt.Sprintf("%.0f ms", milliseconds)
	}
	return fmt.Sprintf("%.1f s", milliseconds/1000)
}

// section is a group with its pictures.
type section struct {
	ID, Title string
	Stages    []Stage
	Charts    []chart
}

// WritePage writes a result as one HTML page that loads nothing, for a screen and for paper.
func (r *Result) WritePage(w io.Writer, at time.Time) error {
	page, err := template.New("bench").Funcs(template.FuncMap{"rate": rate, "mib": mib, "shown": shown,
		"two": func(v float64) string { return fmt.Sprintf("%.2f", v) }, "three": func(v float64) string { return fmt.Sprintf("%.3f", v) }}).Parse(pageText)
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	var sections []section
	for _, g := range r.groups() {
		sections = append(sections, section{g.id, g.title, g.stages, charts(g)})
	}
	sum := sha256.Sum256([]byte(pageStyle))
	err = page.Execute(w, struct {
		*Result
		At       string
		Sections []section
		Style    template.CSS
		Policy   string
	}{r, at.UTC().Format("2 January 2006, 15:04") + " UTC", sections, template.CSS(pageStyle), // a file of ours
		"default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"})
	if err != nil {
		return fmt.Errorf("write page: %w", err)
	}
	return nil
}
