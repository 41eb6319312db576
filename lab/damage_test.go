//go:build lab

package lab

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/rig"
)

var _ = add(
	scenario{name: "corrupt-page", bounds: calm, run: corruptPage},
	scenario{name: "corrupt-wal-on-standby", bounds: calm, run: corruptWAL},
	scenario{name: "long-recovery", disks: rig.Disks{DataMB: 1200, StoreMB: 300}, bounds: crash, run: longRecovery,
		spec: "postgres:\n  parameters:\n    max_wal_size: 4GB\n    checkpoint_timeout: 1h\n"},
	scenario{name: "held-after-crash", spec: "strict: true\n", bounds: history.Bounds{OutageMax: 40 * time.Second, ChangesMax: 1}, run: heldAfterCrash},
	scenario{name: "crash-async", spec: "durability: async\n", bounds: history.Bounds{OutageMax: 10 * time.Second, ChangesMax: 3}, run: crashAsync},
	scenario{name: "fork", spec: "durability: async\n", run: fork,
		bounds: history.Bounds{OutageMax: 10 * time.Second, ChangesMax: 1, LossAllowed: "durability is async", LossBytesMax: 16 << 20}},
)

// corruptPage overwrites a page that no server process has in memory: CREATE TABLE AS of much data
// goes through a small ring of buffers, so that its first pages are on disk only.
func corruptPage(l *Lab) {
	p := l.primary()
	pid := p.PID(cluster.Postmaster)
	p.SQL("CREATE TABLE spoilt AS SELECT i, repeat('x', 1000) AS text FROM generate_series(1, 80000) i;\nCHECKPOINT;")
	file := filepath.Join(p.DataDir, p.SQL("SELECT pg_relation_filepath('spoilt')"))
	l.Do("a page of a table on "+p.Name+" is overwritten", overwrite(file, 8192+100, 500))
	_, err := p.TrySQL("SET jit = off; SELECT count(text) FROM spoilt")
	if err == nil {
		l.T.Error("the page is spoilt, and nobody noticed: is it still in memory, or are there no checksums?")
	}
	for _, m := range l.Cluster.Standbys(p) {
		l.replayed(p, m)
		if n := m.SQL("SELECT count(text) FROM spoilt"); n != "80000" {
			l.T.Errorf("%s has %s rows: the spoilt page reached it", m.Name, n)
		}
	}
	l.sees(p, 15*time.Second, core.CondChecksum)
	l.remains(p, pid)
	p.SQL("DROP TABLE spoilt")
}

// replayed waits until a standby has replayed all that the primary has now.
func (l *Lab) replayed(p, standby *cluster.Member) {
	l.T.Helper()
	at := p.SQL("SELECT pg_current_wal_flush_lsn()")
	l.Cluster.Wait(20*time.Second, standby.Name+" has replayed "+at, func() bool {
		return standby.SQL("SELECT pg_last_wal_replay_lsn() >= '"+at+"'") == "t"
	})
}

// overwrite puts bytes of nonsense into a file, in the middle of what there is.
func overwrite(path string, at int64, n int) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte(strings.Repeat("\xa5", n)), at); err != nil {
		return err
	}
	return f.Sync()
}

// corruptWAL spoils WAL that a standby, whose host was switched off, must replay when it is back.
func corruptWAL(l *Lab) {
	p := l.primary()
	pid, hit := p.PID(cluster.Postmaster), l.Cluster.Standbys(p)[0]
	hit.SQL("CHECKPOINT")
	p.SQL("CREATE TABLE filler AS SELECT i, repeat('x', 100) AS text FROM generate_series(1, 50000) i")
	l.replayed(p, hit)
	redo := hit.SQL("SELECT redo_lsn FROM pg_control_checkpoint()")
	l.Mark("%s is switched off", hit.Name)
	hit.PowerCut()
	// A quarter of a segment after the redo point: replay begins, and meets it.
	segment, offset := split(p, redo)
	path := filepath.Join(hit.DataDir, "pg_wal", segment)
	l.Do("the WAL of "+hit.Name+" is overwritten in "+segment, overwrite(path, offset+2<<20, 8192))
	logged := len(l.postgresLog(hit))
	hit.StartAgent()
	l.Cluster.WaitWhole(60 * time.Second)
	if log := l.postgresLog(hit)[logged:]; !strings.Contains(log, "invalid") && !strings.Contains(log, "incorrect") {
		l.T.Errorf("%s never met the spoilt WAL:\n%s", hit.Name, log)
	}
	if n := hit.SQL("SELECT count(text) FROM filler"); n != "50000" {
		l.T.Errorf("%s has %s of 50000 rows", hit.Name, n)
	}
	l.remains(p, pid)
}

