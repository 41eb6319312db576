//go:build lab

package lab

import (
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/rig"
)

var _ = add(
	scenario{name: "watchdog-frozen-fence", spec: "durability: async\n", rig: addWatchdogs, config: requireWatchdogs, run: watchdogFrozenFence,
		bounds: history.Bounds{OutageMax: crash.OutageMax, ChangesMax: 1, LossAllowed: "durability is async", LossBytesMax: 16 << 20}},
)

// watchdogTimeout is what pgherd asks of a device under the default lease. A FIFO cannot be asked.
const watchdogTimeout = 3 * time.Second

func addWatchdogs(r *rig.Rig) {
	for _, h := range r.Hosts {
		if err := h.AddWatchdog(watchdogTimeout); err != nil {
			panic(err)
		}
	}
}

func requireWatchdogs(c *cluster.Config) {
	c.Setup = func(m *cluster.Member) []string {
		return []string{"--watchdog", "required", "--watchdog-device", m.Host.Watchdog.Path}
	}
}

// watchdogFrozenFence: the warden stands and the agent is cut off, so that nobody is left to stop a primary
// that clients still reach, and in async no standby has to confirm. Only the watchdog can.
func watchdogFrozenFence(l *Lab) {
	p, since := l.primary(), time.Now()
	dog := p.Host.Watchdog
	l.Cluster.Wait(5*time.Second, "the watchdog of "+p.Name+" counts", func() bool { return time.Since(dog.Fed()) < watchdogTimeout })
	for _, m := range l.Cluster.Standbys(p) {
		if !m.Host.Watchdog.Fed().IsZero() {
			l.T.Errorf("the watchdog of %s counts: it has nothing to guard", m.Name)
		}
	}
	l.Mark("SIGSTOP to the warden of %s", p.Name)
	l.stop(p, cluster.Warden)
	cut := time.Now()
	l.Do(p.Name+" is cut off", l.Rig.Isolate(p.Host))
	if _, err := p.Query("SELECT 1::text"); err != nil {
		l.T.Errorf("clients do not reach %s any more: the fault is another one: %v", p.Name, err)
	}
	select {
	case at := <-dog.Fired:
		l.Mark("the watchdog has reset %s %v after the last renewal could be made", p.Name, at.Sub(cut).Round(time.Millisecond))
		if at.Sub(cut) > 4500*time.Millisecond { // ttl - margin/2
			l.T.Errorf("it took %v, others may lead after 5 s", at.Sub(cut))
		}
	case <-time.After(8 * time.Second):
		l.T.Error("the watchdog did not fire")
	}
	l.takenOver(p)
	l.told(since, "leader_changed")
	l.seen("member_unreachable")
}
