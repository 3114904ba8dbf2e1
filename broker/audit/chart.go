package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// chart is a picture of horizontal bars. Its numbers are in the table beside it.
type chart struct {
	Title string
	Bars  []*bar
	Left  int // bars that were left out because they are many
}

type bar struct {
	Label, Value string
	size         float64
	hidden       bool // drawn without a length
	Y, Text      int  // baseline of the words, set by lay
	Width        int
}

// Short is the label as far as there is room for it beside the longest value.
func (b *bar) Short() string { return cut(b.Label, 32) }

// Bars at most: a picture of more is read as a table anyway.
const mostBars = 15

const (
	chartWidth = 340
	barStep    = 38
)

func (c *chart) count(label string, n Count) {
	v, ok := n.Exact()
	b := &bar{Label: label, Value: n.String(), size: float64(v), hidden: !ok}
	c.Bars = append(c.Bars, b)
}

func (c *chart) seconds(label string, s *Seconds) {
	if s != nil {
		c.Bars = append(c.Bars, &bar{Label: label, Value: s.String(), size: float64(*s)})
	}
}

func (c *chart) share(label string, f *float64) {
	if f != nil {
		c.Bars = append(c.Bars, &bar{Label: label, Value: shareCell(f).Text, size: *f * 100})
	}
}

// lay puts the longest bars in place. Shares are drawn against the whole, everything else against the longest.
func (c *chart) lay() {
	if strings.HasPrefix(c.Title, "Share") {
		c.scale(100)
		return
	}
	slices.SortStableFunc(c.Bars, func(a, b *bar) int {
		switch {
		case a.size > b.size:
			return -1
		case a.size < b.size:
			return 1
		}
		return 0
	})
	if len(c.Bars) > mostBars {
		c.Left, c.Bars = len(c.Bars)-mostBars, c.Bars[:mostBars]
	}
	longest := 0.0
	for _, b := range c.Bars {
		if !b.hidden {
			longest = max(longest, b.size)
		}
	}
	c.scale(longest)
}

func (c *chart) scale(longest float64) {
	for i, b := range c.Bars {
		b.Text, b.Y = i*barStep+14, i*barStep+19
		if !b.hidden && b.size > 0 {
			b.Width = max(1, int(b.size/longest*chartWidth))
		}
	}
}

// Height and Width are those of the picture.
func (c *chart) Height() int { return len(c.Bars) * barStep }

// Width is that of the longest bar.
func (c *chart) Width() int { return chartWidth }

// Text is the chart in words, for whoever cannot see it.
func (c *chart) Text() string {
	var parts []string
	for _, b := range c.Bars {
		parts = append(parts, b.Label+": "+b.Value)
	}
	if c.Left > 0 {
		parts = append(parts, fmt.Sprintf("and %d more in the table", c.Left))
	}
	return strings.Join(parts, "; ") + "."
}

// dated is for the page's heading.
func dated(t time.Time) string { return t.UTC().Format("2 January 2006, 15:04") + " UTC" }
