//go:build lab

package lab

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/rig"
)

var _ = add(
	scenario{name: "slow-store", bounds: calm, run: slowStore},
	scenario{name: "store-minority-down", bounds: calm, run: storeMinorityDown},
	// The store is away for as long as the scenario wants.
	scenario{name: "store-majority-down", bounds: history.Bounds{OutageMax: 30 * time.Second, ChangesMax: 1}, run: storeMajorityDown},
	scenario{name: "store-cut-everywhere", bounds: calm, run: storeCutEverywhere},
	scenario{name: "store-disk-stall", disks: rig.Disks{StoreMB: 300}, bounds: crash, run: storeDiskStall},
	scenario{name: "store-wiped-one", bounds: calm, run: storeWipedOne},
	scenario{name: "store-wiped-all", bounds: history.Bounds{OutageMax: history.NoBound, ChangesMax: 1}, run: storeWipedAll},
	scenario{name: "store-majority-lost", bounds: history.Bounds{OutageMax: history.NoBound, ChangesMax: 1}, run: storeMajorityLost},
	scenario{name: "store-corrupt-one", bounds: calm, run: storeCorruptOne},
)

// slowStore lets each exchange with another member's store take 400 ms longer, then 800 ms, with which
// hardly a renewal is answered in time. Neither may cost anything.
func slowStore(l *Lab) {
	var all []*delay
	for _, m := range l.Cluster.Members {
		all = append(all, startDelay(l.T, l.Rig, m.Host, cluster.PortPeer, cluster.PortStore))
	}
	l.Mark("the store's ports are reached through a proxy")
	l.last(3 * time.Second) // the store's members find each other through it
	l.Cluster.WaitReady(30 * time.Second)
	p := l.primary()
	pid := p.PID(cluster.Postmaster)
	for _, each := range []time.Duration{200 * time.Millisecond, 400 * time.Millisecond} {
		l.Mark("they are %v away, each way", each)
		for _, d := range all {
			d.set(each)
		}
		l.last(10 * time.Second)
		l.remains(p, pid)
	}
	l.Mark("they are as near as before")
	for _, d := range all {
		d.stop()
	}
	l.Cluster.WaitPrimary(20*time.Second, l.Cluster.Members...)
}

// storeMinorityDown: a member of the store is a part of an agent.
func storeMinorityDown(l *Lab) {
	p := l.primary()
	pid, away := p.PID(cluster.Postmaster), l.Cluster.Others(p)[0]
	l.Mark("kill the agent of %s, and with it its share of the store", away.Name)
	away.Kill(cluster.Agent)
	l.sees(p, 15*time.Second, core.CondMemberDown)
	l.last(5 * time.Second)
	l.remains(p, pid)
}

// storeCutEverywhere: no voter reaches another, while all members do. Nothing need happen.
func storeCutEverywhere(l *Lab) {
	p := l.primary()
	pid := p.PID(cluster.Postmaster)
	for i, a := range l.Rig.Hosts {
		for _, b := range l.Rig.Hosts[i+1:] {
			l.Do("the store's ports between "+a.Name+" and "+b.Name+" are cut", l.Rig.CutPorts(a, b, cluster.PortPeer, cluster.PortStore))
		}
	}
	l.sees(p, 10*time.Second, core.CondFailsafe)
	l.last(20 * time.Second)
	l.Load.WaitAcked(50)
	l.remains(p, pid)
	l.Heal()
	l.Cluster.WaitReady(30 * time.Second)
	l.remains(p, pid)
}

// storeMajorityDown: without a quorum nobody may lead, and who is killed cannot vouch.
func storeMajorityDown(l *Lab) {
	p := l.primary()
	l.Mark("kill the agents of both standbys")
	for _, m := range l.Cluster.Others(p) {
		m.Kill(cluster.Agent)
	}
	l.emptied(p, 8*time.Second)
	l.sees(p, 10*time.Second, core.CondNoQuorum)
	l.readable(p)
	if n := l.Cluster.Primary(); n != nil {
		l.T.Errorf("%s leads without a store", n.Name)
	}
	l.Heal()
	l.Cluster.WaitPrimary(30*time.Second, l.Cluster.Members...)
}

// storeDiskStall: state_dir, with the store, the journal and the sockets, is on the disk that hangs;
// PostgreSQL's is another. It hangs for longer than any trust.
func storeDiskStall(l *Lab) {
	p := l.primary()
	v := p.Host.Volumes["state"]
	l.Do("the disk of "+p.Name+"'s state_dir hangs", v.Freeze())
	l.last(12 * time.Second)
	l.Do("it works again", v.Thaw())
	l.Cluster.WaitPrimary(20*time.Second, l.Cluster.Members...)
}

// storeDir is where a member's share of the store is.
func storeDir(l *Lab, m *cluster.Member) string {
	dir := filepath.Join(m.StateDir, "store")
	if _, err := os.Stat(filepath.Join(dir, "member", "wal")); err != nil {
		l.T.Fatal(err)
	}
	return dir
}

