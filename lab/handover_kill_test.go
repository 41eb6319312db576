//go:build lab

package lab

import (
	"encoding/json"
	"slices"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/load"
)

const (
	restartSec   = 2 * time.Second  // after which a supervisor starts a killed agent again
	heldTooLong  = 25 * time.Second // of clients behind one endpoint: a dead man's timer of 12 s, and a failover
	operationMax = 60 * time.Second // 30 s for the phase that was broken off, and its end
)

// broken is for nine handovers that are broken off: a killed participant may lead to a failover, after the
// handover or in its place.
var broken = history.Bounds{OutageMax: heldTooLong, ChangesMax: 18}

var _ = add(
	scenario{name: "handover-killed-in-requested", config: withEndpoints, bounds: broken, run: killedIn(phase{core.PhaseRequested, onOld, inPhase(core.PhaseRequested)})},
	scenario{name: "handover-killed-in-holding", config: withEndpoints, bounds: broken, run: killedIn(phase{core.PhaseHolding, onOld, inPhase(core.PhaseHolding)})},
	scenario{name: "handover-killed-in-stopping", config: withEndpoints, bounds: broken, run: killedIn(phase{core.PhaseStopping, onOld, inPhase(core.PhaseStopping)})},
	scenario{name: "handover-killed-handed-over", config: withEndpoints, bounds: broken, run: killedIn(phase{handedOver, onCandidate, leaseHere})},
	scenario{name: "handover-killed-in-done", config: withEndpoints, bounds: broken, run: killedIn(phase{core.PhaseDone, onCandidate, certificateOpen})},
)

func withEndpoints(c *cluster.Config) { c.Endpoints = true }

// phase is where in a handover somebody is killed: as soon as a journal shows it.
type phase struct {
	name   string
	reader func(old, candidate *cluster.Member) *cluster.Member // in whose journal it is looked for
	begun  func(journal.Entry, string) bool                     // of the operation with this ID
}

const handedOver = "handed over" // the lease names the candidate, which is no primary yet

func onOld(old, _ *cluster.Member) *cluster.Member             { return old }
func onCandidate(_, candidate *cluster.Member) *cluster.Member { return candidate }

func inPhase(name string) func(journal.Entry, string) bool {
	return func(e journal.Entry, id string) bool {
		op := e.View.Store.Operation
		return op != nil && op.ID == id && op.Phase == name
	}
}

func leaseHere(e journal.Entry, id string) bool {
	op := e.View.Store.Operation
	return op != nil && op.ID == id && e.View.Store.Lease.Holder == e.View.Self
}

func certificateOpen(e journal.Entry, id string) bool {
	return inPhase(core.PhaseDone)(e, id) && !e.View.Store.Operation.Certificate.Whole
}

// victim is one participant of a handover.
type victim struct {
	name string
	who  func(old, candidate, third *cluster.Member) *cluster.Member
	kind cluster.Kind
}

var victims = []victim{
	{"the old primary's agent", func(old, _, _ *cluster.Member) *cluster.Member { return old }, cluster.Agent},
	{"the candidate's agent", func(_, candidate, _ *cluster.Member) *cluster.Member { return candidate }, cluster.Agent},
	{"the third member's agent", func(_, _, third *cluster.Member) *cluster.Member { return third }, cluster.Agent},
	{"the old primary's postmaster", func(old, _, _ *cluster.Member) *cluster.Member { return old }, cluster.Postmaster},
	{"the candidate's postmaster", func(_, candidate, _ *cluster.Member) *cluster.Member { return candidate }, cluster.Postmaster},
	{"the old primary's warden", func(old, _, _ *cluster.Member) *cluster.Member { return old }, cluster.Warden},
	{"the candidate's warden", func(_, candidate, _ *cluster.Member) *cluster.Member { return candidate }, cluster.Warden},
	{"the old primary's PgBouncer", func(old, _, _ *cluster.Member) *cluster.Member { return old }, cluster.Pooler},
	{"the third member's PgBouncer", func(_, _, third *cluster.Member) *cluster.Member { return third }, cluster.Pooler},
}

// killedIn does a handover for each participant, and kills it in that phase.
func killedIn(p phase) func(*Lab) {
	return func(l *Lab) {
		killed := 0
		for _, v := range victims {
			if l.killInHandover(p, v) {
				killed++
			}
		}
		if least := len(victims) - 1; killed < least { // who was stopped has no postmaster for a while
			l.T.Errorf("only %d of %d participants were killed: the scenario does not show what it is for", killed, len(victims))
		}
		l.Judge = l.judgeGaps
	}
}

