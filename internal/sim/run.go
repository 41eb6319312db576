package sim

import (
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/invariant"
)

// How long a run lasts: faults, then healing, then rest. A cluster that is not whole at the
// end gets more time, until the bounds of liveness are passed.
const (
	faultsEnd = 80 * time.Second
	runEnd    = 120 * time.Second
)

// Footprint suits the garbage collector to runs, which are short and leave nothing behind: rare
// collections of a heap that fits the caches.
func Footprint() {
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(256 << 20)
}

// Result is one run.
type Result struct {
	Seed     uint64
	Options  Options
	Faults   []Fault
	Broken   []invariant.Violation
	At       time.Duration // of the violation, or the end
	Events   int
	Acked    int
	Terms    uint64
	Lost     int // acknowledged in async, and lost within the bound
	Resets   int // by watchdogs
	Digest   uint64
	WholeIn  time.Duration // after the last fault
	Decision int
}

// Run makes one run of a seed.
func Run(seed uint64, p Pinned) Result {
	o, faults := Draw(seed, p)
	return RunWith(seed, o, faults, nil)
}

// Draw gives what a seed stands for.
func Draw(seed uint64, p Pinned) (Options, []Fault) {
	r := rand.New(rand.NewPCG(seed, 0x7377617200))
	o := draw(r, rand.New(rand.NewPCG(seed, 0x646f6773)), p)
	drawLater(rand.New(rand.NewPCG(seed, 0x7a6f6e6573)), &o)
	return o, schedule(r, o, faultsEnd)
}

// RunWith makes a run of given options and faults, telling its story when there is one to
// tell it to.
func RunWith(seed uint64, o Options, faults []Fault, tell *story) Result {
	w := newWorld(o, seed)
	w.story = tell
	undos := w.inject(faults)
	w.watchIll()
	w.run(faultsEnd)
	w.heal(*undos)
	w.run(runEnd)
	for w.wholeAt == 0 && len(w.broken) == 0 && w.now-w.healed < wholeMax+time.Second {
		w.run(w.now + 5*time.Second)
	}
	w.finish()
	r := Result{Seed: seed, Options: o, Faults: faults, Broken: w.broken, At: w.now, Events: w.events, Acked: w.hist.Acked(), Terms: w.store.records.Lease.Term,
		Lost: w.lost, Resets: w.resets, Digest: w.digest, WholeIn: w.wholeAt - w.healed}
	for _, n := range w.nodes {
		r.Decision += n.agent.decided
	}
	return r
}

// heal ends all faults.
func (w *World) heal(undos []*undo) {
	w.healed = w.now
	for _, u := range undos {
		u.run()
	}
	w.lossPct, w.slowBy, w.promoteSlow, w.replaySlow, w.stopSlow, w.startSlow = 0, 0, 0, 0, 0, 0
	w.o.Promote, w.o.Start, w.o.Stop = min(w.o.Promote, time.Second), min(w.o.Start, time.Second), min(w.o.Stop, time.Second)
	w.o.TailOneIn = 0
	w.note(nil, "heal", 0, "all faults end")
	w.watch()
}

// finish asks for liveness.
func (w *World) finish() {
	if len(w.broken) > 0 {
		return
	}
	leader, whole := w.openAt-w.healed, w.wholeAt-w.healed
	if w.openAt == 0 {
		leader = w.now - w.healed
	}
	if w.wholeAt == 0 {
		whole = w.now - w.healed
	}
	bound := leaderMax
	for _, f := range w.o.Faults {
		if slices.Contains([]FaultKind{WALFull, DeadDevice, KillPostgres, FreezeWarden, SlowPromotion, SlowStop}, f) {
			bound = patientMax
		}
	}
	w.hist.Live(leader, whole, bound, wholeMax, "")
	if n := w.leader(); n != nil {
		w.hist.Final(n.i)
	}
	w.check()
	if len(w.broken) > 0 {
		w.note(nil, "lacking", 0, "%s", w.lacks())
	}
}
