package health

import (
	"context"
	"math"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is one name with its help and labels. It holds no value and may be shared.
type Metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
}

// Gauge describes a number that goes up and down.
func Gauge(name, help string, labels ...string) *Metric {
	return &Metric{prometheus.NewDesc(name, help, labels, nil), prometheus.GaugeValue}
}

// Counter describes a number that only grows while the process lives; its name ends in _total.
func Counter(name, help string, labels ...string) *Metric {
	return &Metric{prometheus.NewDesc(name, help, labels, nil), prometheus.CounterValue}
}

// Samples takes the values of one scrape.
type Samples chan<- prometheus.Metric

// Set hands over a value; labels are the values of the metric's labels, in their order.
func (s Samples) Set(m *Metric, value float64, labels ...string) {
	sample, err := prometheus.NewConstMetric(m.desc, m.kind, value, labels...)
	if err != nil {
		sample = prometheus.NewInvalidMetric(m.desc, err)
	}
	s <- sample
}

// Flag hands over 1 for true and 0 for false.
func (s Samples) Flag(m *Metric, value bool, labels ...string) {
	n := 0.0
	if value {
		n = 1
	}
	s.Set(m, n, labels...)
}

// Time hands over seconds since 1970. The zero time is never: infinity, so that it compares as what it is.
func (s Samples) Time(m *Metric, at time.Time, labels ...string) {
	n := math.Inf(1)
	if !at.IsZero() {
		n = float64(at.UnixMilli()) / 1000
	}
	s.Set(m, n, labels...)
}

type scrape struct {
	ctx    context.Context //nolint:containedctx // a collector lives for one scrape and has no other way to get it
	source Source
}

// Describe describes nothing, because a source leaves out what it cannot learn.
func (scrape) Describe(chan<- *prometheus.Desc) {}

func (s scrape) Collect(ch chan<- prometheus.Metric) { s.source.Measure(s.ctx, ch) }
