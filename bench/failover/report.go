package main

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// report is everything that was measured.
type report struct {
	Machine machineInfo `json:"machine"`
	Figures []*figure   `json:"figures"`
	Where   []whereTime `json:"where_the_time_goes,omitempty"`
}

// figure is one measured thing with its target.
type figure struct {
	Name   string  `json:"name"`
	Unit   string  `json:"unit,omitempty"`
	Target string  `json:"target"`
	Values series  `json:"values"`
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
	Met    bool    `json:"met"`
	target target
}

// target is what was promised: a limit for the median or for the worst.
type target struct {
	limit   float64
	atLeast bool
	of      func(series) float64
	what    string
}

func atMost(limit float64) target  { return target{limit: limit} }
func atLeast(limit float64) target { return target{limit: limit, atLeast: true} }

func (t target) median() target { t.of, t.what = series.median, " median"; return t }
func (t target) worst() target {
	t.of = func(s series) float64 {
		if t.atLeast {
			return slices.Min(s)
		}
		return slices.Max(s)
	}
	return t
}

func newFigure(name, unit string, t target) *figure {
	sign := "<="
	if t.atLeast {
		sign = ">="
	}
	return &figure{Name: name, Unit: unit, target: t, Target: fmt.Sprintf("%s %s%s", sign, number(t.limit, unit), t.what)}
}

func (f *figure) add(v float64) { f.Values = append(f.Values, v) }

func (f *figure) finish() {
	if len(f.Values) == 0 {
		return
	}
	f.Median, f.Min, f.Max = f.Values.median(), slices.Min(f.Values), slices.Max(f.Values)
	v := f.target.of(f.Values)
	f.Met = v <= f.target.limit
	if f.target.atLeast {
		f.Met = v >= f.target.limit
	}
}

func (r *report) add(figures ...*figure) {
	for _, f := range figures {
		f.finish()
		r.Figures = append(r.Figures, f)
	}
}

func (r *report) met() bool {
	return !slices.ContainsFunc(r.Figures, func(f *figure) bool { return !f.Met })
}

// median is the middle, or the mean of the two in the middle.
func (s series) median() float64 {
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

func number(v float64, unit string) string {
	switch {
	case unit == "s":
		return fmt.Sprintf("%.3f s", v)
	case unit == "lines" || unit == "":
		return strings.TrimSpace(fmt.Sprintf("%.0f %s", v, unit))
	}
	return fmt.Sprintf("%.2f %s", v, unit)
}

func (r *report) print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%d cores (%s), Linux %s, %s, PostgreSQL %s\n", m.Cores, m.CPU, m.Kernel, m.Go, m.PostgreSQL)
	fmt.Fprintf(w, "load average before %s, after %s\n\n", m.LoadBefore, m.LoadAfter)
	fmt.Fprintf(w, "%-58s %-16s %10s %10s %10s %4s  %s\n", "figure", "target", "median", "min", "max", "n", "")
	for _, f := range r.Figures {
		verdict := "met"
		if !f.Met {
			verdict = "MISSED"
		}
		fmt.Fprintf(w, "%-58s %-16s %10s %10s %10s %4d  %s\n", f.Name, f.Target,
			number(f.Median, f.Unit), number(f.Min, f.Unit), number(f.Max, f.Unit), len(f.Values), verdict)
	}
	for _, t := range r.Where {
		fmt.Fprintf(w, "\nwhere the time goes: %s (medians)\n", t.What)
		for _, p := range t.Phases {
			fmt.Fprintf(w, "  %-12s %7.3f s after the fault  %+7.3f s\n", p.Name, p.At, p.Since)
		}
	}
}

// machineInfo is what a figure depends on besides pgherd.
type machineInfo struct {
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	LoadBefore string `json:"load_before"`
	LoadAfter  string `json:"load_after"`
}

func machine(version string) machineInfo {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return machineInfo{Cores: runtime.NumCPU(), CPU: cpuName(), Kernel: unix.ByteSliceToString(u.Release[:]),
		Go: runtime.Version(), PostgreSQL: version, LoadBefore: loadAverage()}
}

func loadAverage() string {
	data, _ := os.ReadFile("/proc/loadavg")
	fields := strings.Fields(string(data))
	return strings.Join(fields[:min(3, len(fields))], " ")
}

func cpuName() string {
	data, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(data)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
