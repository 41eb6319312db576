package route

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

const second = core.Instant(time.Second)

// scene is three members led by n1, looked at a moment ago, and poolers that do as they are told.
type scene struct {
	t *testing.T
	v View
	m Memory
	p Plan
}

func newScene(t *testing.T) *scene {
	s := &scene{t: t, v: View{
		Now: 100 * second, Known: true, Founded: true, ReadAt: 100 * second, Rules: spec.DefaultPooler(),
		Lease:   core.LeaseRecord{Holder: "n1", Term: 5},
		Members: []core.MemberRecord{{Name: "n1", Ordinal: 1}, {Name: "n2", Ordinal: 2}, {Name: "n3", Ordinal: 3}, {Name: "w", Ordinal: 4, Witness: true}},
		Sights:  map[string]Sight{},
	}}
	s.decide()
	s.see("n1", Writes, 1000)
	s.see("n2", Recovery, 1000)
	s.see("n3", Recovery, 1000)
	s.decide()
	return s
}

func (s *scene) see(name string, state State, lsn wal.LSN) {
	sight := Sight{State: state, At: s.v.Now, LSN: lsn}
	if state == Down {
		sight.Err = "connection refused"
	}
	s.v.Sights[name] = sight
}

// decide decides, and has the poolers do it; a pool drains only by drained.
func (s *scene) decide() Plan {
	s.p, s.m = Decide(s.m, s.v)
	do(&s.v.RW, s.p.RW, s.v.Now)
	do(&s.v.RO, s.p.RO, s.v.Now)
	return s.p
}

func do(p *Pool, e Endpoint, now core.Instant) {
	switch {
	case e.Keep:
	case e.Hold && p.HeldAt == 0:
		p.HeldAt, p.DrainedAt = now, 0
	case !e.Hold:
		if !e.LetGo {
			p.Targets = e.Targets
		}
		if p.HeldAt != 0 {
			p.HeldAt, p.DrainedAt, p.LetGoAt = 0, 0, now
		}
	}
}

func (s *scene) later(d time.Duration) Plan {
	s.v.Now = s.v.Now.Add(d)
	s.v.ReadAt = s.v.Now
	return s.decide()
}

func (s *scene) switchover(phase string) {
	s.v.Operation = &core.Operation{ID: "op1", Kind: core.OpSwitchover, From: "n1", To: "n2", Term: 5, Phase: phase}
}

func (s *scene) drained() { s.v.RW.DrainedAt = s.v.Now }

// sends fails unless the read-write endpoint sends to target (empty: holds) for the stated reason.
func (s *scene) sends(target string, words ...string) {
	s.t.Helper()
	rw := s.p.RW
	if rw.Hold != (target == "") || target != "" && !slices.Equal(rw.Targets, []string{target}) {
		s.t.Fatalf("read-write %+v, want %q", rw, target)
	}
	for _, w := range words {
		if !strings.Contains(rw.Why.String(), w) {
			s.t.Errorf("%q does not say %q", rw.Why, w)
		}
	}
}

func (s *scene) reads(want ...string) {
	s.t.Helper()
	if s.p.RO.Hold || !slices.Equal(s.p.RO.Targets, want) {
		s.t.Fatalf("read-only %+v, want %v", s.p.RO, want)
	}
}

func (s *scene) answer(state string) *core.PoolerHold {
	s.t.Helper()
	h := s.p.Record.Hold
	if h == nil || h.Operation != "op1" || h.State != state {
		s.t.Fatalf("answer %+v, want %s", h, state)
	}
	return h
}

func (s *scene) condition(code core.Code) bool {
	return slices.ContainsFunc(s.p.Conditions, func(c core.Condition) bool { return c.Code == code })
}

func TestSendsToTheHolderAndItsStandbys(t *testing.T) {
	s := newScene(t)
	s.decide()
	s.sends("n1", "holder_writes", "term 5")
	s.reads("n2", "n3")
	if r := s.p.Record; r.Target != "n1" || r.Term != 5 || !slices.Equal(r.Readers, []string{"n2", "n3"}) || r.Text != "" || r.Hold != nil {
		t.Errorf("record %+v", r)
	}
	if len(s.p.Conditions) > 0 || len(s.p.Hurry) > 0 {
		t.Errorf("%+v", s.p)
	}
}

