package core

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The scripts in testdata are the rules in readable form. A script is
//
//	# why this must be so
//	-- given --
//	world primary        a whole situation (see presets), then what differs from it
//	-- expect --
//	what Decide says, written by `go test -run Scenario -update`
//	-- then: words --
//	what changes; Memory is carried on
//	-- expect --
//
// testdata/README.md has the words. Read the diff of an update as carefully as code.

var update = flag.Bool("update", false, "write what the scenarios say now into testdata")

type section struct{ name, text string }

func parseScript(text string) (comment string, sections []section) {
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(name, " --") {
			sections = append(sections, section{name: strings.TrimSuffix(name, " --")})
		} else if len(sections) == 0 {
			comment += line
		} else {
			sections[len(sections)-1].text += line
		}
	}
	return comment, sections
}

func formatScript(comment string, sections []section) string {
	text := comment
	for _, s := range sections {
		text += "-- " + s.name + " --\n" + s.text
	}
	return text
}

func scripts(t *testing.T) []string {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	return files
}

// play runs a script and gives it with the expectations as they are.
func playScript(t *testing.T, file string) (was, is string, said []spoken) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	comment, sections := parseScript(string(data))
	if !strings.HasPrefix(comment, "# ") {
		t.Fatalf("%s: begin with a comment that says why", file)
	}
	var b builder
	for i, s := range sections {
		if s.name != "expect" {
			if err := b.apply(s.text); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			continue
		}
		plan, mem, report := Decide(b.mem, b.v)
		b.mem, b.plan = mem, plan
		sections[i].text = describe(b.v, plan, report)
		said = append(said, spoken{b.v, plan, report})
	}
	return string(data), formatScript(comment, sections), said
}

type spoken struct {
	v      View
	plan   Plan
	report Report
}

func TestScenarios(t *testing.T) {
	for _, file := range scripts(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			was, is, _ := playScript(t, file)
			if was == is {
				return
			}
			if *update {
				if err := os.WriteFile(file, []byte(is), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("want\n%s\nhave\n%s", was, is)
		})
	}
}

// describe writes a decision, one obligation a line.
func describe(v View, plan Plan, r Report) string {
	var b strings.Builder
	fmt.Fprintf(&b, "role %s, term %d", r.Role, r.Term)
	if r.Trusted != 0 {
		fmt.Fprintf(&b, ", trusted for %s", r.Trusted.Sub(v.Now))
	}
	if r.Vacant {
		b.WriteString(", vacant")
	}
	if r.Rejected {
		b.WriteString(", rejected")
	}
	b.WriteString("\n")
	if len(plan.Steps) == 0 {
		b.WriteString("do nothing\n")
	}
	for _, s := range plan.Steps {
		fmt.Fprintf(&b, "do %s%s\n     %s\n", s.Kind, describeStep(s, v), s.Why)
	}
	for _, reason := range r.Reasons {
		fmt.Fprintf(&b, "because %s\n", reason)
	}
	for _, c := range r.Conditions {
		fmt.Fprintf(&b, "%s %s, for %s: %s\n", c.Severity, c.Code, v.Now.Sub(c.Since), c.Text)
	}
	fmt.Fprintf(&b, "wake in %s\n", r.WakeAt.Sub(v.Now))
	return b.String()
}

func describeStep(s Step, v View) (text string) {
	add := func(format string, args ...any) { text += " " + fmt.Sprintf(format, args...) }
	if l := s.Lease; l != nil {
		add("holder=%s term=%d beat=%d lsn=%s sync=(%s)", l.Holder, l.Term, l.Beat, l.LSN, l.Sync.text())
		if l.Flaps != v.Store.Lease.Flaps {
			add("flaps=%d", l.Flaps)
		}
		if l.Timeline != v.Store.Lease.Timeline {
			add("timeline=%d", l.Timeline)
		}
		if l.Released {
			add("released final=%s", l.Final)
		}
		for _, lost := range l.Lost {
			add("lost=%s of term %d, %s to %s", lost.Member, lost.Term, lost.From, lost.To)
		}
	}
	if o := s.Operation; o != nil {
		add("%s %s from=%s to=%s phase=%s term=%d queue=%v", o.ID, o.Kind, o.From, o.To, o.Phase, o.Term, o.Queue)
		if o.Candidate != "" {
			add("candidate=%s", o.Candidate)
		}
		if o.DryRun || o.Resume {
			add("dry_run=%v resume=%v", o.DryRun, o.Resume)
		}
		for _, c := range o.Checks {
			if !c.OK || o.DryRun {
				add("check(%s %s %v)", c.Member, c.Name, c.OK)
			}
		}
		if c := o.Certificate; c.Shutdown != 0 || len(c.Poolers) > 0 || c.Whole {
			add("certificate(shutdown=%s poolers=%d whole=%v)", c.Shutdown, len(c.Poolers), c.Whole)
		}
	}
	if s.Request != nil {
		add("%s %s phase=%s", s.Request.ID, s.Request.Kind, s.Request.Phase)
	}
	if s.Cluster != nil {
		add("system=%s", s.Cluster.SystemID)
	}
	if s.Expect != 0 {
		add("expect=%d", s.Expect)
	}
	if c := s.Conf; c != nil && s.Kind == StepConfigure {
		add("follow=%q sync=(%s)", c.Follow, c.Sync.text())
		if c.Hold {
			add("hold")
		}
	}
	if c := s.Conf; c != nil && len(c.Params) > 0 {
		add("%v", c.Params)
	}
	if f := s.Fork; f != nil {
		add("saves tl %d after %s%s", f.Timeline, f.From, map[bool]string{true: ", which may have been acknowledged"}[f.Acked])
	}
	if s.Kind == StepStart {
		add("%s", map[bool]string{true: "as standby", false: "as primary"}[s.Standby])
	}
	if s.Kind == StepPromote {
		add("timeline=%d", s.Timeline)
	}
	for _, field := range [][2]string{{"member", s.Member}, {"slot", s.Slot}, {"id", s.ID}} {
		if field[1] != "" {
			text += " " + field[0] + "=" + field[1]
		}
	}
	if s.Guard != (Guard{}) {
		add("guard=term %d", s.Guard.Term)
		if s.Guard.Deadline != 0 {
			text += ", " + s.Guard.Deadline.Sub(v.Now).String()
		}
	}
	return text
}

