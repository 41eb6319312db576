package invariant

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/trust"
)

// Violation is one invariant that does not hold.
type Violation struct {
	ID   string `json:"id"` // "I1" ... "I14"
	Text string `json:"text"`
}

// String gives "I1: text".
func (v Violation) String() string { return v.ID + ": " + v.Text }

// Decision is one tick of one member. Before is the view of its tick before, nil for the
// first tick of an agent: what it knew then is gone.
type Decision struct {
	Before *core.View
	Memory core.Memory // going in
	View   core.View
	Plan   core.Plan
	Report core.Report
}

// found collects violations; most ticks have none and allocate nothing.
type found []Violation

func (f *found) add(id, format string, args ...any) {
	*f = append(*f, Violation{id, fmt.Sprintf(format, args...)})
}

// Tick checks what one member's decision shows by itself: I3 to I6, I9, I12, I14.
func Tick(d *Decision) []Violation {
	var f found
	f.trust(d)
	f.terms(d)
	f.syncSet(d)
	f.guards(d)
	f.oneDisruption(d)
	f.reasons(d)
	f.health(d)
	return f
}

// I3: PostgreSQL's deadline never outlives the trust that the lease gives, nor is it
// moved on by anything but a renewal of our own or the word of all others.
func (f *found) trust(d *Decision) {
	s, w := &d.View.Store, d.View.Local.Warden
	if w.Deadline == 0 || s.RenewedTerm == 0 || w.Term != s.RenewedTerm || s.Lease.Term != s.RenewedTerm {
		return
	}
	if until := trust.Until(s.TrustedFrom(), s.Lease); w.Deadline > until {
		// An older renewal may have been under a longer ttl; it was trusted until then too.
		if d.Before != nil && d.Before.Local.Warden.Deadline >= w.Deadline {
			return
		}
		f.add("I3", "PostgreSQL may live until %d, trust in term %d ends at %d", w.Deadline, w.Term, until)
	}
}

// I4: what is known of terms and revisions only grows.
func (f *found) terms(d *Decision) {
	is := &d.View.Store
	if d.Before != nil && d.Before.Store.Known && is.Known {
		was := &d.Before.Store
		if is.Lease.Term < was.Lease.Term || is.LeaseRevision < was.LeaseRevision {
			f.add("I4", "the term went from %d (revision %d) back to %d (revision %d)", was.Lease.Term, was.LeaseRevision, is.Lease.Term, is.LeaseRevision)
		}
	}
	for _, s := range d.Plan.Steps {
		if s.Kind != core.StepPutLease || s.Lease == nil {
			continue
		}
		if s.Lease.Term < is.Lease.Term || s.Lease.Term == is.Lease.Term && s.Lease.Holder != is.Lease.Holder {
			f.add("I4", "writes %s of term %d over %s of term %d", s.Lease.Holder, s.Lease.Term, is.Lease.Holder, is.Lease.Term)
		}
	}
}

// I5: what a plan tells PostgreSQL to wait for is never weaker than what the lease will say
// when the plan is done. (What is in effect may be weaker for a moment when somebody
// else changes it; core answers that by emptying the set.)
func (f *found) syncSet(d *Decision) {
	v := &d.View
	if v.Store.Spec.Durability != spec.DurabilitySync || v.Store.Lease.Holder != v.Self || v.Store.Lease.Released {
		return
	}
	r := v.Store.Lease.Sync
	for _, s := range d.Plan.Steps {
		switch {
		case s.Kind == core.StepPutLease && s.Lease != nil && s.Lease.Holder == v.Self && !s.Lease.Released:
			r = s.Lease.Sync
		case s.Kind == core.StepConfigure && s.Conf != nil && (v.Local.Instance.Primary || promotes(d.Plan)):
			if !within(s.Conf.Sync, r) {
				f.add("I5", "commits are to wait for any %d of %v, the lease promises any %d of %v", s.Conf.Sync.K, s.Conf.Sync.Members, r.K, r.Members)
			}
		}
	}
}

