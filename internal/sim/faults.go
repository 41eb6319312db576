package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// FaultKind names what can go wrong, or what an operator does at a bad moment.
type FaultKind string

// The faults. Those with a duration end by themselves, at the latest when all heal.
const (
	KillPostgres   FaultKind = "kill_postgres"
	FreezePostgres FaultKind = "freeze_postgres"
	HangFsync      FaultKind = "hang_fsync"  // processes cannot be killed while it lasts
	WALFull        FaultKind = "wal_full"    // PANIC, and no start while it lasts
	DeadDevice     FaultKind = "dead_device" // of the data: what is in memory goes on, nothing starts
	KillAgent      FaultKind = "kill_agent"
	KillVoters     FaultKind = "kill_voters" // agents die right after they have voted, and come back
	FreezeAgent    FaultKind = "freeze_agent"
	KillWarden     FaultKind = "kill_warden" // a backend may outlive it
	FreezeWarden   FaultKind = "freeze_warden"
	FreezeNode     FaultKind = "freeze_node"   // a VM is paused; its CLOCK_BOOTTIME goes on
	HideNode       FaultKind = "hide_node"     // a VM is paused, and its clocks with it
	LoseWatchdog   FaultKind = "lose_watchdog" // the device fails
	PowerOff       FaultKind = "power_off"
	PowerOffAll    FaultKind = "power_off_all"
	CutPair        FaultKind = "cut_pair"
	CutOneWay      FaultKind = "cut_one_way"
	Isolate        FaultKind = "isolate"
	IsolateIn      FaultKind = "isolate_in"
	IsolateOut     FaultKind = "isolate_out"
	Split          FaultKind = "split"
	Bridge         FaultKind = "bridge" // two halves, one member sees both
	Loss           FaultKind = "loss"
	SlowNetwork    FaultKind = "slow_network"
	CutStore       FaultKind = "cut_store"
	StallStore     FaultKind = "stall_store"
	DeposeStore    FaultKind = "depose_store" // the store's leader changes
	StaleStore     FaultKind = "stale_store"  // some reads come from a replica that lags
	WipeStore      FaultKind = "wipe_store"
	SlowPromotion  FaultKind = "slow_promotion"
	SlowReplay     FaultKind = "slow_replay"
	SlowStop       FaultKind = "slow_stop"
	SlowStart      FaultKind = "slow_start"
	SlowReads      FaultKind = "slow_reads" // a tick may get the facts of a read from before
	WipeData       FaultKind = "wipe_data"
	LoseSlot       FaultKind = "lose_slot"
	Switchover     FaultKind = "switchover"
	RestartAll     FaultKind = "restart_all"
	Reinit         FaultKind = "reinit"
	Pause          FaultKind = "pause"
	StopAgent      FaultKind = "stop_agent" // SIGTERM: hand over, stop
	ChangeK        FaultKind = "change_k"
	ChangeTTL      FaultKind = "change_ttl"
)

// Fault is one entry of a run's schedule.
type Fault struct {
	At   time.Duration
	Kind FaultKind
	Node int
	Peer int
	Dur  time.Duration
	N    int // what else a kind needs: a mask, a percentage
}

// String is a line of the schedule.
func (f Fault) String() string {
	return fmt.Sprintf("%9.3fs %-15s %-3s %-3s for %-8s n=%d", f.At.Seconds(), f.Kind, memberNames[f.Node], memberNames[f.Peer], f.Dur.Round(time.Millisecond), f.N)
}

// allowedFaults leaves out what a cluster of this kind cannot bear by its own promises.
func allowedFaults(o *Options) []FaultKind {
	list := []FaultKind{KillPostgres, FreezePostgres, HangFsync, WALFull, KillAgent, KillVoters, DeadDevice, FreezeAgent, FreezeNode, PowerOff, PowerOffAll, CutPair, CutOneWay,
		Isolate, IsolateIn, IsolateOut, Split, Bridge, Loss, SlowNetwork, StallStore, DeposeStore, StaleStore, SlowPromotion, SlowReplay, SlowStop, SlowStart, SlowReads, LoseSlot,
		Switchover, RestartAll, Reinit, Pause, StopAgent, ChangeK, ChangeTTL}
	if o.Durability == spec.DurabilitySync {
		// A pause that no clock shows, a backend that outlives its warden, and a warden that stands
		// still hide from every deadline: only synchronous replication protects then (docs/failures.md).
		list = append(list, HideNode, KillWarden, FreezeWarden)
		if len(o.Watchdog) > 0 {
			list = append(list, LoseWatchdog)
		}
		if o.Members >= 3 && !o.Witness {
			list = append(list, WipeData)
		}
	} else if o.watched() {
		list = append(list, KillWarden, FreezeWarden, FreezeWarden) // a watchdog goes by no process
	}
	if o.External {
		list = append(list, CutStore, CutStore)
	}
	list = append(list, WipeStore)
	return list
}

