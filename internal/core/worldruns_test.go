package core

import (
	"testing"
	"time"
)

func startedWorld(t *testing.T, names ...string) *world {
	t.Helper()
	if len(names) == 0 {
		names = []string{"a", "b", "c"}
	}
	w := newWorld(t, names...)
	w.until(30*time.Second, "bootstrap", w.settled)
	return w
}

func TestWorldBootstraps(t *testing.T) {
	w := startedWorld(t)
	if w.store.Lease.Holder != "a" || w.inits != 1 {
		t.Fatal(w.dump())
	}
}

// lead gives a settled world with a restarted clock, and its primary.
func TestWorldPostmasterKilled(t *testing.T) {
	w := startedWorld(t)
	w.node("a").killPostmaster()
	w.until(2*time.Second, "another member leads", func() bool { p := w.primary(); return p != nil && p.name != "a" })
	w.until(10*time.Second, "all is well again", w.settled)
}

func TestWorldMemberKilledAndBack(t *testing.T) {
	w := startedWorld(t)
	w.node("a").killMember()
	w.until(7*time.Second, "another member leads", func() bool { return w.primary() != nil })
	w.run(5 * time.Second)
	w.node("a").startAgent()
	w.until(10*time.Second, "the old primary follows", w.settled)
}

// The warden keeps PostgreSQL while the agent is away: no interruption at all.
func TestWorldAgentRestarted(t *testing.T) {
	w := startedWorld(t)
	a := w.node("a")
	a.killAgent()
	w.run(2 * time.Second)
	a.startAgent()
	before := len(w.acked)
	for range 100 {
		w.step()
		if w.primary() != a || a.warden.Fenced {
			t.Fatal("the primary was interrupted by an agent restart\n" + w.dump())
		}
	}
	if len(w.acked)-before < 99 {
		t.Fatalf("only %d commits in 100 steps\n%s", len(w.acked)-before, w.dump())
	}
}

func TestWorldAgentKilledForGood(t *testing.T) {
	w := startedWorld(t)
	w.node("a").killAgent()
	w.until(7*time.Second, "another member leads", func() bool { p := w.primary(); return p != nil && p.name != "a" })
}

func TestWorldPrimaryCutOff(t *testing.T) {
	w := startedWorld(t)
	a := w.node("a")
	a.cut = true
	w.until(5*time.Second, "the old primary ends at its deadline", func() bool { return !a.primary })
	w.until(3*time.Second, "another member leads", func() bool { p := w.primary(); return p != nil && p.name != "a" })
	w.run(10 * time.Second)
	if a.state != StateRunning || a.primary {
		t.Fatal("the old primary does not serve reads\n" + w.dump())
	}
	a.cut = false
	w.until(10*time.Second, "the old primary follows", w.settled)
}

// Trust ended and was won again before anybody took over: the same member goes on, or
// hands over to a member that can start sooner. Nobody waits for ever.
func TestWorldTrustLostAndWonAgain(t *testing.T) {
	for _, cut := range []time.Duration{4100, 4300, 4500, 4700, 4900} {
		w := startedWorld(t)
		a := w.node("a")
		a.cut = true
		w.run(cut * time.Millisecond)
		a.cut = false
		w.until(10*time.Second, "one leads", w.settled)
	}
}

// All members are killed at once and started in any order: what was acknowledged is
// there whoever leads (see promoted), and somebody does as soon as two are up.
func TestWorldAllKilledAndStartedInAnyOrder(t *testing.T) {
	for _, order := range []string{"abc", "acb", "bac", "bca", "cab", "cba"} {
		w := startedWorld(t)
		for _, n := range w.nodes {
			n.killMember()
		}
		for i, name := range order {
			w.run(4 * time.Second)
			w.node(string(name)).startAgent()
			if i == 1 {
				w.until(20*time.Second, order+": two members suffice", func() bool { return w.primary() != nil })
			}
		}
		w.until(20*time.Second, order+": all are well", w.settled)
	}
}

