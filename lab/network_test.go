//go:build lab

package lab

import (
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
)

// The network between the members is cut, in one direction or for one purpose, or loses packets. Clients
// reach every member all the time: that is what makes two primaries visible.
var _ = add(
	scenario{name: "isolate-primary", bounds: crash, run: isolatePrimary},
	scenario{name: "isolate-standby", bounds: history.Bounds{OutageMax: 2 * time.Second}, run: isolateStandby},
	scenario{name: "cut-primary-store", bounds: crash, run: cutPrimaryStore},
	scenario{name: "cut-replication-only", bounds: history.Bounds{OutageMax: 15 * time.Second}, run: cutReplicationOnly},
	scenario{name: "one-way-in", bounds: crash, run: oneWayIn},
	scenario{name: "one-way-out", bounds: crash, run: oneWayOut},
	scenario{name: "bridge-node", bounds: history.Bounds{OutageMax: 2 * time.Second}, run: bridgeNode},
	scenario{name: "flapping-link", bounds: history.Bounds{OutageMax: 15 * time.Second, ChangesMax: 2}, run: flappingLink},
	scenario{name: "loss-30", bounds: history.Bounds{OutageMax: lossFor + 30*time.Second, ChangesMax: 1}, run: lossThirty},
)

// cutFor is longer than the ttl twice.
const cutFor = 12 * time.Second

func isolatePrimary(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Do(p.Name+" is cut off", l.Rig.Isolate(p.Host))
	l.emptied(p, 8*time.Second)
	l.takenOver(p)
	l.fencedByDeadline(p)
	l.seen("store_unreachable")
	l.last(cutFor - time.Since(since))
	l.Do("the cut is healed", l.Rig.HealNet())
	l.told(since, "leader_changed")
	// What it wrote while it was cut off waited for a standby until its end: the checkers say whether
	// that none of it was acknowledged is true.
	l.tells(60*time.Second, p.Name, "fork_saved", "none of which was acknowledged")
}

func isolateStandby(l *Lab) {
	s := l.Cluster.Standbys(l.primary())[0]
	l.Do(s.Name+" is cut off", l.Rig.Isolate(s.Host))
	l.seen("member_unreachable")
	l.last(cutFor)
	l.Load.WaitAcked(50)
}

func cutPrimaryStore(l *Lab) {
	p := l.primary()
	pid := p.PID(cluster.Postmaster)
	for _, o := range l.Cluster.Others(p) {
		l.Do("the store's ports between "+p.Name+" and "+o.Name+" are cut", l.Rig.CutPorts(p.Host, o.Host, cluster.PortPeer, cluster.PortStore))
	}
	l.sees(p, 10*time.Second, core.CondFailsafe)
	l.last(cutFor)
	l.remains(p, pid)
	l.Load.WaitAcked(50)
	// Now one of the others cannot be asked: it may be electing somebody, so the deadline stands.
	o := l.Cluster.Others(p)[0]
	l.Do("all ports between "+p.Name+" and "+o.Name+" are cut", l.Rig.Cut(p.Host, o.Host))
	l.emptied(p, 8*time.Second)
	l.takenOver(p)
	l.fencedByDeadline(p)
	l.readable(p)
}

// readable waits until a member that lost its store serves reads as a standby.
func (l *Lab) readable(m *cluster.Member) {
	l.T.Helper()
	l.Cluster.Wait(15*time.Second, m.Name+" serves reads", func() bool {
		v, err := m.Query("SELECT pg_is_in_recovery()::text")
		return err == nil && v == "true"
	})
	l.Mark("%s serves reads", m.Name)
}

// cutReplicationOnly: everybody is alive, reachable and renews, only WAL does not flow.
func cutReplicationOnly(l *Lab) {
	p := l.primary()
	for i, a := range l.Rig.Hosts {
		for _, b := range l.Rig.Hosts[i+1:] {
			l.Do("PostgreSQL's port between "+a.Name+" and "+b.Name+" is cut", l.Rig.CutPorts(a, b, cluster.Port))
		}
	}
	since := time.Now()
	l.Cluster.Wait(10*time.Second, "the stall is reported", func() bool {
		s, ok := p.Status()
		return ok && cluster.Has(s, "sync_stalled")
	})
	l.Mark("reported after %v", time.Since(since).Round(time.Millisecond))
	l.Load.WaitAcked(50)
	l.Cluster.Wait(10*time.Second, "commits go on alone, and that is told", func() bool {
		s, ok := p.Status()
		return ok && cluster.Has(s, "sync_degraded") && !cluster.Has(s, "sync_stalled")
	})
	l.last(cutFor - time.Since(since))
}

func oneWayIn(l *Lab) {
	p := l.primary()
	l.Do("nothing from the others reaches "+p.Name, l.Rig.IsolateIn(p.Host))
	l.emptied(p, 8*time.Second)
	l.takenOver(p)
	l.last(cutFor)
}

func oneWayOut(l *Lab) {
	p := l.primary()
	l.Do("nothing from "+p.Name+" reaches the others", l.Rig.IsolateOut(p.Host))
	l.emptied(p, 8*time.Second)
	l.takenOver(p)
	l.last(cutFor)
}

func bridgeNode(l *Lab) {
	p := l.primary()
	far := l.Cluster.Standbys(p)[0]
	l.Do(p.Name+" and "+far.Name+" cannot reach each other, the third reaches both", l.Rig.Cut(p.Host, far.Host))
	l.seen("member_unreachable")
	l.last(cutFor)
	l.Load.WaitAcked(50)
	if now := l.primary(); now != p {
		l.T.Errorf("%s leads, not %s", now.Name, p.Name)
	}
}

func flappingLink(l *Lab) {
	p := l.primary()
	for range 10 {
		l.Do(p.Name+" is cut off", l.Rig.Isolate(p.Host))
		l.last(2 * time.Second)
		l.Do("and back", l.Rig.HealNet())
		l.last(2 * time.Second)
	}
	l.Load.WaitAcked(50)
}

const lossFor = 25 * time.Second

// lossThirty: three packets of ten are lost in each direction, so that half of all questions have no answer in time.
// The store elects and loses leaders; the primary may have to stop at its deadline, and nobody
// else may lead then either. What must hold is safety, and that all comes back by itself.
func lossThirty(l *Lab) {
	l.Do("30 % of all packets are lost", l.Rig.Lose(30))
	l.last(lossFor)
}
