package core

import (
	"strconv"
	"time"
)

// driveOperation moves the cluster's operation on. Only the holder of the lease
// drives; a new holder finishes or takes back what an older one began. It returns
// true when it decided the tick.
func (d *decider) driveOperation() bool {
	op := d.v.Store.Operation
	if !op.Active() {
		return false
	}
	if d.v.Store.Paused {
		d.say("paused", "the %s waits: the cluster is paused", op.Kind)
		return false
	}
	switch op.Kind {
	case OpSwitchover:
		return d.driveSwitchover(*op)
	case OpRestart:
		return d.driveRestart(*op)
	case OpFailover:
		switch {
		case op.To != "" && op.To != d.v.Self:
			d.endOperation(*op, PhaseAborted, because("failover_overtaken", "%s leads term %d already", d.v.Self, d.lease.Term))
		case d.inst.Primary:
			d.endOperation(*op, PhaseDone, because("failover_done", "%s leads term %d", d.v.Self, d.lease.Term))
		}
	}
	return false
}

func (d *decider) driveSwitchover(op Operation) bool {
	if op.From != d.v.Self || op.Phase == PhaseStopping && op.Term != d.lease.Term {
		// The lease has moved on: to the candidate (done once it is primary) or elsewhere.
		if d.v.Self == op.To && op.Phase != PhaseRequested {
			if d.inst.Primary {
				d.endOperation(op, PhaseDone, because("switchover_done", "%s leads term %d", d.v.Self, d.lease.Term))
			}
			return false
		}
		d.endOperation(op, PhaseAborted, because("switchover_overtaken", "%s leads term %d now", d.v.Self, d.lease.Term))
		return false
	}
	late := d.opLate(op, 1)
	switch op.Phase {
	case PhaseRequested:
		return d.switchoverRequested(op, late)
	case PhaseStopping:
		return d.switchoverStopping(op, late)
	}
	return false
}

// switchoverRequested checks the candidate and flushes ahead of the stop.
func (d *decider) switchoverRequested(op Operation, late bool) bool {
	who, why, ok := d.candidateFor(op)
	if ok && !d.inst.Primary {
		why, ok = because("waiting_for_postgres", "PostgreSQL is %s", d.inst.State), false
	}
	if !ok {
		if late || d.v.Stopping {
			d.endOperation(op, PhaseAborted, why)
		}
		d.report.Reasons = append(d.report.Reasons, why)
		d.wakeIn(4 * tickBusy)
		return false
	}
	if j := d.v.Local.Job; j.Kind != string(StepCheckpoint) || j.ID != op.ID {
		// A shutdown checkpoint with much to write is outage; written ahead, it is not.
		d.job(Step{Kind: StepCheckpoint, ID: op.ID, Why: because("switchover", "checkpoint ahead of the stop")})
		d.wakeIn(tickBusy)
		return false
	} else if j.Running {
		d.say("checkpoint_running", "checkpoint ahead of the stop")
		d.wakeIn(tickBusy)
		return false
	}
	op.To, op.Phase, op.Term = who, PhaseStopping, d.lease.Term
	d.putOperation(op, because("switchover", "%s takes over from %s", who, d.v.Self))
	return true
}

// candidateFor checks the candidate, or chooses it: streaming, close, willing.
func (d *decider) candidateFor(op Operation) (string, Reason, bool) {
	best, why := Peer{}, because("no_candidate", "no standby streams from this primary")
	for _, p := range d.v.Peers {
		if op.To != "" && p.Name != op.To {
			continue
		}
		m, _ := d.member(p.Name)
		s, sending := d.sender(p.Name)
		switch {
		case m.Tags.NoFailover:
			why = because("no_candidate", "%s is tagged no_failover", p.Name)
		case m.Witness:
			why = because("no_candidate", "%s is a witness", p.Name)
		case p.Unwatched:
			why = because("no_candidate", "%s lacks the watchdog that it requires", p.Name)
		case p.Stopping:
			why = because("no_candidate", "%s is stopping", p.Name)
		case !fresh(p) || !p.Instance.Standby():
			why = because("no_candidate", "%s is not a running standby: %s", p.Name, orNone(p.Err))
		case !sending || !s.Streaming:
			why = because("no_candidate", "%s does not stream", p.Name)
		case d.inst.WriteLSN.Sub(s.FlushLSN) > d.spec.MaxLagBytes:
			why = because("no_candidate", "%s is %d bytes behind", p.Name, d.inst.WriteLSN.Sub(s.FlushLSN))
		case best.Name == "" || p.Instance.Position().LSN > best.Instance.Position().LSN:
			best = p
		}
	}
	if best.Name == "" {
		return "", why, false
	}
	return best.Name, Reason{}, true
}