func promotes(p core.Plan) bool {
	return slices.ContainsFunc(p.Steps, func(s core.Step) bool { return s.Kind == core.StepPromote || s.Kind == core.StepStart && !s.Standby })
}

// within: each commit that waits for conf is on enough of what the lease promises.
func within(conf, lease core.SyncSet) bool {
	if len(lease.Members) == 0 {
		return true
	}
	return conf.K >= lease.K && !slices.ContainsFunc(conf.Members, func(m string) bool { return !slices.Contains(lease.Members, m) })
}

// I6: what makes PostgreSQL writable is guarded by the term that the decision was made in,
// and by a deadline.
func (f *found) guards(d *Decision) {
	for _, s := range d.Plan.Steps {
		writable := s.Kind == core.StepPromote || s.Kind == core.StepStart && !s.Standby
		if !writable {
			continue
		}
		if s.Guard.Term != d.View.Store.Lease.Term || s.Guard.Deadline == 0 || s.Guard.Deadline <= d.View.Now {
			f.add("I6", "%s has guard %+v in term %d at %d", s.Kind, s.Guard, d.View.Store.Lease.Term, d.View.Now)
		}
		if dog := d.View.Local.Warden.Watchdog; dog.Required && dog.State != core.WatchdogActive {
			f.add("I6", "%s although the watchdog is required and %q", s.Kind, dog.State)
		}
		if d.View.Store.Lease.Holder != d.View.Self || d.View.Store.Lease.Released {
			f.add("I6", "%s although the lease is %s's", s.Kind, d.View.Store.Lease.Holder)
		}
	}
}

// I9: at most one disruptive step in a tick, and none but the fence while paused.
func (f *found) oneDisruption(d *Decision) {
	n := 0
	for _, s := range d.Plan.Steps {
		if s.Disruptive() {
			n++
		}
		if s.Disruptive() && s.Kind != core.StepFence && d.View.Store.Paused && !d.View.Stopping {
			f.add("I9", "%s while the cluster is paused", s.Kind)
		}
	}
	if n > 1 {
		f.add("I9", "%d disruptive steps in one tick", n)
	}
}

// I12: a tick that does nothing although something is wrong says why.
func (f *found) reasons(d *Decision) {
	if len(d.Report.Reasons) > 0 || len(d.Report.Conditions) > 0 || len(d.Plan.Steps) > 0 || healthy(&d.View) {
		return
	}
	f.add("I12", "nothing is done and nothing is said, while PostgreSQL is %s and %q leads", d.View.Local.Instance.State, d.View.Store.Lease.Holder)
}

// I14: a primary is given up for its health only after the patience that its flaps ask for, and
// only when somebody could take over; whose disk refuses takes no lease; and a lease is not renewed
// over processes that a fence could not end.
func (f *found) health(d *Decision) {
	v, l := &d.View, &d.View.Local
	patience := min(v.Store.Spec.HealthRules().WriteTimeout.D()<<max(0, min(v.Store.Lease.Flaps, 6)), 10*time.Minute)
	for _, s := range d.Plan.Steps {
		switch {
		case s.Kind == core.StepFence && s.Why.Code == "ill":
			if waited := max(l.Probe.Open(v.Now), l.Disk.Test.Open(v.Now)); waited <= patience {
				f.add("I14", "PostgreSQL is given up after %s, patience is %s", waited, patience)
			}
			if !slices.ContainsFunc(v.Peers, func(p core.Peer) bool { return p.Known && p.Err == "" && !p.Unwell && p.Instance.Standby() }) {
				f.add("I14", "PostgreSQL is given up, and nobody can take over")
			}
		case s.Kind != core.StepPutLease || s.Lease.Holder != v.Self || s.Lease.Released:
		case s.Lease.Term > v.Store.Lease.Term && l.Disk.Test.Err != "" && s.Why.Code != "forced":
			f.add("I14", "term %d is taken with a disk that refuses: %s", s.Lease.Term, l.Disk.Test.Err)
		case s.Lease.Term == v.Store.Lease.Term && l.Warden.Alive && l.Warden.Fenced && !l.Warden.Empty:
			f.add("I14", "term %d is renewed over processes that were to be killed", s.Lease.Term)
		}
	}
}

