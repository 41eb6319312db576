package report

import (
	"bytes"
	"strings"
	"testing"
)

func TestMedianAndTargets(t *testing.T) {
	for _, c := range []struct {
		values Series
		target Target
		median float64
		met    bool
	}{
		{Series{0.9, 0.1, 0.2}, AtMost(0.6).Median(), 0.2, true},
		{Series{0.9, 0.1, 0.2}, AtMost(0.6).Worst(), 0.2, false},
		{Series{0.5, 0.9, 0.7, 0.1}, AtMost(0.6).Median(), 0.6, true},
		{Series{2, 4}, AtLeast(3).Worst(), 3, false},
		{Series{3}, AtLeast(3).Worst(), 3, true},
		{nil, AtMost(1).Worst(), 0, false}, // nothing measured is nothing met
		{nil, Target{}, 0, true},           // and no target is none missed
	} {
		f := NewFigure("f", "s", c.target)
		f.Add(c.values...)
		f.finish()
		if diff := f.Median - c.median; diff > 1e-9 || diff < -1e-9 || f.Met != c.met {
			t.Errorf("%v: median %v, met %v; want %v, %v", c.values, f.Median, f.Met, c.median, c.met)
		}
	}
}

func TestReportSaysWhatWasMissed(t *testing.T) {
	var r Report
	good, bad, floor := NewFigure("good", "s", AtMost(1).Worst()), NewFigure("bad", "MB", AtMost(1).Worst()), NewFigure("floor", "ms", Target{})
	good.Add(0.5)
	bad.Add(2)
	floor.Add(3)
	r.Add(good, bad, floor)
	var out bytes.Buffer
	r.Print(&out)
	if r.Met() || strings.Count(out.String(), "MISSED") != 1 || strings.Count(out.String(), " met\n") != 1 {
		t.Errorf("met %v:\n%s", r.Met(), out.String())
	}
}