func TestHoldsUntilTheHolderIsSeenToWrite(t *testing.T) {
	s := newScene(t)
	for name, c := range map[string]struct {
		change func()
		word   string
	}{
		"nobody leads":       {func() { s.v.Lease.Released = true }, "no_leader"},
		"not promoted yet":   {func() { s.v.Lease = core.LeaseRecord{Holder: "n2", Term: 6} }, "not_promoted"},
		"it refuses":         {func() { s.see("n1", Down, 0) }, "connection refused"},
		"no member any more": {func() { s.v.Members = s.v.Members[1:] }, "not_a_member"},
		"a witness":          {func() { s.v.Lease.Holder = "w" }, "not_a_member"},
		"an old look": {func() {
			s.v.Lease.Term, s.v.Lease.Holder = 6, "n3"
			s.v.Sights["n3"] = Sight{State: Writes, At: s.v.Now - second}
		}, "not_seen"},
		"silent and never ours": {func() {
			s.v.Lease.Term, s.v.Lease.Holder = 6, "n3"
			s.v.Sights["n3"] = Sight{State: Writes, Silent: true, At: s.v.Now}
		}, "holder_silent"},
	} {
		s = newScene(t)
		c.change()
		s.decide()
		s.sends("", c.word)
		if s.p.Record.Target != "" || s.p.Record.Hold != nil {
			t.Errorf("%s: record %+v", name, s.p.Record)
		}
		if s.p.RW.AtOnce != (name == "it refuses") {
			t.Errorf("%s: at once: %v; logins that are under way at a living server would be cut", name, s.p.RW.AtOnce)
		}
	}
}

// A failover: the endpoint waits for the new holder's promotion, looks as often as it can, then drops who
// is linked to the old one.
func TestFollowsAFailover(t *testing.T) {
	s := newScene(t)
	s.see("n1", Down, 0)
	s.decide()
	s.sends("", "holder_down")
	if !slices.Equal(s.p.Hurry, []string{"n1"}) || !s.p.RW.AtOnce {
		t.Errorf("hurry %v, at once: %v", s.p.Hurry, s.p.RW.AtOnce)
	}
	s.later(time.Second)
	s.v.Lease = core.LeaseRecord{Holder: "n2", Term: 6}
	s.later(10 * time.Millisecond)
	s.sends("", "not_promoted")
	if !slices.Equal(s.p.Hurry, []string{"n2"}) {
		t.Errorf("hurry %v", s.p.Hurry)
	}
	s.v.Now += 5_000_000
	s.see("n2", Writes, 1100)
	s.decide()
	s.sends("n2")
	s.reads("n3")
	if !s.p.RW.Drop {
		t.Error("those at the old primary are kept")
	}
	if s.later(time.Second); s.p.RW.Drop || s.p.Record.Target != "n2" {
		t.Errorf("%+v", s.p)
	}
}

// The same holder, a new term: nothing was interrupted, so nobody is held.
func TestANewTermOfTheSameHolderHoldsNobody(t *testing.T) {
	s := newScene(t)
	s.v.Lease.Term = 6
	s.later(time.Millisecond)
	s.sends("n1")
}

func TestASilentHolderKeepsItsClientsAndThatIsSaid(t *testing.T) {
	s := newScene(t)
	sight := s.v.Sights["n1"]
	sight.Silent, sight.Err = true, "no answer for 2s"
	s.v.Sights["n1"] = sight
	s.later(time.Second)
	s.sends("n1", "does not answer")
	if !s.condition(core.CondPoolerBlind) || s.p.Record.Text == "" {
		t.Errorf("%+v", s.p.Conditions)
	}
}