// storeWipedOne: one member loses what its share of the store had, and comes back.
func storeWipedOne(l *Lab) {
	p := l.primary()
	pid, hit := p.PID(cluster.Postmaster), l.Cluster.Others(p)[1]
	hit.PowerCut()
	l.Do(hit.Name+" lost its share of the store", os.RemoveAll(storeDir(l, hit)))
	hit.StartAgent()
	l.Cluster.Wait(60*time.Second, hit.Name+" votes again and streams", func() bool {
		return l.Cluster.Voters() == 3 && l.Cluster.Broken() == ""
	})
	l.remains(p, pid)
}

// storeWipedAll: the data is there, but nobody may conclude from an empty store that the cluster
// is new. The way back is `pgherd recover`, from the copies that the members keep of the records.
func storeWipedAll(l *Lab) {
	control := map[*cluster.Member]string{}
	l.Mark("all members lose their power")
	l.Cluster.PowerCut(l.Cluster.Members...)
	for _, m := range l.Cluster.Members {
		l.Do("the store's share of "+m.Name+" is taken away", os.RemoveAll(storeDir(l, m)))
		control[m] = controlFile(l, m)
		m.StartAgent()
	}
	l.last(20 * time.Second)
	for _, m := range l.Cluster.Members {
		if n := len(m.Processes(cluster.Postmaster)); n > 0 {
			l.T.Errorf("%s runs PostgreSQL without a store", m.Name)
		}
		if now := controlFile(l, m); now != control[m] {
			l.T.Errorf("the data of %s was touched", m.Name)
		}
		if said := m.Explain(); !strings.Contains(said, m.Name) || !strings.Contains(said, "store") {
			l.T.Errorf("%s does not explain itself: %s", m.Name, said)
		}
	}
	by := l.Cluster.Members[1]
	l.sees(by, 10*time.Second, core.CondStoreLost)
	l.refused(by, "not_confirmed", "--confirm", "another")
	l.Mark("pgherd recover on %s", by.Name)
	if said := by.Must("recover", "--confirm", "main"); !strings.Contains(said, "nothing is lost") {
		l.T.Errorf("it does not say that nothing is lost: %s", said)
	}
	l.Cluster.WaitPrimary(40*time.Second, l.Cluster.Members...)
	l.Cluster.Wait(60*time.Second, "all vote in the new store", func() bool { return l.Cluster.Voters() == 3 })
}

// refused: the command ends with exit code 3, the code of the refusal and a hint.
func (l *Lab) refused(m *cluster.Member, code string, args ...string) {
	l.T.Helper()
	a := m.Run(append([]string{"recover", "--json"}, args...)...)
	if a.Code != 3 || !strings.Contains(a.Stdout, `"code": "`+code+`"`) || !strings.Contains(a.Stderr, "hint: ") {
		l.T.Errorf("pgherd recover %v on %s: want %s: %s", args, m.Name, code, a)
	}
}

// storeMajorityLost: two of three machines are gone for good, and with them the quorum. The third,
// which led, is told so; new machines join in their place.
func storeMajorityLost(l *Lab) {
	p := l.primary()
	gone := l.Cluster.Others(p)
	names := gone[0].Name + "," + gone[1].Name
	l.Mark("%s burn", names)
	l.Cluster.PowerCut(gone...)
	for _, m := range gone {
		m.Burn()
	}
	l.sees(p, 15*time.Second, core.CondNoQuorum)
	l.refused(p, "silent_quorum", "--confirm", "main")
	l.refused(p, "loss_not_accepted", "--confirm", "main", "--destroyed", names)
	l.Mark("pgherd recover on %s", p.Name)
	p.Must("recover", "--confirm", "main", "--destroyed", names, "--accept-loss")
	l.Cluster.WaitPrimary(20*time.Second, p)
	for _, m := range gone {
		m.Rejoin(p)
	}
	l.Cluster.Wait(90*time.Second, "a whole cluster in which three vote", func() bool {
		return l.Cluster.Voters() == 3 && l.Cluster.Broken() == ""
	})
}

// storeCorruptOne: the disk returns garbage for one member's share of the store.
func storeCorruptOne(l *Lab) {
	p := l.primary()
	pid, hit := p.PID(cluster.Postmaster), l.Cluster.Others(p)[1]
	hit.PowerCut()
	files, err := filepath.Glob(filepath.Join(storeDir(l, hit), "member", "wal", "*.wal"))
	if err != nil || len(files) == 0 {
		l.T.Fatal(files, err)
	}
	for _, file := range files {
		l.Do(filepath.Base(file)+" of "+hit.Name+" is damaged", damage(file))
	}
	hit.StartAgent()
	aside := func() int {
		found, _ := filepath.Glob(filepath.Join(hit.StateDir, "store.damaged-*"))
		return len(found)
	}
	l.Cluster.Wait(60*time.Second, hit.Name+" has set its share aside, votes again and streams", func() bool {
		return aside() > 0 && l.Cluster.Voters() == 3 && l.Cluster.Broken() == ""
	})
	if n := aside(); n != 1 {
		l.T.Errorf("the damaged share was set aside %d times", n)
	}
	l.remains(p, pid)
}

// damage overwrites a part of a record in the beginning of a log: its end would look like a torn write.
func damage(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt([]byte(strings.Repeat("\xa5", 8)), 100)
	return err
}

func controlFile(l *Lab, m *cluster.Member) string {
	if m.Witness {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(m.DataDir, "global", "pg_control"))
	if err != nil {
		l.T.Fatal(err)
	}
	return string(text)
}