// One standby alone must not lead: commits may be on the other two only.
func TestWorldOneOfThreeWaits(t *testing.T) {
	w := startedWorld(t)
	w.node("a").killMember()
	w.node("b").killMember()
	w.run(60 * time.Second)
	if w.primary() != nil {
		t.Fatal(w.dump())
	}
	w.node("b").startAgent()
	w.until(20*time.Second, "two members suffice", func() bool { return w.primary() != nil })
}

func (w *world) operation(op Operation) {
	op.Phase = PhaseRequested
	w.rev++
	w.store.OperationRevision, w.store.Operation = w.rev, &op
}

func TestWorldSwitchover(t *testing.T) {
	w := startedWorld(t)
	w.operation(Operation{ID: "1", Kind: OpSwitchover, From: "a", To: "c"})
	w.until(3*time.Second, "c leads", func() bool { return w.primary() == w.node("c") })
	w.until(10*time.Second, "done, and all follow", func() bool { return w.settled() && w.store.Operation.Phase == PhaseDone })
	if job := w.node("a").job; job.Kind == string(StepRewind) || job.Kind == string(StepClone) {
		t.Fatalf("a follows as it is after a clean handover, without a %s", job.Kind)
	}
}

// A switchover is broken at every step by the death of each member: it is finished or
// taken back, nothing is lost, and the cluster is whole again when the member is back.
func TestWorldSwitchoverInterrupted(t *testing.T) {
	for _, victim := range []string{"a", "b", "c"} {
		for steps := range 40 {
			w := startedWorld(t)
			w.operation(Operation{ID: "1", Kind: OpSwitchover, From: "a", To: "b"})
			for range steps {
				w.step()
			}
			w.node(victim).killMember()
			w.run(12 * time.Second)
			w.node(victim).startAgent()
			w.until(60*time.Second, victim+" died in a switchover: whole again", func() bool { return w.settled() && !w.store.Operation.Active() })
		}
	}
}

func TestWorldAgentOfPrimaryTold(t *testing.T) {
	w := startedWorld(t)
	a := w.node("a")
	a.stopping = true
	w.until(3*time.Second, "handed over", func() bool { p := w.primary(); return p != nil && p != a && a.warden.Empty })
	a.killAgent()
	w.run(time.Second)
	a.startAgent()
	w.until(10*time.Second, "back as a standby", w.settled)
}

// All agents are told to stop: the last one stops PostgreSQL and releases the lease.
func TestWorldAllTold(t *testing.T) {
	w := startedWorld(t)
	for _, n := range w.nodes {
		n.stopping = true
	}
	w.until(10*time.Second, "everything is stopped", func() bool {
		for _, n := range w.nodes {
			if !n.warden.Empty {
				return false
			}
		}
		return w.store.Lease.Released
	})
	for _, n := range w.nodes {
		n.killAgent()
		n.startAgent()
	}
	w.until(30*time.Second, "and up again", w.settled)
}

// An unfinished operation must not keep an agent from stopping.
func TestWorldToldWhileAnOperationHangs(t *testing.T) {
	for _, op := range []Operation{
		{ID: "1", Kind: OpSwitchover, From: "a", To: "nobody"},
		{ID: "1", Kind: OpRestart, Queue: []string{"b", "c", "a"}},
		{ID: "1", Kind: OpFailover, To: "c"},
	} {
		w := startedWorld(t)
		w.node("b").killMember()
		w.operation(op)
		w.step()
		w.node("a").stopping = true
		w.until(10*time.Second, op.Kind+": a stops", func() bool { return w.node("a").warden.Empty })
	}
}

func TestWorldToldWhilePaused(t *testing.T) {
	w := startedWorld(t)
	w.store.Paused = true
	w.node("a").stopping = true
	w.until(5*time.Second, "a stops", func() bool { return w.node("a").warden.Empty && w.store.Lease.Released })
	w.run(30 * time.Second)
	if w.primary() != nil {
		t.Fatal("nobody takes over while paused")
	}
	w.store.Paused = false
	w.until(10*time.Second, "one leads", func() bool { return w.primary() != nil })
}

func TestWorldPausedPrimaryCrash(t *testing.T) {
	w := startedWorld(t)
	w.store.Paused = true
	w.node("a").killPostmaster()
	w.run(20 * time.Second)
	if w.primary() != nil {
		t.Fatal("nothing is started or promoted while paused")
	}
	w.store.Paused = false
	w.until(10*time.Second, "one leads", w.settled)
}