func (l *Lab) judgeGaps(h history.History, _ history.Report) {
	for worker, gap := range load.Gaps(h) {
		l.T.Logf("%s: longest wait %v", worker, gap.Round(time.Millisecond))
		if gap > heldTooLong {
			l.T.Errorf("%s was not let go for %v", worker, gap)
		}
	}
}

// killInHandover gives false when there was no such process in that phase.
func (l *Lab) killInHandover(p phase, v victim) bool {
	l.T.Helper()
	l.endpointsReady()
	old := l.primary()
	candidate, third := l.Cluster.Standbys(old)[0], l.farStandby(old)
	who := v.who(old, candidate, third)
	by := old
	if who == old {
		by = candidate
	}
	l.Mark("handover from %s to %s; %s is to be killed in %s", old.Name, candidate.Name, v.name, p.name)
	t := l.tail(p.reader(old, candidate))
	release := func() {}
	if p.name == core.PhaseHolding { // or it would be over before anybody can be killed in it
		release = l.openTransaction(third).commitLater()
	}
	id := l.begin(by, api.OperationRequest{Kind: core.OpSwitchover, To: candidate.Name, MaxWaitMS: 5000})
	met := t.until(15*time.Second, func(e journal.Entry) bool { return p.begun(e, id) })
	if !met {
		l.T.Errorf("%s was not met: %s", p.name, l.Cluster.Words())
	}
	killed := met && l.killNow(who, v.kind)
	l.T.Logf("%6.2f s  %s: killed %t; the operation was in %q then", time.Since(l.Began).Seconds(), v.name, killed, l.operation(third, by).Phase)
	release()
	l.recover(who, v.kind, killed, id)
	return killed
}

// killNow is SIGKILL to a process that may have gone already.
func (l *Lab) killNow(m *cluster.Member, kind cluster.Kind) bool {
	pid := m.PID(kind)
	return pid != 0 && syscall.Kill(pid, syscall.SIGKILL) == nil
}

// recover does what a supervisor does, and asks for all that must be true then.
func (l *Lab) recover(m *cluster.Member, kind cluster.Kind, killed bool, id string) {
	l.T.Helper()
	if killed && kind == cluster.Agent {
		m.WaitAgentEnd(5 * time.Second)
		l.last(restartSec)
		m.StartAgent()
	}
	op := core.Operation{}
	l.Cluster.Wait(operationMax, "the operation's end", func() bool {
		op = l.operation(l.Cluster.Members...)
		return op.ID == id && (op.Phase == core.PhaseDone || op.Phase == core.PhaseAborted)
	})
	l.Mark("the handover is %s: %s", op.Phase, op.Text)
	l.Load.WaitEndpoints(heldTooLong, 5)
	l.Cluster.WaitReady(90 * time.Second) // exactly one accepts writes, all follow it
	l.Load.WaitAcked(20)
}

// endpointsReady waits until every pooler sends to the primary, and none is silent.
func (l *Lab) endpointsReady() {
	l.T.Helper()
	l.Cluster.WaitReady(90 * time.Second)
	p := l.primary()
	l.Cluster.Wait(40*time.Second, "all endpoints at "+p.Name, func() bool {
		all := l.Cluster.Status().Endpoints
		return len(all) == len(l.Cluster.Members) && !slices.ContainsFunc(all, func(e api.EndpointStatus) bool { return e.Target != p.Name || e.Text != "" })
	})
	l.Load.WaitEndpoints(heldTooLong, 5)
}

// begin asks for an operation and gives its ID; nobody follows it.
func (l *Lab) begin(by *cluster.Member, request api.OperationRequest) string {
	l.T.Helper()
	op, err := by.Begin(request)
	if err != nil {
		l.T.Fatalf("%+v: %v", request, err)
	}
	return op.ID
}

// operation is the newest, as the first of these that answers has it.
func (l *Lab) operation(from ...*cluster.Member) (op core.Operation) {
	for _, m := range from {
		if op, ok := m.Operation(); ok {
			return op
		}
	}
	return op
}

// until reads entries until one is what is looked for; it gives false after the limit.
func (t *tail) until(limit time.Duration, so func(journal.Entry) bool) bool {
	for began := time.Now(); time.Since(began) < limit; time.Sleep(time.Millisecond) {
		if slices.ContainsFunc(t.entries(), so) {
			return true
		}
	}
	return false
}

// entries are those that were journalled since the last call.
func (t *tail) entries() (list []journal.Entry) {
	for {
		part, err := t.read.ReadBytes('\n')
		t.rest = append(t.rest, part...)
		if err != nil {
			return list
		}
		var e journal.Entry
		if json.Unmarshal(t.rest, &e) == nil {
			list = append(list, e)
		}
		t.rest = t.rest[:0]
	}
}
