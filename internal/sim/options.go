package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// Options are what one seed draws: the cluster, its surroundings and its mix of faults
// ("swarm": a uniform mix of all faults hides what a lopsided one finds).
type Options struct {
	Members    int
	Witness    bool // the last member holds no data
	Clients    int
	Durability spec.Durability
	K          int // sync_standbys
	Strict     bool
	MaxLag     int64
	Recovery   time.Duration // crash_recovery_max
	TTL        time.Duration
	Renew      time.Duration
	Margin     time.Duration
	Patience   time.Duration // health.write_timeout
	Tags       []spec.Tags
	PPM        []int64 // how much faster each clock runs, in millionths
	External   bool    // the store is on hosts of its own
	Poolers    bool    // every member runs a pooler
	Fresh      bool    // no database yet

	Watchdog []spec.WatchdogMode // of each host; none: no host has one

	Latency    time.Duration // of a message: half to one and a half of it
	TailOneIn  int           // one message in so many is late; 0: none
	Tail       time.Duration // by up to so much
	TCPTimeout time.Duration // until a silent connection is given up
	Promote    time.Duration // a promotion takes up to
	Stop       time.Duration // a clean stop takes up to
	Start      time.Duration // a start takes up to
	Clone      time.Duration // a clone takes up to
	Reload     time.Duration // until a process has read new settings, up to

	Think time.Duration // a client's pause between two writes, up to

	Faults []FaultKind   // the kinds drawn for this run
	Gap    time.Duration // mean time between two
	Length time.Duration // longest duration
}

