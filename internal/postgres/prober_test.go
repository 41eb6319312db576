package postgres

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/wal"
)

// TestProber holds a write of pgherd's own against a real server: it flushes WAL, waits for no
// standby, lasts through exhausted connections, and hangs, without cancelling, where the server does.
func TestProber(t *testing.T) {
	ctx := testContext(t)
	n := newPrimary(t, newCA(t), "n1", true)
	p := NewProber(n.in)
	t.Cleanup(p.Close)
	check(t, p.Write())

	t.Run("flushes", func(t *testing.T) {
		before := must(n.db.Facts(ctx))(t).FlushLSN
		check(t, p.Write())
		if after := must(n.db.Facts(ctx))(t).FlushLSN; after <= before {
			t.Errorf("a commit left the flushed position at %s", after)
		}
	})
	t.Run("stays small", func(t *testing.T) { probeStaysSmall(t, n, p) })
	t.Run("waits for no standby", func(t *testing.T) {
		n.exec(t, "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (nobody)'")
		check(t, n.db.Reload(ctx))
		n.await(t, "to wait for a standby", func(f Facts) bool { return f.Setting("synchronous_standby_names") != "" })
		check(t, p.Write())
		n.exec(t, "ALTER SYSTEM RESET synchronous_standby_names")
		check(t, n.db.Reload(ctx))
	})
	t.Run("makes its table again", func(t *testing.T) {
		n.exec(t, "DROP TABLE pgherd.probe")
		check(t, p.Write())
		n.exec(t, "DELETE FROM pgherd.probe")
		check(t, p.Write())
		if rows := n.text(t, "SELECT count(*)::text FROM pgherd.probe"); rows != "1" {
			t.Errorf("%s rows", rows)
		}
	})
	t.Run("connections exhausted", func(t *testing.T) { probeWithoutConnections(t, n, p) })
	t.Run("a lock is an error, not a hang", func(t *testing.T) {
		conn := must(n.db.dial(ctx))(t)
		defer closeSoon(conn)
		_ = must(conn.Exec(ctx, "BEGIN; LOCK TABLE pgherd.probe"))(t)
		if err := p.Write(); SQLState(err) != "55P03" {
			t.Errorf("a locked table: %v", err)
		}
	})
	t.Run("frozen", func(t *testing.T) { probeFrozen(t, n, p) })
	n.crash(t)
	if err := p.Write(); err == nil {
		t.Error("no server, and a write succeeds")
	}
}

func probeStaysSmall(t *testing.T, n *node, p *Prober) {
	ctx := testContext(t)
	before := must(n.db.Facts(ctx))(t).FlushLSN
	for range 500 {
		check(t, p.Write())
	}
	written := must(n.db.Facts(ctx))(t).FlushLSN - before
	t.Logf("%d bytes of WAL for each", written/500)
	if size := n.text(t, "SELECT pg_relation_size('pgherd.probe')::text"); size != "8192" {
		t.Errorf("the table has %s bytes after 500 updates", size)
	}
	if written > wal.LSN(500*400) {
		t.Errorf("%d bytes of WAL for 500 updates", written)
	}
}

func probeWithoutConnections(t *testing.T, n *node, p *Prober) {
	ctx := testContext(t)
	n.exec(t, "CREATE ROLE app2 LOGIN")
	for {
		conn, err := n.db.dial(ctx) // a superuser takes the reserved ones too
		if err != nil {
			if SQLState(err) != "53300" {
				t.Fatal(err)
			}
			break
		}
		defer closeSoon(conn)
	}
	check(t, p.Write())
	f := n.await(t, "to count its sessions", func(f Facts) bool { return f.Sessions >= 27 })
	if f.Setting("superuser_reserved_connections") != "3" {
		t.Errorf("settings: %v", f.Settings)
	}
}

// probeFrozen: SIGSTOP to every process. The write has no answer, and has one after the thaw.
func probeFrozen(t *testing.T, n *node, p *Prober) {
	pids := []int{n.cmd.Process.Pid}
	for _, line := range strings.Fields(n.text(t, "SELECT string_agg(pid::text, ' ') FROM pg_stat_activity")) {
		pid := must(strconv.Atoi(line))(t)
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGSTOP)
	}
	done := make(chan error, 1)
	go func() { done <- p.Write() }()
	select {
	case err := <-done:
		t.Errorf("a frozen server answers: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	for _, pid := range pids {
		_ = syscall.Kill(pid, syscall.SIGCONT)
	}
	check(t, <-done)
}

func TestRoomAndTestWrite(t *testing.T) {
	dir := t.TempDir()
	check(t, TestWrite(dir))
	if left := must(os.ReadDir(dir))(t); len(left) != 0 {
		t.Errorf("it leaves %v", left)
	}
	check(t, TestWrite(filepath.Join(dir, "none")))
	if err := TestWrite("/proc/self/status"); err == nil {
		t.Error("no directory, and it is written to")
	}
	if free, size, err := Room(dir); err != nil || free <= 0 || size < free {
		t.Errorf("room: %d of %d, %v", free, size, err)
	}
}