// schedule draws the faults of a run, until end.
func schedule(r *rand.Rand, o Options, end time.Duration) (list []Fault) {
	if len(o.Faults) == 0 {
		return nil
	}
	wiped := false
	for at := 3*time.Second + between(r, 0, o.Gap); at < end; at += between(r, o.Gap/10, 2*o.Gap) {
		f := Fault{At: at, Kind: o.Faults[r.IntN(len(o.Faults))], Node: r.IntN(o.Members), Peer: r.IntN(o.Members), Dur: duration(r, o.Length), N: r.IntN(1 << 10)}
		if f.Peer == f.Node {
			f.Peer = (f.Node + 1) % o.Members
		}
		if f.Kind == WipeData || f.Kind == WipeStore {
			if wiped {
				continue // once: a second one may destroy the last copy
			}
			wiped = true
		}
		list = append(list, f)
	}
	return list
}

func between(r *rand.Rand, a, b time.Duration) time.Duration {
	return a + time.Duration(r.Int64N(int64(max(1, b-a))))
}

// duration is short or long alike: 30 ms, or more than any timeout.
func duration(r *rand.Rand, longest time.Duration) time.Duration {
	d := longest
	for range r.IntN(7) {
		d = d / 2
	}
	return d/2 + between(r, 0, d)
}

// undo ends what a fault began.
type undo struct {
	fn   func()
	done bool
}

func (u *undo) run() {
	if !u.done {
		u.done = true
		u.fn()
	}
}

// inject plans all faults.
func (w *World) inject(list []Fault) (undos *[]*undo) {
	undos = &[]*undo{}
	for _, f := range list {
		w.after(f.At, func() {
			if w.healed > 0 {
				return
			}
			w.note(w.nodes[f.Node], "fault", int(f.Dur), "%s (%s, n=%d) for %s", f.Kind, memberNames[f.Peer], f.N, f.Dur.Round(time.Millisecond))
			end := w.apply(f)
			if end == nil {
				return
			}
			u := &undo{fn: end}
			*undos = append(*undos, u)
			w.after(f.Dur, u.run)
		})
	}
	return undos
}

// apply begins a fault and gives its end.
func (w *World) apply(f Fault) (end func()) {
	n := w.nodes[f.Node]
	switch f.Kind {
	case KillPostgres, FreezePostgres, HangFsync, WALFull, DeadDevice, WipeData, LoseSlot:
		return n.pg.fault(f)
	case KillAgent, FreezeAgent, KillWarden, FreezeWarden, FreezeNode, HideNode, LoseWatchdog, PowerOff, StopAgent:
		return n.fault(f)
	case PowerOffAll:
		return w.powerOffAll(f)
	case CutPair, CutOneWay, Isolate, IsolateIn, IsolateOut, Split, Bridge, CutStore:
		return w.cutAll(w.pairs(f))
	case Loss, SlowNetwork, SlowPromotion, SlowReplay, SlowStop, SlowStart, SlowReads:
		return w.slowness(f)
	case KillVoters:
		w.killVoters++
		return func() { w.killVoters-- }
	case StallStore, DeposeStore, StaleStore, WipeStore:
		return w.store.fault(f)
	}
	return w.operate(f)
}

// pairs gives the directed links that a network fault cuts.
func (w *World) pairs(f Fault) (list [][2]int) {
	hosts := w.o.Members
	if w.o.External {
		hosts++
	}
	cut := func(a, b int) { list = append(list, [2]int{a, b}) }
	both := func(a, b int) { cut(a, b); cut(b, a) }
	switch f.Kind {
	case CutPair:
		both(f.Node, f.Peer)
	case CutOneWay:
		cut(f.Node, f.Peer)
	case CutStore:
		both(f.Node, w.o.Members)
	}
	for o := range hosts {
		switch {
		case o == f.Node:
		case f.Kind == Isolate:
			both(f.Node, o)
		case f.Kind == IsolateIn:
			cut(o, f.Node)
		case f.Kind == IsolateOut:
			cut(f.Node, o)
		}
	}
	if f.Kind != Split && f.Kind != Bridge {
		return list
	}
	for a := range hosts {
		for b := range a {
			sides := f.N>>a&1 != f.N>>b&1
			if sides && !(f.Kind == Bridge && (a == f.Node || b == f.Node)) {
				both(a, b)
			}
		}
	}
	return list
}

