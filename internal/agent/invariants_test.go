package agent

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
	"github.com/pgherd/pgherd/internal/journal"
)

const started = core.Instant(time.Hour)

func watcher() (*invariants, *bytes.Buffer) {
	var log bytes.Buffer
	return &invariants{log: slog.New(slog.NewTextHandler(&log, nil))}, &log
}

// at is a healthy primary's view.
func at(now core.Instant) core.View {
	v := core.View{Now: now, Self: "n1"}
	v.Store = core.StoreView{Known: true, LeaseRevision: 9, Lease: core.LeaseRecord{Holder: "n1", Term: 3}}
	v.Local.Instance = core.Instance{State: core.StateRunning, Primary: true}
	return v
}

func unguarded(v core.View) invariant.Decision {
	return invariant.Decision{View: v, Plan: core.Plan{Steps: []core.Step{{Kind: core.StepPromote}}}}
}

func codesOf(list []core.Condition) string {
	var codes []string
	for _, c := range list {
		codes = append(codes, string(c.Code))
	}
	return strings.Join(codes, " ")
}

func TestBrokenInvariantIsACondition(t *testing.T) {
	i, log := watcher()
	if got := i.watch(invariant.Decision{View: at(started)}); len(got) > 0 {
		t.Fatalf("all is well, and yet: %v", got)
	}
	d := unguarded(at(started.Add(time.Second)))
	d.Report.Reasons = []core.Reason{{Code: "x"}}
	got := i.watch(d)
	if codesOf(got) != "invariant_broken" || got[0].Severity != core.Error || got[0].Hint == "" || !strings.HasPrefix(got[0].Text, "I6: promote") {
		t.Fatalf("a promotion without a guard: %+v", got)
	}
	if len(d.Plan.Steps) != 1 || len(d.Report.Conditions) != 0 {
		t.Error("watching changed the decision")
	}
	i.watch(d)
	if n := strings.Count(log.String(), "level=ERROR"); n != 1 {
		t.Errorf("logged %d times: %s", n, log)
	}
	later := i.watch(invariant.Decision{View: at(started.Add(10 * time.Minute))})
	if codesOf(later) != "invariant_broken" || !strings.Contains(later[0].Text, "ago") || later[0].Since != started.Add(time.Second) {
		t.Errorf("one tick is over before anybody looks: %+v", later)
	}
	if got := i.watch(invariant.Decision{View: at(started.Add(2 * time.Hour))}); len(got) > 0 {
		t.Errorf("for ever: %v", got)
	}
}

func TestTheTickBeforeIsKnown(t *testing.T) {
	i, _ := watcher()
	i.watch(invariant.Decision{View: at(started)})
	v := at(started.Add(time.Second))
	v.Store.Lease.Term = 2
	if got := i.watch(invariant.Decision{View: v}); codesOf(got) != "invariant_broken" {
		t.Errorf("the term went back: %v", got)
	}
}

func TestTheLogOfADefectIsBounded(t *testing.T) {
	i, log := watcher()
	for n := range 3 * tellMax {
		i.watch(unguarded(at(started.Add(time.Duration(n) * time.Second)))) // the text has the time
	}
	if n := strings.Count(log.String(), "level=ERROR"); n != tellMax {
		t.Errorf("logged %d times", n)
	}
}

func two(now core.Instant) invariant.Decision {
	v := at(now)
	v.Peers = []core.Peer{{Name: "n2", Known: true, Instance: core.Instance{State: core.StateRunning, Primary: true}}}
	return invariant.Decision{View: v}
}

func TestTwoPrimariesMustLast(t *testing.T) {
	for name, c := range map[string]struct {
		views []invariant.Decision
		want  string
	}{
		"for as long as answers may be old": {seconds(two, 0, 1, 2, 3, 4), ""},
		"longer":                            {seconds(two, 0, 1, 2, 3, 4, 5), "two_primaries"},
		"with a break":                      {append(append(seconds(two, 0, 1, 2), seconds(func(n core.Instant) invariant.Decision { return invariant.Decision{View: at(n)} }, 3)...), seconds(two, 4, 5, 6)...), ""},
		"across a pause of the machine":     {seconds(two, 0, 1, 30, 31), ""},
	} {
		i, log := watcher()
		var got []core.Condition
		for _, d := range c.views {
			got = i.watch(d)
		}
		if codesOf(got) != c.want || (c.want != "") != strings.Contains(log.String(), "[n1 n2] accept writes") {
			t.Errorf("%s: %v, log %s", name, got, log)
		}
	}
}

func seconds(make func(core.Instant) invariant.Decision, at ...int) (list []invariant.Decision) {
	for _, s := range at {
		list = append(list, make(started.Add(time.Duration(s)*time.Second)))
	}
	return list
}

// What explain, status, the API and the metrics show comes from the entry's conditions.
func TestWatchedConditionsAreShown(t *testing.T) {
	i, _ := watcher()
	e := journal.Entry{Report: core.Report{Conditions: i.watch(unguarded(at(started)))}}
	d := decision(e)
	if len(d.Conditions) != 1 || d.Conditions[0].Code != core.CondInvariant || d.Conditions[0].Hint == "" {
		t.Errorf("%+v", d.Conditions)
	}
}
