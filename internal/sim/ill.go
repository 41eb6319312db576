package sim

import (
	"errors"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

var errDevice = errors.New("input/output error")

// probe makes the small writes as observe does, by the same rules: a commit each second where a
// primary runs, and a file beside the data. Where nothing hangs they come back at once.
func (a *agent) probe(l *core.Local) {
	p, now := &a.n.pg, a.n.clock()
	switch i := &l.Instance; {
	case !l.Warden.Alive || l.Warden.Empty:
		a.commits.Forget()
		a.writes, a.open = false, 0
	case i.Standby():
		if a.writes {
			a.commits.Forget()
			a.writes, a.open = false, 0
		}
	case i.Primary || i.State == core.StateUnknown: // unknown: also of one that is no primary, or not known to be
		a.writes = true
		a.commit(p, now)
	}
	if a.writes {
		l.Probe = a.commits.Look(now)
	}
	if a.openTest != 0 && p.hung == 0 {
		a.test.Answered(a.openTest, now, p.device(), "")
		a.openTest = 0
	}
	if number, due := a.test.Due(now); due {
		if a.openTest = number; p.hung == 0 {
			a.test.Answered(number, now, p.device(), "")
			a.openTest = 0
		}
	}
	l.Disk.Test = a.test.Look(now)
}

func (a *agent) commit(p *server, now core.Instant) {
	if a.open == 0 {
		number, due := a.commits.Due(now)
		if !due {
			return
		}
		a.open, a.openEpoch = number, p.group.epoch
	}
	switch {
	case a.openEpoch != p.group.epoch || p.state == core.StateStopped:
		a.commits.Answered(a.open, now, errServer, "")
	case p.hung > 0 || p.group.frozen > 0:
		return
	default:
		a.commits.Answered(a.open, now, nil, "")
	}
	a.open = 0
}

func (p *server) device() error {
	if p.dead > 0 {
		return errDevice
	}
	return nil
}

// ill: it runs, and does not do a primary's work.
func (p *server) ill() bool { return p.hung > 0 || p.dead > 0 || p.group.frozen > 0 }

// watchIll is the liveness of health by a write: while nothing else is wrong, and others could
// lead, who is ill is replaced within the patience with it, a ttl, and what an election takes.
func (w *World) watchIll() {
	l := w.store.records.Lease
	if n := w.byName(l.Holder); n == nil || l.Released || !n.pg.ill() || n.pg.state == core.StateStarting || // a start has a bound of its own
		!w.calmBeside(n) {
		w.illSince = 0
	} else if frozen := n.pg.group.frozen > 0; w.illSince == 0 || w.illFrozen && !frozen || w.illPromoting != n.pg.promoting {
		// What runs on after a freeze has its patience anew: until then nobody asked the disk. The same after a promotion.
		w.illSince, w.illFrozen, w.illPromoting = w.now, frozen, n.pg.promoting
	} else {
		w.illFrozen = frozen
		patience := w.o.Patience << min(l.Flaps, 6)
		if n.pg.promoting {
			patience = max(patience, w.o.Recovery, 30*time.Second)
		}
		// A file is written every five seconds; the rest is ticks and answers of members.
		if bound := patience + l.TTL.D() + 10*time.Second; w.now-w.illSince > bound {
			w.violate("I11", "%s is ill, and has kept the lease of term %d for %s", n.name, l.Term, w.now-w.illSince)
		}
	}
	w.after(500*time.Millisecond, w.watchIll)
}

// calmBeside: nothing is wrong with the cluster but this member's PostgreSQL, and all others can lead.
func (w *World) calmBeside(ill *node) bool {
	s := w.store
	r := &s.records
	if w.lossPct > 0 || w.slowBy > 0 || w.o.TailOneIn > 0 && w.o.Tail > time.Second || w.slowReads > 0 || s.staleness > 0 || s.electing || max(s.stalled, s.diskStalls) > w.now || r.Paused || r.Operation.Active() {
		return false
	}
	if w.hist.Sync && len(r.Lease.Sync.Members) == 0 {
		return false
	}
	for i, n := range w.nodes {
		for j := range w.cutN {
			if w.cutN[i][j] > 0 || w.cutN[j][i] > 0 {
				return false
			}
		}
		if n.down > 0 || n.hides > 0 || n.blind || !n.agent.up || n.agent.stopping || n.agent.group.frozen > 0 || s.requests[i] != nil {
			return false
		}
		if !n.witness && (!n.warden.alive || n.warden.group.frozen > 0 || n != ill && !w.canFollow(n, ill)) {
			return false
		}
	}
	return len(w.dataMembers()) > 1
}

// canFollow: n could lead after ill at once.
func (w *World) canFollow(n, ill *node) bool {
	p := &n.pg
	ready := p.state == core.StateRunning && !p.open && !p.ill() && len(p.wal)+3 >= len(ill.pg.wal) && p.timeline == ill.pg.timeline
	return ready && !n.agent.job.Running && !w.o.Tags[n.i].NoFailover
}