// healthy: a trusted primary, a standby that streams, or a standby whose leader is known.
func healthy(v *core.View) bool {
	i := &v.Local.Instance
	if !v.Store.Known || i.State != core.StateRunning {
		return false
	}
	if v.Store.Lease.Holder == v.Self {
		return i.Primary
	}
	return !i.Primary && i.Streaming
}

// Same is I10, first half: the same input gives the same output, and input is not
// changed. It decides twice more, so it is for samples and replays.
func Same(d Decision) []Violation {
	var f found
	plan, _, report := core.Decide(d.Memory, d.View)
	if !reflect.DeepEqual(plan, d.Plan) || !reflect.DeepEqual(report, d.Report) {
		f.add("I10", "the same view and memory gave two plans: %v and %v", kinds(d.Plan), kinds(plan))
	}
	return f
}

// givesUpPromotion: only the memory knows for how long it has come to nothing; without it the same promotion is told once more.
func givesUpPromotion(p core.Plan) bool {
	return slices.ContainsFunc(p.Steps, func(s core.Step) bool { return s.Kind == core.StepFence && s.Why.Code == "promotion_given_up" })
}

// Forgetting is I10, second half: losing the memory may delay, never permit. The counts of
// failures are kept, for what they do is delay: without them a start or a clone is tried
// sooner, which has its own permission.
func Forgetting(d Decision) []Violation {
	var f found
	if givesUpPromotion(d.Plan) {
		return nil
	}
	plan, _, _ := core.Decide(core.Memory{Failures: d.Memory.Failures, RejectedRevision: d.Memory.RejectedRevision}, d.View)
	for _, s := range plan.Steps {
		if !permits(s, d.View) {
			continue
		}
		if !slices.ContainsFunc(d.Plan.Steps, func(w core.Step) bool { return sameEffect(w, s) }) {
			f.add("I10", "losing the memory permits %s: %s", s.Kind, s.Why)
		}
	}
	return f
}

func sameEffect(a, b core.Step) bool {
	if a.Kind != b.Kind || a.Standby != b.Standby {
		return false
	}
	x, y := a.Lease, b.Lease
	return x == nil || y == nil || x.Holder == y.Holder && x.Term == y.Term && x.Released == y.Released
}

// permits: the step gives leadership, makes writable, or replaces data.
func permits(s core.Step, v core.View) bool {
	switch s.Kind {
	case core.StepPromote, core.StepInit, core.StepClone, core.StepRewind:
		return true
	case core.StepStart:
		return !s.Standby
	case core.StepPutLease:
		was := v.Store.Lease
		return s.Lease.Holder != was.Holder || s.Lease.Term != was.Term || s.Lease.Released != was.Released
	}
	return false
}

func kinds(p core.Plan) (out []core.StepKind) {
	for _, s := range p.Steps {
		out = append(out, s.Kind)
	}
	return out
}

// TwoPrimaries is I1 as one member can see it: two say that they accept writes. Answers are
// up to peerAge old, so it counts only when it lasts: the agent waits.
func TwoPrimaries(v core.View) []Violation {
	var f found
	var open []string
	if v.Local.Instance.Primary && v.Local.Instance.State == core.StateRunning {
		open = append(open, v.Self)
	}
	for _, p := range v.Peers {
		if p.Known && p.Err == "" && p.Age < peerAge && p.Instance.Primary && p.Instance.State == core.StateRunning {
			open = append(open, p.Name)
		}
	}
	if len(open) > 1 {
		f.add("I1", "%v accept writes", open)
	}
	return f
}

const peerAge = 3 * time.Second