func TestWorldRollingRestart(t *testing.T) {
	for _, op := range []Operation{
		{ID: "1", Kind: OpRestart, Queue: []string{"b", "c", "a"}},
		{ID: "1", Kind: OpRestart, Pending: true},
	} {
		w := startedWorld(t)
		if op.Pending {
			w.setParameter("200")
		}
		starts := map[string]Instant{}
		w.operation(op)
		w.until(30*time.Second, "restarted", func() bool {
			for _, n := range w.nodes {
				if n.state == StateStarting {
					starts[n.name] = w.now
				}
			}
			return w.store.Operation.Phase == PhaseDone && w.settled()
		})
		if len(starts) != 3 || starts["a"] < starts["b"] || starts["a"] < starts["c"] || w.store.Lease.Holder != "a" {
			t.Fatalf("started %v\n%s", starts, w.dump())
		}
		at := w.now
		w.run(5 * time.Second)
		for _, n := range w.nodes {
			if n.warden.ExitedAt > at {
				t.Fatalf("%s was restarted again\n%s", n.name, w.dump())
			}
		}
	}
}

func (w *world) setParameter(value string) {
	w.store.SpecRevision++
	w.store.Spec.Postgres.Parameters = map[string]string{"max_connections": value}
}

// A value that PostgreSQL refuses costs one standby's restart, never the primary.
func TestWorldRestartWithRejectedParameters(t *testing.T) {
	w := startedWorld(t)
	w.run(5 * time.Second) // long enough for the first parameters to be called good
	for _, n := range w.nodes {
		n.bad = func(p map[string]string) bool { return p["max_connections"] == "100000" }
	}
	w.setParameter("100000")
	w.run(time.Second)
	w.operation(Operation{ID: "1", Kind: OpRestart, Pending: true})
	a := w.node("a")
	w.until(30*time.Second, "taken back", func() bool {
		if !a.primary {
			t.Fatal("the primary was taken down\n" + w.dump())
		}
		return w.store.Operation.Phase == PhaseAborted && w.settled()
	})
	w.setParameter("150")
	w.operation(Operation{ID: "2", Kind: OpRestart, Pending: true})
	w.until(30*time.Second, "a good value is taken", func() bool { return w.store.Operation.Phase == PhaseDone && w.settled() })
	for _, n := range w.nodes {
		if n.running["max_connections"] != "150" {
			t.Fatal(w.dump())
		}
	}
}

func TestWorldReinitStandby(t *testing.T) {
	w := startedWorld(t)
	c := w.node("c")
	c.requests = &Request{ID: "r1", Kind: RequestReinit, Phase: PhaseRequested}
	w.until(10*time.Second, "cloned", func() bool { return c.job.ID == "r1" && c.requests == nil && w.settled() })
}

func TestWorldReinitInterrupted(t *testing.T) {
	for steps := range 12 {
		w := startedWorld(t)
		c := w.node("c")
		c.requests = &Request{ID: "r1", Kind: RequestReinit, Phase: PhaseRequested}
		for range steps {
			w.step()
		}
		c.killMember()
		w.run(time.Second)
		c.startAgent()
		w.until(20*time.Second, "cloned", func() bool { return c.requests == nil && w.settled() })
	}
}

// The bootstrap is interrupted at each of its steps; there is one initdb all the same.
func TestWorldBootstrapInterrupted(t *testing.T) {
	for steps := range 30 {
		for _, pause := range []time.Duration{0, 10 * time.Second} {
			w := newWorld(t, "a", "b", "c")
			for range steps {
				w.step()
			}
			w.node("a").killMember()
			w.run(pause)
			w.node("a").startAgent()
			w.until(40*time.Second, "bootstrap", w.settled)
		}
	}
}

// The holder loses its data: another member leads, and the data comes back as a clone.
func TestWorldDataLost(t *testing.T) {
	for _, state := range []DataState{DataAbsent, DataBroken} {
		w := startedWorld(t)
		a := w.node("a")
		a.killPostmaster()
		a.data.State = state
		w.until(10*time.Second, "all is well again", w.settled)
		if w.store.Lease.Holder == "a" || w.inits != 1 {
			t.Fatal(w.dump())
		}
	}
}

