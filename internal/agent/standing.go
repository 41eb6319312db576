package agent

import (
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/warden"
)

// standing is what this member is to those outside: clients and the administrator's programs.
type standing string

// Standings; the names are what hooks are called with. Unknown is a value of its own: who
// treats it as "not primary" takes the address away whenever an agent restarts.
const (
	standsUnknown standing = ""
	standsPrimary standing = "primary" // PostgreSQL accepts writes, and may do so
	standsStandby standing = "standby" // PostgreSQL runs in recovery
	standsFenced  standing = "fenced"  // PostgreSQL was killed so that another may lead
	standsStopped standing = "stopped" // PostgreSQL does not run
)

// standingOf judges by the last decision and by what the warden says now. The warden's word comes first: a
// decision may be old, if the loop or the whole agent has stood still, and the deadline
// under which a primary lives is the one clock that the address and PostgreSQL share.
func standingOf(e journal.Entry, w warden.Status, now core.Instant) standing {
	i := e.View.Local.Instance
	switch {
	case !w.Alive:
		return standsUnknown
	case w.Expired(now):
		return standsFenced // the warden is about to
	case w.PostmasterPID == 0 && !w.Empty:
		return standsUnknown // it is being started, or killed
	case w.PostmasterPID == 0 && w.Fenced != nil:
		return standsFenced
	case w.PostmasterPID == 0:
		return standsStopped
	case w.Deadline != 0 && opened(e):
		return standsPrimary
	case w.Deadline == 0 && i.Standby():
		return standsStandby
	}
	return standsUnknown
}

// opened: the decision's view shows a primary by right that applications can write to.
func opened(e journal.Entry) bool {
	l, lease := e.View.Local, e.View.Store.Lease
	return e.Report.Role == "primary" && l.Instance.State == core.StateRunning && l.Instance.Primary && !l.Held &&
		lease.Holder == e.View.Self && !lease.Released
}
