package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestAgentEndsInTheMiddleOfAClone: the next one continues or starts over cleanly.
func TestAgentEndsInTheMiddleOfAClone(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[0]
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		c.powerCut(s)
		s.loseData()
		s.start()
		s.waitTool("pg_basebackup")
		s.signal(sig)
		s.waitEnd(20 * time.Second)
		// Told to end, it may finish what needs less than a moment.
		if _, err := os.Stat(filepath.Join(s.data(), "PG_VERSION")); err == nil && sig == syscall.SIGKILL {
			t.Errorf("%v: a clone that was cut short is at the place of the data", sig)
		}
		s.start()
		c.waitSync()
	}
}

// waitTool waits until one of PostgreSQL's programs works for the member.
func (m *member) waitTool(name string) {
	m.c.t.Helper()
	m.c.wait(40*time.Second, name+" for "+m.name, func() bool {
		for _, p := range m.c.processes(m) {
			if p.kind == "tool" && strings.Contains(p.title, name) {
				return true
			}
		}
		return false
	})
}

func TestAgentKilledInTheMiddleOfARewind(t *testing.T) {
	c := shared(t)
	old, leader := c.diverge()
	old.start()
	old.waitTool("pg_rewind")
	old.signal(syscall.SIGKILL)
	old.waitEnd(5 * time.Second)
	old.start()
	c.waitHealthy()
	c.wait(10*time.Second, "the new history", func() bool {
		v, err := c.query(old, "SELECT count(*) || ' ' || min(id) FROM diverged")
		return err == nil && v == "1 -1"
	})
	leader.do("config", "set", "durability=sync")
	c.waitSync()
}

// TestAgentKilledInTheMiddleOfAPromotion: right after it took the lease.
func TestAgentKilledInTheMiddleOfAPromotion(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	l := c.startLoad(2)
	old.kill("postmaster")
	var next *member
	c.wait(20*time.Second, "somebody else takes the lease", func() bool {
		lease := c.lease()
		next = c.get(lease.Holder)
		return next != nil && next != old && !lease.Released
	})
	next.signal(syscall.SIGKILL)
	next.waitEnd(5 * time.Second)
	next.start()
	c.waitSync()
	l.waitAcked(50)
	l.checkSingle()
	l.checkRows()
}

// TestBrokenConfigurationOfAStandby: a file that the user edited. The others go on.
func TestBrokenConfigurationOfAStandby(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[0]
	s.breakConf()
	l := c.startLoad(2)
	s.kill("postmaster")
	found := c.waitAnyCondition(30*time.Second, s.name, "start_failed", "step_failed")
	if !strings.Contains(found.Text, "syntax error") {
		t.Errorf("PostgreSQL's own words are missing: %+v", found)
	}
	l.waitAcked(50)
	s.mendConf()
	c.waitSync()
	if _, failed := l.snapshot(); len(failed) > 0 {
		t.Errorf("a statement failed: %s", failed[0])
	}
	l.checkRows()
}

func (c *cluster) waitAnyCondition(limit time.Duration, name string, codes ...string) (found condition) {
	c.t.Helper()
	c.wait(limit, "one of "+strings.Join(codes, ", ")+" of "+name, func() bool {
		for _, x := range c.status().member(name).Conditions {
			for _, code := range codes {
				if x.Code == code {
					found = x
					return true
				}
			}
		}
		return false
	})
	return found
}

// smallDisk mounts a file system of that size in the cluster's directory.
func (c *cluster) smallDisk(name, size string) string {
	c.t.Helper()
	if !isRoot() {
		c.t.Skip("only root can mount a small file system")
	}
	dir := filepath.Join(c.dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+size, "tmpfs", dir).CombinedOutput(); err != nil {
		c.t.Skipf("this machine does not let root mount a file system: %v %s", err, out)
	}
	c.t.Cleanup(func() {
		killAll(c.processes(nil))
		_ = exec.Command("umount", "-l", dir).Run()
	})
	if err := os.Chown(dir, owner.uid, owner.gid); err != nil {
		c.t.Fatal(err)
	}
	return dir
}

func (c *cluster) resize(dir, size string) {
	c.t.Helper()
	if out, err := exec.Command("mount", "-o", "remount,size="+size, dir).CombinedOutput(); err != nil {
		c.t.Fatalf("%v %s", err, out)
	}
}

func TestNoSpaceForTheClone(t *testing.T) {
	c := newCluster(t)
	disk := c.smallDisk("disk", "12m")
	c.up(1)
	p := c.members[0]
	s := c.add()
	s.join(p, "--data-dir", filepath.Join(disk, "data"))
	s.start()
	found := c.waitAnyCondition(60*time.Second, s.name, "clone_failed")
	if !strings.Contains(strings.ToLower(found.Text), "space") {
		t.Errorf("it does not say why: %+v", found)
	}
	if !c.isPrimary(p) {
		t.Error("the primary suffered")
	}
	c.resize(disk, "2g")
	c.wait(2*time.Minute, "the clone after all", func() bool { return c.status().member(s.name).State == "streaming" })
}

// TestFullDiskForWAL: the primary's WAL volume fills up while writers run.
func TestFullDiskForWAL(t *testing.T) {
	c := newCluster(t)
	disk := c.smallDisk("wal", "220m")
	c.up(1, "--wal-dir", filepath.Join(disk, "wal"))
	old := c.members[0]
	for range 2 {
		m := c.add()
		m.join(old)
		m.start()
	}
	c.waitSync()
	l := c.startLoad(2)
	fill := filepath.Join(disk, "fill")
	_ = exec.Command("dd", "if=/dev/zero", "of="+fill, "bs=1M").Run() // until there is no more
	go func() {
		_, _ = c.query(old, "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 900000))::text FROM generate_series(1, 60)")
		_, _ = c.query(old, "SELECT pg_switch_wal()::text")
	}()
	leader := c.waitLeader(old, 60*time.Second)
	l.waitAcked(50)
	t.Logf("%s took over; %s says: %+v", leader.name, old.name, c.status().member(old.name).Conditions)
	if err := os.Remove(fill); err != nil {
		t.Fatal(err)
	}
	c.wait(3*time.Minute, old.name+" streams", func() bool { return c.status().member(old.name).State == "streaming" })
	l.waitAcked(50)
	l.checkSingle()
	l.checkRows()
}