// switchoverStopping: stop, prove by the control file that the candidate has
// everything, hand the lease over. It reopens here when time runs out.
func (d *decider) switchoverStopping(op Operation, late bool) bool {
	d.wakeIn(tickBusy / 2)
	p, _ := d.peer(op.To)
	// Nobody sends any more, and the candidate was asked after that: what it lacks it will never get.
	missed := d.ended() && p.Known && p.Err == "" && p.Age+time.Second < d.v.Now.Sub(d.v.Local.Warden.ExitedAt) && !d.receivedShutdown(p)
	if late || missed && d.cleanlyStopped() {
		d.endOperation(op, PhaseAborted, because("switchover_late", "%s did not confirm the shutdown checkpoint in time; %s stays primary", op.To, d.v.Self))
		return false
	}
	if !d.cleanlyStopped() {
		if d.ended() {
			d.endOperation(op, PhaseAborted, because("switchover_unclean", "PostgreSQL ended without a clean shutdown (%s)", d.inst.Control))
			return false
		}
		d.do(Step{Kind: StepStop, Why: because("switchover", "%s takes over", op.To)})
		return true
	}
	if !fresh(p) || !p.Instance.Standby() || !d.receivedShutdown(p) {
		d.say("candidate_behind", "%s has received %s; the shutdown checkpoint is at %s", op.To, p.Instance.Position(), d.inst.Checkpoint)
		return true
	}
	d.putLease(d.newLease(op.To, p.Instance.Position().LSN, d.receivedShutdown),
		because("handed_over", "%s has received the shutdown checkpoint %s: it has everything", op.To, d.inst.Checkpoint))
	return true
}

// receivedShutdown: the peer's WAL goes beyond the start of our shutdown checkpoint,
// which is the last record there is.
func (d *decider) receivedShutdown(p Peer) bool {
	return p.Instance.Timeline == d.inst.CheckpointTimeline && p.Instance.Position().LSN > d.inst.Checkpoint
}

// driveRestart restarts members one after the other: those in the queue, or whoever
// has pending settings: standbys first, then the primary, then standbys again, which is
// the right order for growing and for shrinking settings alike (see ordered).
func (d *decider) driveRestart(op Operation) bool {
	if d.opLate(op, len(d.v.Store.Members)) {
		d.endOperation(op, PhaseAborted, because("restart_late", "not all members came back in time"))
		return false
	}
	if len(d.v.Store.Requests) > 0 {
		d.say("restart_running", "waiting for %s", d.v.Store.Requests[0])
		return false
	}
	for _, p := range d.v.Peers {
		if p.Rejected && d.v.Now.Sub(d.v.Store.OperationSeenAt) < peerFresh {
			d.say("restart_waits", "%s has rejected parameters; it may not have seen the newest spec yet", p.Name)
			return false
		}
		if p.Rejected {
			d.endOperation(op, PhaseAborted, because("parameters_rejected", "%s could not start with the new parameters and went back", p.Name))
			return false
		}
		m, _ := d.member(p.Name)
		if s, ok := d.sender(p.Name); !m.Witness && fresh(p) && (!ok || !s.Streaming) {
			d.say("restart_waits", "waiting for %s to stream again", p.Name)
			return false
		}
	}
	next, ok := d.nextRestart(&op)
	if op.Pending && !ok && d.since("nothing_pending", true) < peerFresh {
		d.say("restart_settling", "nothing waits for a restart now; what the last ones have led to is still awaited")
		return false
	}
	if !ok {
		d.endOperation(op, PhaseDone, because("restart_done", "nothing is left to restart"))
		return false
	}
	why := because("restart", "%s is next", next)
	d.do(Step{Kind: StepPutRequest, Member: next, Request: &Request{ID: op.ID, Kind: RequestRestart, Phase: PhaseRequested, By: op.By, Of: op.ID}, Why: why})
	if !op.Pending {
		d.putOperation(op, why) // after the request: a crash between them restarts a member twice, not never
	}
	return false
}

func (d *decider) nextRestart(op *Operation) (string, bool) {
	if !op.Pending {
		if len(op.Queue) == 0 {
			return "", false
		}
		next := op.Queue[0]
		op.Queue = op.Queue[1:]
		return next, true
	}
	for _, p := range d.v.Peers {
		if fresh(p) && len(p.Instance.Pending) > 0 {
			return p.Name, true
		}
	}
	return d.v.Self, len(d.inst.Pending) > 0
}

func (d *decider) endOperation(op Operation, phase string, why Reason) {
	op.Phase, op.Text, op.Term = phase, why.Text, d.lease.Term
	d.putOperation(op, why)
}

func (d *decider) putOperation(op Operation, why Reason) {
	d.do(Step{Kind: StepPutOperation, Operation: &op, Expect: d.v.Store.OperationRevision, Guard: Guard{Term: d.lease.Term}, Why: why})
	d.wakeIn(0)
}

// opLate says that the operation has had its time, for each of n parts.
func (d *decider) opLate(op Operation, n int) bool {
	limit := opTimeout
	if op.TimeoutMS > 0 {
		limit = time.Duration(op.TimeoutMS) * time.Millisecond
	}
	return d.v.Now.Sub(d.v.Store.OperationSeenAt) > limit*time.Duration(n)
}

func (d *decider) opID(prefix string) string {
	return prefix + "-" + strconv.FormatUint(d.lease.Term, 10)
}
