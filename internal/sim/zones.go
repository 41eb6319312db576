package sim

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// zoneLate is what the primary's agent may take, beyond a ttl, until commits wait for who is in
// another failure domain: a write of the lease, the files, a reload, a checkpoint in its way.
const zoneLate = 8 * time.Second

// seesElsewhere follows, in what the primary's agent is shown tick by tick, since when as many
// standbys as have to confirm stream from other failure domains. Whatever keeps the agent
// from acting on it begins that anew.
func (a *agent) seesElsewhere(v *core.View) {
	w, i := a.n.w, &v.Local.Instance
	n := 0
	for _, s := range i.Senders {
		if m := w.byName(s.Member); s.Streaming && w.eligible(m) && !w.near(a.n, m) {
			n++
		}
	}
	busy := v.Store.Err != "" || v.Store.Operation.Active() || v.Failed.Kind != "" || v.Local.Job.Running || v.Stopping
	late := w.now-a.zonesAt > 2*time.Second || a.zonesK != v.Store.Spec.SyncStandbys
	a.zonesAt, a.zonesK = w.now, v.Store.Spec.SyncStandbys
	if !i.Primary || n < a.zonesK || busy || late {
		a.zonesSince = w.now
	}
}

// elsewhere is I13: when that has been so for longer than a ttl, what is acknowledged is kept
// in another failure domain.
func (p *server) elsewhere(c commit) {
	w, a := p.n.w, &p.n.agent
	if !w.hist.Sync || w.noCopy || !a.up || w.now-a.zonesAt > 2*time.Second || w.now-a.zonesSince < w.store.records.Spec.Lease.TTL.D()+zoneLate {
		return
	}
	kept := slices.ContainsFunc(w.nodes, func(m *node) bool { return m != p.n && !w.near(p.n, m) && m.pg.has(int(c.uid)) })
	w.hist.Elsewhere(p.n.i, int(c.uid), kept)
}

// near: a member without a zone is a failure domain of its own.
func (w *World) near(n, m *node) bool {
	zone := w.o.Tags[n.i].Zone
	return zone != "" && zone == w.o.Tags[m.i].Zone
}

func (w *World) eligible(m *node) bool {
	return !m.witness && !w.o.Tags[m.i].NoSync && !w.o.Tags[m.i].NoFailover
}
