//go:build lab

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/rig"
)

// ownDisks are file systems for data, WAL and state apart.
var ownDisks = rig.Disks{DataMB: 400, WALMB: 400, StoreMB: 300}

// waiting is for faults that end no reign: clients wait for as long as they last.
var waiting = history.Bounds{OutageMax: 40 * time.Second}

var _ = add(
	scenario{name: "wal-full", disks: rig.Disks{DataMB: 400, WALMB: 250, StoreMB: 300}, bounds: crash, run: walFull},
	scenario{name: "data-full", disks: ownDisks, bounds: waiting, run: dataFull},
	scenario{name: "fsync-hang", config: withShim, bounds: illness, run: fsyncHang},
	scenario{name: "fsync-eio", config: withShim, bounds: crash, run: fsyncEIO},
	scenario{name: "disk-dead", disks: ownDisks, bounds: illness, run: diskDead},
	scenario{name: "slow-disk", disks: ownDisks, bounds: history.Bounds{OutageMax: 10 * time.Second}, run: slowDisk},
)

// fill takes all space of a volume with one file, and gives its name.
func (l *Lab) fill(v *rig.Volume) string {
	l.T.Helper()
	path := filepath.Join(v.Dir, "fill")
	f, err := os.Create(path)
	if err != nil {
		l.T.Fatal(err)
	}
	defer f.Close()
	for block := make([]byte, 1<<20); len(block) > 512; {
		if _, err = f.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	if !errors.Is(err, syscall.ENOSPC) {
		l.T.Fatalf("filling %s: %v", v.Dir, err)
	}
	l.Mark("the %s volume is full", v.Name)
	return path
}

// walFull: PostgreSQL panics when it cannot make the next segment, and again at each start.
func walFull(l *Lab) {
	old := l.primary()
	path := l.fill(old.Host.Volumes["wal"])
	l.sees(old, 12*time.Second, core.CondWALFull)
	stop := make(chan struct{})
	defer close(stop)
	go l.churn(old, stop)
	l.Cluster.WaitPrimary(30*time.Second, l.Cluster.Others(old)...)
	l.Mark("another member leads")
	l.seesAny(old, 30*time.Second, core.CondStartFailed, core.CondNotStreaming, core.CondCloneFailed)
	before := l.starts(old)
	l.last(10 * time.Second)
	if starts := l.starts(old) - before; starts > 3 {
		l.T.Errorf("%s was started %d times within 10 s: a crash loop", old.Name, starts)
	}
	l.Do("there is space again", os.Remove(path))
}

// starts counts how often the member's PostgreSQL was started, also when it ended at once.
func (l *Lab) starts(m *cluster.Member) int {
	l.T.Helper()
	log, err := os.ReadFile(filepath.Join(m.StateDir, "warden.log"))
	n := strings.Count(string(log), "postgres started")
	if err != nil || n == 0 {
		l.T.Fatalf("the warden's log of %s shows no start: %v", m.Name, err)
	}
	return n
}

// churn writes WAL on one member until it cannot.
func (l *Lab) churn(m *cluster.Member, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		if _, err := m.Query("SELECT pg_logical_emit_message(false, 'filler', repeat('x', 900000))::text FROM generate_series(1, 10)"); err != nil {
			return
		}
	}
}

// dataFull: statements that need a new block fail; a standby has no more space than the primary, so
// that nothing is won by a failover.
func dataFull(l *Lab) {
	p := l.primary()
	pid := p.PID(cluster.Postmaster)
	path := l.fill(p.Host.Volumes["data"])
	_, err := p.Query("SELECT 'made' FROM (SELECT pg_sleep(0)) x, LATERAL (SELECT lo_from_bytea(0, repeat('x', 1000000)::bytea)) y")
	if err == nil || !strings.Contains(err.Error(), "No space left") {
		l.T.Errorf("the volume is full, and a new table is no problem: %v", err)
	}
	l.sees(p, 12*time.Second, core.CondDataFull)
	l.last(12 * time.Second) // longer than health.write_timeout
	l.remains(p, pid)
	l.Do("there is space again", os.Remove(path))
	l.Load.WaitAcked(50)
	l.remains(p, pid)
}

// fsyncHang lasts for longer than health.write_timeout: reads go on, and the primary is replaced.
func fsyncHang(l *Lab) {
	p, since := l.primary(), time.Now()
	l.breakFsync(p, shimHang)
	defer l.mendFsync(p)
	l.last(time.Second) // what was flushed before is still answered
	before := l.Load.Acked()
	l.sees(p, 10*time.Second, core.CondWriteHangs)
	if v, err := p.Query("SELECT count(*)::text FROM pg_stat_activity"); err != nil {
		l.T.Errorf("reads should go on: %s %v", v, err)
	}
	if n := l.Load.Acked() - before; n > 0 {
		l.T.Errorf("%d writes were acknowledged while no fsync returned", n)
	}
	l.Cluster.WaitPrimary(20*time.Second, l.Cluster.Others(p)...)
	l.Mark("another member leads")
	l.told(since, "leader_changed")
	l.last(5 * time.Second)
}

// fsyncEIO: PostgreSQL panics, recovers, panics again and ends.
func fsyncEIO(l *Lab) {
	old := l.primary()
	l.breakFsync(old, shimEIO)
	l.Cluster.WaitPrimary(15*time.Second, l.Cluster.Others(old)...)
	l.Mark("another member leads")
	l.sees(old, 30*time.Second, core.CondStartFailed)
	l.mendFsync(old)
	l.tells(5*time.Second, "postgres_ended", old.Name)
}

// diskDead: the postmaster lives and its port is open, commits go on in open sessions, but no new
// connection works.
func diskDead(l *Lab) {
	old := l.primary()
	v := old.Host.Volumes["data"]
	l.Do("the data disk of "+old.Name+" dies", v.Die())
	l.sees(old, 12*time.Second, core.CondDiskFailed)
	l.Cluster.WaitPrimary(30*time.Second, l.Cluster.Others(old)...)
	l.Mark("another member leads")
	l.Mark("the host is switched off, gets a working disk and is switched on")
	old.PowerCut()
	old.StartAgent()
}

// slowDisk lets the primary's WAL volume do five writes a second.
func slowDisk(l *Lab) {
	p := l.primary()
	pid := p.PID(cluster.Postmaster)
	v := p.Host.Volumes["wal"]
	before, began := l.Load.Acked(), time.Now()
	l.Do("5 writes a second on the WAL volume", v.Throttle(5))
	l.sees(p, 20*time.Second, core.CondSlow)
	l.last(8 * time.Second)
	rate := float64(l.Load.Acked()-before) / time.Since(began).Seconds()
	l.Do("as many as it likes", v.Unthrottle())
	l.T.Log(fmt.Sprintf("%.0f acknowledged writes a second meanwhile", rate))
	if rate > 60 {
		l.T.Errorf("%.0f writes a second: the disk was not slow", rate)
	}
	l.remains(p, pid)
}
