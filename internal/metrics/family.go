package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pgherd/pgherd/internal/snapshot"
)

// Types of metrics, as Prometheus calls them.
const (
	gauge     = "gauge"
	counter   = "counter"
	histogram = "histogram"
)

// family is one gauge, or one of Patroni's counters: a name and how its values follow from a snapshot.
type family struct {
	Family
	read func(s *snapshot.Snapshot, give give)
}

// give takes one value, with the values of the family's labels in their order.
type give func(value float64, labels ...string)

// Family describes a metric.
type Family struct {
	Name   string
	Type   string // gauge, counter or histogram
	Labels []string
	Unit   string // bytes, seconds, or what is counted; empty: a yes (1) or no (0), or a plain number
	Help   string
}

// single is the read of a family without labels that always has a value.
func single(value func(s *snapshot.Snapshot) float64) func(*snapshot.Snapshot, give) {
	return func(s *snapshot.Snapshot, give give) { give(value(s)) }
}

// truth is single for yes and no.
func truth(is func(s *snapshot.Snapshot) bool) func(*snapshot.Snapshot, give) {
	return single(func(s *snapshot.Snapshot) float64 { return one(is(s)) })
}

// collector computes families from a snapshot that is taken for each scrape, so that they agree with each other.
type collector struct {
	look     func() snapshot.Snapshot
	families []family
	descs    []*prometheus.Desc
}

func newCollector(look func() snapshot.Snapshot, families []family, own prometheus.Labels) *collector {
	c := &collector{look: look, families: families}
	for _, f := range families {
		c.descs = append(c.descs, prometheus.NewDesc(f.Name, f.Help, f.Labels, own))
	}
	return c
}

func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		to <- d
	}
}

func (c *collector) Collect(to chan<- prometheus.Metric) {
	s := c.look()
	for i, f := range c.families {
		kind := prometheus.GaugeValue
		if f.Type == counter {
			kind = prometheus.CounterValue
		}
		f.read(&s, func(value float64, labels ...string) {
			m, err := prometheus.NewConstMetric(c.descs[i], kind, value, labels...)
			if err != nil { // the number of labels is wrong: the scrape says so
				m = prometheus.NewInvalidMetric(c.descs[i], err)
			}
			to <- m
		})
	}
}

// seconds since 1970; 0 for the zero time.
func seconds(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.UnixMilli()) / 1000
}

func one(is bool) float64 {
	if is {
		return 1
	}
	return 0
}
