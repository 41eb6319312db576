package warden

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A full disk: neither log takes a byte. An unwritable log: it cannot even be opened.
func TestFencesWithoutLogs(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"full disk":  func(path string) error { return os.Symlink("/dev/full", path) },
		"unwritable": func(path string) error { return os.Mkdir(path, 0o500) },
	} {
		t.Run(name, func(t *testing.T) {
			i := newInstance(t)
			must(t, spoil(filepath.Join(i.o.StateDir, "postgres.log")))
			must(t, spoil(filepath.Join(i.o.StateDir, "warden.log")))
			c := i.running()
			i.busy(30 * time.Second)
			deadline := BootNow().Add(200 * time.Millisecond)
			must(t, c.Arm(ctx(t), deadline, 2))
			checkFenced(t, awaitStatus(t, c, "the fence", empty), deadline, 2)
			must(t, c.Disarm(ctx(t), 2))
			must(t, c.Start(ctx(t), i.command()))
			i.connect()
		})
	}
}

// Where cgroup v2 is delegated, postgres is forked into a cgroup of its own.
func TestCgroupIsUsedWhereDelegated(t *testing.T) {
	own, err := ownCgroup()
	if err != nil || credential == nil {
		t.Skip("needs root and cgroup v2:", err)
	}
	i := newInstance(t)
	c := i.ensure()
	delegated := i.delegate(own)
	must(t, c.Disarm(ctx(t), 1))
	must(t, c.Start(ctx(t), i.command()))
	i.connect()
	s := c.Status()
	b, err := os.ReadFile("/proc/" + strconv.Itoa(s.PostmasterPID) + "/cgroup")
	must(t, err)
	if !s.Cgroup || !strings.Contains(string(b), filepath.Base(delegated)+"/pgherd-") {
		t.Fatalf("status %+v, postgres' cgroup %s", s, b)
	}
	children, _ := filepath.Glob(delegated + "/pgherd-*")
	must(t, (&cgroup{children[0]}).kill())
	awaitStatus(t, c, "emptiness", empty)
	must(t, c.Start(ctx(t), i.command()))
	i.connect()
	must(t, c.Fence(ctx(t), "test"))
	must(t, c.Quit(ctx(t)))
	await(t, "the cgroup's removal", func() bool { _, err := os.Stat(children[0]); return err != nil })
}

// What waits for a standby is seen by nobody, also not in the moment of the fence: it was acknowledged to nobody, and the next
// primary may never have had it.
func TestNobodyReadsWhatWaitedAtTheFence(t *testing.T) {
	for range 3 { // the moment was short: not every fence had a reader in it
		t.Run("by a walk of the process tree", func(t *testing.T) { nobodyReads(t, newInstance(t)) })
		t.Run("by its cgroup", func(t *testing.T) {
			own, err := ownCgroup()
			if err != nil || credential == nil {
				t.Skip("needs root and cgroup v2:", err)
			}
			i := newInstance(t)
			i.ensure()
			i.delegate(own)
			nobodyReads(t, i)
		})
	}
}

func nobodyReads(t *testing.T, i *instance) {
	const waiting, reading = 40, 2
	c, cmd := i.ensure(), i.command()
	cmd.Args = append(cmd.Args, "-c", "synchronous_standby_names=nobody")
	must(t, c.Disarm(ctx(t), 1))
	must(t, c.Start(ctx(t), cmd))
	i.exec("SET synchronous_commit = local; CREATE TABLE t (a int)")
	for range waiting {
		w := i.connect()
		go func() { _, _ = w.Exec(context.Background(), "INSERT INTO t VALUES (1)") }()
	}
	look := i.connect()
	await(t, "commits that wait", func() (all bool) {
		must(t, look.QueryRow(ctx(t), "SELECT count(*) = $1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'", waiting).Scan(&all))
		return all
	})
	saw := make(chan int, reading)
	for range reading {
		r := i.connect()
		go func() {
			most, n := 0, 0
			for r.QueryRow(context.Background(), "SELECT count(*) FROM t").Scan(&n) == nil {
				most = max(most, n)
			}
			saw <- most
		}()
	}
	must(t, c.Fence(ctx(t), "test"))
	for range reading {
		if n := <-saw; n != 0 {
			t.Errorf("%d rows were read that waited for a standby", n)
		}
	}
}

