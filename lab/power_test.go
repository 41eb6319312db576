//go:build lab

package lab

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/rig"
)

// Several members fail: all at once, or one more than can be borne.
var _ = add(
	scenario{name: "kill-all-power-cut", disks: powerDisks, bounds: history.Bounds{OutageMax: time.Minute, ChangesMax: 1}, run: killAllPowerCut},
	scenario{name: "start-old-primary-first", hosts: 5, config: twoWitnesses, disks: rig.Disks{DataMB: 400, StoreMB: 300},
		bounds: history.Bounds{OutageMax: time.Minute, ChangesMax: 2}, run: startOldPrimaryFirst},
	scenario{name: "double-failure", hosts: 5, config: twoWitnesses, bounds: history.Bounds{OutageMax: time.Minute, ChangesMax: 1}, run: doubleFailure},
	scenario{name: "sync-set-churn", bounds: history.Bounds{OutageMax: 20 * time.Second, ChangesMax: 1}, run: syncSetChurn},
)

var powerDisks = rig.Disks{DataMB: 400, WALMB: 300, StoreMB: 300}

// twoWitnesses give the store a quorum with one data member: a stale one is then kept from leading
// by what it knows to be missing, not by the lack of a quorum.
func twoWitnesses(c *cluster.Config) { c.Witnesses = 2 }

// dice are a scenario's own; the seed is in the log.
func (l *Lab) dice() *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	l.T.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func killAllPowerCut(l *Lab) {
	dice := l.dice()
	l.Mark("power fails everywhere")
	l.Cluster.PowerCut(l.Cluster.Members...)
	for _, i := range dice.Perm(len(l.Cluster.Members)) {
		m := l.Cluster.Members[i]
		l.Mark("%s starts", m.Name)
		m.StartAgent()
		l.last(time.Duration(dice.IntN(3000)) * time.Millisecond)
	}
	p := l.Cluster.WaitPrimary(40*time.Second, l.Cluster.Members...)
	l.Mark("%s leads", p.Name)
	l.Load.WaitAcked(50)
}

// neverLeads watches a member that must not lead. It is longer than two ttl and all delays of an election.
func (l *Lab) neverLeads(m *cluster.Member) {
	l.T.Helper()
	for began := time.Now(); time.Since(began) < cutFor; l.last(50 * time.Millisecond) {
		if m.Writable() {
			l.T.Fatalf("%s accepts writes although it lacks, or may lack, acknowledged commits", m.Name)
		}
	}
}

// startOldPrimaryFirst: the first primary comes back alone, after another reign that it knows nothing of (Patroni #2175).
func startOldPrimaryFirst(l *Lab) {
	stale := l.primary()
	l.Mark("power fails on %s", stale.Name)
	stale.PowerCut()
	l.takenOver(stale)
	// At first a new reign may promise nobody anything: until it has proven who waits for whom.
	l.Cluster.Wait(20*time.Second, "the new primary's commits to be kept on another member", func() bool {
		_, lease, ok := l.Cluster.Records()
		return ok && lease.Written && len(lease.Sync.Members) > 0
	})
	rest := l.Cluster.Standbys(stale)
	l.Mark("power fails on the other data members")
	l.Cluster.PowerCut(rest...)
	l.Mark("%s starts alone", stale.Name)
	stale.StartAgent()
	l.neverLeads(stale)
	l.seen("no_leader")
	l.explains(stale, "heard 0 of 1 members that must be heard")
	for _, m := range rest {
		l.Mark("%s starts", m.Name)
		m.StartAgent()
	}
	p := l.Cluster.WaitPrimary(40*time.Second, rest...)
	l.Mark("%s leads", p.Name)
	l.Load.WaitAcked(50)
}

// explains waits until `pgherd explain` on a member holds these words (N6).
func (l *Lab) explains(m *cluster.Member, words ...string) {
	l.T.Helper()
	text := ""
	l.Cluster.Wait(10*time.Second, "explain on "+m.Name+" says "+strings.Join(words, ", "), func() bool {
		text = m.Explain()
		for _, w := range words {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
	l.T.Logf("%6.2f s  explain on %s:\n%s", time.Since(l.Began).Seconds(), m.Name, text)
}

// doubleFailure: commits are on the primary and on one of two standbys; the primary and one standby die. The
// other standby may be the one without the last commits: nobody can know, so nobody leads.
func doubleFailure(l *Lab) {
	p := l.primary()
	b, c := l.Cluster.Standbys(p)[0], l.Cluster.Standbys(p)[1]
	l.Mark("power fails on %s and %s", p.Name, b.Name)
	l.Cluster.PowerCut(p, b)
	l.neverLeads(c)
	l.seen("no_leader")
	l.explains(c, "heard 1 of 2 members that must be heard")
	l.Mark("%s comes back", b.Name)
	b.StartAgent()
	next := l.Cluster.WaitPrimary(40*time.Second, b, c)
	l.Mark("%s leads", next.Name)
	l.Load.WaitAcked(50)
}

// churnFor is how long standbys come and go.
const churnFor = 30 * time.Second

// syncSetChurn changes who must confirm, and how many, all the time, and then takes the primary away: of what
// was acknowledged at any moment nothing may be missing (the class of CloudNativePG #8790).
func syncSetChurn(l *Lab) {
	dice, p := l.dice(), l.primary()
	standbys := l.Cluster.Standbys(p)
	for began := time.Now(); time.Since(began) < churnFor; {
		s := standbys[dice.IntN(len(standbys))]
		l.disturb(dice.IntN(4), p, s)
		l.last(time.Duration(300+dice.IntN(1500)) * time.Millisecond)
		if !s.AgentRuns() {
			l.Mark("%s starts", s.Name)
			s.StartAgent()
		}
	}
	l.Cluster.Wait(40*time.Second, "a standby to go on with", func() bool {
		_, lease, ok := l.Cluster.Records()
		return ok && len(lease.Sync.Members) > 0
	})
	l.Mark("power fails on %s", p.Name)
	p.PowerCut()
	l.takenOver(p)
}

func (l *Lab) disturb(kind int, p, s *cluster.Member) {
	switch {
	case kind == 0:
		l.Mark("power fails on %s", s.Name)
		s.PowerCut()
	case kind == 1 && s.PID(cluster.Postmaster) != 0:
		l.Mark("SIGKILL to the postmaster of %s", s.Name)
		s.Kill(cluster.Postmaster)
	case kind == 2:
		l.Mark("sync_standbys=2: exit %d", p.Run("config", "set", "sync_standbys=2").Code)
	default:
		l.Mark("sync_standbys=1: exit %d", p.Run("config", "set", "sync_standbys=1").Code)
	}
}