func TestWorldForeignDataReleases(t *testing.T) {
	w := startedWorld(t)
	a := w.node("a")
	a.killMember()
	a.data.ClusterID = "other"
	a.startAgent()
	w.until(10*time.Second, "another member leads", func() bool { p := w.primary(); return p != nil && p != a })
}

func TestWorldForcedFailover(t *testing.T) {
	w := startedWorld(t)
	w.node("a").killMember()
	w.node("b").killMember()
	w.run(10 * time.Second)
	w.acked = nil // the loss is accepted
	w.operation(Operation{ID: "1", Kind: OpFailover, To: "c", Force: true})
	w.until(10*time.Second, "c leads", func() bool { return w.primary() == w.node("c") })
	w.node("b").startAgent()
	w.node("a").startAgent()
	w.until(30*time.Second, "the others follow", w.settled)
	if w.store.Operation.Phase != PhaseDone {
		t.Fatal(w.dump())
	}
}

func TestWorldMemberRemoved(t *testing.T) {
	w := startedWorld(t)
	w.store.Members = w.store.Members[:2]
	w.until(5*time.Second, "c is fenced", func() bool { return w.node("c").warden.Empty })
	w.run(10 * time.Second)
	if s := w.store.Lease.Sync; s.text() != "any 1 of b" {
		t.Fatalf("the set still counts on the removed member: %s", s.text())
	}
}

// A cluster of one needs nobody's leave to come back.
func TestWorldAlone(t *testing.T) {
	w := startedWorld(t, "a")
	w.node("a").killMember()
	w.run(time.Minute)
	w.node("a").startAgent()
	w.until(5*time.Second, "primary again", w.settled)
	w.node("a").killPostmaster()
	w.until(time.Second, "started in place", w.settled)
	w.node("a").stopping = true
	w.until(2*time.Second, "released", func() bool { return w.store.Lease.Released })
	w.node("a").killAgent()
	w.node("a").startAgent()
	w.until(5*time.Second, "primary again after a clean stop", w.settled)
}

func TestWorldTwoMembers(t *testing.T) {
	w := startedWorld(t, "a", "b")
	w.node("a").killMember()
	w.until(7*time.Second, "b leads", func() bool { return w.primary() == w.node("b") })
	w.until(10*time.Second, "b goes on alone", func() bool { return len(w.store.Lease.Sync.Members) == 0 })
	before := len(w.acked)
	w.run(10 * time.Second)
	if len(w.acked) == before {
		t.Fatal("b must accept commits alone when strict is off\n" + w.dump())
	}
	w.node("a").startAgent()
	w.until(10*time.Second, "a follows", w.settled)
}

func TestWorldStrictBlocks(t *testing.T) {
	w := startedWorld(t)
	w.store.Spec.Strict = true
	w.run(time.Second)
	w.node("b").killMember()
	w.run(8 * time.Second)
	if w.store.Lease.Sync.text() != "any 1 of c" {
		t.Fatalf("one standby is enough for strict, but the dead one is still counted: %s", w.store.Lease.Sync.text())
	}
	w.node("c").killMember()
	w.step()
	before := len(w.acked)
	w.run(20 * time.Second)
	if len(w.acked) != before {
		t.Fatal("strict blocks rather than degrades")
	}
	w.node("c").startAgent()
	w.until(10*time.Second, "commits go on", func() bool { return len(w.acked) > before })
}

// b is elected, promoted, writes and dies before anybody followed; c is elected from the
// same point. Both call their timeline 2. When b returns it must not follow as it is: that
// would play c's timeline on top of its own.
func TestWorldTwoTimelinesOfOneNumber(t *testing.T) {
	w := startedWorld(t)
	a, b, c := w.node("a"), w.node("b"), w.node("c")
	a.killMember()
	w.until(7*time.Second, "b leads", func() bool { return w.primary() == b })
	b.write(rec{tl: b.tl, id: -1}) // a commit that nobody was told of
	b.killMember()
	if c.tl != 1 || b.tl != 2 {
		t.Fatal("c followed already: the test shows nothing\n" + w.dump())
	}
	w.run(8 * time.Second)
	if w.primary() == nil { // c may have to wait for one of the others; both are rightful answers
		a.startAgent()
		w.until(20*time.Second, "one leads", func() bool { return w.primary() != nil })
	}
	b.startAgent()
	w.until(20*time.Second, "b is back", func() bool { return w.primary() == b || b.streaming() != nil })
	a.startAgent()
	w.until(30*time.Second, "all are well", w.settled)
}

