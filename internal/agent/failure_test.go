package agent

import (
	"errors"
	"fmt"
	"testing"

	"github.com/pgherd/pgherd/internal/act"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
)

func holder(name string) core.View {
	v := core.View{Self: "n1"}
	v.Store.Lease.Holder = name
	return v
}

func steps(kinds ...core.StepKind) core.Plan {
	var p core.Plan
	for _, k := range kinds {
		p.Steps = append(p.Steps, core.Step{Kind: k})
	}
	return p
}

func failure(kind core.StepKind, err error) error { return &act.StepError{Kind: kind, Err: err} }

// Found by the integration suite: a standby that lost the race for a lease said for ever
// that its write of the lease fails.
func TestLostRaceIsNoFailure(t *testing.T) {
	a := &Agent{}
	a.noteFailure(holder("n2"), steps(core.StepPutLease), failure(core.StepPutLease, fmt.Errorf("put: %w", store.ErrConflict)))
	if a.failed.Kind != "" {
		t.Errorf("kept: %+v", a.failed)
	}
}

func TestFailureIsKeptAsLongAsItMatters(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		kind core.StepKind
		view core.View
		next core.Plan
		err  error
		kept bool
	}{
		"a start, while it waits for its next try":             {core.StepStart, holder("n2"), steps(), nil, true},
		"a start that succeeds":                                {core.StepStart, holder("n2"), steps(core.StepConfigure, core.StepStart), nil, false},
		"a write of our lease, before the next one":            {core.StepPutLease, holder("n1"), steps(core.StepConfigure), nil, true},
		"a write of our lease that succeeds":                   {core.StepPutLease, holder("n1"), steps(core.StepPutLease), nil, false},
		"a write of the lease, when another one holds it":      {core.StepPutLease, holder("n2"), steps(), nil, false},
		"a write of our lease, when something before it fails": {core.StepPutLease, holder("n1"), steps(core.StepPutOperation, core.StepPutLease), failure(core.StepPutOperation, broken), true},
		"a write of our lease that succeeds before a failure":  {core.StepPutLease, holder("n1"), steps(core.StepPutLease, core.StepConfigure), failure(core.StepConfigure, broken), false},
		"a configuration, when a tick goes well":               {core.StepConfigure, holder("n2"), steps(), nil, false},
		"a configuration that fails again":                     {core.StepConfigure, holder("n2"), steps(core.StepConfigure), failure(core.StepConfigure, broken), true},
	} {
		a := &Agent{}
		a.noteFailure(c.view, steps(c.kind), failure(c.kind, broken))
		a.noteFailure(c.view, c.next, c.err)
		if kept := a.failed.Kind == c.kind; kept != c.kept {
			t.Errorf("%s: kept %v", name, kept)
		}
	}
}
