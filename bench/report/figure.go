package report

import (
	"fmt"
	"slices"
	"strings"
)

// Series are the measurements of one thing.
type Series []float64

// Median is the middle, or the mean of the two in the middle; of nothing it is 0.
func (s Series) Median() float64 {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	half := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[half]
	}
	return (sorted[half-1] + sorted[half]) / 2
}

// Figure is one measured thing with its target.
type Figure struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit,omitempty"`
	Target string  `json:"target,omitempty"` // empty: there is none; the figure is there to compare with
	Values Series  `json:"values"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Met    bool    `json:"met"`
	target Target
}

// Target is what was promised: a limit for the median or for the worst. The zero Target is none.
type Target struct {
	limit   float64
	atLeast bool
	of      func(Series) float64
	what    string
}

// AtMost and AtLeast begin a Target; Median or Worst says of what.
func AtMost(limit float64) Target { return Target{limit: limit} }

// AtLeast is a limit from below.
func AtLeast(limit float64) Target { return Target{limit: limit, atLeast: true} }

// Median makes it a limit for the median.
func (t Target) Median() Target { t.of, t.what = Series.Median, " median"; return t }

// Worst makes it a limit for each measurement.
func (t Target) Worst() Target {
	t.of = func(s Series) float64 {
		if t.atLeast {
			return slices.Min(s)
		}
		return slices.Max(s)
	}
	return t
}

// NewFigure begins a figure: Add its values, then give it to Report.Add.
func NewFigure(name, unit string, t Target) *Figure {
	f := &Figure{Name: name, Unit: unit, target: t}
	if t.of != nil {
		sign := "<="
		if t.atLeast {
			sign = ">="
		}
		f.Target = fmt.Sprintf("%s %s%s", sign, number(t.limit, unit), t.what)
	}
	return f
}

// Add adds measurements.
func (f *Figure) Add(v ...float64) { f.Values = append(f.Values, v...) }

// finish compares with the target. Nothing measured is nothing met.
func (f *Figure) finish() {
	f.Met = f.target.of == nil
	if len(f.Values) == 0 {
		return
	}
	f.Median, f.Min, f.Max = f.Values.Median(), slices.Min(f.Values), slices.Max(f.Values)
	if f.Met {
		return
	}
	v := f.target.of(f.Values)
	f.Met = v <= f.target.limit
	if f.target.atLeast {
		f.Met = v >= f.target.limit
	}
}

func (f *Figure) verdict() string {
	switch {
	case f.Target == "":
		return ""
	case f.Met:
		return "met"
	}
	return "MISSED"
}

func number(v float64, unit string) string {
	switch {
	case unit == "s":
		return fmt.Sprintf("%.3f s", v)
	case unit == "lines" || unit == "":
		return strings.TrimSpace(fmt.Sprintf("%.0f %s", v, unit))
	}
	return fmt.Sprintf("%.2f %s", v, unit)
}