// All of the above once more, with members that act on what they saw before the others acted.
func TestWorldRacing(t *testing.T) {
	racing = true
	t.Cleanup(func() { racing = false })
	for name, run := range map[string]func(*testing.T){
		"Bootstraps":                    TestWorldBootstraps,
		"PostmasterKilled":              TestWorldPostmasterKilled,
		"MemberKilledAndBack":           TestWorldMemberKilledAndBack,
		"AgentRestarted":                TestWorldAgentRestarted,
		"AgentKilledForGood":            TestWorldAgentKilledForGood,
		"PrimaryCutOff":                 TestWorldPrimaryCutOff,
		"TrustLostAndWonAgain":          TestWorldTrustLostAndWonAgain,
		"AllKilledAndStartedInAnyOrder": TestWorldAllKilledAndStartedInAnyOrder,
		"OneOfThreeWaits":               TestWorldOneOfThreeWaits,
		"Switchover":                    TestWorldSwitchover,
		"SwitchoverInterrupted":         TestWorldSwitchoverInterrupted,
		"AgentOfPrimaryTold":            TestWorldAgentOfPrimaryTold,
		"AllTold":                       TestWorldAllTold,
		"ToldWhileAnOperationHangs":     TestWorldToldWhileAnOperationHangs,
		"ToldWhilePaused":               TestWorldToldWhilePaused,
		"PausedPrimaryCrash":            TestWorldPausedPrimaryCrash,
		"RollingRestart":                TestWorldRollingRestart,
		"RestartWithRejectedParameters": TestWorldRestartWithRejectedParameters,
		"ReinitStandby":                 TestWorldReinitStandby,
		"ReinitInterrupted":             TestWorldReinitInterrupted,
		"BootstrapInterrupted":          TestWorldBootstrapInterrupted,
		"DataLost":                      TestWorldDataLost,
		"ForeignDataReleases":           TestWorldForeignDataReleases,
		"ForcedFailover":                TestWorldForcedFailover,
		"MemberRemoved":                 TestWorldMemberRemoved,
		"Alone":                         TestWorldAlone,
		"TwoMembers":                    TestWorldTwoMembers,
		"StrictBlocks":                  TestWorldStrictBlocks,
		"TwoTimelinesOfOneNumber":       TestWorldTwoTimelinesOfOneNumber,
	} {
		t.Run(name, run)
	}
}

// Two standbys, equal in all, take the lease at the same moment: one write wins.
func TestWorldTwoStandAtOnce(t *testing.T) {
	racing = true
	t.Cleanup(func() { racing = false })
	w := startedWorld(t)
	w.busy = false
	w.run(time.Second)
	w.node("a").killMember()
	b, c := w.node("b"), w.node("c")
	w.until(7*time.Second, "both stand", func() bool {
		b.mem.VacantSince, c.mem.VacantSince = 1, 1 // no head start for anybody
		b.mem.VacantTerm, c.mem.VacantTerm = 1, 1
		return b.report.Vacant && c.report.Vacant
	})
	took := 0
	for _, n := range []*node{b, c} {
		v := n.view()
		plan, _, _ := Decide(n.mem, v)
		took += len(steps(plan, StepPutLease))
	}
	if took != 2 && w.store.Lease.Term == 1 {
		t.Fatal("only one of them stands: the test shows nothing\n" + w.dump())
	}
	w.until(5*time.Second, "one leads", func() bool { return w.primary() != nil })
	w.run(5 * time.Second)
	if w.store.Lease.Term != 2 {
		t.Fatalf("term %d after one failure", w.store.Lease.Term)
	}
}