func TestASwitchoverHoldsAndLetsGo(t *testing.T) {
	s := newScene(t)
	s.v.RW.Clients = 7
	s.switchover(core.PhaseRequested)
	s.decide()
	s.sends("n1")
	spares := func(want ...string) {
		t.Helper()
		if !slices.Equal(s.p.Spare, want) {
			t.Errorf("spares %v, want %v", s.p.Spare, want)
		}
	}
	spares()
	s.switchover(core.PhaseHolding)
	s.decide()
	s.sends("", "held_for_operation", "op1", "n2")
	spares("n1")
	s.answer(core.HoldHolding)
	s.v.Now += 6_000_000
	s.drained()
	s.decide()
	if h := s.answer(core.HoldHeld); h.Clients != 7 || h.DrainMS != 6 || s.p.Record.Target != "" {
		t.Errorf("%+v", h)
	}
	if ahead := s.p.RW.Targets; len(ahead) != 1 || ahead[0] != "n2" || !s.p.RW.Hold {
		t.Errorf("drained: told %v ahead", ahead)
	}
	s.switchover(core.PhaseStopping)
	s.see("n1", Down, 0)
	s.later(30 * time.Millisecond)
	s.sends("", "held_for_operation")
	if len(s.p.Hurry) > 0 {
		t.Errorf("in a hurry to see %v, which is being stopped", s.p.Hurry)
	}
	spares("n1")
	s.v.Lease = core.LeaseRecord{Holder: "n2", Term: 6}
	s.later(time.Millisecond)
	spares("n1")
	s.sends("", "not_promoted")
	s.answer(core.HoldHeld)
	s.v.RW.Waiting = 3
	s.v.Now += 30_000_000
	s.see("n2", Writes, 1100)
	s.decide()
	s.sends("n2")
	s.later(time.Millisecond)
	if h := s.answer(core.HoldOver); h.HeldMS != 67 || h.Waiting != 3 || s.p.Record.Target != "n2" {
		t.Errorf("%+v, target %s", h, s.p.Record.Target)
	}
	spares("n1")
	s.later(time.Second)
	spares() // nobody drives the operation on: it has been stopped long since
	s.v.Operation.Phase = core.PhaseDone
	s.later(time.Minute)
	spares()
	s.answer(core.HoldOver) // it stays until the next one
}

func TestAnAbortedSwitchoverLetsGoAtTheOldPrimary(t *testing.T) {
	s := newScene(t)
	s.switchover(core.PhaseHolding)
	s.decide()
	s.drained()
	s.switchover(core.PhaseAborted)
	s.later(50 * time.Millisecond)
	s.sends("n1")
	s.later(time.Millisecond)
	s.answer(core.HoldOver)
	if s.p.RW.Drop {
		t.Error("nobody was elsewhere")
	}
}

// An operation of another term, or of one whose holder has changed, has no driver.
func TestAnOperationThatIsNotDrivenHoldsNobody(t *testing.T) {
	s := newScene(t)
	s.switchover(core.PhaseHolding)
	s.v.Operation.Term = 4
	s.decide()
	s.sends("n1")
	s.v.Operation.Term, s.v.Operation.From = 5, "n3"
	s.decide()
	s.sends("n1")
	s.v.Operation.From, s.v.Operation.Kind = "n1", core.OpRestart
	s.decide()
	s.sends("n1")
}

func TestOpenTransactionsFailTheHoldOrAreEnded(t *testing.T) {
	s := newScene(t)
	s.switchover(core.PhaseHolding)
	s.v.Operation.MaxWaitMS = 500
	s.decide()
	s.v.RW.Blockers = []string{"pid 77"}
	s.later(499 * time.Millisecond)
	s.answer(core.HoldHolding)
	s.later(time.Millisecond)
	s.sends("n1")
	if h := s.answer(core.HoldFailed); !slices.Equal(h.Blockers, []string{"pid 77"}) || !strings.Contains(h.Text, "500ms") || !strings.Contains(h.Text, "pid 77") {
		t.Errorf("%+v", h)
	}
	s.later(time.Second)
	s.sends("n1") // and it is not tried again
	s.answer(core.HoldFailed)

	s = newScene(t)
	s.switchover(core.PhaseHolding)
	s.v.Operation.Force = true
	s.decide()
	if s.later(core.HoldWait - 1); s.p.Terminate {
		t.Error("ended too early")
	}
	if s.later(1); !s.p.Terminate {
		t.Error("not ended")
	}
	s.answer(core.HoldHolding)
	s.v.RW.Dropped = 2
	s.drained()
	s.later(time.Millisecond)
	if h := s.answer(core.HoldHeld); s.p.Terminate || h.Errors != 2 {
		t.Errorf("%+v", h)
	}
}

// Whoever drives the operation may be dead, and the store silent: after a time clients go on.
func TestDeadMansTimer(t *testing.T) {
	s := newScene(t)
	s.switchover(core.PhaseStopping)
	s.decide()
	s.drained()
	s.later(time.Millisecond)
	s.v.Err = "no quorum"
	began, read := s.v.Now.Add(-time.Millisecond), s.v.ReadAt
	for s.v.Now < began.Add(core.HoldWait+core.HoldMax) {
		s.sends("")
		next := min(s.p.WakeAt, s.v.Now.Add(time.Second))
		if next <= s.v.Now {
			t.Fatalf("no time to decide again: %+v", s.p)
		}
		s.v.Now, s.v.ReadAt = next, read
		s.decide()
	}
	s.sends("n1")
	if !s.condition(core.CondPoolerBlind) {
		t.Error("the store's silence is not said")
	}
	s.v.Now++
	s.decide()
	if h := s.answer(core.HoldOver); !strings.Contains(h.Text, "let go") {
		t.Errorf("%+v", h)
	}
	s.sends("n1")
}

