package warden

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestCleanStopIsReported(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	before := c.Status()
	must(t, c.Signal(ctx(t), syscall.SIGINT))
	s := awaitStatus(t, c, "emptiness", empty)
	if s.LastExit == nil || s.LastExit.Code != 0 || s.LastExit.Signal != "" || s.LastExit.PID != before.PostmasterPID {
		t.Fatalf("exit %+v", s.LastExit)
	}
	if s.LastExit.At < before.StartedAt || s.EmptyAt != s.LastExit.At.Add(s.LastExit.EmptyAfter) || s.Fenced != nil {
		t.Errorf("status %+v, exit %+v", s, s.LastExit)
	}
	if err := c.Signal(ctx(t), syscall.SIGINT); !errors.Is(err, ErrNotRunning) {
		t.Errorf("Signal to nothing: %v, want ErrNotRunning", err)
	}
	must(t, c.Start(ctx(t), i.command())) // a clean stop is no fence: the permission stands
}

func TestQuitOnlyWhenEmpty(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	if err := c.Quit(ctx(t)); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("Quit with postgres running: %v, want ErrNotEmpty", err)
	}
	must(t, c.Signal(ctx(t), syscall.SIGINT))
	awaitStatus(t, c, "emptiness", empty)
	must(t, c.Quit(ctx(t)))
	awaitStatus(t, c, "the lost connection", func(s Status) bool { return !s.Alive })
	await(t, "the warden's end", func() bool { return !alive(i.wardenPID) })
	first := i.wardenPID
	if i.ensure(); i.wardenPID == first {
		t.Error("no new warden")
	}
}

// SIGTERM (systemd, a shutting down machine) stops postgres cleanly first.
func TestTerminatedWardenStopsPostgresFirst(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	i.exec("CREATE TABLE t (a int)")
	for _, sig := range []syscall.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1} {
		must(t, syscall.Kill(i.wardenPID, sig)) // none of these does anything
	}
	must(t, c.Disarm(ctx(t), 1))
	must(t, syscall.Kill(i.wardenPID, syscall.SIGTERM))
	s := awaitStatus(t, c, "the warden's end", func(s Status) bool { return !s.Alive })
	if !s.Empty || s.LastExit == nil || s.LastExit.Code != 0 {
		t.Errorf("status %+v, exit %+v", s, s.LastExit)
	}
	await(t, "the warden's end", func() bool { return !alive(i.wardenPID) })
	if _, err := os.Stat(filepath.Join(i.o.DataDir, "postmaster.pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("postgres did not stop cleanly: %v", err)
	}
}

func TestOneWardenOnly(t *testing.T) {
	i := newInstance(t)
	pids := make([]int, 8)
	var all sync.WaitGroup
	for n := range pids {
		all.Go(func() {
			c, err := Ensure(ctx(t), i.o)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			pids[n] = c.Status().WardenPID
		})
	}
	all.Wait()
	i.wardenPID = pids[0]
	for _, pid := range pids {
		if pid != pids[0] || pid == 0 {
			t.Fatalf("different wardens: %v", pids)
		}
	}
	out, err := asPostgres(testExe, "warden", "--state-dir", i.o.StateDir, "--data-dir", i.o.DataDir).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "another warden holds the lock") || !strings.Contains(err.Error(), fmt.Sprint("status ", exitLocked)) {
		t.Errorf("a second warden: %v, %s", err, out)
	}
	if !i.ensure().Status().Alive {
		t.Error("the first warden suffered")
	}
	other := i.o
	other.DataDir = i.dir + "/elsewhere"
	if c, err := Ensure(ctx(t), other); err == nil || !strings.Contains(err.Error(), "it guards "+i.o.DataDir) {
		t.Errorf("a warden of another data directory: %v, %v", c, err)
	}
}

func TestLeftFilesOfAPowerCut(t *testing.T) {
	i := newInstance(t)
	for _, name := range []string{"warden.lock", "warden.log"} {
		must(t, os.WriteFile(filepath.Join(i.o.StateDir, name), []byte("junk\x00"), 0o666))
		must(t, os.Chmod(filepath.Join(i.o.StateDir, name), 0o666))
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(i.o.StateDir, "warden.sock")})
	must(t, err)
	l.SetUnlinkOnClose(false)
	must(t, l.Close())
	// A PID that is somebody else's now: a process of the same user.
	sleep := asPostgres("/bin/sleep", "1000")
	must(t, sleep.Start())
	t.Cleanup(func() { _ = sleep.Process.Kill(); _ = sleep.Wait() })
	for _, name := range []string{"postmaster.pid", ".s.PGSQL.5432.lock"} {
		path := filepath.Join(i.o.DataDir, name)
		must(t, os.WriteFile(path, fmt.Appendf(nil, "%d\n%s\n1700000000\n5432\n%[2]s\n\n", sleep.Process.Pid, i.o.DataDir), 0o600))
		if credential != nil {
			must(t, os.Chown(path, int(credential.Uid), int(credential.Gid)))
		}
	}
	i.running()
	if !alive(sleep.Process.Pid) {
		t.Error("the unrelated process was killed")
	}
}

