package core

import (
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// The planned move of the primary: check the candidate, flush ahead, have the poolers hold their
// clients, stop, prove by the control file that the candidate has everything, hand the lease over.
// Each phase has its deadline. Until the lease is handed over every way out is back: the
// operation is aborted, PostgreSQL starts again where it was, and poolers let go by themselves.

const (
	settleAhead = 500 * time.Millisecond // after the checkpoint: pages that change then are logged whole, which delays what is to be held
	holdSlack   = time.Second            // for a pooler's answer, beyond what it may wait for its clients
	calmAfter   = 2 * time.Second        // a promotion: until then clients are served before all else
	saidAfter   = calmAfter / 8          // of the same: the first commits are what clients wait for, and each record is read by all members
	certifyWait = 10 * time.Second       // for all parts of a certificate
	replayMax   = 16 << 20               // bytes that a candidate replays while clients wait: after the point of no return, and before it opens
	holdStop    = 8 * time.Second        // for the stop: less than HoldMax, so that clients are held while it is undone
)

func (d *decider) driveSwitchover(op Operation) bool {
	if op.From != d.v.Self || op.Phase != PhaseRequested && op.Term != d.lease.Term {
		// The lease has moved on: to the candidate (done once it is primary) or elsewhere.
		if d.v.Self == op.To && op.Phase != PhaseRequested {
			took, leads := d.since("takes "+op.ID, true), d.since("leads "+op.ID, d.inst.Primary)
			if leads < saidAfter {
				d.wakeIn(saidAfter - leads)
			} else {
				d.switchoverDone(op, took-leads)
			}
			return false
		}
		d.endOperation(op, PhaseAborted, because("switchover_overtaken", "%s leads term %d now", d.v.Self, d.lease.Term))
		return false
	}
	switch op.Phase {
	case PhaseRequested:
		return d.switchoverRequested(op, d.opLate(op, 1))
	case PhaseHolding:
		return d.switchoverHolding(op)
	case PhaseStopping:
		return d.switchoverStopping(op, d.phaseAge() > op.Timeout() || len(d.holding(op)) > 0 && d.phaseAge() > holdStop)
	}
	return false
}

func (d *decider) switchoverDone(op Operation, took time.Duration) {
	why := because("switchover_done", "%s leads term %d", d.v.Self, d.lease.Term)
	if op.Resume {
		op.Kind, op.Resume, op.From, op.To, op.Candidate, op.Phase, op.Term, op.Certificate = OpRestart, false, "", "", "", PhaseRequested, d.lease.Term, Certificate{}
		d.putOperation(op, why)
		return
	}
	op.Certificate.PromoteMS = ms(took)
	d.endOperation(op, PhaseDone, why)
}

// switchoverRequested checks the candidate and flushes ahead of the stop.
func (d *decider) switchoverRequested(op Operation, late bool) bool {
	who, why, ok := d.candidateFor(&op)
	if ok && !d.inst.Primary {
		why, ok = because("waiting_for_postgres", "PostgreSQL is %s", d.inst.State), false
	}
	if !ok {
		hurried := d.v.Stopping && d.v.Now.Sub(d.v.Store.OperationSeenAt) > peerFresh // a standby may just have been restarted, too
		if late || hurried || op.DryRun {
			d.endOperation(op, PhaseAborted, why)
		} else if op.Candidate != "" { // who went ahead to it comes back, and may be the next candidate
			op.Candidate = ""
			d.putOperation(op, why)
		}
		d.report.Reasons = append(d.report.Reasons, why)
		d.wakeIn(4 * tickBusy)
		return false
	}
	if op.DryRun {
		d.endOperation(op, PhaseDone, because("dry_run", "%s would take over from %s", who, d.v.Self))
		return false
	}
	if !d.flushedAhead(op, who) {
		return false
	}
	op.To, op.Phase, op.Term, op.Certificate.AheadMS = who, PhaseStopping, d.lease.Term, ms(d.phaseAge())
	if len(d.holding(op)) > 0 {
		op.Phase = PhaseHolding
	}
	d.putOperation(op, because("switchover", "%s takes over from %s", who, d.v.Self))
	return true
}

// flushedAhead: a shutdown checkpoint with much to write is outage; written ahead, it is not. While what it made settles, the
// standbys go ahead to the candidate.
func (d *decider) flushedAhead(op Operation, candidate string) bool {
	j, settles := d.v.Local.Job, len(d.v.Store.Poolers) > 0 && !d.v.Stopping
	switch {
	case j.Kind != string(StepCheckpoint) || j.ID != op.ID:
		d.job(Step{Kind: StepCheckpoint, ID: op.ID, Why: because("switchover", "checkpoint ahead of the stop")})
	case j.Running:
		d.say("checkpoint_running", "checkpoint ahead of the stop")
	case settles && op.Candidate != candidate:
		if op.Candidate = candidate; !slices.ContainsFunc(d.plan.Steps, isPutLease) { // or one would be due while clients are held
			d.putRenewal(d.lease.Sync, because("renew", "renewal of term %d", d.lease.Term))
		}
		d.putOperation(op, because("candidate", "%s is made ready to take over from %s", candidate, d.v.Self))
	case settles && d.v.Now.Sub(j.EndedAt) < settleAhead:
		d.say("settling", "clients are held a moment after the checkpoint")
	default:
		return true
	}
	d.wakeIn(tickBusy)
	return false
}

// candidateFor checks the candidate, or chooses it, and notes each check in the operation.
func (d *decider) candidateFor(op *Operation) (string, Reason, bool) {
	best, why := Peer{}, because("no_candidate", "no standby streams from this primary")
	op.Checks = nil
	for _, p := range d.v.Peers {
		if op.To != "" && p.Name != op.To {
			continue
		}
		bad := ""
		for _, c := range d.checks(p) {
			op.Checks = append(op.Checks, c)
			if !c.OK && bad == "" {
				bad = c.Text
			}
		}
		switch {
		case bad != "":
			why = because("no_candidate", "%s %s", p.Name, bad)
		case best.Name == "" || p.Name == op.Candidate || best.Name != op.Candidate && p.Instance.Position().LSN > best.Instance.Position().LSN:
			best = p
		}
	}
	for _, p := range d.v.Store.Poolers {
		text := "the pooler answers"
		if p.Gone(d.v.Now) {
			text = "the pooler is silent: it is not waited for, and its clients are not held"
		}
		op.Checks = append(op.Checks, Check{p.Name, "pooler", !p.Gone(d.v.Now), text})
	}
	return best.Name, why, best.Name != ""
}

// checks are those of one candidate, in the order in which a person would ask.
func (d *decider) checks(p Peer) (out []Check) {
	m, _ := d.member(p.Name)
	s, sending := d.sender(p.Name)
	lag := d.inst.WriteLSN.Sub(s.FlushLSN)
	add := func(name string, ok bool, good, bad string) {
		text := good
		if !ok {
			text = bad
		}
		out = append(out, Check{p.Name, name, ok, text})
	}
	add("data", !m.Witness, "holds data", "is a witness")
	add("allowed", !m.Tags.NoFailover, "may lead", "is tagged no_failover, or drained")
	add("watchdog", !p.Unwatched, "has the watchdog that it requires", "lacks the watchdog that it requires")
	add("disk", !p.Unwell, "writes to its disks", "does not write to its disks")
	add("staying", !p.Stopping, "stays", "is stopping")
	add("standby", fresh(p) && p.Instance.Standby(), "is a running standby", "is not a running standby: "+orNone(p.Err))
	add("streaming", sending && s.Streaming, "streams", "does not stream")
	behind := because("lag", "is %d bytes behind, and may be %d", lag, d.spec.MaxLagBytes).Text
	if replay := d.inst.WriteLSN.Sub(s.ReplayLSN); s.ReplayLSN != 0 {
		text := because("lag", "has %d bytes to replay, and may have %d", replay, replayMax).Text
		add("replay", replay <= replayMax || d.v.Stopping || d.report.Unwatched, text, text) // who must go leaves it to replay that in any case
	}
	add("lag", sending && lag <= d.spec.MaxLagBytes, behind, behind)
	return out
}

// holding are the poolers whose clients the operation holds, or is to hold.
func (d *decider) holding(op Operation) (out []Pooler) {
	for _, p := range d.v.Store.Poolers {
		if !p.Gone(d.v.Now) || p.Hold != nil && p.Hold.Operation == op.ID {
			out = append(out, p)
		}
	}
	return out
}

// switchoverHolding waits for the poolers. One that cannot hold, or does not answer in time, ends the
// operation before anything was stopped.
func (d *decider) switchoverHolding(op Operation) bool {
	d.wakeIn(tickBusy)
	var waiting []string
	for _, p := range d.holding(op) {
		switch h := p.Hold; {
		case h == nil || h.Operation != op.ID || h.State == HoldHolding || h.State == HoldOver: // over is what it says of an earlier handover of this operation
			waiting = append(waiting, p.Name)
		case h.State != HoldHeld:
			d.endOperation(op, PhaseAborted, because("pooler_failed", "the pooler of %s could not hold its clients: %s", p.Name, orNone(h.Text)))
			return false
		}
	}
	switch {
	case len(waiting) == 0:
		op.Phase, op.Certificate.HoldMS = PhaseStopping, ms(d.phaseAge())
		d.putOperation(op, because("held", "no pooler has a transaction open"))
		d.do(Step{Kind: StepStop, After: true, Why: because("switchover", "%s takes over", op.To)})
		return true
	case d.phaseAge() > min(op.Timeout(), op.MaxWait()+holdSlack):
		d.endOperation(op, PhaseAborted, because("pooler_late", "the poolers of %s did not hold their clients in time", strings.Join(waiting, ", ")))
		return false
	}
	d.say("holding", "waiting for the poolers of %s to have no transaction open", strings.Join(waiting, ", "))
	return false
}

// phaseAge is for how long the operation's phase has been known here.
func (d *decider) phaseAge() time.Duration { return d.v.Now.Sub(d.v.Store.PhaseSeenAt) }

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
		if d.wakeIn(tickBusy / 5); d.since("behind", true) < settleTime {
			d.wakeIn(tickBusy / 25) // it is on its way, and all wait
		}
		return true
	}
	d.mem.Handed = Handed{Operation: op.ID, Shutdown: d.inst.Checkpoint, Received: p.Instance.Position(), StopMS: ms(d.phaseAge())}
	next := d.newLease(op.To, p.Instance.Position().LSN, d.receivedShutdown)
	next.Sync = d.withItself(op.To, next.Sync)
	d.putLease(next, because("handed_over", "%s has received the shutdown checkpoint %s: it has everything", op.To, d.inst.Checkpoint))
	return true
}