// Pinned are options that the caller does not leave to the seed; zero values are left.
type Pinned struct {
	Members    int
	Durability spec.Durability
	NoFaults   bool
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// draw gives a seed's options.
func draw(r, dogs *rand.Rand, p Pinned) Options {
	o := Options{Members: pick(r, 3, 3, 3, 3, 3, 3, 3, 2, 4, 5), Clients: 3}
	if r.IntN(40) == 0 {
		o.Members = 1 + r.IntN(10)
	}
	if p.Members > 0 {
		o.Members = p.Members
	}
	o.Witness = o.Members > 1 && (o.Members == 2 && r.IntN(4) == 0 || r.IntN(5) == 0)
	o.Durability = pick(r, spec.DurabilitySync, spec.DurabilitySync, spec.DurabilitySync, spec.DurabilityAsync)
	if p.Durability != "" {
		o.Durability = p.Durability
	}
	o.K = pick(r, 1, 1, 1, 2)
	o.Strict = r.IntN(8) == 0
	o.MaxLag = pick(r, int64(1000), 5000, 1<<20)
	drawTiming(r, &o)
	drawMembers(r, &o)
	drawNetwork(r, &o)
	drawWatchdog(dogs, &o)
	drawSwarm(r, &o)
	focusOnWatchdog(dogs, &o)
	o.Patience = pick(r, 3*time.Second, 3*time.Second, 5*time.Second, 10*time.Second)
	if r.IntN(30) == 0 { // illness alone, for longer than any patience: see watchIll
		o.Faults = []FaultKind{HangFsync, FreezePostgres, DeadDevice}
		o.Gap, o.Length, o.TailOneIn = 20*time.Second, 40*time.Second, 0
	}
	if p.NoFaults {
		o.Faults = nil
	}
	return o
}

func drawTiming(r *rand.Rand, o *Options) {
	o.TTL, o.Renew, o.Margin = 5*time.Second, time.Second, time.Second
	switch r.IntN(8) {
	case 0:
		o.TTL, o.Renew, o.Margin = 3*time.Second, 500*time.Millisecond, 500*time.Millisecond
	case 1:
		o.TTL, o.Renew, o.Margin = 10*time.Second, 2*time.Second, 2*time.Second
	}
}

func drawMembers(r *rand.Rand, o *Options) {
	// The margin bears clocks that differ by margin/ttl; 2 % is far more than hardware does.
	spread := pick(r, int64(0), 100, 20_000)
	for range o.Members {
		o.PPM = append(o.PPM, r.Int64N(2*spread+1)-spread)
		o.Tags = append(o.Tags, spec.Tags{})
	}
	if r.IntN(4) == 0 {
		i := r.IntN(o.Members)
		switch r.IntN(3) {
		case 0:
			o.Tags[i].Priority = 10
		case 1:
			o.Tags[i].NoSync = true
		case 2:
			o.Tags[i].NoFailover = i > 0
		}
	}
	o.External, o.Fresh = r.IntN(4) == 0, r.IntN(16) == 0
}

// drawLater has chances of its own, so that the rest of what a seed draws stays what it was.
func drawLater(r *rand.Rand, o *Options) {
	o.Recovery = pick(r, 30*time.Second, 30*time.Second, 4*time.Second, time.Second)
	if r.IntN(4) == 0 {
		for i := range o.Tags {
			o.Tags[i].Zone = pick(r, "north", "north", "south", "")
		}
	}
	o.Poolers = r.IntN(3) == 0
}

func drawNetwork(r *rand.Rand, o *Options) {
	o.Latency = pick(r, 200*time.Microsecond, time.Millisecond, 20*time.Millisecond)
	o.TailOneIn = pick(r, 0, 200, 30)
	o.Tail = pick(r, 100*time.Millisecond, time.Second, 8*time.Second)
	o.TCPTimeout = pick(r, 2*time.Second, 10*time.Second, 30*time.Second)
	o.Promote = pick(r, 200*time.Millisecond, 200*time.Millisecond, 3*time.Second, 15*time.Second)
	o.Stop = pick(r, 100*time.Millisecond, time.Second, 8*time.Second)
	o.Start = pick(r, 300*time.Millisecond, 300*time.Millisecond, 10*time.Second)
	o.Clone = pick(r, 2*time.Second, 10*time.Second)
	o.Reload = pick(r, 5*time.Millisecond, 100*time.Millisecond, 250*time.Millisecond)
	o.Think = pick(r, 300*time.Millisecond, time.Second, 2*time.Second)
}

// drawSwarm chooses the kinds of faults: a few, most, or all.
func drawSwarm(r *rand.Rand, o *Options) {
	allowed := allowedFaults(o)
	keep := pick(r, 2, 3, 5, 8, len(allowed))
	r.Shuffle(len(allowed), func(i, j int) { allowed[i], allowed[j] = allowed[j], allowed[i] })
	o.Faults = allowed[:min(keep, len(allowed))]
	o.Gap = pick(r, time.Second, 3*time.Second, 8*time.Second, 20*time.Second)
	o.Length = pick(r, 2*time.Second, 8*time.Second, 20*time.Second)
}

// String is the first lines of a story.
func (o Options) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "members %d (witness %v, fresh %v), clients %d, %s k=%d strict=%v max_lag=%d\n", o.Members, o.Witness, o.Fresh, o.Clients, o.Durability, o.K, o.Strict, o.MaxLag)
	fmt.Fprintf(&b, "crash_recovery_max %s, ttl %s renew %s margin %s write_timeout %s, clocks %v ppm, store external %v, poolers %v\n", o.Recovery, o.TTL, o.Renew, o.Margin, o.Patience, o.PPM, o.External, o.Poolers)
	fmt.Fprintf(&b, "latency %s, tail %s one in %d, tcp timeout %s, promote %s, stop %s, start %s, clone %s, reload %s, think %s\n",
		o.Latency, o.Tail, o.TailOneIn, o.TCPTimeout, o.Promote, o.Stop, o.Start, o.Clone, o.Reload, o.Think)
	for i, t := range o.Tags {
		if t != (spec.Tags{}) {
			fmt.Fprintf(&b, "tags of %s: %+v\n", memberNames[i], t)
		}
	}
	if len(o.Watchdog) > 0 {
		fmt.Fprintf(&b, "watchdogs %v\n", o.Watchdog)
	}
	fmt.Fprintf(&b, "faults %v, one in %s, up to %s\n", o.Faults, o.Gap, o.Length)
	return b.String()
}
