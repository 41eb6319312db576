package report

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Report is the figures of one run.
type Report struct {
	Machine Machine   `json:"machine"`
	Figures []*Figure `json:"figures"`
}

// Add takes figures whose values are all there.
func (r *Report) Add(figures ...*Figure) {
	for _, f := range figures {
		f.finish()
		r.Figures = append(r.Figures, f)
	}
}

// Met says whether no target was missed.
func (r *Report) Met() bool {
	return !slices.ContainsFunc(r.Figures, func(f *Figure) bool { return !f.Met })
}

// Print writes the machine and the table.
func (r *Report) Print(w io.Writer) {
	m := r.Machine
	fmt.Fprintf(w, "%d cores (%s), Linux %s, %s, PostgreSQL %s\n", m.Cores, m.CPU, m.Kernel, m.Go, m.PostgreSQL)
	fmt.Fprintf(w, "load average before %s, after %s\n\n", m.LoadBefore, m.LoadAfter)
	fmt.Fprintf(w, "%-58s %-16s %10s %10s %10s %4s  %s\n", "figure", "target", "median", "min", "max", "n", "")
	for _, f := range r.Figures {
		line := fmt.Sprintf("%-58s %-16s %10s %10s %10s %4d  %s", f.Name, f.Target,
			number(f.Median, f.Unit), number(f.Min, f.Unit), number(f.Max, f.Unit), len(f.Values), f.verdict())
		fmt.Fprintln(w, strings.TrimRight(line, " "))
	}
}

// Answer writes what was measured: result as JSON, or as print has it for people.
func Answer(w io.Writer, asJSON bool, result any, print func(io.Writer)) {
	if !asJSON {
		print(w)
		return
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	_ = e.Encode(result)
}

// Machine is what a figure depends on besides pgherd.
type Machine struct {
	Cores      int    `json:"cores"`
	CPU        string `json:"cpu"`
	Kernel     string `json:"kernel"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	LoadBefore string `json:"load_before"`
	LoadAfter  string `json:"load_after"`
}

// ThisMachine describes it before the run.
func ThisMachine(postgresVersion string) Machine {
	var u unix.Utsname
	_ = unix.Uname(&u)
	return Machine{Cores: runtime.NumCPU(), CPU: cpuName(), Kernel: unix.ByteSliceToString(u.Release[:]),
		Go: runtime.Version(), PostgreSQL: postgresVersion, LoadBefore: loadAverage()}
}

// Finished notes the load after the run.
func (m *Machine) Finished() { m.LoadAfter = loadAverage() }

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
