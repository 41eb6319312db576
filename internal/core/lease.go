package core

import (
	"slices"

	"github.com/pgherd/pgherd/internal/spec"
)

// lead is what the holder of the lease does.
func (d *decider) lead() {
	d.mem.VacantSince = 0
	if d.unkillable() {
		return
	}
	record, conf := d.syncSets()
	d.failsafe()
	d.renew(record)
	if !d.trusted() && !d.beginsTerm() {
		d.leadUntrusted()
		return
	}
	d.report.Trusted = d.trustUntil()
	if d.dataJob() {
		d.say("job_running", "%s: %s", d.v.Local.Job.Kind, d.v.Local.Job.Text)
		return
	}
	if d.yieldIll() || d.v.Stopping && d.leaveOffice() || d.driveOperation() {
		return
	}
	switch {
	case d.inst.State == StateStopped && d.v.Local.Warden.Alive && d.v.Local.Warden.Empty:
		d.leadStopped()
	case d.inst.Primary:
		d.leadPrimary(conf)
	case d.inst.Standby():
		d.promote()
	default:
		d.awaitStart()
	}
}

// beginsTerm: a standby that was handed the lease. Its first renewal stands at the head of this plan, and what
// follows runs only when that has succeeded, with the trust that it has won: a tick less of outage.
func (d *decider) beginsTerm() bool {
	return d.v.Store.RenewedTerm != d.lease.Term && d.inst.Standby() && !d.v.Stopping && slices.ContainsFunc(d.plan.Steps, isPutLease)
}

// leadUntrusted: the lease is ours, but our trust has ended or, after an agent start,
// was never won. In the latter case the warden still counts down the deadline that our
// predecessor armed: until then it was trust well earned, and killing PostgreSQL now
// would make each upgrade of the agent an outage.
func (d *decider) leadUntrusted() {
	d.say("lease_not_trusted", "the lease of term %d is ours in the store, but no renewal of ours is recent enough to trust it", d.lease.Term)
	w := d.v.Local.Warden
	switch armed := w.Deadline > d.v.Now && w.Term == d.lease.Term; {
	case d.mayWrite() && !armed:
		d.do(Step{Kind: StepFence, Why: because("trust_ended", "trust in the lease of term %d has ended", d.lease.Term)})
	case d.v.Stopping:
		d.stopForExit()
	case d.v.Store.Err != "" && d.halfSpent(d.v.Store.ReadAt) && d.inst.State == StateStopped && w.Empty && d.v.Local.Data.State == DataPresent && d.dataIsOurs():
		failing := slices.Clone(d.plan.Steps) // the renewal goes last: it would end the tick
		d.start(true, d.standbyConf(""), because("serves_reads", "the store does not answer and writes are over: reads go on until it is back"))
		d.plan.Steps = append(d.plan.Steps[len(failing):], failing...)
	}
}

// renew keeps the lease. A change of the sync set is written at once.
func (d *decider) renew(sync SyncSet) {
	due := d.v.Store.RenewedAt.Add(d.spec.Lease.Renew.D() - renewSlack)
	if d.v.Store.RenewedTerm != d.lease.Term {
		due = d.v.Now // never renewed by this agent: trust must be won first
	}
	changed := !sync.same(d.lease.Sync)
	switch {
	case changed:
		d.putRenewal(sync, because("sync_set", "commits are now kept on %s (was %s)", sync.text(), d.lease.Sync.text()))
	case d.v.Now >= due:
		d.putRenewal(sync, because("renew", "renewal of term %d", d.lease.Term))
	default:
		d.wakeAt(due)
	}
}

func (d *decider) putRenewal(sync SyncSet, why Reason) {
	next := d.lease
	next.Beat++
	next.Sync, next.Lost = sync, d.lossesOpen()
	next.TTL, next.Margin = d.lastingTiming()
	next.Known = d.knownOrdinal()
	if d.inst.Primary {
		next.LSN, next.Written = d.inst.WriteLSN, true
		next.spokenOf(d.inst)
	}
	if d.mem.LedWell {
		next.Flaps = 0
	}
	d.putLease(next, why)
}

