package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/pgherd/pgherd/bench/report"
)

// Targets of issue 5.
const (
	stallMedianMax   = 150.0 // ms
	stallWorstMax    = 400.0
	floorRatioMax    = 1.3
	pooledRatioMax   = 1.02
	unplannedMax     = 1.2 // s
	unitMS           = "ms"
	unitRatio        = "x"
	unitMicroseconds = "µs"
)

// result is everything that was measured.
type result struct {
	report.Report
	Load  string      `json:"load"` // as a person would run it
	Where []whereTime `json:"where_the_time_goes,omitempty"`
}

// addMode adds what the two sides did in one of pgbench's modes.
func (r *result) addMode(mode string, herd, hand *block) {
	name := func(what string) string { return "-M " + mode + ": " + what }
	failed := report.NewFigure(name("failed statements and clients"), "", report.AtMost(0).Worst())
	undone := report.NewFigure(name("handovers taken back"), "", report.AtMost(0).Worst())
	median := report.NewFigure(name("longest stall of a client"), unitMS, report.AtMost(stallMedianMax).Median())
	worst := report.NewFigure(name("the same, the worst"), unitMS, report.AtMost(stallWorstMax).Worst())
	floor := report.NewFigure(name("the same, by hand"), unitMS, report.Target{})
	floorFailed := report.NewFigure(name("failed statements and clients, by hand"), "", report.Target{})
	ratio := report.NewFigure(name("median of stalls against by hand"), unitRatio, report.AtMost(floorRatioMax).Median())
	worstRatio := report.NewFigure(name("worst stall against by hand"), unitRatio, report.Target{})
	failed.Add(herd.failed)
	undone.Add(herd.undone)
	median.Add(herd.stalls...)
	worst.Add(herd.stalls...)
	floor.Add(hand.stalls...)
	floorFailed.Add(hand.failed + hand.undone)
	if by := hand.stalls.Median(); by > 0 && len(herd.stalls) > 0 {
		ratio.Add(herd.stalls.Median() / by)
		worstRatio.Add(slices.Max(herd.stalls) / slices.Max(hand.stalls))
	}
	r.Add(failed, undone, median, worst, floor, floorFailed, ratio, worstRatio)
	r.Where = append(r.Where, where(mode, herd, hand))
}

// whereTime is what the phases of one mode's handovers took, medians in ms.
type whereTime struct {
	Mode   string      `json:"mode"`
	Phases []phaseTime `json:"phases"`
}

type phaseTime struct {
	Name   string  `json:"name"`
	Herd   float64 `json:"pgherd_ms"`
	ByHand float64 `json:"by_hand_ms"`
}

func where(mode string, herd, hand *block) whereTime {
	t := whereTime{Mode: mode}
	for _, c := range phaseNames {
		t.Phases = append(t.Phases, phaseTime{c.name, herd.median(c.of), hand.median(c.of)})
	}
	t.Phases = append(t.Phases, phaseTime{"stall", herd.stalls.Median(), hand.stalls.Median()})
	return t
}

// phaseNames are the lines of that table. Held is the sum of those before it; the stall is what a client saw.
var phaseNames = []struct {
	name string
	of   func(phases) float64
}{
	{"drain", func(p phases) float64 { return milliseconds(p.Drain) }},
	{"stop and proof", func(p phases) float64 { return milliseconds(p.Stop) }},
	{"promotion", func(p phases) float64 { return milliseconds(p.Promote) }},
	{"rest", func(p phases) float64 { return milliseconds(p.rest()) }},
	{"held", func(p phases) float64 { return milliseconds(p.Held) }},
}

func (bl *block) median(of func(phases) float64) float64 {
	var s report.Series
	for _, p := range bl.parts {
		s = append(s, of(p))
	}
	return s.Median()
}

func (r *result) print(w io.Writer) {
	r.Print(w)
	fmt.Fprintf(w, "\nload during handovers: %s, in simple and prepared mode\n", r.Load)
	for _, t := range r.Where {
		fmt.Fprintf(w, "\nwhere the time goes, -M %s (medians, ms)  %10s %10s\n", t.Mode, "pgherd", "by hand")
		for _, p := range t.Phases {
			fmt.Fprintf(w, "  %-39s %10.1f %10.1f\n", p.Name, p.Herd, p.ByHand)
		}
	}
}