// withItself is the set of who could confirm the next holder's commits, this member among them. Who hands over has
// everything, so one of the set has, where the others are not heard to have received the last record yet. The
// candidate names the same set as a standby already: it need not be told another one before its first commit. Commits
// must not wait for this member's return, so others have to be there.
func (d *decider) withItself(next string, proven SyncSet) SyncSet {
	there := d.newLease(next, 0, func(Peer) bool { return true }).Sync
	set := d.anyOf(next, slices.Sorted(slices.Values(append(there.Members, d.v.Self))))
	enough := set.K >= d.spec.SyncStandbys && len(set.Members) > set.K && d.having(set, d.receivedShutdown)+1 >= set.K && slices.Contains(set.Members, d.v.Self)
	if !enough || d.v.Stopping || d.report.Unwell || d.report.Unwatched || !d.me.Confirms() {
		return proven
	}
	return set
}

// certify completes the certificate of a switchover that is done: what its poolers saw joins what the
// two members know. Who was stopped adds its own part: see testify.
func (d *decider) certify(op *Operation) bool {
	if op == nil || op.Kind != OpSwitchover || op.Phase != PhaseDone || op.DryRun || op.To != d.v.Self || op.Certificate.Whole {
		return false
	}
	next, waits := *op, op.Certificate.Shutdown == 0
	next.Certificate.Poolers, next.Certificate.Unheld = nil, nil
	for _, p := range d.v.Store.Poolers {
		if p.Hold != nil && p.Hold.Operation == op.ID {
			waits = waits || p.Hold.State != HoldOver
			next.Certificate.Poolers = append(next.Certificate.Poolers, PoolerPart{p.Name, *p.Hold})
		} else {
			next.Certificate.Unheld = append(next.Certificate.Unheld, p.Name)
		}
	}
	if waits && d.phaseAge() < certifyWait {
		return false
	}
	next.Certificate.Whole = true
	d.putOperation(next, because("certified", "the certificate of the switchover is complete"))
	return false
}

