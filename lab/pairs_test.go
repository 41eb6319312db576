//go:build lab

package lab

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/load"
)

// Random pairs of faults, the second beginning while the first lasts. Nothing is expected of them but
// what must hold always: nothing acknowledged is lost, no two members acknowledge, and healed, the
// cluster is whole again. `make lab-pairs MINUTES=120 SEED=7`.

const pairsEach = 6 // pairs in one cluster's life: its history has to be judged in memory

// pairsBounds judge neither outages nor changes of leadership: two faults at once may cost both.
var pairsBounds = history.Bounds{OutageMax: history.NoBound, ChangesMax: history.NoBoundOnChanges,
	LateAnswers: "a whole machine may stand still, and with it answers under way",
	StaleReads:  "the same for reads"}

// TestPairs is no part of TestLab: it runs for as long as LAB_PAIRS says, in minutes.
func TestPairs(t *testing.T) {
	minutes, err := strconv.Atoi(os.Getenv("LAB_PAIRS"))
	if err != nil || minutes < 1 {
		t.Fatalf("LAB_PAIRS is to be minutes: %q", os.Getenv("LAB_PAIRS"))
	}
	seed, err := strconv.ParseUint(os.Getenv("LAB_SEED"), 10, 64)
	if err != nil {
		seed = uint64(time.Now().Unix())
	}
	for end := time.Now().Add(time.Duration(minutes) * time.Minute); time.Now().Before(end) && !t.Failed(); seed++ {
		t.Run(fmt.Sprintf("pairs-%d", seed), func(t *testing.T) {
			s := scenario{name: fmt.Sprintf("pairs-%d", seed), bounds: pairsBounds, whole: 3 * time.Minute, load: load.Config{Writers: 4}}
			if seed%3 == 0 { // two data members and a witness bear all that three do
				s.config = func(c *cluster.Config) { c.Witnesses = 1 }
			}
			s.run = func(l *Lab) { l.pairs(rand.New(rand.NewPCG(seed, 0))) }
			runScenario(t, s)
		})
	}
}

func (l *Lab) pairs(dice *rand.Rand) {
	for range pairsEach {
		for range 2 {
			m := l.Cluster.Members[dice.IntN(len(l.Cluster.Members))]
			o := l.Cluster.Others(m)[dice.IntN(len(l.Cluster.Members)-1)]
			f := pairFaults[dice.IntN(len(pairFaults))]
			l.Mark("%s: %s, %s", f.name, m.Name, o.Name)
			f.begin(l, m, o)
			l.last(time.Duration(200+dice.IntN(8000)) * time.Millisecond)
		}
		l.Heal()
		l.Cluster.WaitWhole(3 * time.Minute)
		l.Load.WaitAcked(20)
	}
}

// pairFaults begin and last until all is healed. m is hit; o is its other end, where there is one.
var pairFaults = []struct {
	name  string
	begin func(l *Lab, m, o *cluster.Member)
}{
	{"SIGKILL to the postmaster", func(l *Lab, m, _ *cluster.Member) { l.endOf(m, cluster.Postmaster) }},
	{"SIGKILL to the warden", func(l *Lab, m, _ *cluster.Member) { l.endOf(m, cluster.Warden) }},
	{"SIGKILL to the agent", func(l *Lab, m, _ *cluster.Member) { l.endOf(m, cluster.Agent) }},
	{"power fails", func(l *Lab, m, _ *cluster.Member) { m.PowerCut() }},
	{"the machine freezes", func(l *Lab, m, _ *cluster.Member) { l.tried(m.Host.Freeze()) }},
	{"PostgreSQL freezes", func(l *Lab, m, _ *cluster.Member) { l.tried(m.Host.FreezeSome("postgres", cluster.IsPostgres)) }},
	{"cut off", func(l *Lab, m, _ *cluster.Member) { l.tried(l.Rig.Isolate(m.Host)) }},
	{"nothing reaches it", func(l *Lab, m, _ *cluster.Member) { l.tried(l.Rig.IsolateIn(m.Host)) }},
	{"nothing leaves it", func(l *Lab, m, _ *cluster.Member) { l.tried(l.Rig.IsolateOut(m.Host)) }},
	{"cut from one another", func(l *Lab, m, o *cluster.Member) { l.tried(l.Rig.Cut(m.Host, o.Host)) }},
	{"one direction is cut", func(l *Lab, m, o *cluster.Member) { l.tried(l.Rig.CutOneWay(m.Host, o.Host)) }},
	{"their stores are cut", func(l *Lab, m, o *cluster.Member) {
		l.tried(l.Rig.CutPorts(m.Host, o.Host, cluster.PortPeer, cluster.PortStore))
	}},
	{"replication is cut", func(l *Lab, m, o *cluster.Member) { l.tried(l.Rig.CutPorts(m.Host, o.Host, cluster.Port)) }},
	{"30 % of packets are lost", func(l *Lab, _, _ *cluster.Member) { l.tried(l.Rig.Lose(30)) }},
	{"switchover", func(l *Lab, m, _ *cluster.Member) { l.Mark("exit %d", m.Run("switchover", "--timeout", "3s").Code) }},
	{"restart", func(l *Lab, m, o *cluster.Member) {
		l.Mark("exit %d", m.Run("restart", o.Name, "--timeout", "3s").Code)
	}},
	{"sync_standbys=2", func(l *Lab, m, _ *cluster.Member) { l.Mark("exit %d", m.Run("config", "set", "sync_standbys=2").Code) }},
	{"sync_standbys=1", func(l *Lab, m, _ *cluster.Member) { l.Mark("exit %d", m.Run("config", "set", "sync_standbys=1").Code) }},
}

// tried notes a fault that could not be made because of the one before it: a frozen machine cannot freeze again.
func (l *Lab) tried(err error) {
	if err != nil {
		l.Mark("not made: %v", err)
	}
}

// endOf kills a process of the member if there is one: the other fault may have ended it.
func (l *Lab) endOf(m *cluster.Member, kind cluster.Kind) {
	if pid := m.PID(kind); pid != 0 {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
