package sim

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/trust"
)

// wardenProc models the warden's process around the real trust.Permit: parent of PostgreSQL,
// one deadline, one action.
type wardenProc struct {
	n      *node
	group  group
	permit trust.Permit

	alive    bool // and connected to the agent
	empty    bool
	killing  bool
	fenced   bool
	exitedAt core.Instant
	exitText string
	timer    int
}

// begin is a new warden: it kills what an earlier one left before it says that it is ready.
func (d *wardenProc) begin() {
	d.permit, d.alive, d.empty, d.killing, d.fenced, d.exitedAt, d.exitText = trust.Permit{}, true, true, false, false, 0, ""
	if d.n.pg.state != core.StateStopped {
		d.n.pg.halt()
	} else {
		d.n.pg.group.kill() // a backend that outlived its postmaster
	}
	d.n.dog.bound = false
	d.watch() // takes back what an earlier one left counting
}

// arm sets the deadline; the timer fires when this host's clock says so.
func (d *wardenProc) arm(deadline core.Instant, l core.LeaseRecord) error {
	err := d.permit.Arm(deadline, l.Term, d.n.clock())
	if err == nil {
		d.permit.Margin = l.Margin.D()
		longest := spec.Lease{TTL: l.TTL, Margin: l.Margin}.WatchdogMax()
		if h := &d.n.dog; !h.on || h.rule.Timeout > longest {
			h.sleep()
			h.rule.Timeout = longest
		}
	}
	d.setTimer()
	d.watch()
	return err
}

func (d *wardenProc) disarm(term uint64) error {
	err := d.permit.Disarm(max(term, 1))
	d.n.dog.bound = false
	d.setTimer()
	d.watch()
	return err
}

func (d *wardenProc) setTimer() {
	d.timer++
	if d.permit.Deadline == 0 {
		return
	}
	timer := d.timer
	d.group.after(d.n.until(d.permit.Deadline), func() {
		if d.timer != timer {
			return
		}
		if d.checkDeadline(); d.permit.Deadline > d.n.clock() { // the clock stood still meanwhile
			d.setTimer()
		}
	})
}

// checkDeadline is what the warden does first whenever it runs.
func (d *wardenProc) checkDeadline() {
	if !d.permit.Expired(d.n.clock()) {
		return
	}
	if d.empty {
		d.permit.Withdraw()
		d.watch()
		return
	}
	d.n.w.note(d.n, "deadline", int(d.permit.Term), "the warden's deadline of term %d passed", d.permit.Term)
	d.fence("the deadline passed")
}

// fence kills every process of the instance.
func (d *wardenProc) fence(reason string) {
	d.permit.Withdraw()
	d.setTimer()
	d.fenced, d.exitText = true, "fenced: "+reason
	d.watch()
	if d.empty {
		return
	}
	d.n.w.note(d.n, "fence", int(d.permit.Term), "%s", reason)
	d.kill()
}

// kill waits until the kernel says that no process is left: a moment, or until a flush that
// hangs in the kernel comes back.
func (d *wardenProc) kill() {
	if d.killing || d.empty {
		return
	}
	d.killing = true
	d.group.after(d.n.w.upTo(30*time.Millisecond), func() { // backends die one by one
		d.n.pg.halt()
		d.group.after(d.n.w.between(time.Millisecond, 30*time.Millisecond), d.emptied)
	})
}

func (d *wardenProc) emptied() {
	if d.n.pg.hung > 0 {
		d.group.after(100*time.Millisecond, d.emptied)
		return
	}
	d.killing, d.empty, d.exitedAt = false, true, d.n.clock()
	d.n.dog.bound = false
	d.watch()
	d.n.agent.poke()
}

// postmasterEnded: what is left of the instance goes the same way.
func (d *wardenProc) postmasterEnded(text string) {
	if d.fenced && d.killing {
		return
	}
	d.exitText, d.exitedAt = text, d.n.clock()
	d.kill()
	d.n.agent.poke()
}

// startServer is the agent's request; false: refused.
func (d *wardenProc) startServer() bool {
	d.checkDeadline()
	if !d.empty || !d.permit.Armed || !d.alive {
		return false
	}
	if d.n.dog.mode == spec.WatchdogRequired && d.permit.Deadline != 0 && !d.n.dog.on {
		return false
	}
	if h := &d.n.dog; h.on && !h.rule.Starts(d.n.clock()) {
		return false
	}
	d.empty, d.fenced = false, false
	d.n.pg.start()
	return true
}

func (d *wardenProc) view() core.Warden {
	if !d.alive {
		return core.Warden{}
	}
	return core.Warden{Alive: true, Empty: d.empty, Deadline: d.permit.Deadline, Term: d.permit.Term, Fenced: d.fenced, ExitedAt: d.exitedAt, ExitText: d.exitText, Watchdog: d.n.dog.view()}
}
