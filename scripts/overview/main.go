// Command overview reads `go test -json` and prints what people want to know: a line for
// each package, the output of what failed, what was skipped and why, the slowest tests.
//
// It must not run tests or judge them: its exit code is 1 when a test failed, when a
// package could not be built, or when CI lacks a tool and so skipped a test.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// event is one line of `go test -json`.
type event struct {
	Action, Package, Test, Output string
	ImportPath                    string // of build output
	Elapsed                       float64
	FailedBuild                   string
}

type result struct {
	name    string
	seconds float64
	reason  string // of a skip
}

// overview is what was seen so far.
type overview struct {
	w               io.Writer
	output          map[string]*strings.Builder // by package and test, until they end
	counts          map[string]map[string]int   // tests by package and action
	failed, skipped []result
	timed           []result
	packages        map[string]int // by action
}

func main() {
	o := &overview{w: os.Stdout, output: map[string]*strings.Builder{}, counts: map[string]map[string]int{}, packages: map[string]int{}}
	if err := o.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	os.Exit(o.end(os.Getenv("CI") != ""))
}

func (o *overview) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			fmt.Fprintln(o.w, lines.Text()) // go's own words, such as a module that is missing
			continue
		}
		o.see(e)
	}
	return lines.Err()
}

func (o *overview) see(e event) {
	switch e.Action {
	case "build-output":
		fmt.Fprint(o.w, e.Output)
	case "output":
		o.of(e).WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			o.packageEnded(e)
		} else {
			o.testEnded(e)
		}
	}
}

// of gives the output so far; a subtest's belongs to the test, so that it is seen whole.
func (o *overview) of(e event) *strings.Builder {
	key := e.Package + " " + e.Test
	if o.output[key] == nil {
		o.output[key] = &strings.Builder{}
	}
	return o.output[key]
}

func (o *overview) testEnded(e event) {
	if o.counts[e.Package] == nil {
		o.counts[e.Package] = map[string]int{}
	}
	o.counts[e.Package][e.Action]++
	name := short(e.Package) + " " + e.Test
	text := o.of(e).String()
	delete(o.output, e.Package+" "+e.Test)
	switch e.Action {
	case "fail":
		fmt.Fprint(o.w, text)
		o.failed = append(o.failed, result{name: name})
	case "skip":
		o.skipped = append(o.skipped, result{name: name, reason: reason(text)})
	}
	if !strings.Contains(e.Test, "/") {
		o.timed = append(o.timed, result{name: name, seconds: e.Elapsed})
	}
}

// reason finds what the test said when it skipped itself.
func reason(text string) string {
	for line := range strings.Lines(text) {
		if _, said, ok := strings.Cut(line, ".go:"); ok {
			_, said, _ = strings.Cut(said, ": ")
			return strings.TrimSpace(said)
		}
	}
	return "no reason given"
}

func (o *overview) packageEnded(e event) {
	counts := o.counts[e.Package]
	if e.Action == "fail" && counts["fail"] == 0 {
		fmt.Fprint(o.w, o.of(e).String()) // a panic, a timeout, or no build
		o.failed = append(o.failed, result{name: short(e.Package)})
	}
	if e.Action == "skip" || counts == nil && e.Action == "pass" {
		return // no tests in it
	}
	o.packages[e.Action]++
	fmt.Fprintf(o.w, "%-4s  %-34s %4d passed %3d failed %3d skipped  %7.1f s\n",
		e.Action, short(e.Package), counts["pass"], counts["fail"], counts["skip"], e.Elapsed)
}

func short(path string) string { return strings.TrimPrefix(path, "github.com/pgherd/pgherd/") }

// toolMissing are the words of a test that skips itself because this machine lacks a
// tool; where CI says that, a part of the proof is missing.
var toolMissing = []string{"is installed", "not installed", "not found", "is missing", "no user postgres"}

func missesTool(reason string) bool {
	return slices.ContainsFunc(toolMissing, func(words string) bool { return strings.Contains(reason, words) })
}

const slowestShown = 10

// end prints the summary and gives the exit code.
func (o *overview) end(ci bool) int {
	fmt.Fprintf(o.w, "\nslowest tests\n")
	slices.SortFunc(o.timed, func(a, b result) int { return cmp.Compare(b.seconds, a.seconds) })
	for _, t := range o.timed[:min(slowestShown, len(o.timed))] {
		fmt.Fprintf(o.w, "  %7.1f s  %s\n", t.seconds, t.name)
	}
	lacking := 0
	if len(o.skipped) > 0 {
		fmt.Fprintf(o.w, "\nskipped\n")
	}
	for _, s := range o.skipped {
		fmt.Fprintf(o.w, "  %s: %s\n", s.name, s.reason)
		if missesTool(s.reason) {
			lacking++
		}
	}
	passed := 0
	for _, counts := range o.counts {
		passed += counts["pass"]
	}
	fmt.Fprintf(o.w, "\n%d tests passed, %d failed, %d skipped, in %d packages\n", passed, len(o.failed), len(o.skipped), o.packages["pass"]+o.packages["fail"])
	for _, f := range o.failed {
		fmt.Fprintf(o.w, "  FAILED %s\n", f.name)
	}
	switch {
	case len(o.failed) > 0 || passed == 0:
		return 1
	case ci && lacking > 0:
		fmt.Fprintf(o.w, "error: %d tests were skipped because a tool is missing, and this is CI\n", lacking)
		return 1
	}
	return 0
}
