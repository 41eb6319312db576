package route

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/wal"
)

func TestReadersLeaveAStandbyThatLags(t *testing.T) {
	s := newScene(t)
	most := wal.LSN(s.v.Rules.ReadLagMaxBytes)
	at := func(lag wal.LSN) {
		s.v.Now += second
		s.see("n1", Writes, 1000+100*most)
		s.see("n2", Recovery, 1000+100*most-lag)
		s.see("n3", Recovery, 1000+100*most)
		s.later(0)
	}
	at(most)
	s.reads("n2", "n3")
	at(most + 1)
	s.reads("n3")
	if s.p.RO.Drop || !strings.Contains(s.p.RO.Why.Text, "n2 lags by") {
		t.Errorf("%+v", s.p.RO)
	}
	at(most/2 + 1) // it comes back at half, or it would come and go with each burst
	s.reads("n3")
	at(most / 2)
	s.reads("n2", "n3")
}

// What the primary has written since a standby was looked at is no lag of it.
func TestLagIsMeasuredAtOneTime(t *testing.T) {
	s := newScene(t)
	s.v.Now += 900_000_000
	s.see("n1", Writes, 1000+wal.LSN(10*s.v.Rules.ReadLagMaxBytes))
	s.later(0)
	s.reads("n2", "n3")
	s.later(100 * time.Millisecond)
	s.see("n2", Recovery, s.v.Sights["n1"].LSN)
	s.see("n3", Recovery, 1000)
	s.decide()
	s.reads("n2")
}

func TestReadersLeaveWhoDoesNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*scene)
		drop   bool
	}{
		"down":             {func(s *scene) { s.see("n2", Down, 0) }, true},
		"silent":           {func(s *scene) { s.v.Sights["n2"] = Sight{State: Recovery, Silent: true, Err: "no answer"} }, true},
		"drained":          {func(s *scene) { s.v.Drained = []string{"n2"} }, false},
		"removed":          {func(s *scene) { s.v.Members = slices.Delete(s.v.Members, 1, 2) }, false},
		"a second primary": {func(s *scene) { s.see("n2", Writes, 1000) }, false},
	} {
		s := newScene(t)
		c.change(s)
		s.decide()
		s.reads("n3")
		if s.p.RO.Drop != c.drop {
			t.Errorf("%s: drop %v", name, s.p.RO.Drop)
		}
		if s.decide(); s.p.RO.Drop {
			t.Errorf("%s: dropped twice", name)
		}
	}
}

func TestReadersWaitWhenNobodyIsLeft(t *testing.T) {
	s := newScene(t)
	s.see("n2", Down, 0)
	s.see("n3", Down, 0)
	s.decide()
	if !s.p.RO.Hold || len(s.p.RO.Targets) == 0 || len(s.p.Record.Readers) > 0 || !strings.Contains(s.p.RO.Why.Text, "n1 is the primary; n2 lets nobody in") {
		t.Fatalf("%+v, record %+v", s.p.RO, s.p.Record)
	}
	if s.later(unreadTold); !s.condition(core.CondPoolerNoReaders) {
		t.Error("it is not said")
	}
	s.v.Rules.ReadFromPrimary = true
	s.decide()
	s.reads("n1")
	s.see("n3", Recovery, 1000)
	s.decide()
	s.reads("n1", "n3")
}

// A cluster of one has no standby by choice: readers wait, and that is no condition.
func TestAClusterOfOne(t *testing.T) {
	s := newScene(t)
	s.v.Members = s.v.Members[:1]
	s.decide()
	if s.later(unreadTold); !s.p.RO.Hold || len(s.p.Conditions) > 0 || !strings.Contains(s.p.RO.Why.Text, "read_from_primary") {
		t.Errorf("%+v", s.p)
	}
	s.sends("n1")
}

// While the primary moves, readers stay: the next primary serves them as well. What has to be done at once still is.
func TestReadersStayWhileThePrimaryMoves(t *testing.T) {
	moved := func(t *testing.T) *scene {
		s := newScene(t)
		s.decide()
		s.reads("n2", "n3")
		s.switchover(core.PhaseHolding)
		s.decide()
		s.drained()
		s.switchover(core.PhaseStopping)
		s.see("n1", Down, 0)
		s.v.Lease = core.LeaseRecord{Holder: "n2", Term: 6}
		s.later(20 * time.Millisecond)
		s.see("n2", Writes, 1100)
		s.decide()
		s.sends("n2")
		if !s.p.RO.Keep || s.p.WakeAt == 0 {
			t.Errorf("%+v, looked at again at %v", s.p.RO, s.p.WakeAt)
		}
		return s
	}
	t.Run("and go when its clients are served", func(t *testing.T) {
		s := moved(t)
		s.later(readersRest - time.Millisecond)
		if !s.p.RO.Keep {
			t.Errorf("%+v", s.p.RO)
		}
		s.later(2 * time.Millisecond)
		s.reads("n3")
	})
	for _, state := range []State{Down, Writes} {
		t.Run("but not with one that is out of order: "+string(state), func(t *testing.T) {
			s := moved(t)
			s.see("n3", state, 1100)
			s.decide()
			if s.p.RO.Keep {
				t.Errorf("%+v", s.p.RO)
			}
		})
	}
	t.Run("nor while readers wait", func(t *testing.T) {
		s := moved(t)
		s.v.RO.HeldAt = s.v.Now
		s.decide()
		s.reads("n3")
	})
	t.Run("nor for long", func(t *testing.T) {
		s := newScene(t)
		s.decide()
		s.switchover(core.PhaseHolding)
		s.decide()
		s.drained()
		s.v.Drained = []string{"n2"}
		s.later(readersStay - time.Millisecond)
		if !s.p.RO.Keep {
			t.Errorf("%+v", s.p.RO)
		}
		s.later(time.Millisecond)
		s.reads("n3")
	})
}
