package core

import (
	"strconv"
	"time"
)

// scheduleMissed is how late what was planned may begin: it was planned for a quiet hour.
const scheduleMissed = 10 * time.Minute

// driveOperation moves the cluster's operation on. Only the holder of the lease
// drives; a new holder finishes or takes back what an older one began. It returns
// true when it decided the tick.
func (d *decider) driveOperation() bool {
	op := d.v.Store.Operation
	if op != nil && op.Phase == PhaseScheduled && d.v.Wall >= op.AtMS {
		next := *op
		switch late := time.Duration(d.v.Wall-op.AtMS) * time.Millisecond; {
		case late > scheduleMissed:
			d.endOperation(next, PhaseAborted, because("schedule_missed", "its time has passed by %s: nobody could begin it then, and nobody may expect it now", late.Round(time.Second)))
		case d.v.Store.Paused:
			d.say("paused", "the %s is due, and waits: the cluster is paused", op.Kind)
		default:
			next.Phase = PhaseRequested
			d.putOperation(next, because("due", "the %s was asked for at this time", op.Kind))
		}
		return false
	}
	if !op.Active() {
		return d.certify(op)
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
	again := map[string]time.Duration{} // of all, before one is waited for
	for _, s := range d.inst.Senders {
		again[s.Member] = d.sinceOf("streams ", s.Member, s.Streaming)
	}
	for _, p := range d.v.Peers {
		m, _ := d.member(p.Name)
		switch {
		case p.Rejected && d.v.Now.Sub(d.v.Store.OperationSeenAt) < peerFresh:
			d.say("restart_waits", "%s has rejected parameters; it may not have seen the newest spec yet", p.Name)
			return false
		case p.Rejected:
			d.endOperation(op, PhaseAborted, because("parameters_rejected", "%s could not start with the new parameters and went back", p.Name))
			return false
		case !m.Witness && fresh(p) && again[p.Name] <= p.Age: // what it said before knows nothing of how it came back
			d.say("restart_waits", "waiting for %s to stream again, and to say how", p.Name)
			d.wakeIn(tickBusy)
			return false
		}
	}
	next, ok := d.nextRestart(&op)
	if ok && op.Rolling && next == d.v.Self {
		// Who hands over is stopped and started by that: it needs no restart of its own.
		op.Kind, op.From, op.To, op.Resume = OpSwitchover, d.v.Self, "", true
		d.putOperation(op, because("restart", "%s is next: it hands over first", next))
		return false
	}
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
	return d.v.Now.Sub(d.v.Store.OperationSeenAt) > op.Timeout()*time.Duration(n)
}

func (d *decider) opID(prefix string) string {
	return prefix + "-" + strconv.FormatUint(d.lease.Term, 10)
}