func (l *Lab) postgresLog(m *cluster.Member) string {
	text, err := os.ReadFile(filepath.Join(m.StateDir, "postgres.log"))
	if err != nil {
		l.T.Fatal(err)
	}
	return string(text)
}

// split gives the WAL file and the place in it of a position.
func split(primary *cluster.Member, lsn string) (segment string, offset int64) {
	out := primary.SQL("SELECT file_name || ' ' || file_offset FROM pg_walfile_name_offset('" + lsn + "')")
	_, _ = fmt.Sscan(out, &segment, &offset)
	return segment, offset
}

// longRecovery: a crash with a quarter of a gigabyte of WAL to be replayed. Whoever waits for that waits
// for long; a standby has replayed it already.
func longRecovery(l *Lab) {
	old := l.primary()
	old.SQL("CREATE TABLE big AS SELECT i, repeat('x', 1000) AS text FROM generate_series(1, 250000) i")
	redo := old.SQL("SELECT pg_size_pretty(pg_current_wal_lsn() - redo_lsn) FROM pg_control_checkpoint()")
	l.Cluster.WaitReady(60 * time.Second)
	l.Mark("kill the postmaster of %s with %s of WAL since the last checkpoint", old.Name, redo)
	old.Kill(cluster.Postmaster)
	next := l.Cluster.WaitPrimary(10*time.Second, l.Cluster.Others(old)...)
	l.Mark("%s leads", next.Name)
	l.tells(10*time.Second, "leader_changed", next.Name)
}

// heldAfterCrash: commits wait for standbys that stand still, and the primary crashes. Nobody could take over, so it
// comes up in place, with those commits in its data and on no standby. A client that read them now
// would see them vanish with this member.
func heldAfterCrash(l *Lab) {
	p := l.primary()
	for _, s := range l.Cluster.Standbys(p) {
		l.Mark("PostgreSQL on %s freezes", s.Name)
		s.FreezePostgres()
	}
	l.sees(p, 10*time.Second, core.CondStalled)
	l.Mark("kill the postmaster of %s while commits wait", p.Name)
	p.Kill(cluster.Postmaster)
	l.sees(p, 10*time.Second, core.CondHeld)
	l.Mark("it is up, and clients are held")
	if v := p.SQL("SELECT pg_is_in_recovery()"); v != "f" {
		l.T.Errorf("in recovery is %q: the administrator should meet the primary", v)
	}
	for began := time.Now(); time.Since(began) < 3*time.Second; l.last(100 * time.Millisecond) {
		if _, err := p.Query("SELECT 1::text"); err == nil || !strings.Contains(err.Error(), "pg_hba.conf") {
			l.T.Fatalf("a client gets in before a standby has everything, or is refused for another reason: %v", err)
		}
	}
	s := l.Cluster.Standbys(p)[0]
	l.Mark("%s thaws", s.Name)
	s.Host.Thaw()
	l.Cluster.Wait(10*time.Second, "clients get in again", p.Writable)
	l.Mark("clients get in again")
	l.Load.WaitAcked(50)
	for _, m := range l.Cluster.Others(p) {
		m.Host.Thaw()
	}
	l.Cluster.WaitReady(30 * time.Second)
	l.Mark("kill the postmaster of %s once more: now another can lead", p.Name)
	p.Kill(cluster.Postmaster)
	l.takenOver(p)
}

