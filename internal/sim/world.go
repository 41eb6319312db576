package sim

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
	"github.com/pgherd/pgherd/internal/spec"
)

// World is one run.
type World struct {
	o      Options
	rng    *rand.Rand // of the world's chances; faults are drawn by another
	now    time.Duration
	events int
	queue  queue
	writes func() // write, made a value once: there are many

	nodes   []*node
	store   *storage
	poolers []*pooler
	chance  *rand.Rand        // the poolers'
	cuts    [][]time.Duration // since when nothing goes from one host to another; never: 0
	cutN    [][]int           // how many faults cut it
	lossPct int
	slowBy  time.Duration // on every message
	conns   int

	envelopes []*status // free ones
	uids      int32
	inits     int

	promoteSlow, replaySlow, stopSlow, startSlow time.Duration // windows of slowness, in force now
	promotionHangs                               []*promotionHang
	slowReads, killVoters                        int

	written []time.Duration // by uid: when the record was written
	commit  []bool          // by uid: a client's
	told    []bool          // by uid: a client knows of it, by an acknowledgement or a read
	hist    invariant.History
	broken  []invariant.Violation
	story   *story
	digest  uint64
	healed  time.Duration // when the faults ended; 0: not yet
	openAt  time.Duration // since healed: when somebody led
	wholeAt time.Duration // when the cluster was whole, and has been since
	lost    int
	resets  int  // by watchdogs
	noCopy  bool // data was destroyed: a set may lack a copy rightly

	lastLease core.LeaseRecord // when the store was wiped
	askedAt   time.Duration    // when members were last asked to leave a lost store

	illSince     time.Duration // since when the holder is ill and nothing else is wrong; 0: it is not so
	illFrozen    bool          // and its PostgreSQL was frozen when that was last looked at
	illPromoting bool          // and was being promoted
}

// node is one host with a member on it.
type node struct {
	w       *World
	i       int
	name    string
	witness bool
	record  core.MemberRecord

	offset, jump time.Duration // of this host's CLOCK_BOOTTIME
	ppm          int64
	down         int           // faults that keep the power off
	hides        int           // faults that stop the clock
	hiddenAt     core.Instant  // by its own clock
	blind        bool          // was paused with its clocks, and PostgreSQL lives on a trust from before
	thawedAt     core.Instant  // from that, by its own clock
	resumedAt    time.Duration // from the last pause of the whole host
	frozenFence  int           // faults that freeze the warden alone
	emptying     int64         // the lease's revision that its write of an empty sync set takes the place of, if it arrives

	generation       uint64 // of the store that the member belongs to, and who founds it
	founder          string
	previous         []promise // where to go back to when the founder makes nothing of it
	founding         uint64    // the generation that others are being asked for
	foundings        int       // only the last one may come to its end
	kept, keptBefore kept

	agent  agent
	warden wardenProc
	pg     server
	dog    hardware
}

func newWorld(o Options, seed uint64) *World {
	w := &World{o: o, rng: rand.New(rand.NewPCG(seed, 0x70676865726400)), digest: 14695981039346656037}
	w.hist.Sync = o.Durability == spec.DurabilitySync
	w.hist.Has = func(member, commit int) bool { return w.nodes[member].pg.has(commit) }
	w.hist.Grace = 30 * time.Millisecond
	if w.hist.Sync {
		w.hist.Grace = 0
	}
	hosts := o.Members + 1 // the last is the external store's
	for range hosts {
		w.cuts, w.cutN = append(w.cuts, make([]time.Duration, hosts)), append(w.cutN, make([]int, hosts))
	}
	for i := range o.Members {
		w.nodes = append(w.nodes, w.newNode(i))
	}
	w.store = newStorage(w)
	w.found()
	w.startPoolers(seed)
	for _, n := range w.nodes {
		n.warden.begin()
		n.agent.start()
	}
	w.writes = w.write
	for range o.Clients {
		w.after(time.Second+w.upTo(time.Second), w.writes)
	}
	return w
}

func (w *World) newNode(i int) *node {
	n := &node{w: w, i: i, name: memberNames[i]}
	n.witness = w.o.Witness && i == w.o.Members-1
	n.record = core.MemberRecord{Name: n.name, Ordinal: i + 1, Address: n.name, PGPort: 5432, Witness: n.witness, Tags: w.o.Tags[i]}
	n.offset = time.Duration(i+1) * 1000 * time.Second
	n.ppm = w.o.PPM[i]
	n.agent.n, n.warden.n, n.pg.n = n, n, n
	for _, g := range []*group{&n.agent.group, &n.warden.group, &n.pg.group} {
		g.w = w
	}
	n.dog = hardware{n: n, mode: spec.WatchdogOff}
	if len(w.o.Watchdog) > 0 && !n.witness {
		n.dog.mode = w.o.Watchdog[i]
	}
	n.pg.init()
	return n
}

