package replay

import (
	"slices"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
)

// again decides once more, after putting back what the journal does not keep and the
// recorded plan shows.
//
// The journal empties ConfKey, because it holds each parameter's value. With an empty one
// the core must think that nothing was ever configured, and configures. When the plan of
// then did not, the configuration in effect was the one that is asked for now: there is no
// other way not to configure. (So a version that would configure something else, in a
// tick in which the old one was content, is not found out. To keep a secret's hash could
// be worse than that.)
func again(e *record) invariant.Decision {
	d := invariant.Decision{Memory: e.memory(), View: e.View}
	d.View.Store.Request = requestOf(e)
	d.Plan, _, d.Report = core.Decide(d.Memory, d.View)
	if c := notConfigured(d.Plan, e.Plan); c != nil {
		d.View.Local.ConfKey = c.Key()
		d.Plan, _, d.Report = core.Decide(d.Memory, d.View)
	}
	return d
}

// notConfigured gives what is to be configured now and was not then. Values are no
// difference here: some of them are redacted, and what differs in the others is seen later.
func notConfigured(now, then core.Plan) *core.Conf {
	did := func(s core.Step) bool { return s.Kind == core.StepConfigure }
	if i := slices.IndexFunc(now.Steps, did); i >= 0 && !slices.ContainsFunc(then.Steps, did) {
		return now.Steps[i].Conf
	}
	return nil
}

// requestOf puts the revision back into a member's request: it is no part of the record, and
// so of no JSON. Steps that write or delete the request expect it.
func requestOf(e *record) *core.Request {
	if e.View.Store.Request == nil {
		return nil
	}
	r := *e.View.Store.Request
	for _, s := range e.Plan.Steps {
		if s.Kind == core.StepEndRequest || s.Kind == core.StepPutRequest && s.Member == e.View.Self {
			r.Revision = s.Expect
		}
	}
	return &r
}