func (w *World) cutAll(list [][2]int) func() {
	for _, p := range list {
		w.cut(p[0], p[1])
	}
	return func() {
		for _, p := range list {
			w.mend(p[0], p[1])
		}
	}
}

func (w *World) slowness(f Fault) func() {
	far := time.Duration(f.N) * 20 * time.Millisecond // up to 20 s: beyond every timeout
	switch f.Kind {
	case Loss:
		pct := 5 + f.N%40
		w.lossPct += pct
		return func() { w.lossPct -= pct }
	case SlowNetwork:
		by := far / 20
		w.slowBy += by
		return func() { w.slowBy -= by }
	case SlowPromotion:
		w.promoteSlow += far
		return func() { w.promoteSlow -= far }
	case SlowStart:
		w.startSlow += far
		return func() { w.startSlow -= far }
	case SlowReads:
		w.slowReads++
		return func() { w.slowReads-- }
	case SlowReplay:
		w.replaySlow += far
		return func() { w.replaySlow -= far }
	}
	w.stopSlow += far
	return func() { w.stopSlow -= far }
}

func (s *storage) fault(f Fault) func() {
	switch f.Kind {
	case StallStore:
		what := &s.stalled // the whole, or its disk alone
		if f.N%2 == 1 {
			what = &s.diskStalls
		}
		*what = max(*what, s.w.now+f.Dur)
		return func() { *what = min(*what, s.w.now) }
	case DeposeStore:
		s.elect()
	case StaleStore:
		s.staleness = 1 + f.N%4
		return func() { s.staleness, s.old = 0, nil }
	case WipeStore:
		s.wipe()
	}
	return nil
}

// operate is what an operator does, as an API call does it: a record in the store.
func (w *World) operate(f Fault) func() {
	s, name := w.store, memberNames[f.Node]
	if s.lost {
		return nil // there is nowhere to write it down
	}
	r := &s.records
	switch f.Kind {
	case Switchover, RestartAll:
		if r.Operation.Active() {
			return nil
		}
		op := &core.Operation{ID: fmt.Sprintf("op%d", s.revision), Kind: core.OpSwitchover, From: r.Lease.Holder, Phase: core.PhaseRequested, TimeoutMS: int64(f.N%3) * 4000}
		if f.N%2 == 0 {
			op.To = name
		}
		if f.Kind == RestartAll {
			op.Kind, op.From, op.To, op.Queue, op.TimeoutMS = core.OpRestart, "", "", w.dataMembers(), 0
			op.Rolling = f.N&512 != 0
		}
		s.next(&r.OperationRevision, r.OperationRevision)
		r.Operation = op
		if f.Kind == Switchover && f.N&256 != 0 {
			s.changed()
			return func() { w.insist(f) }
		}
	case Reinit:
		if w.nodes[f.Node].witness || s.requests[f.Node] != nil {
			return nil
		}
		s.putRequest(f.Node, &core.Request{ID: fmt.Sprintf("r%d", s.revision), Kind: core.RequestReinit, Phase: core.PhaseRequested}, 0)
	case Pause:
		r.Paused = true
		s.revision++
		s.changed()
		return func() { r.Paused = false; s.revision++; s.changed() }
	case ChangeK:
		s.next(&r.SpecRevision, r.SpecRevision)
		r.Spec.SyncStandbys = 1 + f.N%2
	case ChangeTTL:
		s.next(&r.SpecRevision, r.SpecRevision)
		ttl := pickInt(f.N, 3, 5, 10)
		r.Spec.Lease.TTL, r.Spec.Lease.Margin = spec.Duration(time.Duration(ttl)*time.Second), spec.Duration(time.Duration(ttl)*200*time.Millisecond)
		r.Spec.Lease.Renew = spec.Duration(time.Duration(ttl) * 200 * time.Millisecond)
	}
	s.changed()
	return nil
}

// insist is an operator whose switchover was taken back, and who asks again at once.
func (w *World) insist(f Fault) {
	if w.healed > 0 {
		return
	}
	if op := w.store.records.Operation; op.Active() {
		w.after(100*time.Millisecond, func() { w.insist(f) })
		return
	} else if op != nil && op.Phase == core.PhaseAborted {
		w.operate(f)
	}
}

func pickInt(n int, from ...int) int { return from[n%len(from)] }

func (w *World) dataMembers() (names []string) {
	for _, n := range w.nodes {
		if !n.witness {
			names = append(names, n.name)
		}
	}
	return names
}