var memberNames = [...]string{"n1", "n2", "n3", "n4", "n5", "n6", "n7", "n8", "n9", "n10"}

func (w *World) byName(name string) *node {
	for _, n := range w.nodes {
		if n.name == name {
			return n
		}
	}
	return nil
}

// clock is this host's CLOCK_BOOTTIME: its own zero, its own rate.
func (n *node) clock() core.Instant {
	t := n.w.now
	return core.Instant(n.offset + n.jump + t + time.Duration(int64(t)/1_000_000*n.ppm))
}

// until gives the time from now to an instant of this host's clock, at least 0.
func (n *node) until(i core.Instant) time.Duration {
	d := int64(i - n.clock())
	if d <= 0 {
		return 0
	}
	return time.Duration(d-d/1_000_000*n.ppm) + time.Microsecond
}

func (w *World) plan(e event) { w.queue.put(e) }

func (w *World) after(d time.Duration, fn func()) { w.plan(event{at: w.now + d, fn: fn}) }

// run lets time pass until the given moment.
func (w *World) run(until time.Duration) {
	for w.queue.due(until) && len(w.broken) == 0 {
		e := w.queue.take()
		w.now = e.at
		w.events++
		if g := e.group; g != nil {
			if e.epoch != g.epoch {
				continue
			}
			if g.frozen > 0 {
				g.deferred = append(g.deferred, e)
				continue
			}
		}
		e.fn()
		w.check()
	}
	if len(w.broken) == 0 {
		w.now = max(w.now, until)
	}
}

// check takes over what the history has found. (What it looks at happens only in the places
// that tell it, so this is all there is to ask after each event.)
func (w *World) check() {
	if f := w.hist.Found(); len(f) > 0 && len(w.broken) == 0 {
		w.broken = append(w.broken, f...)
	}
}

// Chance.

func (w *World) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(w.rng.Int64N(int64(d)))
}

func (w *World) between(a, b time.Duration) time.Duration { return a + w.upTo(b-a) }

func (w *World) oneIn(n int) bool { return w.rng.IntN(n) == 0 }

// latency of one message, with the run's own slow tail.
func (w *World) latency() time.Duration {
	d := w.o.Latency/2 + w.upTo(w.o.Latency) + w.slowBy
	if w.o.TailOneIn > 0 && w.oneIn(w.o.TailOneIn) {
		d += w.upTo(w.o.Tail)
	}
	return d
}

func (w *World) isCut(from, to int) bool { return w.cutN[from][to] > 0 }

// passes says that a message gets through: no cut, no loss. (TCP repeats what is lost: see
// delivery, which makes it late.)
func (w *World) delivery(from, to int) (time.Duration, bool) {
	if w.isCut(from, to) {
		return 0, false
	}
	d := w.latency()
	for w.lossPct > 0 && w.rng.IntN(100) < w.lossPct {
		d = 2*d + 200*time.Millisecond
		if d > 10*time.Second {
			return 0, false
		}
	}
	return d, true
}

func (w *World) cut(from, to int) {
	if w.cutN[from][to]++; w.cutN[from][to] == 1 {
		since := w.now + 1
		w.cuts[from][to] = since
		w.after(w.o.TCPTimeout, func() {
			if w.cuts[from][to] == since {
				w.silence(from, to)
			}
		})
	}
}

func (w *World) mend(from, to int) {
	if w.cutN[from][to]--; w.cutN[from][to] == 0 {
		w.cuts[from][to] = 0
	}
}

// silence: one side has heard nothing for so long that it gives the connection up.
func (w *World) silence(from, to int) {
	if to < len(w.nodes) && from < len(w.nodes) {
		w.nodes[to].pg.heardNothing(w.nodes[from])
	}
}

func (w *World) violate(id, format string, args ...any) {
	w.broken = append(w.broken, invariant.Violation{ID: id, Text: fmt.Sprintf(format, args...)})
}

// note puts what happened into the run's digest and, when it is told, into its story.
func (w *World) note(n *node, code string, number int, format string, args ...any) {
	h := w.digest
	mix := func(v uint64) { h = (h ^ v) * 1099511628211 }
	mix(uint64(w.now))
	if n != nil {
		mix(uint64(n.i) + 1)
	}
	for _, b := range []byte(code) {
		mix(uint64(b))
	}
	mix(uint64(number))
	w.digest = h
	if w.story != nil {
		w.story.line(w.now, n, code, fmt.Sprintf(format, args...))
	}
}

// tell is for what is too common for the digest.
func (w *World) tell(n *node, code, format string, args ...any) {
	if w.story != nil {
		w.story.line(w.now, n, code, fmt.Sprintf(format, args...))
	}
}
