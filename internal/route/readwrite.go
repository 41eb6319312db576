package route

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// readWrite sends to the holder of the lease, and holds clients while it is not seen to accept writes:
// a statement that waits a second is better than one that fails.
func (d *decider) readWrite() {
	holder, op := d.v.holder(), d.v.asked()
	why, open := d.open(holder)
	d.spare(op)
	d.noteWritten(holder)
	if d.m.Hold.holding(op) {
		d.holdReadWrite(because("held_for_operation", "%s %s to %s: no transaction begins until it is through", op.Kind, op.ID, orAny(op.To)))
		d.plan.Hurry = nil // it is being stopped: to knock at its door again and again only keeps it from that
		return
	}
	if !open {
		d.holdReadWrite(why)
		switch {
		case !d.v.Founded: // a cluster that is being made keeps nobody waiting
		case d.lasting("held") >= heldTold:
			d.condition(core.CondPoolerHolds, "%s", why.Text)
		default:
			d.wakeAt(d.v.Now.Add(heldTold))
		}
		return
	}
	d.plan.RW = Endpoint{Targets: []string{holder}, Drop: d.m.Target != holder && d.m.Target != "", Why: why}
	d.m.Target, d.m.Holds = holder, false
	if s := d.v.sight(holder); s.Silent {
		d.condition(core.CondPoolerBlind, "%s", why.Text)
	}
}

// spared is how long a former primary is left in peace after the lease has moved, whatever becomes of the operation.
const spared = time.Second

// spare leaves a primary in peace that is being stopped for a handover, or is about to be: a host that holds its clients need not
// read of each phase in time. Whoever it has ended the session of would try for another, and each try is a process that its
// postmaster has to make, and to wait for.
func (d *decider) spare(asked *core.Operation) {
	op, until := d.v.Operation, d.m.TermAt.Add(spared)
	if !op.Holds() {
		return
	}
	moved := op.To == d.v.holder() && d.v.Now < until
	if moved {
		d.wakeAt(until)
	}
	if moved || d.m.Hold.holding(asked) {
		d.plan.Spare = []string{op.From}
	}
}

// open judges whether clients may go to the holder, and says why, or why not.
func (d *decider) open(holder string) (core.Reason, bool) {
	s := d.v.sight(holder)
	stays := holder != "" && holder == d.m.Target && !d.m.Holds
	switch {
	case holder == "":
		return because("no_leader", "nobody holds the lease: clients wait"), false
	case !d.v.isMember(holder):
		return because("not_a_member", "%s holds the lease and is no member that holds data: clients wait", holder), false
	case s.State == Unseen && stays:
		return because("stays", "%s holds the lease of term %d and was not looked at yet: clients stay there", holder, d.v.Lease.Term), true
	case s.State == Writes && s.Silent && stays:
		return because(core.CondPoolerBlind, "%s does not answer (%s), and holds the lease: clients stay there", holder, s.Err), true
	case s.State == Writes && !s.Silent && (stays || s.At >= d.m.TermAt):
		return because("holder_writes", "%s holds the lease of term %d and accepts writes", holder, d.v.Lease.Term), true
	case s.State == Recovery:
		return because("not_promoted", "%s holds the lease of term %d and does not accept writes yet: clients wait", holder, d.v.Lease.Term), false
	case s.State == Down:
		return because("holder_down", "%s holds the lease of term %d and lets nobody in (%s): clients wait", holder, d.v.Lease.Term, s.Err), false
	case s.Silent:
		return because("holder_silent", "%s holds the lease of term %d and does not answer (%s): clients wait", holder, d.v.Lease.Term, s.Err), false
	}
	return because("not_seen", "%s holds the lease of term %d and was not looked at since: clients wait", holder, d.v.Lease.Term), false
}

// holdReadWrite keeps the last target until nothing is open there any more; then the pooler is told the next one
// ahead, while it lets nobody through: to read its files takes it longer than to let go.
func (d *decider) holdReadWrite(why core.Reason) {
	d.plan.RW = Endpoint{Hold: true, AtOnce: d.v.sight(d.m.Target).State == Down, Targets: d.stay(), Why: why}
	drained := d.v.RW.HeldAt != 0 && d.v.RW.DrainedAt != 0 || d.m.Hold.holding(d.v.asked()) && d.m.Hold.DrainedAt != 0
	if next := d.next(); drained && d.v.isMember(next) {
		d.plan.RW.Targets = []string{next}
	}
	d.m.Holds = true
	holder := d.v.holder()
	if s := d.v.sight(holder); holder != "" && (s.State != Writes || s.At < d.m.TermAt) {
		d.plan.Hurry = []string{holder}
	}
}

// next is who will most likely accept writes next.
func (d *decider) next() string {
	if op := d.v.asked(); op != nil {
		return op.To
	}
	return d.v.holder()
}

// stay is where the pooler sends to while it holds: where it did before.
func (d *decider) stay() []string {
	if d.v.isMember(d.m.Target) {
		return []string{d.m.Target}
	}
	return nil
}

func orAny(name string) string {
	if name == "" {
		return "the best candidate"
	}
	return name
}
