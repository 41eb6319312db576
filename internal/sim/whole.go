package sim

import (
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Liveness: after the last fault somebody leads soon, everybody streams, and then there
// is nothing left to do.

const (
	leaderMax = 30 * time.Second
	// Where starts failed, core's longest pause between two is a minute; and a promotion that was
	// or a stop that was slow before the faults ended is as slow after.
	patientMax = 75 * time.Second
	wholeMax   = 150 * time.Second
	quietFor   = 10 * time.Second // after a whole cluster was seen for so long, plans are to be empty
)

// leader gives the member that leads in deed.
func (w *World) leader() *node {
	l := w.store.records.Lease
	if n := w.byName(l.Holder); n != nil && !l.Released && n.pg.open {
		return n
	}
	return nil
}

// lacks says what keeps the cluster from being whole; empty when nothing does.
func (w *World) lacks() string {
	p := w.leader()
	switch {
	case p == nil:
		return "nobody leads"
	case p.pg.holds:
		return "clients are held"
	case w.store.records.Operation.Active():
		return "an operation is open"
	}
	sync := 0
	for i, n := range w.nodes {
		if w.store.requests[i] != nil {
			return "a request is open"
		}
		if n.witness || n == p {
			continue
		}
		if n.pg.state != core.StateRunning || !n.pg.receiver.live || n.pg.receiver.from != p.i || !p.pg.senders[i].live {
			return n.name + " does not stream"
		}
		if slices.Contains(w.store.records.Lease.Sync.Members, n.name) {
			sync++
		}
	}
	if want := min(w.store.records.Spec.SyncStandbys, w.syncEligible(p)); w.hist.Sync && sync < want {
		return "commits are kept on too few"
	}
	return ""
}

func (w *World) syncEligible(p *node) (n int) {
	for _, m := range w.nodes {
		if m != p && w.eligible(m) {
			n++
		}
	}
	return n
}

// watch looks at the healed cluster twice a second.
func (w *World) watch() {
	if w.openAt == 0 && w.leader() != nil {
		w.openAt = w.now
	}
	lacks := w.lacks()
	switch {
	case lacks == "" && w.wholeAt == 0:
		w.wholeAt = w.now
		w.note(nil, "whole", 0, "the cluster is whole")
	case lacks != "" && w.wholeAt != 0:
		w.note(nil, "broken", 0, "not whole any more: %s", lacks)
		w.wholeAt = 0
	}
	w.after(500*time.Millisecond, w.watch)
}

// certifies: each adds its part of a certificate once, and once more when both wrote at a time.
func (a *agent) certifies(operation string) bool {
	if a.certified != operation {
		a.certified, a.certifiedN = operation, 0
	}
	a.certifiedN++
	return a.certifiedN <= 2
}

// rest looks at what is still done by a cluster that has been whole for a while.
func (w *World) rest(a *agent, plan core.Plan) {
	if w.wholeAt == 0 || w.now-w.wholeAt < quietFor+w.o.TCPTimeout {
		return
	}
	var restless []string
	for _, s := range plan.Steps {
		switch {
		case s.Kind == core.StepPutLease, s.Why.Code == "request_late": // a write may land at any time; it is cleared away
		case s.Why.Code == "certified" && a.certifies(s.Operation.ID): // 10 s after an agent that has just started has heard of it
		case s.Why.Code == "retention" && s.ID != a.overdue: // its time has come; once is enough
			a.overdue = s.ID
		default:
			restless = append(restless, string(s.Kind)+" ("+s.Why.String()+")")
		}
	}
	if len(restless) > 0 {
		w.hist.Live(0, 0, leaderMax, wholeMax, a.n.name+": "+strings.Join(restless, ", "))
	}
}
