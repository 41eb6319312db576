package agent

import (
	"testing"

	"github.com/pgherd/pgherd/internal/core"
)

// Who moves the primary is not slowed down; who does not is, from when clients are held until the lease has moved.
func TestWhoLooksOnInAHandover(t *testing.T) {
	s := core.StoreView{Lease: core.LeaseRecord{Holder: "n1"}}
	want := func(when string, names ...string) {
		t.Helper()
		got := []string{}
		for _, n := range []string{"n1", "n2", "n3"} {
			if looksOn(s, n) {
				got = append(got, n)
			}
		}
		if len(got) != len(names) || len(got) > 0 && got[0] != names[0] || len(got) > 1 && got[1] != names[1] {
			t.Errorf("%s: %v look on, want %v", when, got, names)
		}
	}
	want("nothing is under way")
	op := &core.Operation{ID: "op", Kind: core.OpSwitchover, From: "n1", To: "n2", Phase: core.PhaseRequested}
	s.Operation = op
	want("nobody is held yet")
	op.Phase = core.PhaseHolding
	want("clients are held", "n3")
	op.Phase, s.Lease.Holder = core.PhaseStopping, "n2"
	want("handed over: the first commits may wait for any of them")
	op.Phase = core.PhaseDone
	want("through")
	op.Phase, op.Kind = core.PhaseStopping, core.OpRestart
	want("a restart")
}
