package warden

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The danger itself, without a warden: PostgreSQL's postmaster is killed and a busy backend
// commits and acknowledges afterwards. If this ever fails, the package's premise is gone.
func TestWithoutWardenABusyBackendOutlivesThePostmaster(t *testing.T) {
	i := newInstance(t)
	c := i.command()
	cmd := asPostgres(c.Path, c.Args...)
	must(t, cmd.Start())
	backend, told := i.busy(2 * time.Second)
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	if !alive(backend) {
		t.Fatal("the backend died with the postmaster")
	}
	if err := <-told; err != nil {
		t.Fatalf("the orphan was expected to commit and acknowledge, got %v", err)
	}
	i.running()
	if n := i.rows(); n != 1 {
		t.Fatalf("%d rows, want the orphan's 1", n)
	}
}

func TestKilledPostmasterTakesItsBusyBackendAlong(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	_, told := i.busy(30 * time.Second)
	pids := i.processes()
	if len(pids) < 6 {
		t.Fatalf("only %d processes: %v", len(pids), pids)
	}
	postmaster := c.Status().PostmasterPID
	at := BootNow()
	must(t, syscall.Kill(postmaster, syscall.SIGKILL))
	s := awaitStatus(t, c, "emptiness", empty)
	for _, pid := range pids {
		if alive(pid) {
			t.Errorf("process %d is alive although the warden says empty", pid)
		}
	}
	if err := <-told; err == nil {
		t.Error("the busy backend acknowledged its client")
	}
	took := s.EmptyAt.Sub(at)
	t.Logf("kill -9 to empty: %v (of it %v after the postmaster's end was seen)", took, s.LastExit.EmptyAfter)
	if took > time.Second {
		t.Errorf("took %v", took)
	}
	if s.LastExit.PID != postmaster || s.LastExit.Signal != "killed" || s.LastExit.Code != -1 || s.PostmasterPID != 0 {
		t.Errorf("status %+v, exit %+v", s, s.LastExit)
	}
	must(t, c.Start(ctx(t), i.command()))
	if n := i.rows(); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
}

// kill -9 of the warden: the kernel kills the postmaster; the busy backend is left to the
// next warden, which kills it before it serves anyone.
func TestKilledWardenLeavesNothingThatTheNextOneAllows(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	backend, told := i.busy(30 * time.Second)
	old := c.Status()
	must(t, syscall.Kill(old.WardenPID, syscall.SIGKILL))
	s := awaitStatus(t, c, "the lost connection", func(s Status) bool { return !s.Alive })
	await(t, "the postmaster's end", func() bool { return !alive(old.PostmasterPID) })
	if !alive(backend) {
		t.Fatal("the backend died by itself: the test shows nothing")
	}
	if err := c.Arm(ctx(t), BootNow().Add(time.Second), s.Term); err == nil {
		t.Error("a call to a dead warden succeeded")
	}

	fresh := i.ensure()
	if alive(backend) {
		t.Fatal("the new warden is ready and the orphan lives")
	}
	if err := <-told; err == nil {
		t.Error("the orphan acknowledged its client")
	}
	if s := fresh.Status(); !s.Empty || s.WardenPID == old.WardenPID || s.Armed {
		t.Errorf("status %+v", s)
	}
	must(t, fresh.Disarm(ctx(t), 1))
	must(t, fresh.Start(ctx(t), i.command()))
	if n := i.rows(); n != 0 {
		t.Errorf("%d rows, want none", n)
	}
}

// A process that left its parents, session and process group is still the instance's.
func TestDaemonisedGrandchildIsKilled(t *testing.T) {
	for name, end := range map[string]func(*Client) error{
		"fence":      func(c *Client) error { return c.Fence(ctx(t), "test") },
		"clean stop": func(c *Client) error { return c.Signal(ctx(t), syscall.SIGINT) },
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstance(t)
			c := i.running()
			pid := i.daemonise()
			must(t, end(c))
			s := awaitStatus(t, c, "emptiness", empty)
			if alive(pid) {
				t.Errorf("grandchild %d outlived the instance; status %+v", pid, s)
			}
		})
	}
}

// daemonise has postgres start a program that detaches itself, and waits until it is the
// warden's child.
func (i *instance) daemonise() (pid int) {
	i.t.Helper()
	file := filepath.Join(i.o.DataDir, "daemon.pid")
	i.exec(`COPY (SELECT 1) TO PROGRAM 'cat >/dev/null; setsid sh -c "echo \$\$ > ` + file + `; exec sleep 1000" </dev/null >/dev/null 2>&1 &'`)
	await(i.t, "the daemon's pid", func() bool {
		b, _ := os.ReadFile(file)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(b)))
		return bytes.HasSuffix(b, []byte("\n"))
	})
	await(i.t, "the daemon to be adopted by the warden", func() bool {
		p, err := readProcess(pid)
		must(i.t, err)
		return p.ppid == i.wardenPID
	})
	return pid
}