func TestStateDirectoryWithLongPath(t *testing.T) {
	i := newInstance(t)
	i.o.StateDir = filepath.Join(i.dir, strings.Repeat("long", 40))
	must(t, makeDir(i.o.StateDir))
	i.ensure()
	info, err := os.Stat(filepath.Join(i.o.StateDir, "warden.sock"))
	must(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("socket's mode %v", info.Mode())
	}
}

func TestEnsureSaysWhatIsWrong(t *testing.T) {
	i := newInstance(t)
	for name, change := range map[string]func(*Options){
		"state directory":         func(o *Options) { o.StateDir = i.dir + "/missing" },
		"no such file":            func(o *Options) { o.Exe = i.dir + "/missing" },
		"it ended without a word": func(o *Options) { o.Exe = "/bin/true" },
		"need absolute paths":     func(o *Options) { o.DataDir = "relative" },
	} {
		o := i.o
		change(&o)
		_, err := Ensure(ctx(t), o)
		if name == "need absolute paths" { // usage errors go to the log
			b, _ := os.ReadFile(filepath.Join(i.o.StateDir, "warden.log"))
			if err == nil || !strings.Contains(string(b), name) {
				t.Errorf("%s: %v, log %s", name, err, b)
			}
		} else if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A frozen warden answers nobody, but it must not hold anybody for ever either.
func TestFrozenWardenDoesNotHoldItsClients(t *testing.T) {
	i := newInstance(t)
	c := i.ensure()
	freeze(t, i.wardenPID)
	short, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := c.Disarm(short, 1); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Disarm: %v, want the deadline's error", err)
	}
	if _, err := Ensure(short, i.o); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Ensure: %v, want the deadline's error", err)
	}
}

func TestStartThatFails(t *testing.T) {
	i := newInstance(t)
	c := i.ensure()
	must(t, c.Disarm(ctx(t), 1))
	if err := c.Start(ctx(t), Command{Path: "postgres"}); !errors.Is(err, ErrRefused) {
		t.Errorf("a relative path: %v, want ErrRefused", err)
	}
	err := c.Start(ctx(t), Command{Path: "/nonexistent/postgres"})
	if err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing program: %v", err)
	}
	if s := c.Status(); !s.Empty || s.PostmasterPID != 0 || s.LastExit != nil {
		t.Errorf("after it: %+v", s)
	}
	must(t, c.Start(ctx(t), Command{Path: "/bin/false"})) // ends at once
	s := awaitStatus(t, c, "emptiness", func(s Status) bool { return s.Empty && s.LastExit != nil })
	if s.LastExit.Code != 1 {
		t.Errorf("exit %+v", s.LastExit)
	}
	must(t, c.Start(ctx(t), i.command()))
	i.connect()
}

// Tomorrow's agent meets today's warden: it ignores what it does not know in a request, refuses
// what it cannot do, and drops who talks nonsense, without harm to others.
func TestProtocolIsTolerant(t *testing.T) {
	i := newInstance(t)
	c := i.ensure()
	talk := func(line string) (got []reply) {
		conn, err := net.Dial("unix", filepath.Join(i.o.StateDir, "warden.sock"))
		must(t, err)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, _ = conn.Write([]byte(line + "\n")) // it may hang up on nonsense in the middle
		for s := bufio.NewScanner(conn); s.Scan(); {
			var r reply
			must(t, json.Unmarshal(s.Bytes(), &r))
			got = append(got, r)
			if r.ID != 0 {
				break
			}
		}
		return got
	}
	got := talk(`{"id":9,"op":"disarm","term":3,"colour":"blue","nested":{"a":[1]}}`)
	last := got[len(got)-1]
	if last.ID != 9 || last.Error != nil || got[0].Hello == nil || got[0].Hello.Protocol != protocolVersion || got[1].Status == nil {
		t.Errorf("got %+v", got)
	}
	got = talk(`{"id":10,"op":"teleport"}`)
	if last := got[len(got)-1]; last.Error == nil || last.Error.Code != "unsupported" {
		t.Errorf("got %+v", last)
	}
	for _, nonsense := range []string{"GET / HTTP/1.1", `{"id":`, `[]`, strings.Repeat("x", 2*lineBytesMax)} {
		if got := talk(nonsense); len(got) > 2 {
			t.Errorf("%.20q was answered: %+v", nonsense, got)
		}
	}
	if s := c.Status(); s.Term != 3 || !s.Alive {
		t.Errorf("status %+v", s)
	}
	must(t, c.Disarm(ctx(t), 4))
}

// A client that never reads is dropped; the fence does not wait for it.
func TestDeafClientHoldsUpNothing(t *testing.T) {
	i := newInstance(t)
	c := i.running()
	deaf, err := net.Dial("unix", filepath.Join(i.o.StateDir, "warden.sock"))
	must(t, err)
	defer deaf.Close()
	for n := range 3000 { // each pushes a status to all
		must(t, c.Disarm(ctx(t), uint64(n+1)))
	}
	deadline := BootNow().Add(200 * time.Millisecond)
	must(t, c.Arm(ctx(t), deadline, 5000))
	checkFenced(t, awaitStatus(t, c, "the fence", empty), deadline, 5000)
}
