package core

import (
	"strconv"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// follow is what a member does that does not hold the lease.
func (d *decider) follow() {
	if d.mustFence() {
		return
	}
	if d.v.Stopping {
		d.stopForExit()
		return
	}
	d.testify()
	if w := d.v.Local.Warden; w.Alive && w.Deadline != 0 && (w.Empty || d.inst.Standby()) {
		d.do(Step{Kind: StepDisarm, Why: because("standby", "a standby accepts no writes and needs no deadline")})
	}
	if d.dataRefused() {
		return
	}
	if d.vacant() {
		d.vacancy()
		return
	}
	d.mem.VacantSince = 0
	d.followHolder(d.lease.Holder)
}

// mustFence kills an instance that accepts writes, or is on its way to, without a lease.
func (d *decider) mustFence() bool {
	if !d.mayWrite() {
		return false
	}
	d.do(Step{Kind: StepFence, Why: because("not_leader", "the lease of term %d is not ours (%s), and PostgreSQL here is or may become writable", d.lease.Term, d.lease.Holder)})
	return true
}

// mayWrite: processes exist that accept writes, or may before we look again. Not so
// after the shutdown checkpoint: a handed-over primary ends in peace, under a deadline
// that still stands should this be a misreading.
func (d *decider) mayWrite() bool {
	w := d.v.Local.Warden
	if d.cleanlyStopped() {
		return false
	}
	return w.Alive && !w.Empty && (d.inst.Primary || w.Deadline != 0 && !d.inst.Standby())
}

func (d *decider) stopForExit() {
	if !d.v.Local.Warden.Alive {
		d.say("warden_gone", "the warden does not answer: nothing can be stopped")
	} else if d.v.Local.Warden.Empty {
		d.say("leaving", "PostgreSQL is stopped; the agent ends")
	} else {
		d.do(Step{Kind: StepStop, Why: because("leaving", "the agent was told to stop")})
		d.wakeIn(tickBusy)
	}
}

// dataRefused: data that is not ours, or not there though it should be, is never
// touched, and never replaced by something new.
func (d *decider) dataRefused() bool {
	data := d.v.Local.Data
	switch data.State {
	case DataForeign:
		d.condition(CondDataForeign, "%s", data.Text)
	case DataUnmounted:
		d.condition(CondDataUnmounted, "%s", data.Text)
	case DataUnknown:
		d.say("data_unknown", "the data directory cannot be judged: %s", data.Text)
	case DataPresent, DataBroken:
		return !d.dataIsOurs()
	default:
		return false
	}
	return true
}

func (d *decider) dataIsOurs() bool {
	data, c := d.v.Local.Data, d.v.Store.Cluster
	if data.ClusterID != c.ID {
		d.condition(CondDataOther, "the data directory belongs to cluster %s, this is cluster %s", data.ClusterID, c.ID)
		return false
	}
	if c.SystemID != "" && data.SystemID != c.SystemID {
		d.condition(CondDataOther, "the data directory has system identifier %s, this cluster has %s", data.SystemID, c.SystemID)
		return false
	}
	return true
}

// mayInit: only one member, once in the cluster's life, into nothing.
func (d *decider) mayInit() bool {
	c := d.v.Store.Cluster
	return c.SystemID == "" && c.BootstrapBy == d.v.Self && d.v.Local.Data.State == DataAbsent
}

func (d *decider) followHolder(holder string) {
	p, _ := d.peer(holder)
	if d.dataJob() {
		d.say("job_running", "%s: %s", d.v.Local.Job.Kind, d.v.Local.Job.Text)
		return
	}
	if d.handleRequest() {
		return
	}
	switch {
	case d.v.Local.Data.State == DataAbsent:
		d.clone(p, because("clone", "this member has no data"))
	case d.v.Local.Data.State == DataBroken:
		d.clone(p, because("clone", "an interrupted rewind left data that can never be started"))
	case !d.v.Local.Warden.Alive:
		d.say("warden_gone", "the warden does not answer")
	case d.inst.State == StateStopped && d.v.Local.Warden.Empty:
		d.rejoin(p)
	case d.inst.Standby():
		d.followRunning(p)
	default:
		d.followStarting(p)
	}
}

// followStarting: a standby that starts, or hangs in starting because its WAL
// cannot go on (a fork, or WAL that is gone).
func (d *decider) followStarting(p Peer) {
	d.say("waiting_for_postgres", "PostgreSQL is %s", d.inst.State)
	if d.inst.State == StateStarting && !d.forgotten() {
		d.configure(d.standbyConf(p.Name), because("follow", "%s leads term %d", p.Name, d.lease.Term))
	}
}

// forgotten: before its start this agent may have given its word that it confirms nothing more to the
// holder (see Report.Vacant), and somebody may be elected by it now. A renewal rules that out: the
// election's compare-and-swap fails, or has failed. A member that receives WAL has given no word.
func (d *decider) forgotten() bool {
	if d.v.Store.LeaseFirst {
		d.say("lease_not_renewed", "%s is not followed before its lease is seen to be renewed: this agent may have voted against it before its start", d.lease.Holder)
		d.wakeIn(4 * tickBusy)
	}
	return d.v.Store.LeaseFirst
}

func (d *decider) configuredFor(name string) bool {
	return d.standbyConf(name).Key() == d.v.Local.ConfKey
}

// rejoin is the ladder for stopped data: follow as is, rewind, clone. Each rung
// states why the one before was not enough.
func (d *decider) rejoin(p Peer) {
	if d.forgotten() {
		return
	}
	if !fresh(p) || !p.Instance.Primary {
		if d.wasPrimary() {
			d.say("waiting_for_primary", "%s leads term %d but is not primary yet: where it forked is not known", d.lease.Holder, d.lease.Term)
			d.wakeIn(4 * tickBusy)
			return
		}
		d.startFollowing(because("as_is", "this was a standby; %s is not primary yet", d.lease.Holder))
		return
	}
	if d.inst.Control == "in archive recovery" {
		// A standby that crashed recovers as a standby, and is judged when it runs. Outside
		// of archive recovery its recovery would end in a record its primary never wrote.
		d.startFollowing(because("as_is", "a standby that did not stop cleanly recovers as a standby"))
		return
	}
	switch fork, last := d.forkOf(p), d.inst.LastRecord; {
	case last == 0 && d.rewound():
		d.startFollowing(because("as_is", "pg_rewind ended well"))
	case last == 0:
		d.rewindOrClone(p, because("rewind", "where the WAL here ends cannot be told"))
	case last >= fork:
		d.rewindOrClone(p, because("rewind", "the WAL here goes to %s, but %s left timeline %d at %s", last, p.Name, d.inst.CheckpointTimeline, fork))
	case p.Instance.OldestWAL > last:
		d.clone(p, because("clone", "the WAL after %s is gone from %s, whose oldest is %s", last, p.Name, p.Instance.OldestWAL))
	case d.clientsFirst():
		d.say("clients_first", "this member has handed over, and commits do not wait for it: its start waits until clients are served")
		d.wakeIn(calmAfter / 2)
	default:
		d.startFollowing(because("as_is", "the WAL here ends at %s, before %s left timeline %d", last, p.Name, d.inst.CheckpointTimeline))
	}
}

// forkOf says where the primary's history left our timeline: greatest when it did
// not, 0 when our timeline is no part of it.
func (d *decider) forkOf(p Peer) wal.LSN {
	mine := max(d.inst.Timeline, d.inst.CheckpointTimeline)
	if at, ok := p.Instance.History.ForkOf(mine, p.Instance.Timeline); ok {
		return at
	}
	return 0
}

// jobEnded says that the last job was of this kind and ended well.
func (d *decider) jobEnded(kind StepKind) bool {
	j := d.v.Local.Job
	return j.Kind == string(kind) && !j.Running && j.Err == ""
}

func (d *decider) startFollowing(why Reason) {
	d.start(true, d.standbyConf(d.lease.Holder), why)
}

func (d *decider) rewindID() string { return "rewind-" + strconv.FormatUint(d.lease.Term, 10) }

// rewound: pg_rewind ended well in this term. Doing it once more would change nothing.
func (d *decider) rewound() bool {
	return d.jobEnded(StepRewind) && d.v.Local.Job.ID == d.rewindID()
}

func (d *decider) rewindOrClone(p Peer, why Reason) {
	if d.rewound() {
		d.clone(p, because("clone", "pg_rewind did not help: %s", why.Text))
		return
	}
	if f := d.mem.Failures[string(StepRewind)]; f.Count >= 2 && d.v.Local.Job.Code != CondForkNotSaved {
		d.clone(p, because("clone", "pg_rewind failed %d times: %s", f.Count, d.v.Local.Job.Err))
		return
	}
	if p.Instance.CheckpointTimeline < p.Instance.Timeline {
		d.say("waiting_for_checkpoint", "%s has not written timeline %d to its control file yet", p.Name, p.Instance.Timeline)
		d.wakeIn(4 * tickBusy)
		return
	}
	d.job(Step{Kind: StepRewind, Member: p.Name, ID: d.rewindID(), Fork: d.forked(p), Why: why})
}

func (d *decider) clone(p Peer, why Reason) {
	if !fresh(p) || !p.Instance.Primary || !p.Instance.Roles {
		d.say("waiting_for_primary", "%s leads term %d but is no complete primary yet: nothing to clone from", d.lease.Holder, d.lease.Term)
		d.wakeIn(4 * tickBusy)
		return
	}
	if p.Instance.Corrupt > 0 {
		d.say("source_corrupt", "%s has read %d pages with a wrong checksum: a copy would have them too", p.Name, p.Instance.Corrupt)
		return
	}
	if w := d.v.Local.Warden; !w.Alive {
		d.say("warden_gone", "the warden does not answer: whether PostgreSQL runs here is not known")
		return
	} else if !w.Empty {
		d.do(Step{Kind: StepStop, Why: because("clone", "PostgreSQL still runs in a directory that is to be replaced")})
		return
	}
	if d.v.Local.Data.State != DataAbsent && d.inst.State != StateStopped {
		d.say("data_unknown", "what the data here has and %s has not is not known yet", p.Name)
		d.wakeIn(4 * tickBusy)
		return
	}
	for _, q := range d.v.Peers {
		if fresh(q) && q.Job.Running && q.Job.Kind == string(StepClone) {
			d.say("clone_busy", "%s is being cloned; one at a time per source", q.Name)
			return
		}
	}
	id := "clone-" + strconv.FormatUint(d.lease.Term, 10)
	if r := d.v.Store.Request; r != nil {
		id = r.ID
	}
	d.job(Step{Kind: StepClone, Member: p.Name, ID: id, Fork: d.forked(p), Why: why})
}

// followRunning keeps a running standby on the right source.
func (d *decider) followRunning(p Peer) {
	op, over := d.handingOver()
	ahead := over && d.inst.Follows == op.Candidate // may know of the next timeline before the lease is seen to have moved
	if fresh(p) && p.Instance.Primary && !ahead && d.diverged(p) {
		return
	}
	source := d.source(op, over)
	switch {
	case d.configuredFor(source) && over && op.Candidate == d.v.Self:
		d.createSlots()
	case d.configuredFor(source):
		d.dropSlots()
	case (fresh(p) || d.inst.Follows == "") && (d.inst.Receiver || !d.forgotten()):
		why := because("follow", "%s leads term %d", d.lease.Holder, d.lease.Term)
		if source != d.lease.Holder {
			why = because("ahead", "%s is about to take over from %s", source, d.lease.Holder)
		}
		d.configure(d.standbyConf(source), why)
	}
	d.markGood()
	broken := d.since("streaming", !d.inst.Streaming)
	if d.inst.Streaming {
		delete(d.mem.Failures, string(StepRewind)) // the next fork begins the ladder anew
		delete(d.mem.Failures, string(StepClone))
		return
	}
	d.say("not_streaming", "not streaming from %s yet", source)
	if broken < streamGrace {
		return
	}
	d.condition(CondNotStreaming, "%s has not been streaming from %s for %s", d.v.Self, source, broken.Round(time.Second))
	if fresh(p) && p.Instance.Primary && p.Instance.OldestWAL > d.inst.Position().LSN {
		d.do(Step{Kind: StepStop, Why: because("wal_gone", "this member needs WAL from %s on, the oldest of %s is %s", d.inst.Position().LSN, p.Name, p.Instance.OldestWAL)})
	}
}

// diverged stops a running standby whose WAL is not part of the primary's history; the
// ladder takes it from there. Only what it has replayed counts, as for PostgreSQL itself: it goes over to
// the primary's timeline as long as its replay has not passed the fork. What it "received" may be
// no more than the segment at whose start it would like to begin streaming, and a member stopped
// for that would be started and stopped for ever.
func (d *decider) diverged(p Peer) bool {
	at, here := d.forkOf(p), d.inst.ReplayLSN
	if d.inst.Timeline == 0 || here <= at {
		return false
	}
	d.do(Step{Kind: StepStop, Why: because("diverged", "at %s on timeline %d, which %s left at %s", here, d.inst.Timeline, p.Name, at)})
	return true
}

// handleRequest carries out what an operator asked of this member. It returns true
// when it decided the tick.
func (d *decider) handleRequest() bool {
	r := d.v.Store.Request
	if r == nil {
		return false
	}
	if d.v.Store.Paused {
		d.say("paused", "the request of %s waits: the cluster is paused", r.By)
		return false
	}
	if d.holds() && r.Kind == RequestReinit {
		d.do(Step{Kind: StepEndRequest, Expect: r.Revision, Why: because("reinit_refused", "the primary is the source of all data and is never reinitialised")})
		return true
	}
	if op := d.v.Store.Operation; r.Phase == PhaseRequested && r.Of != "" && !(op.Active() && op.ID == r.Of) {
		// Its writer gave it up, and asked again or ended the operation; then it landed.
		d.do(Step{Kind: StepEndRequest, Expect: r.Revision, Why: because("request_late", "operation %s, which asked for it, is over", r.Of)})
		return true
	}
	if r.Phase == PhaseRequested {
		next := *r
		next.Phase = PhaseStopping
		d.do(Step{Kind: StepPutRequest, Member: d.v.Self, Request: &next, Expect: r.Revision, Why: because(Code(r.Kind), "asked for by %s", r.By)})
		d.wakeIn(0)
		return true
	}
	if !d.v.Local.Warden.Empty {
		d.do(Step{Kind: StepStop, Why: because(Code(r.Kind), "asked for by %s", r.By)})
		d.wakeIn(tickBusy)
		return true
	}
	j := d.v.Local.Job
	if r.Kind == RequestReinit && !(j.Kind == string(StepClone) && j.ID == r.ID && !j.Running && j.Err == "") {
		p, _ := d.peer(d.lease.Holder)
		d.clone(p, because("reinit", "asked for by %s", r.By))
		return true
	}
	d.do(Step{Kind: StepEndRequest, Expect: r.Revision, Why: because(RequestDone, "%s: the rest follows by itself", r.Kind)})
	d.wakeIn(0)
	return true
}
