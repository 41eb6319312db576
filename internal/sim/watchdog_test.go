package sim

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// frozenFences are runs of an async cluster whose wardens are frozen and killed while its members are cut
// off and their agents die: what only a watchdog can bear.
func frozenFences(mode spec.WatchdogMode, seeds uint64) (broken []Result, resets int) {
	for seed := uint64(1); seed <= seeds; seed++ {
		o, _ := Draw(seed, Pinned{Members: 3, Durability: spec.DurabilityAsync})
		_, faults := Draw(seed, Pinned{Members: 3})
		o.Witness, o.MaxLag, o.Watchdog = false, 1<<20, []spec.WatchdogMode{mode, mode, mode}
		o.Faults = []FaultKind{FreezeWarden, KillWarden, Isolate, KillAgent}
		for i := range faults {
			faults[i].Kind, faults[i].Dur = o.Faults[i%4], 8*time.Second
			faults[i].Node, faults[i].Peer = i%2, 2
		}
		r := RunWith(seed, o, faults, nil)
		resets += r.Resets
		if len(r.Broken) > 0 {
			broken = append(broken, r)
		}
	}
	return broken, resets
}

func TestWatchdogsBearFrozenWardensInAsync(t *testing.T) {
	for _, mode := range []spec.WatchdogMode{spec.WatchdogAutomatic, spec.WatchdogRequired} {
		broken, resets := frozenFences(mode, 300)
		for _, r := range broken {
			t.Errorf("%s, seed %d at %s: %s", mode, r.Seed, r.At, r.Broken[0])
		}
		if resets == 0 {
			t.Errorf("%s: no machine was ever reset", mode)
		}
	}
}

// Without one these faults are beyond what async promises. (The checker knows of frozen wardens, and looks
// at what is acknowledged all the same.)
func TestWithoutWatchdogsFrozenWardensBreakAsync(t *testing.T) {
	broken, resets := frozenFences(spec.WatchdogOff, 300)
	if len(broken) == 0 || resets > 0 {
		t.Errorf("%d of 300 runs are broken, %d machines were reset", len(broken), resets)
	}
}
