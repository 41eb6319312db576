package sim

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
	"github.com/pgherd/pgherd/internal/trust"
)

// agent models the loop: look, decide, act, sleep. Looking and acting take time, in which it
// may be frozen or die; deciding is the real thing.
type agent struct {
	n     *node
	group group

	up       bool
	stopping bool
	mem      core.Memory
	ledger   trust.Ledger
	report   core.Report
	before   *core.View
	ticks    [2]invariant.Decision // this one and the one before, in turn: a view is large
	failed   core.StepFailure
	peers    []peerView
	decided  int    // for samples
	overdue  string // the kept data that was removed last, for its age

	certified  string // the operation whose certificate was added to last, and how often
	certifiedN int

	storeBusy bool
	snapshot  core.StoreView // on its way here
	revision  int64          // so too
	reads     int
	storeErr  string

	instance core.Instance // last read
	data     core.Data
	factsAt  time.Duration
	readAt   core.Instant

	commits, test  trust.Prober
	open, openTest int // number of the attempt that hangs; 0: none
	openEpoch      int // of the server that was asked
	writes         bool

	confKey, follows string
	good             map[string]string
	job              core.Job
	jobs             int
	promotedTerm     uint64
	promotedAt       time.Duration

	// The tick.
	ticking             bool
	tick                int
	poked               bool
	sleep               int // the newest timer counts
	waitStore           bool
	waitPeers           []int
	endedAt             time.Duration
	zonesAt, zonesSince time.Duration
	zonesK              int
	planned             time.Duration
	stopSince           time.Duration
}

// As in observe and act.
const (
	storeWait  = 400 * time.Millisecond
	peerWait   = 200 * time.Millisecond
	storeRead  = time.Second
	storeLimit = 900 * time.Millisecond
	planLimit  = 2 * time.Second
	tickMin    = 5 * time.Millisecond
	echo       = 50 * time.Millisecond
)

// start is a new process: it knows nothing but what is on disk.
func (a *agent) start() {
	n := a.n
	group := a.group
	*a = agent{n: n, group: group, up: true, peers: make([]peerView, n.w.o.Members), data: n.pg.data, good: a.good}
	a.commits.Every, a.test.Every = time.Second, 5*time.Second
	if !n.warden.alive {
		a.reconnect()
	}
	a.n.w.note(n, "agent", 1, "the agent starts")
	a.group.after(n.w.upTo(200*time.Millisecond), a.begin)
}

// kill ends the process. Jobs die with it.
func (a *agent) kill() {
	if !a.up {
		return
	}
	a.n.w.note(a.n, "agent", 0, "the agent is dead")
	a.up = false
	a.n.forgetUnwritten()
	a.group.kill()
	a.n.pg.jobDied(a.job)
}

// hint is the store's watch. Most hints are the echo of our own renewal.
func (a *agent) hint() {
	if at := a.ledger.Known().RenewedAt; at == 0 || a.n.clock().Sub(at) >= echo {
		a.poke()
	}
}

func (a *agent) poke() {
	if !a.up {
		return
	}
	a.poked = true
	if !a.ticking {
		a.wakeIn(max(0, a.endedAt+tickMin-a.n.w.now))
	}
}

func (a *agent) wakeIn(d time.Duration) {
	a.sleep++
	sleep := a.sleep
	a.group.after(d, func() {
		if a.sleep == sleep && !a.ticking {
			a.begin()
		}
	})
}

// begin is a tick: all reads start; what comes late is in a later view.
func (a *agent) begin() {
	a.ticking, a.poked = true, false
	a.tick++
	a.waitStore, a.waitPeers = true, a.waitPeers[:0]
	for i := range a.peers {
		if i != a.n.i && a.peers[i].known && a.peers[i].err == "" {
			a.waitPeers = append(a.waitPeers, i)
		}
	}
	a.ask()
	a.readStore()
	// A read that hung until now may be what this tick gets: it began up to a second ago.
	late := a.n.w.slowReads > 0 && a.factsAt > 0 && a.n.w.now-a.factsAt < time.Second && a.n.w.oneIn(2)
	if !a.n.witness && !late {
		a.readLocal()
	}
	a.patience(peerWait, a.tick)
}

// patience ends the wait for peers, then for the store.
func (a *agent) patience(d time.Duration, tick int) {
	a.group.after(d, func() {
		if !a.ticking || a.tick != tick || a.planned != 0 {
			return
		}
		if d == peerWait {
			a.waitPeers = a.waitPeers[:0]
			a.patience(storeWait-peerWait+time.Nanosecond, tick)
		} else {
			a.waitStore = false
		}
		a.arrived()
	})
}