// testify adds what only the former primary knows: where its WAL ended, and what the other had by then.
func (d *decider) testify() {
	op, h := d.v.Store.Operation, d.mem.Handed
	if op == nil || op.ID != h.Operation || op.Phase != PhaseDone || op.Certificate.Shutdown != 0 || op.Certificate.Whole {
		return
	}
	next := *op
	next.Certificate.Shutdown, next.Certificate.Received, next.Certificate.StopMS = h.Shutdown, h.Received, h.StopMS
	d.putOperation(next, because("certified", "this member stopped at %s", h.Shutdown))
}

// handingOver is the switchover that the holder has chosen a candidate for and has not handed over in yet.
func (d *decider) handingOver() (Operation, bool) {
	op := d.v.Store.Operation
	if !op.Active() || op.Kind != OpSwitchover || op.Candidate == "" || op.From != d.lease.Holder || op.Phase != PhaseRequested && op.Term != d.lease.Term {
		return Operation{}, false
	}
	return *op, true
}

// source is whom a standby follows: the holder. In a handover it is the candidate, ahead of the stop: its commits wait for those
// who stream from it, and to come to it only when it leads would be outage. Who gets nothing there goes back, and stays.
func (d *decider) source(op Operation, over bool) string {
	next, _ := d.peer(op.Candidate)
	gets := d.inst.Streaming && fresh(next) && next.Instance.Streaming && next.Instance.Follows == d.lease.Holder
	switch {
	case !over || op.Candidate == d.v.Self || d.mem.Vain == op.ID:
		return d.lease.Holder
	case d.inst.Follows == op.Candidate && op.Phase == PhaseStopping:
		return op.Candidate // the holder is at its end: there is no other place
	case d.v.Store.Paused || !d.mayGoAhead(&op):
		return d.lease.Holder
	case d.inst.Follows == op.Candidate:
		if d.since("ahead", !gets) < streamGrace/4 {
			d.wakeIn(streamGrace / 4)
			return op.Candidate
		}
		d.mem.Vain = op.ID
		return d.lease.Holder
	}
	d.wakeIn(4 * tickBusy)
	_, kept := find(next.Instance.Slots, func(s Slot) bool { return s.Name == spec.SlotName(d.v.Self) })
	if kept && gets && op.Phase != PhaseStopping {
		return op.Candidate
	}
	return d.lease.Holder
}

