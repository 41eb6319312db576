package trust

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Watchdog says when the hardware watchdog, the fence behind the warden's own, may be fed.
//
// A renewal sent at s lets PostgreSQL live until D = s + ttl - margin, and others may lead from
// s + ttl = D + margin on. The device resets the machine W after it was last fed. For that to be
// over before others lead, however the warden ended (killed, frozen, or waiting for a process that
// cannot be killed), it is fed at t only while
//
//	t + W <= D + margin/2.
//
// The first half of the margin is the warden's: it kills at D, and an instance that is empty by
// then needs no reset. The other half is for clocks that differ and for the reset itself. While
// renewals come in time D moves on, and the last moment in which it may be fed never passes.
type Watchdog struct {
	Timeout time.Duration // W, as the device grants it; at most spec.Lease.WatchdogMax
	By      core.Instant  // it must have fired by then if nothing changes; 0: it is not to count
}

// Follow takes over what the permit says now. A permit that was withdrawn while processes are
// left changes nothing: the device goes on counting until they are gone.
func (w *Watchdog) Follow(p Permit, empty bool) {
	switch {
	case p.Deadline != 0:
		w.By = p.Deadline.Add(p.Margin / 2)
	case p.Armed || empty: // a standby, or nothing that could write
		w.By = 0
	}
}

// Starts says whether a server may be started now that may write. While there was none the device was fed all the time: one
// that is started after the last moment for that, and cannot be killed, would outlive the lease. The next renewal makes
// room for it.
func (w *Watchdog) Starts(now core.Instant) bool {
	return w.By == 0 || now <= w.last()
}

// last is the last moment in which feeding it leaves it time to fire.
func (w *Watchdog) last() core.Instant { return w.By.Add(-w.Timeout) }

// Feed says whether the device may be fed now, and when to look again; 0: only after a change.
func (w *Watchdog) Feed(now core.Instant, empty bool) (feed bool, next core.Instant) {
	last := w.last()
	if now > last && !empty {
		return false, 0
	}
	next = now.Add(w.Timeout / 8)
	// Timers fire late. One that was set to the last moment would miss it, and the device fire an
	// eighth earlier, perhaps before the warden has killed.
	if aim := last.Add(-w.Timeout / 32); now < aim {
		next = min(next, aim)
	}
	return true, next
}
