package route

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/wal"
)

var names = []string{"n1", "n2", "n3"}

// world changes as it likes; the poolers do what they are told, drain when they like, and die.
type world struct {
	v     View
	m     Memory
	p     Plan
	held  core.Instant // since when the plan holds without a break while the holder is seen to write
	began core.Instant
}

func newWorld() *world {
	w := &world{v: View{Now: 100 * second, Rules: spec.DefaultPooler(), Sights: map[string]Sight{}}}
	for i, n := range names {
		w.v.Members = append(w.v.Members, core.MemberRecord{Name: n, Ordinal: i + 1})
	}
	return w
}

func (w *world) actions() map[string]func(*rapid.T) {
	one := rapid.SampledFrom(names)
	return map[string]func(*rapid.T){
		"time": func(t *rapid.T) {
			w.v.Now = w.v.Now.Add(time.Duration(rapid.IntRange(1, 3000).Draw(t, "ms")) * time.Millisecond)
		},
		"store": func(*rapid.T) { w.v.Known, w.v.Err, w.v.ReadAt = true, "", w.v.Now },
		"blind": func(*rapid.T) { w.v.Err = "silent" },
		"look": func(t *rapid.T) {
			w.look(one.Draw(t, "m"), rapid.SampledFrom([]State{Writes, Recovery, Down}).Draw(t, "s"), t)
		},
		"silent": func(t *rapid.T) { n := one.Draw(t, "m"); s := w.v.Sights[n]; s.Silent = true; w.v.Sights[n] = s },
		"lease": func(t *rapid.T) {
			w.v.Lease = core.LeaseRecord{Holder: one.Draw(t, "m"), Term: w.v.Lease.Term + 1}
			w.v.Known, w.v.Err, w.v.ReadAt = true, "", w.v.Now
		},
		"release":   func(*rapid.T) { w.v.Lease.Released = true },
		"operation": func(t *rapid.T) { w.operation(t) },
		"drained":   func(*rapid.T) { w.v.RW.DrainedAt = w.v.Now },
		"crash":     func(*rapid.T) { w.v.RW = Pool{Down: true} },
		"up":        func(*rapid.T) { w.v.RW.Down = false },
		"restart":   func(*rapid.T) { w.m = Memory{}; w.v.Sights = map[string]Sight{}; w.v.Known = false; w.began = 0 },
		"":          w.check,
	}
}

func (w *world) look(name string, state State, t *rapid.T) {
	w.v.Now += 1_000_000
	w.v.Sights[name] = Sight{State: state, At: w.v.Now, LSN: wal.LSN(rapid.IntRange(1, 1<<26).Draw(t, "lsn"))}
}

func (w *world) operation(t *rapid.T) {
	op := &core.Operation{ID: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "id"), Kind: core.OpSwitchover, From: w.v.Lease.Holder, Term: w.v.Lease.Term,
		Phase: rapid.SampledFrom([]string{core.PhaseRequested, core.PhaseHolding, core.PhaseStopping, core.PhaseDone, core.PhaseAborted}).Draw(t, "phase"),
		Force: rapid.Bool().Draw(t, "force")}
	w.v.Operation = op
}

// check decides after each action, and judges.
func (w *world) check(t *rapid.T) {
	before, adopted := w.m, w.v.RW.Targets
	if before.Adopted {
		adopted = nil
	}
	plan, m := Decide(before, w.v)
	again, mm := Decide(before, w.v)
	if !slices.Equal(again.RW.Targets, plan.RW.Targets) || again.RW.Hold != plan.RW.Hold || mm.Target != m.Target {
		t.Fatalf("one view, two plans")
	}
	w.p, w.m = plan, m
	w.checkReadWrite(t, before, adopted)
	w.checkReadOnly(t)
	w.checkHold(t)
	do(&w.v.RW, plan.RW, w.v.Now)
	do(&w.v.RO, plan.RO, w.v.Now)
}

func (w *world) checkReadWrite(t *rapid.T, before Memory, adopted []string) {
	rw := w.p.RW
	if rw.Why.Text == "" || w.p.RO.Why.Text == "" {
		t.Fatalf("no reason: %+v", w.p)
	}
	if rw.Keep || rw.Hold || !w.v.Known {
		return
	}
	if len(rw.Targets) != 1 || rw.Targets[0] != w.v.Lease.Holder || w.v.Lease.Released {
		t.Fatalf("sent to %v, the lease is %+v", rw.Targets, w.v.Lease)
	}
	s, target := w.v.Sights[rw.Targets[0]], rw.Targets[0]
	stayed := before.Target == target && !before.Holds || !before.Adopted && slices.Equal(adopted, rw.Targets)
	switch {
	case s.State == Writes && !s.Silent && s.At >= w.m.TermAt: // seen in this term
	case s.State == Writes && stayed, s.State == Unseen && stayed: // nothing says that it has ended
	default:
		t.Fatalf("sent to %s, which was seen as %+v", target, s)
	}
}

func (w *world) checkReadOnly(t *rapid.T) {
	if w.p.RO.Keep || w.p.RO.LetGo || w.p.RO.Hold {
		return
	}
	if len(w.p.RO.Targets) == 0 {
		t.Fatal("readers are sent nowhere")
	}
	for _, n := range w.p.RO.Targets {
		if s := w.v.Sights[n]; s.Silent || s.State == Down || s.State == Writes {
			t.Fatalf("readers are sent to %s, which was seen as %+v", n, s)
		}
	}
}

// A hold ends: while the holder is seen to write, nobody is held for longer than one operation may.
func (w *world) checkHold(t *rapid.T) {
	s := w.v.Sights[w.v.Lease.Holder]
	writes := w.v.Known && !w.v.Lease.Released && s.State == Writes && !s.Silent && s.At >= w.m.TermAt
	if !writes || !w.p.RW.Hold {
		w.held = 0
		return
	}
	if w.held == 0 {
		w.held = w.v.Now
	}
	h := w.m.Hold
	if h.Operation == "" || h.Ended != "" {
		t.Fatalf("held for nobody: %+v", w.p.RW)
	}
	if w.v.Now.Sub(h.Since) >= h.MaxWait+core.HoldMax {
		t.Fatalf("held for %s", w.v.Now.Sub(h.Since))
	}
	if w.p.WakeAt == 0 || w.p.WakeAt <= w.v.Now {
		t.Fatalf("held without a time to look again: %+v", w.p)
	}
}

func TestRoutesOnlyToWhatItSaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { t.Repeat(newWorld().actions()) })
}

// However the store falls silent in an operation, its clients go on by this host's clock alone.
func TestAHoldAlwaysEnds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newScene(nil)
		s.switchover(rapid.SampledFrom([]string{core.PhaseHolding, core.PhaseStopping}).Draw(t, "phase"))
		s.v.Operation.MaxWaitMS = rapid.Int64Range(0, 60_000).Draw(t, "max wait")
		s.v.Operation.Force = rapid.Bool().Draw(t, "force")
		s.decide()
		began := s.v.Now
		s.v.Err = "silent"
		for s.p.RW.Hold {
			if rapid.Bool().Draw(t, "drained") && s.v.RW.DrainedAt == 0 {
				s.drained()
			}
			if s.p.WakeAt <= s.v.Now {
				t.Fatalf("never looked at again: %+v", s.p)
			}
			s.v.Now = s.p.WakeAt
			s.decide()
		}
		if took := s.v.Now.Sub(began); took > s.v.Operation.MaxWait()+core.HoldMax {
			t.Fatalf("held for %s", took)
		}
	})
}