// crashAsync: a start in place loses nothing, so durability async alone is no reason to lose what a standby has not
// received yet. Where a standby has everything it leads, and nothing is lost either.
func crashAsync(l *Lab) {
	for range 3 {
		p := l.primary()
		l.Mark("kill the postmaster of %s", p.Name)
		p.Kill(cluster.Postmaster)
		l.Load.WaitAcked(50)
		l.Cluster.WaitReady(30 * time.Second)
	}
}

// fork: the primary, cut off, goes on alone until its deadline. What it acknowledged is lost, as
// durability async permits. The product says so at once, keeps the WAL, and says exactly what was lost
// when it can.
func fork(l *Lab) {
	old := l.primary()
	l.Do(old.Name+" is cut off", l.Rig.Isolate(old.Host))
	next := l.Cluster.WaitPrimary(20*time.Second, l.Cluster.Others(old)...)
	l.Mark("%s leads", next.Name)
	l.sees(next, 10*time.Second, core.CondCommitsLost)
	l.Load.WaitAcked(100)
	l.Do("the cut is healed", l.Rig.HealNet())
	l.tells(60*time.Second, "commits_lost", next.Name+" took over", "from "+old.Name)
	l.tells(60*time.Second, old.Name, "rewind", "the WAL here goes to")
	l.tells(60*time.Second, old.Name, "fork_saved", "committed transactions, which clients may have been told of")
	l.tells(60*time.Second, old.Name, "fork_named", "tables: app.public.")
	l.tells(10*time.Second, "commits_lost_settled", old.Name)
	saved := l.savedFork(next, old)
	l.Judge = func(_ history.History, r history.Report) {
		l.T.Logf("%d acknowledged rows were lost, in %d bytes of WAL; %d transactions in %d bytes are saved", r.Lost, r.LostBytes, saved.Committed, saved.Bytes)
		if r.Lost == 0 {
			l.T.Error("nothing was lost: there was no fork")
		}
		if saved.Committed < r.Lost || uint64(saved.Bytes) < r.LostBytes {
			l.T.Errorf("what was lost is more than what is saved: %+v", saved.ForkEntry)
		}
	}
}

// savedFork is the one fork of a member, as another member lists it; its WAL can be read.
func (l *Lab) savedFork(by, of *cluster.Member) (d api.ForkDetail) {
	l.T.Helper()
	var list api.Forks
	if err := json.Unmarshal([]byte(by.Must("forks", of.Name, "--json")), &list); err != nil || len(list.Forks) != 1 {
		l.T.Fatalf("forks of %s: %v %+v", of.Name, err, list)
	}
	if err := json.Unmarshal([]byte(by.Must("forks", "show", list.Forks[0].ID, "--json")), &d); err != nil || d.Summary == nil {
		l.T.Fatalf("fork %s: %v %+v", list.Forks[0].ID, err, d)
	}
	l.T.Log(d.Summary.Text())
	bin, _, err := postgres.FindBinDir("")
	if err != nil {
		l.T.Fatal(err)
	}
	out, _ := exec.Command(filepath.Join(bin, "pg_waldump"), "-p", d.Path, "-t", "1", "-s", d.From.LSN.String()).CombinedOutput()
	if n := strings.Count(string(out), "desc: COMMIT "); n < d.Committed {
		l.T.Errorf("pg_waldump finds %d of %d commits in %s:\n%.500s", n, d.Committed, d.Path, out)
	}
	if !slices.Contains(d.Tables, "app.public.lab_rows") {
		l.T.Errorf("tables of the fork: %v", d.Tables)
	}
	for _, name := range []string{"lab_rows", "lab_registers"} {
		node := l.as(by, "SELECT pg_relation_filenode('"+name+"')::text")
		for _, r := range d.Summary.Relations {
			if (r.Name == "app.public."+name) != (fmt.Sprint(r.Filenode) == node) {
				l.T.Errorf("%s has filenode %s; the fork has %+v", name, node, r)
			}
		}
	}
	if !d.Complete || !d.Acked {
		l.T.Errorf("fork: %+v", d.ForkEntry)
	}
	return d
}