// lastingTiming: a longer trust begins with the next renewal, a shorter one only with the
// next term. Trust that was earned under the longer cannot be taken back (the warden's
// deadline moves forward only), while the others would wait the shorter at once.
func (d *decider) lastingTiming() (ttl, margin spec.Duration) {
	now, want := d.timing(), d.spec.Lease
	if want.TTL < now.TTL || want.TTL-want.Margin < now.TTL-now.Margin {
		return now.TTL, now.Margin
	}
	return want.TTL, want.Margin
}

// confirm puts a renewal before what follows when the outcome of our last write of the
// lease is not known: it may have been a release or a hand-over that still lands. So too when the
// warden has no deadline of this term, because it is a new one: only a renewal arms it.
func (d *decider) confirm() {
	if slices.ContainsFunc(d.plan.Steps, isPutLease) {
		return
	}
	if f := d.v.Failed; f.Kind == StepPutLease && f.At > d.v.Store.RenewedAt {
		d.putRenewal(d.lease.Sync, because("renew", "the lease is confirmed before PostgreSQL may write: the last answer to a write of it is missing"))
	} else if w := d.v.Local.Warden; w.Term != d.lease.Term || w.Deadline <= d.v.Now {
		d.putRenewal(d.lease.Sync, because("renew", "the warden is armed before PostgreSQL may write: it has no deadline of term %d", d.lease.Term))
	}
}

func isPutLease(s Step) bool { return s.Kind == StepPutLease }

// putLease replaces a renewal that the plan already has: of two writes that expect the
// same revision the second would fail.
func (d *decider) putLease(l LeaseRecord, why Reason) {
	d.plan.Steps = slices.DeleteFunc(d.plan.Steps, isPutLease)
	d.do(Step{Kind: StepPutLease, Lease: &l, Expect: d.v.Store.LeaseRevision, Guard: Guard{Term: d.lease.Term}, Why: why})
}

// release gives the lease back. The caller has proof that no process can write.
func (d *decider) release(why Reason) {
	next := d.lease
	next.Beat++
	next.Released = true
	if d.cleanlyStopped() {
		// An LSN of a checkpoint record is its start; whoever has received more has all of it.
		next.Final.Timeline, next.Final.LSN = d.inst.CheckpointTimeline, d.inst.Checkpoint
	}
	d.putLease(next, why)
}

// cleanlyStopped: the control file says that all sessions are gone and no WAL can follow.
// It says the same of a server that was started since and has not opened yet.
func (d *decider) cleanlyStopped() bool {
	return d.inst.Control == "shut down" && (d.ended() || d.inst.State == StateStopping)
}

// ended: no process is left, and the files were read after the last one's end.
func (d *decider) ended() bool {
	return d.v.Local.Warden.Empty && d.v.Local.ReadAt >= d.v.Local.Warden.ExitedAt
}

// wasPrimary: the control file was last written by a primary.
func (d *decider) wasPrimary() bool {
	return slices.Contains([]string{"in production", "shut down", "in crash recovery", "shutting down"}, d.inst.Control)
}

// leadStopped decides between starting in place and letting another member take over.
func (d *decider) leadStopped() {
	if d.v.Local.Data.State != DataPresent || !d.dataIsOurs() {
		d.leadWithoutData()
		return
	}
	if d.cannotWatch() {
		d.awaitsWatchdog()
		return
	}
	if d.handleRequest() {
		return
	}
	who, ok := d.successor()
	crashed := d.wasPrimary() && d.v.Local.Warden.ExitText != "" && !d.betterInPlace(who)
	switch {
	case ok && (d.report.Unwell || crashed || !d.wasPrimary() && d.mem.Failures[givenUp].Count > 0):
		d.release(because("crashed", "PostgreSQL ended (%s), no process of it is left, and %s can take over at once", d.v.Local.Warden.ExitText, who))
		return
	case d.report.Unwell:
		return // it waits for a small write to succeed here: see judgeDisk
	case !d.wasPrimary():
		d.start(true, d.standbyConf(""), because("start_standby_first", "the data was last a standby's (%s): started as one, then promoted", d.inst.Control))
		return
	}
	d.confirm()
	if d.awaitsWatchdog() {
		return
	}
	d.start(false, d.primaryConf(d.firstSync()), because("start_in_place", "the lease of term %d is ours and nobody can take over sooner without loss%s", d.lease.Term, d.inst.recoveryText(0)))
}

