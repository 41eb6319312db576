package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/trust"
)

// hardware models a host's watchdog: it counts whatever stands still on the host, and cycles
// its power. When it is fed is the real trust.Watchdog's word, given by the warden.
type hardware struct {
	n    *node
	mode spec.WatchdogMode
	rule trust.Watchdog

	on     bool
	bound  bool         // by rights it stays on until nothing is left of what PostgreSQL was when it was fed
	lost   int          // faults that keep it from being opened
	hidden bool         // the host was paused with its clocks since it was fed, and the device with it
	next   core.Instant // when the warden is to feed it again
	timer  int          // of the feeding; the newest one counts
	count  int          // so too
	fires  time.Duration
	left   time.Duration // while it is paused
}

// drawWatchdog gives one run in five watchdogs: mostly all hosts alike. Its chances are its
// own, so that the draws of runs without them are what they were.
func drawWatchdog(r *rand.Rand, o *Options) {
	if r.IntN(5) > 0 {
		return
	}
	modes := pick(r, []spec.WatchdogMode{spec.WatchdogAutomatic}, []spec.WatchdogMode{spec.WatchdogAutomatic}, []spec.WatchdogMode{spec.WatchdogRequired},
		[]spec.WatchdogMode{spec.WatchdogOff, spec.WatchdogAutomatic, spec.WatchdogRequired})
	for range o.Members {
		o.Watchdog = append(o.Watchdog, pick(r, modes...))
	}
}

// focusOnWatchdog has every second run with watchdogs try what they are for: a warden that stands, or cannot
// kill, under an agent that is cut off or stands too.
func focusOnWatchdog(r *rand.Rand, o *Options) {
	if len(o.Watchdog) == 0 || r.IntN(2) > 0 {
		return
	}
	o.Faults = []FaultKind{HangFsync, Isolate, FreezeAgent}
	if slices.Contains(allowedFaults(o), FreezeWarden) {
		o.Faults = append(o.Faults, FreezeWarden, FreezeWarden)
	}
	o.Gap, o.Length = pick(r, time.Second, 2*time.Second), 20*time.Second
}

// watched: every host that may lead has a watchdog.
func (o *Options) watched() bool {
	return len(o.Watchdog) > 0 && !slices.Contains(o.Watchdog, spec.WatchdogOff)
}

// watch is the warden's turn, after whatever has changed.
func (d *wardenProc) watch() {
	h := &d.n.dog
	if h.mode == spec.WatchdogOff {
		return
	}
	h.rule.Follow(d.permit, d.empty)
	now := d.n.clock()
	switch {
	case h.rule.By == 0 || h.lost > 0:
		h.sleep()
	case !h.on:
		h.next = now
		fallthrough
	case now >= h.next:
		h.feed(now)
	}
}

// feed starts the count anew, if it may.
func (h *hardware) feed(now core.Instant) {
	d := &h.n.warden
	ok, next := h.rule.Feed(now, d.empty)
	if !ok {
		return
	}
	if !h.on {
		h.n.w.note(h.n, "watchdog", 1, "the watchdog counts, by %s", h.rule.Timeout)
	}
	h.on, h.bound, h.hidden, h.next = true, true, false, next
	h.countFrom(h.n.until(now.Add(h.rule.Timeout)))
	h.timer++
	timer := h.timer
	d.group.after(h.n.until(next), func() {
		if h.timer == timer {
			d.watch()
		}
	})
}

func (h *hardware) countFrom(left time.Duration) {
	h.count++
	count := h.count
	h.fires = h.n.w.now + left
	h.n.w.after(left, func() {
		if h.count == count {
			h.fire()
		}
	})
}

// fire is what it is for.
func (h *hardware) fire() {
	w := h.n.w
	w.resets++
	w.note(h.n, "watchdog", 2, "the watchdog resets the machine")
	h.n.powerOff()
	w.after(w.between(2*time.Second, 8*time.Second), h.n.powerOn)
}

// sleep is the magic close, or the end of its power.
func (h *hardware) sleep() {
	if h.on {
		h.n.w.note(h.n, "watchdog", 0, "the watchdog is disarmed")
	}
	h.on = false
	h.timer++
	h.count++
}

// pause and resume: a virtual machine that is paused with its clocks has its watchdog paused too.
func (h *hardware) pause() {
	h.left, h.hidden = h.fires-h.n.w.now, true
	h.count++
}

func (h *hardware) resume() {
	if h.on {
		h.countFrom(h.left)
	}
}

// guards: whatever stands still, it cycles the power before others may lead.
func (h *hardware) guards() bool { return h.on && !h.hidden }

func (h *hardware) view() core.Watchdog {
	v := core.Watchdog{Required: h.mode == spec.WatchdogRequired, State: core.WatchdogReady}
	switch {
	case h.mode == spec.WatchdogOff:
		return core.Watchdog{}
	case h.lost > 0:
		v.State, v.Text = core.WatchdogUnavailable, "lost"
	case h.on:
		v.State, v.Timeout = core.WatchdogActive, h.rule.Timeout
	}
	return v
}

// undead: what is left of PostgreSQL cannot be killed, and only the watchdog could end it. (After the
// shutdown checkpoint what hangs has nothing left to write.)
func (n *node) undead() bool {
	return n.dog.bound && !n.dog.hidden && n.warden.killing && n.pg.hung > 0 && n.pg.control != "shut down"
}