// delegate moves the warden into a cgroup that belongs to its user.
func (i *instance) delegate(own string) string {
	i.t.Helper()
	delegated := filepath.Join(own, "pgherd-test-"+strconv.Itoa(os.Getpid()))
	if err := os.Mkdir(delegated, 0o755); err != nil {
		i.t.Skip("cgroup v2 is not writable:", err)
	}
	i.t.Cleanup(func() {
		await(i.t, "the cgroup to be removed", func() bool {
			children, _ := filepath.Glob(delegated + "/pgherd-*")
			for _, dir := range children {
				_ = os.WriteFile(dir+"/cgroup.kill", []byte("1"), 0)
				_ = os.Remove(dir)
			}
			_ = os.WriteFile(delegated+"/cgroup.kill", []byte("1"), 0)
			_ = os.Remove(delegated)
			_, err := os.Stat(delegated)
			return errors.Is(err, os.ErrNotExist)
		})
	})
	for _, name := range []string{"", "cgroup.procs"} {
		must(i.t, os.Chown(filepath.Join(delegated, name), int(credential.Uid), int(credential.Gid)))
	}
	must(i.t, os.WriteFile(filepath.Join(delegated, "cgroup.procs"), []byte(strconv.Itoa(i.wardenPID)), 0))
	return delegated
}

func TestLeftoversAreOnlyPostgresOfThisDataDirectory(t *testing.T) {
	i := newInstance(t)
	other := newInstance(t)
	other.running()
	shell := exec.Command("sleep", "1000") // an operator's shell that stands in the data directory
	shell.Dir = i.o.DataDir
	must(t, shell.Start())
	t.Cleanup(func() { _ = shell.Process.Kill(); _ = shell.Wait() })
	i.running()
	link := filepath.Join(i.dir, "link")
	must(t, os.Symlink(i.o.DataDir, link))
	direct, linked := leftovers(i.o.DataDir), leftovers(link)
	if len(direct) < 6 || len(direct) != len(linked) {
		t.Errorf("%d processes, by a symbolic link %d", len(direct), len(linked))
	}
	for _, p := range direct {
		if p.pid == shell.Process.Pid {
			t.Error("the shell is no leftover")
		}
	}
	if n := len(leftovers(filepath.Join(i.dir, "missing"))); n != 0 {
		t.Errorf("%d leftovers of a data directory that does not exist", n)
	}
	moved := i.o.DataDir + ".old"
	must(t, os.Rename(i.o.DataDir, moved))
	if n := len(leftovers(moved)); n != len(direct) {
		t.Errorf("%d processes after a rename, want %d", n, len(direct))
	}
	must(t, os.Rename(moved, i.o.DataDir))
}

// TestGuardedInstanceIsNoLeftover: a second warden was given the data directory of a
// first one that lives. Killing what runs there would be an outage, made by a typing error.
func TestGuardedInstanceIsNoLeftover(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	second := i.o
	second.StateDir = filepath.Join(i.dir, "second")
	must(t, makeDir(second.StateDir))
	other, err := Ensure(ctx(t), second)
	if err == nil {
		other.Close()
		t.Fatal("it was started")
	}
	if !strings.Contains(err.Error(), "is in use") {
		t.Errorf("it does not say why: %v", err)
	}
	if s := c.Status(); s.PostmasterPID == 0 || !alive(s.PostmasterPID) {
		t.Error("the first one's postgres is gone")
	}
	i.connect()
}