// mayGoAhead: nobody leaves whom commits need; and only where the next lease will name exactly whom the candidate names as a standby. Else
// who streams from it already would have it take the lease's promise back (see loose).
func (d *decider) mayGoAhead(op *Operation) bool {
	set, me := d.lease.Sync, d.v.Self
	if slices.Contains(set.Members, me) && !(set.K == 1 && slices.Contains(set.Members, op.Candidate)) {
		return false
	}
	if !d.synchronous() {
		return true
	}
	names := d.v.Store.Confirming(op.Candidate)
	from, _ := d.peer(op.From)
	away := func(name string) bool {
		p, _ := d.peer(name)
		return name != me && name != op.From && !(fresh(p) && p.Instance.Standby())
	}
	return !from.Stopping && !from.Unwell && !from.Unwatched && slices.Contains(names, me) && slices.Contains(names, op.From) &&
		!slices.ContainsFunc(names, away) && len(d.anyOf(op.Candidate, names).Members) == len(names)
}

// clientsFirst: right after a handover the new primary works off what was held, and its standbys with it. (Where enough
// of those who confirm commits have been there before, without this member.)
func (d *decider) clientsFirst() bool {
	op, set := d.v.Store.Operation, d.lease.Sync
	there := len(set.Members) > set.K && d.having(set, func(p Peer) bool { return p.Instance.Standby() }) >= set.K
	return op != nil && op.ID == d.mem.Handed.Operation && d.phaseAge() < calmAfter/2 && there
}

// receivedShutdown: the peer's WAL goes beyond the start of our shutdown checkpoint,
// which is the last record there is.
func (d *decider) receivedShutdown(p Peer) bool {
	return p.Instance.Timeline == d.inst.CheckpointTimeline && p.Instance.Position().LSN > d.inst.Checkpoint
}