func (d *decider) leadWithoutData() {
	if d.mayInit() {
		d.job(Step{Kind: StepInit, ID: "init", Why: because("bootstrap", "the cluster has never had a database, and this member is named to make it")})
		return
	}
	if d.v.Local.Data.State == DataUnknown {
		if who, ok := d.successor(); ok && d.report.Unwell {
			d.release(because("data_unreadable", "the data directory cannot be read, no process is left, and %s can take over", who))
			return
		}
		d.say("data_unknown", "the data directory cannot be judged: %s", d.v.Local.Data.Text)
		return
	}
	d.release(because("no_data", "the data directory is %s and cannot lead; another member must", d.v.Local.Data.State))
}

// successor names a standby that could take over now without loss.
func (d *decider) successor() (string, bool) {
	if d.v.Store.Paused {
		return "", false
	}
	heard, best := 0, Peer{}
	for _, p := range d.v.Peers {
		if !fresh(p) || p.Stopping || p.Unwatched || !p.Instance.Standby() || p.Instance.SystemID != d.v.Store.Cluster.SystemID {
			continue
		}
		in := slices.Contains(d.lease.Sync.Members, p.Name)
		if in {
			heard++
		}
		if m, ok := d.member(p.Name); !ok || m.Tags.NoFailover || p.Unwell || d.tooFarBehind(&p.Instance) > 0 {
			continue
		}
		if best.Name == "" || p.Instance.Position().Compare(best.Instance.Position()) > 0 {
			best = p
		}
	}
	if best.Name == "" {
		return "", false
	}
	if d.synchronous() && heard < d.lease.Sync.mustHear() { // never enough of an empty set
		return "", false
	}
	return best.Name, true
}

// leaveOffice is SIGTERM on the primary's member: hand over when somebody can take
// over, else stop and release. Transactions that do not end in time are ended: the stop would end them too, and everybody else's with them. It returns true when it decided the tick.
func (d *decider) leaveOffice() bool {
	op, writable := d.v.Store.Operation, d.v.Store.Err == "" && !d.v.Store.Paused
	if op.Active() && writable {
		if op.Kind == OpSwitchover && op.From == d.v.Self {
			return false // it is ours: it goes on to its end
		}
		if op.Kind == OpSwitchover && op.To == d.v.Self && op.Phase == PhaseStopping && d.inst.Primary {
			return false // it is through, and is about to be said to be
		}
		d.endOperation(*op, PhaseAborted, because("leaving", "the agent of the primary was told to stop"))
		return true
	}
	tried := op != nil && op.ID == d.opID("leave")
	if who, ok := d.successor(); d.inst.Primary && ok && writable && !tried {
		op := Operation{ID: d.opID("leave"), Kind: OpSwitchover, From: d.v.Self, Phase: PhaseRequested, Term: d.lease.Term, By: "agent stop", Reason: "the agent of the primary was told to stop", Force: true}
		d.putOperation(op, because("leaving", "the agent of the primary was told to stop: %s can take over", who))
		return true
	}
	if d.v.Local.Warden.Alive && d.v.Local.Warden.Empty {
		d.release(because("stopped", "PostgreSQL is stopped and nobody can take over at once"))
		return true
	}
	d.do(Step{Kind: StepStop, Why: because("leaving", "the agent was told to stop and no member can take over")})
	d.wakeIn(tickBusy)
	return true
}
