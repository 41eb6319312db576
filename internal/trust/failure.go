package trust

import (
	"slices"

	"github.com/pgherd/pgherd/internal/core"
)

// NoteFailure gives what core must know of a failed step after a tick: now is the failure
// of this tick (nil: none), raced says that it was only a lost race for a record. A lost race is
// no failure: nothing was written, and the next view shows who won. A start is kept until one
// succeeds, for it is tried again later; a write of the lease that got no answer until one
// of ours succeeds or another member holds it, whatever else fails meanwhile, for it may still
// land; anything else until a tick goes well.
func NoteFailure(was core.StepFailure, view *core.View, plan core.Plan, now *core.StepFailure, raced bool) core.StepFailure {
	place := func(kind core.StepKind) int {
		return slices.IndexFunc(plan.Steps, func(s core.Step) bool { return s.Kind == kind })
	}
	did := func(kind core.StepKind) bool { return place(kind) >= 0 }
	if now != nil && !raced {
		written := did(core.StepPutLease) && place(core.StepPutLease) < place(now.Kind)
		if was.Kind == core.StepPutLease && now.Kind != core.StepPutLease && !written && view.Store.Lease.Holder == view.Self {
			return was
		}
		return *now
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