// Every word the core can say is said by a scenario: what no script shows, nobody has
// looked at.
func TestScenariosCoverEveryReasonAndStep(t *testing.T) {
	said := map[string]bool{string(CondInvariant): true, string(CondTwoPrimaries): true, string(CondStoreLost): true, string(CondVotesMissing): true, string(CondVIP): true, string(CondHook): true, // the agent's words, shown in its tests
		string(CondPoolerMissing): true, string(CondPoolerDown): true, string(CondPoolerBlind): true, string(CondPoolerHolds): true, string(CondPoolerNoReaders): true} // the endpoints', so too
	for _, file := range scripts(t) {
		_, _, all := playScript(t, file)
		for _, s := range all {
			for _, step := range s.plan.Steps {
				said[string(step.Kind)], said[string(step.Why.Code)] = true, true
			}
			for _, r := range s.report.Reasons {
				said[string(r.Code)] = true
			}
			for _, c := range s.report.Conditions {
				said[string(c.Code)] = true
				if _, _, ok := Catalogued(c.Code); !ok {
					t.Errorf("condition %s is not in the catalogue", c.Code)
				}
			}
		}
	}
	codes, conds, kinds := spokenInSource(t)
	if len(codes) < 50 || len(conds) < 15 || len(kinds) < 15 {
		t.Fatalf("found only %d reasons, %d conditions and %d steps in the source: the search is broken", len(codes), len(conds), len(kinds))
	}
	for _, list := range [][]string{codes, conds, kinds} {
		for _, code := range list {
			if !said[code] {
				t.Errorf("no scenario shows %q", code)
			}
		}
	}
}

// spokenInSource finds the codes: literals given to because and say, and the constants
// Cond... and Step....
func spokenInSource(t *testing.T) (codes, conds, kinds []string) {
	for _, file := range sources(t) {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if name := calledName(n); name == "because" || name == "say" {
					if lit, ok := n.Args[0].(*ast.BasicLit); ok {
						code, _ := strconv.Unquote(lit.Value)
						codes = append(codes, code)
					}
				}
			case *ast.ValueSpec:
				for i, name := range n.Names {
					if i >= len(n.Values) {
						continue
					}
					lit, ok := n.Values[i].(*ast.BasicLit)
					if !ok {
						continue
					}
					value, _ := strconv.Unquote(lit.Value)
					switch {
					case name.Name == "CondStepFailed": // the agent says it, of a step that failed
					case strings.HasPrefix(name.Name, "Cond"):
						conds = append(conds, value)
					case strings.HasPrefix(name.Name, "Step"):
						kinds = append(kinds, value)
					}
				}
			}
			return true
		})
	}
	// No two rules add up to two disruptive steps; TestFilter shows what would happen.
	codes = slices.DeleteFunc(codes, func(code string) bool { return code == "one_at_a_time" })
	return append(codes, RequestReinit, RequestRestart), conds, kinds
}

func calledName(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func sources(t *testing.T) (files []*ast.File) {
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	return files
}

// Every catalogued condition has words for a person.
func TestCatalogue(t *testing.T) {
	for code, e := range catalogue {
		if e.hint == "" || !slices.Contains([]Severity{Info, Warning, Error}, e.severity) {
			t.Errorf("%s: severity %q, hint %q", code, e.severity, e.hint)
		}
		c := NewCondition(code, Instant(time.Second), "x %d", 1)
		if c.Text != "x 1" || c.Hint != e.hint || c.Severity != e.severity || c.Since != Instant(time.Second) {
			t.Errorf("%+v", c)
		}
	}
	if _, _, ok := Catalogued("no_such_thing"); ok {
		t.Error("an unknown code is in the catalogue")
	}
}