func TestNobodyRunsNobodyIsOpen(t *testing.T) {
	s := newScene(t)
	s.v.RW.Down = true
	s.switchover(core.PhaseHolding)
	s.decide()
	s.answer(core.HoldHeld)
}

// A pooler that dies while it holds takes its clients with it: nothing is open there any more, and the certificate has to say whom it cost.
func TestWhoDiesInAHoldHasDroppedItsClients(t *testing.T) {
	s := newScene(t)
	s.v.RW.Clients = 7
	s.switchover(core.PhaseHolding)
	s.decide()
	if h := s.answer(core.HoldHolding); h.Errors != 0 {
		t.Errorf("held: %+v", h)
	}
	held := s.v.RW
	for name, now := range []Pool{
		{Down: true, Targets: held.Targets, HeldAt: held.HeldAt},                 // seen before what it held is forgotten
		{Down: true, Targets: held.Targets},                                      // and after
		{Targets: held.Targets, HeldAt: s.v.Now, DrainedAt: s.v.Now, Clients: 2}, // another process, held again
	} {
		s.v.RW = now
		s.later(time.Millisecond)
		if h := s.answer(core.HoldHeld); h.Errors != 7 {
			t.Errorf("%d: 7 clients went with it: %+v", name, h)
		}
	}
}

func TestANewProcessTakesOver(t *testing.T) {
	s := newScene(t)
	s.m = Memory{}
	s.v.RW = Pool{Targets: []string{"n1"}}
	s.v.RO = Pool{Targets: []string{"n3", "n2"}}
	s.v.Sights = map[string]Sight{}
	s.v.Known, s.v.Err = false, ""
	at := s.v.RW.Targets
	s.v.RW.Targets = nil // nobody knows their names yet
	if s.decide(); !s.p.RW.Keep || !s.p.RO.Keep {
		t.Fatalf("without the store: %+v", s.p)
	}
	s.v.Known, s.v.RW.Targets = true, at
	s.later(time.Millisecond)
	s.sends("n1", "was not looked at yet")
	s.reads("n2", "n3")
	s.see("n1", Down, 0)
	s.decide()
	s.sends("")

	s.m, s.v.Sights = Memory{}, map[string]Sight{}
	s.v.Lease = core.LeaseRecord{Holder: "n2", Term: 6}
	s.v.RW = Pool{Targets: []string{"n1"}}
	s.decide()
	s.sends("", "not_seen")

	// It was left holding, and the store does not answer.
	s.m, s.v.Known = Memory{}, false
	s.v.RW = Pool{Targets: []string{"n1"}, HeldAt: s.v.Now}
	if s.decide(); !s.p.RW.Keep {
		t.Fatalf("%+v", s.p.RW)
	}
	if s.later(core.HoldWait + core.HoldMax); !s.p.RW.LetGo || !strings.Contains(s.p.RW.Why.Text, "for long enough") {
		t.Errorf("%+v", s.p.RW)
	}
	if s.later(time.Second); !s.p.RW.Keep {
		t.Errorf("%+v", s.p.RW)
	}
}

func TestLongHoldsAreSaid(t *testing.T) {
	s := newScene(t)
	s.see("n1", Down, 0)
	s.decide()
	if s.later(heldTold - 1); s.condition(core.CondPoolerHolds) {
		t.Error("said too early")
	}
	if s.later(1); !s.condition(core.CondPoolerHolds) || !strings.Contains(s.p.Record.Text, "lets nobody in") {
		t.Errorf("%+v", s.p)
	}
	s.v.Founded = false // in a cluster that is being made nobody is waiting
	if s.decide(); s.condition(core.CondPoolerHolds) {
		t.Error("said of a cluster without a database")
	}
	s.v.Founded = true
	s.decide()
	s.later(heldTold)
	since := s.p.Conditions[0].Since
	if s.later(second.Sub(0)); s.p.Conditions[0].Since != since {
		t.Error("the condition begins anew")
	}
}