func TestKillHitsOnlyTheSameProcess(t *testing.T) {
	start := func() (*exec.Cmd, process) {
		cmd := exec.Command("sleep", "1000")
		must(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		p, err := readProcess(cmd.Process.Pid)
		must(t, err)
		if p.pid != cmd.Process.Pid || p.ppid != os.Getpid() {
			t.Errorf("%+v, want pid %d, parent %d", p, cmd.Process.Pid, os.Getpid())
		}
		return cmd, p
	}
	end := func(cmd *exec.Cmd) syscall.Signal {
		state, err := cmd.Process.Wait()
		must(t, err)
		return state.Sys().(syscall.WaitStatus).Signal()
	}
	cmd, p := start()
	must(t, process{pid: p.pid, start: p.start - 1}.kill()) // who had this PID before
	must(t, syscall.Kill(p.pid, syscall.SIGTERM))
	if got := end(cmd); got != syscall.SIGTERM {
		t.Errorf("a process that began later than the one meant got %v", got)
	}
	cmd, p = start()
	must(t, p.kill())
	if got := end(cmd); got != syscall.SIGKILL {
		t.Errorf("ended by %v, want SIGKILL", got)
	}
	must(t, p.kill()) // gone: no error
}

func TestMountedAt(t *testing.T) {
	for _, c := range []struct{ line, path, want string }{
		{"41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw", "/", "/sys/fs/cgroup/unified"},
		{"30 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw", "/system.slice/pgherd.service", "/sys/fs/cgroup/system.slice/pgherd.service"},
		{"30 23 0:26 /kubepods/pod1 /sys/fs/cgroup ro - cgroup2 cgroup rw", "/kubepods/pod1/c1", "/sys/fs/cgroup/c1"},
		{"30 23 0:26 /kubepods/pod1 /sys/fs/cgroup ro - cgroup2 cgroup rw", "/other", ""},
		{"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu", "/", ""},
		{"", "/", ""},
		{" - cgroup2 ", "/", ""},
	} {
		if got, ok := mountedAt(c.line, c.path); got != c.want || ok != (c.want != "") {
			t.Errorf("mountedAt(%q, %q) = %q, %v", c.line, c.path, got, ok)
		}
	}
}

// Writers hold the log open for appending: after a rotation they go on in the same file.
func TestRotate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "postgres.log")
	writer, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer writer.Close()
	put := func(s string) { t.Helper(); _, err := writer.WriteString(s); must(t, err); must(t, rotate(path, 10)) }
	check := func(name, want string) {
		t.Helper()
		if b, _ := os.ReadFile(name); !bytes.Equal(b, []byte(want)) {
			t.Errorf("%s has %q, want %q", name, b, want)
		}
	}
	put("0123456789")
	check(path, "0123456789")
	put("a")
	check(path, "")
	check(path+".1", "0123456789a")
	put("next, long enough")
	check(path+".1", "next, long enough")
	if info, _ := os.Stat(path + ".1"); info.Mode().Perm() != 0o600 {
		t.Error("mode", info.Mode())
	}

	// No place for the copy: the log is kept up to twice the size, then it gives way.
	must(t, os.Remove(path+".1"))
	must(t, os.MkdirAll(path+".1/in-the-way", 0o700))
	_, err = writer.WriteString("0123456789abc")
	must(t, err)
	if rotate(path, 10) == nil {
		t.Error("a copy that failed was no error")
	}
	check(path, "0123456789abc")
	put("0123456789")
	check(path, "")
}

func TestWritingLogsNeverWaits(t *testing.T) {
	r, w, err := os.Pipe() // nobody reads: it blocks when full, as a hung disk does
	must(t, err)
	defer r.Close()
	out := newAsyncWriter(w)
	line := bytes.Repeat([]byte("x"), 4096)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10000 {
			_, _ = out.Write(line)
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("a write waited for the disk")
	}
}

// Only the lock files of the PID in postmaster.pid go, and only when that PID is in use.
func TestRemoveStaleLocks(t *testing.T) {
	gone := exec.Command("true")
	must(t, gone.Run())
	used, unused := os.Getpid(), gone.Process.Pid
	for name, c := range map[string]struct {
		pidFile, socketLock string
		wantPID, wantSocket bool
	}{
		"in use":           {pidFile(used), pidFile(used), false, false},
		"not in use":       {pidFile(unused), pidFile(unused), true, true},
		"another's socket": {pidFile(used), pidFile(unused), false, true},
		"single user":      {pidFile(-used), pidFile(-used), false, false},
		"empty":            {"", pidFile(used), true, true},
		"garbage":          {"\x00\n\n", pidFile(used), true, true},
		"truncated":        {strconv.Itoa(used), pidFile(used), false, true},
	} {
		dir := t.TempDir()
		pid, socket := filepath.Join(dir, "postmaster.pid"), filepath.Join(dir, ".s.PGSQL.5432.lock")
		must(t, os.WriteFile(pid, []byte(strings.ReplaceAll(c.pidFile, "DIR", dir)), 0o600))
		must(t, os.WriteFile(socket, []byte(strings.ReplaceAll(c.socketLock, "DIR", dir)), 0o600))
		removeStaleLocks(dir)
		_, pidErr := os.Stat(pid)
		_, socketErr := os.Stat(socket)
		if (pidErr == nil) != c.wantPID || (socketErr == nil) != c.wantSocket {
			t.Errorf("%s: postmaster.pid %v, socket's lock %v", name, pidErr, socketErr)
		}
	}
}

func pidFile(pid int) string { return fmt.Sprintf("%d\nDIR\n1700000000\n5432\nDIR\n\n", pid) }
