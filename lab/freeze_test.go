//go:build lab

package lab

import (
	"strings"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
)

// Processes stop without dying: the fault that fools whoever asks only whether a process exists.
var _ = add(
	scenario{name: "freeze-postgres", bounds: illness, run: freezePostgres},
	scenario{name: "freeze-agent", bounds: crash, run: freezeAgent},
	scenario{name: "freeze-node", bounds: frozenNode, run: freezeNode},
	scenario{name: "freeze-agent-at-renew", bounds: crash, run: freezeAgentAtRenew},
	scenario{name: "promotion-hangs", run: promotionHangs, three: true,
		bounds: history.Bounds{OutageMax: 30*time.Second + 2*crash.OutageMax, ChangesMax: 2}},
)

// frozenNode: at the thaw a paused machine goes on where it stood, in the midst of answering. The write
// was made before and is kept; only its answer is late, as if a packet had been. What is sent
// to it after the thaw must meet nobody.
var frozenNode = history.Bounds{OutageMax: crash.OutageMax, ChangesMax: 1,
	LateAnswers: "answers under way when the machine stood still arrive at the thaw",
	StaleReads:  "the same for reads"}

// promotionHangs: whoever takes over cannot, as the process that replays WAL stands still. It answers reads all the while.
func promotionHangs(l *Lab) {
	p, since := l.primary(), time.Now()
	frozen := map[*cluster.Member]int{}
	for _, m := range l.Cluster.Standbys(p) {
		frozen[m] = l.startup(m)
	}
	l.Mark("SIGSTOP to what replays WAL on %d standbys, SIGKILL to the postmaster of %s", len(frozen), p.Name)
	p.Kill(cluster.Postmaster)
	var first *cluster.Member
	l.Cluster.Wait(20*time.Second, "another holder of the lease", func() bool {
		_, lease, ok := l.Cluster.Records()
		first = l.Cluster.Get(lease.Holder)
		return ok && first != p
	})
	l.Mark("%s has the lease; all others replay again", first.Name)
	for m, pid := range frozen {
		if m != first {
			l.Do("SIGCONT on "+m.Name, syscall.Kill(pid, syscall.SIGCONT))
		}
	}
	l.sees(first, 15*time.Second, core.CondPromotionHangs)
	l.Cluster.WaitPrimary(40*time.Second, l.Cluster.Others(first)...)
	l.told(since, "leader_changed", "fence")
}

// startup stops the process that replays WAL, until the scenario's end.
func (l *Lab) startup(m *cluster.Member) (pid int) {
	l.T.Helper()
	for _, p := range m.Processes(cluster.Backend) {
		if strings.Contains(p.Args[0], "startup") {
			pid = p.PID
		}
	}
	if pid == 0 {
		l.T.Fatalf("%s has no process that replays WAL", m.Name)
	}
	l.Do("SIGSTOP on "+m.Name, syscall.Kill(pid, syscall.SIGSTOP))
	l.T.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	return pid
}

// freezeFor exceeds the ttl (5 s) twice.
const freezeFor = 12 * time.Second

// illness is what health.write_timeout (10 s) adds to the loss of a primary; where the kernel does not
// end what was killed, the lease runs out besides.
var illness = history.Bounds{OutageMax: 10*time.Second + 5*time.Second + crash.OutageMax, ChangesMax: 1}

// freezePostgres: neither reads nor writes are answered. A frozen process (cgroup v1) does not even
// die, so nothing proves that the instance is empty: the lease runs out, and another leads. At the
// thaw the processes die before they say anything.
func freezePostgres(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Mark("PostgreSQL on %s freezes", p.Name)
	p.FreezePostgres()
	l.seen("postgres_not_answering")
	l.sees(p, 20*time.Second, core.CondUnkillable)
	l.takenOver(p)
	l.told(since, "leader_changed")
	l.Mark("thaw")
	p.Host.Thaw()
	l.emptied(p, 2*time.Second)
	l.Load.WaitAcked(50)
}

func freezeAgent(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Mark("SIGSTOP to the agent of %s", p.Name)
	resume := l.stop(p, cluster.Agent)
	l.emptied(p, 8*time.Second)
	l.takenOver(p)
	l.fencedByDeadline(p)
	l.Mark("SIGCONT")
	resume()
	l.told(since, "leader_changed")
}

func freezeNode(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Do("everything on "+p.Name+" freezes", p.Host.Freeze())
	l.takenOver(p)
	l.seen("member_unreachable")
	l.last(freezeFor - time.Since(since))
	l.Mark("thaw")
	p.Host.Thaw()
	l.emptied(p, 2*time.Second)
	l.fencedByDeadline(p)
	l.told(since, "leader_changed")
}

// replyDelay is within the time for which the agent waits for the answer to a renewal (0.9 s).
const replyDelay = 700 * time.Millisecond

// freezeAgentAtRenew: a renewal takes effect in the store, and its answer reaches the agent late; the agent
// is cut off right after. Trust may count from the renewal's sending only: counted from the
// answer, PostgreSQL would outlive the lease by the delay.
func freezeAgentAtRenew(l *Lab) {
	p := l.primary()
	l.storeLedElsewhere(p)
	seen := l.unansweredRenewal(p)
	l.Mark("a renewal took effect: SIGSTOP to the agent of %s", p.Name)
	resume := l.stop(p, cluster.Agent)
	if err := l.Rig.HealNet(); err != nil {
		l.T.Fatal(err)
	}
	l.last(replyDelay)
	l.Do("SIGCONT, and "+p.Name+" is cut off", l.Rig.Isolate(p.Host))
	resume()
	l.emptied(p, 8*time.Second)
	// The renewal was sent before it was seen: ttl - margin from there, and what the kernel needs.
	if after := time.Since(seen); after > 4*time.Second+400*time.Millisecond {
		l.T.Errorf("PostgreSQL lived for %v after the last renewal; its deadline is 4 s from the sending", after)
	}
	l.takenOver(p)
}

// unansweredRenewal cuts what comes in to the primary until a renewal of it took effect in the store,
// whose answer it cannot have, and gives that moment. When the store's election came between, it
// is tried again.
func (l *Lab) unansweredRenewal(p *cluster.Member) time.Time {
	l.T.Helper()
	other := l.Cluster.Others(p)[0]
	for range 5 {
		l.Do("nothing from the others reaches "+p.Name, l.Rig.IsolateIn(p.Host))
		_, before, _ := l.Cluster.RecordsBy(other)
		for cut := time.Now(); time.Since(cut) < 1300*time.Millisecond; {
			if _, lease, ok := l.Cluster.RecordsBy(other); ok && before.Beat > 0 && lease.Beat > before.Beat {
				return time.Now()
			}
		}
		l.Do("no renewal got out: once more", l.Rig.HealNet())
		l.Cluster.WaitReady(30 * time.Second)
		l.storeLedElsewhere(p)
	}
	l.T.Fatal("no renewal without an answer in 5 attempts")
	return time.Time{}
}

// storeLedElsewhere waits until the store's own leader is not on the primary's member: pgherd
// moves it there, and only so does a renewal take effect without its answer being heard.
func (l *Lab) storeLedElsewhere(p *cluster.Member) {
	l.T.Helper()
	l.Cluster.Wait(30*time.Second, "the store is led by another member", func() bool {
		leader := l.Cluster.StoreLeader()
		return leader != "" && leader != p.Name
	})
}
