package trust

import (
	"slices"

	"github.com/pgherd/pgherd/internal/core"
)

// NoteFailure gives what core must know of a failed step after a tick: now is the failure
// of this tick (nil: none), raced says that it was only a lost race for a record. A lost race is
// no failure: nothing was written, and the next view shows who won. A start is kept until one
// succeeds, for it is tried again later; a write of the lease that got no answer until one
// of ours succeeds or another member holds it; anything else until a tick goes well.
func NoteFailure(was core.StepFailure, view core.View, plan core.Plan, now *core.StepFailure, raced bool) core.StepFailure {
	if now != nil && !raced {
		return *now
	}
	did := func(kind core.StepKind) bool {
		return slices.ContainsFunc(plan.Steps, func(s core.Step) bool { return s.Kind == kind })
	}
	over := now == nil
	switch was.Kind {
	case core.StepStart:
		over = over && did(core.StepStart)
	case core.StepPutLease:
		over = view.Store.Lease.Holder != view.Self || over && did(core.StepPutLease)
	}
	if over {
		return core.StepFailure{}
	}
	return was
}
