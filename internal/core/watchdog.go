package core

import "cmp"

// A watchdog that is required is part of the fence: whoever has none must not lead. The warden
// opens it when it is armed, so a candidate needs one that can be opened, and what makes
// PostgreSQL writable waits until it counts.

// unwatched says (with the reason) that this member must not lead.
func (d *decider) unwatched() bool {
	w, timing := d.v.Local.Warden.Watchdog, d.spec.Lease
	if d.holds() {
		timing = d.timing()
	}
	long := w.State == WatchdogReady && w.Timeout > timing.WatchdogMax()
	if d.report.Unwatched = w.Required && w.State != WatchdogActive && (w.State != WatchdogReady || long); !d.report.Unwatched {
		return false
	}
	text := cmp.Or(w.Text, string(w.State), "not known yet")
	if long {
		text = "its timeout of " + w.Timeout.String() + " is too long for a lease that bears " + timing.WatchdogMax().String()
	}
	d.say(CondUnwatched, "this member must not lead without its watchdog: %s", text)
	return true
}

// cannotWatch: it is so for longer than a new warden needs to look at its device.
func (d *decider) cannotWatch() bool { return d.since("unwatched", d.unwatched()) >= peerFresh }

// awaitsWatchdog keeps PostgreSQL from becoming writable until the watchdog counts. A holder that
// cannot have it stops, and gives the lease back.
func (d *decider) awaitsWatchdog() bool {
	w := d.v.Local.Warden.Watchdog
	if !w.Required || w.State == WatchdogActive {
		return false
	}
	d.wakeIn(tickBusy)
	d.say("watchdog_inactive", "the watchdog is required and does not count yet")
	switch why := because(CondUnwatched, "the watchdog is required and cannot be had: another member must lead"); {
	case !d.cannotWatch():
	case d.ended():
		d.release(why)
	default:
		d.do(Step{Kind: StepStop, Why: why})
	}
	return true
}

// watchLost: a primary whose required watchdog fails hands over when somebody can take over
// without loss, once. Otherwise it goes on: the warden's fence still stands, and to stop for a
// device that guards against the fence's failure would be an outage for certain.
func (d *decider) watchLost() {
	op := d.v.Store.Operation
	if !d.cannotWatch() || d.v.Store.Paused || op.Active() || op != nil && op.ID == d.opID("watchdog") {
		return
	}
	if who, ok := d.successor(); ok {
		next := Operation{ID: d.opID("watchdog"), Kind: OpSwitchover, From: d.v.Self, To: who, Phase: PhaseRequested, Term: d.lease.Term, By: "watchdog", Reason: "the watchdog is required, and lost"}
		d.putOperation(next, because(CondUnwatched, "%s takes over: the watchdog here is required and lost", who))
	}
}