func (a *agent) readStore() {
	if a.storeBusy {
		return
	}
	a.storeBusy = true
	s, sent := a.n.w.store, a.n.clock()
	a.reads++
	epoch, read := a.group.epoch, a.reads
	s.call(a.n, storeRead, func() outcome {
		if a.group.epoch == epoch && a.reads == read { // else nobody waits for it any more
			a.revision = s.snapshot(a.n, &a.snapshot)
		}
		return answered
	}, func(o outcome) {
		a.storeBusy, a.storeErr = false, ""
		if o == unanswered {
			a.storeErr = "no answer"
		} else if o == conflicted { // agent.check: not the store that this member belongs to, or an empty one
			a.storeErr = "another store"
			if !s.lost && s.generation > a.n.generation {
				a.n.switchTo(s.generation, "")
				return
			}
		} else if err := a.ledger.Merge(a.snapshot, a.revision, sent, a.n.clock()); err != nil {
			a.storeErr = err.Error()
		} else {
			a.n.keep(&a.snapshot, a.revision)
		}
		a.arrived()
	})
}

// arrived decides as soon as all is there that is waited for.
func (a *agent) arrived() {
	if !a.ticking || a.planned != 0 || a.waitStore && a.storeBusy {
		return
	}
	for _, i := range a.waitPeers {
		if a.peers[i].pending {
			return
		}
	}
	a.decide()
}

func (a *agent) decide() {
	w, d := a.n.w, &a.ticks[a.decided&1]
	v := &d.View
	a.look(v)
	a.seesElsewhere(v)
	plan := a.decideOn(d)
	if len(plan.Steps) == 0 {
		a.ended(v, plan, nil, false)
		return
	}
	// Between the decision and its first effect the agent may be frozen, or die.
	a.group.after(50*time.Microsecond+w.upTo(2*time.Millisecond), func() { a.act(v, plan, 0) })
}

// decideOn is the real core, and its examination.
func (a *agent) decideOn(d *invariant.Decision) core.Plan {
	w := a.n.w
	d.Before, d.Memory = a.before, a.mem
	d.Plan, a.mem, d.Report = core.DecideOn(a.mem, &d.View)
	a.report, a.planned, a.before = d.Report, w.now, &d.View
	a.examine(d)
	if w.story != nil {
		w.story.decision(w.now, a.n, *d)
	}
	a.tellPlan(d.Plan)
	if w.killVoters > 0 && d.Report.Vacant && w.oneIn(3) {
		a.group.after(w.upTo(100*time.Millisecond), func() {
			a.kill()
			w.after(w.upTo(600*time.Millisecond), a.n.revive)
		})
	}
	return d.Plan
}

// tellPlan notes what a plan does, renewals apart.
func (a *agent) tellPlan(plan core.Plan) {
	for _, s := range plan.Steps {
		if s.Kind == core.StepPutLease && s.Why.Code == "renew" {
			continue
		}
		if a.n.w.story == nil {
			a.n.w.note(a.n, "plan", len(plan.Steps), "")
			continue
		}
		a.n.w.note(a.n, "plan", len(plan.Steps), "%s: %s", s.Kind, s.Why)
	}
}

// examine asks the invariants of a decision; those that decide again only now and then.
func (a *agent) examine(d *invariant.Decision) {
	w := a.n.w
	f := invariant.Tick(d)
	if a.decided++; a.decided%64 == 0 {
		f = append(f, invariant.Same(*d)...)
		f = append(f, invariant.Forgetting(*d)...)
	}
	if len(f) > 0 {
		w.broken = append(w.broken, f...)
	}
}

// ended is the end of a tick: remember what failed, sleep until it is time.
func (a *agent) ended(v *core.View, plan core.Plan, failed *core.StepFailure, raced bool) {
	w := a.n.w
	if failed != nil && w.story != nil {
		w.story.line(w.now, a.n, "failed", string(failed.Kind)+": "+failed.Text)
	}
	a.failed = trust.NoteFailure(a.failed, v, plan, failed, raced)
	a.ticking, a.planned, a.endedAt = false, 0, w.now
	w.rest(a, plan)
	if a.ledger.Known().RenewedAt > a.n.thawedAt {
		a.n.blind = false // what it trusts now is real again
	}
	if a.stopping && a.finished() {
		a.farewell()
		return
	}
	wake := a.n.until(a.report.WakeAt)
	if failed != nil {
		wake = min(wake, 100*time.Millisecond)
	}
	if a.poked {
		wake = 0
	}
	a.wakeIn(max(wake, tickMin))
}

// finished is agent.finished: nothing is left to do for an agent that was told to stop.
func (a *agent) finished() bool {
	if !a.n.witness && !(a.n.warden.alive && a.n.warden.empty) {
		return false
	}
	l := &a.ledger.Known().Lease
	waited := a.n.w.now - a.stopSince
	if l.Holder == "" || l.Released {
		return true
	}
	if l.Holder == a.n.name {
		return waited > 8*time.Second
	}
	return waited > 2*time.Second
}

func (a *agent) farewell() {
	a.kill()
	a.n.dog.sleep()
	a.n.warden.group.kill()
	a.n.warden.alive = false
}

// reconnect: an agent without a warden makes one.
func (a *agent) reconnect() {
	a.group.after(a.n.w.between(50*time.Millisecond, 800*time.Millisecond), func() {
		a.n.warden.begin()
		a.poke()
	})
}
