package core

import (
	"strings"
	"time"
)

func (d *decider) condition(code Code, format string, args ...any) {
	d.report.Conditions = append(d.report.Conditions, NewCondition(code, d.begin("cond:"+string(code)), format, args...))
}

// conditions adds what every member can see of itself and, on the primary, of the
// cluster.
func (d *decider) conditions() {
	d.report.Rejected = d.rejected()
	if !d.v.Store.Known {
		return
	}
	d.conditionsOfStore()
	d.conditionsOfInstance()
	if d.inst.Primary {
		d.conditionsOfCluster()
	}
}

func (d *decider) conditionsOfStore() {
	if d.v.Store.Err != "" && d.v.Now.Sub(d.v.Store.ReadAt) > 2*d.spec.Lease.Renew.D() {
		d.condition(CondNoQuorum, "the store has not answered for %s: %s", d.v.Now.Sub(d.v.Store.ReadAt).Round(time.Second), d.v.Store.Err)
	}
	if d.v.Store.Paused {
		d.condition(CondPaused, "the cluster is paused: no failover, nothing is started or stopped")
	}
	if d.mem.VacantSince != 0 && d.v.Now.Sub(d.mem.VacantSince) > d.spec.Lease.TTL.D() && d.v.Store.Cluster.SystemID != "" {
		d.condition(CondNoLeader, "nobody leads since %s", d.v.Now.Sub(d.mem.VacantSince).Round(time.Second))
	}
}

func (d *decider) conditionsOfInstance() {
	if d.me.Witness {
		return
	}
	if d.since("warden", !d.v.Local.Warden.Alive) > peerFresh { // a new agent starts without one
		d.condition(CondWardenGone, "the warden does not answer")
	} else if !d.v.Local.Warden.Alive && len(d.report.Reasons) == 0 {
		d.say("warden_gone", "the warden does not answer yet")
	}
	if j := d.v.Local.Job; j.Err != "" && !j.Running && d.inst.State != StateRunning && (j.Kind == string(StepClone) || j.Kind == string(StepRewind) || j.Kind == string(StepInit)) {
		d.condition(CondCloneFailed, "%s: %s", j.Kind, j.Err)
	}
	if f := d.mem.Failures[string(StepStart)]; f.Count > 1 {
		text := d.v.Local.Warden.ExitText
		if d.v.Failed.Kind == StepStart {
			text = d.v.Failed.Text
		}
		d.condition(CondStartFailed, "PostgreSQL did not start, %d times now: %s", f.Count, text)
	}
	if f := d.v.Failed; f.Kind != "" && f.Kind != StepStart && d.since("failing:"+string(f.Kind), true) > peerFresh {
		d.condition(CondStepFailed, "%s: %s", f.Kind, f.Text)
	}
	if d.rejected() {
		d.condition(CondRejected, "PostgreSQL did not start with the spec's parameters; it runs with its last good ones")
	}
	if len(d.inst.Pending) > 0 {
		d.condition(CondPending, "a restart is needed for %s", strings.Join(d.inst.Pending, ", "))
	}
	if d.since("unknown", d.inst.State == StateUnknown) > peerFresh {
		d.condition(CondNotAnswering, "PostgreSQL's processes exist but do not answer")
	}
}

func (d *decider) conditionsOfCluster() {
	for _, p := range d.v.Peers {
		if d.since("peer:"+p.Name, !fresh(p)) > peerFresh {
			d.condition(CondMemberDown, "%s does not answer: %s", p.Name, orNone(p.Err))
		}
	}
	eligible := d.syncEligible()
	if want := min(d.spec.SyncStandbys, len(eligible)); d.synchronous() && d.since("degraded", len(d.lease.Sync.Members) < want) > d.spec.Lease.TTL.D() {
		d.condition(CondDegraded, "commits are kept on %s besides the primary; the spec asks for %d standbys", d.lease.Sync.text(), d.spec.SyncStandbys)
	}
}
