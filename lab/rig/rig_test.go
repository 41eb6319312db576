//go:build lab

package rig

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func newRig(t *testing.T, spec Spec) *Rig {
	t.Helper()
	r, err := New(spec)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// The test's binary is also what runs on the hosts: it listens, or connects once.
func TestMain(m *testing.M) {
	switch address := os.Getenv("RIG_ADDRESS"); os.Getenv("RIG_ROLE") {
	case "listen":
		l, err := net.Listen("tcp", address)
		if err != nil {
			os.Exit(1)
		}
		fmt.Println("up")
		_, _ = l.Accept()
	case "connect":
		if _, err := net.DialTimeout("tcp", address, 500*time.Millisecond); err != nil {
			os.Exit(1)
		}
	default:
		os.Exit(m.Run())
	}
}

func role(role, address string) Command {
	exe, _ := os.Executable()
	return Command{Args: []string{exe}, Env: []string{"RIG_ROLE=" + role, "RIG_ADDRESS=" + address}}
}

// listens starts a server on a host for one connection.
func listens(t *testing.T, on *Host, port int) {
	t.Helper()
	server := on.Cmd(role("listen", net.JoinHostPort(on.Addr, strconv.Itoa(port))))
	out, err := server.StdoutPipe()
	must(t, err)
	must(t, server.Start())
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	_, err = out.Read(make([]byte, 2))
	must(t, err)
}

var nextPort = 4711

// reaches says whether TCP from one host (nil: from the test) to another gets through.
func reaches(t *testing.T, from, to *Host) bool {
	t.Helper()
	nextPort++
	return connects(t, from, to, nextPort)
}

func connects(t *testing.T, from, to *Host, port int) bool {
	t.Helper()
	listens(t, to, port)
	address := net.JoinHostPort(to.Addr, strconv.Itoa(port))
	if from == nil {
		c, err := net.DialTimeout("tcp", address, 500*time.Millisecond)
		if err == nil {
			c.Close()
		}
		return err == nil
	}
	return from.Cmd(role("connect", address)).Run() == nil
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCuts(t *testing.T) {
	r := newRig(t, Spec{Hosts: 3})
	a, b, c := r.Hosts[0], r.Hosts[1], r.Hosts[2]
	if !reaches(t, a, b) || !reaches(t, nil, a) {
		t.Fatal("nothing is cut, but a host cannot be reached")
	}
	must(t, r.CutOneWay(a, b))
	if reaches(t, a, b) || reaches(t, b, a) || !reaches(t, a, c) {
		t.Error("one way: the request or its answer must be lost, and nothing else")
	}
	must(t, r.HealNet())
	must(t, r.Isolate(c))
	if reaches(t, a, c) || reaches(t, c, b) || !reaches(t, a, b) {
		t.Error("isolated: nobody reaches it, the others reach each other")
	}
	if !reaches(t, nil, c) {
		t.Error("the test must reach an isolated host")
	}
	must(t, r.HealNet())
	must(t, r.CutPorts(a, b, 4001, 4003))
	if connects(t, a, b, 4001) || !connects(t, a, b, 4002) || !connects(t, c, b, 4003) {
		t.Error("a port's cut must hit this port of this pair alone")
	}
	other := newRig(t, Spec{Hosts: 2})
	must(t, r.Lose(99))
	if reaches(t, a, b) {
		t.Error("a loss of 99 % lets a connection through")
	}
	if !reaches(t, other.Hosts[0], other.Hosts[1]) {
		t.Error("another lab loses packets as well")
	}
	must(t, r.HealAll())
	must(t, a.LinkDown())
	if a.LinkIsUp() || !b.LinkIsUp() {
		t.Error("a pulled cable counts as up, or another as down")
	}
	if reaches(t, b, a) {
		t.Error("the link is down")
	}
	must(t, r.HealAll())
	if !reaches(t, b, a) {
		t.Error("healed, but not reached")
	}
}

func TestFreezeAndKill(t *testing.T) {
	r := newRig(t, Spec{Hosts: 1})
	h := r.Hosts[0]
	run, err := h.Start(Command{Args: []string{"sleep", "100"}})
	must(t, err)
	if !until(5*time.Second, func() bool { return len(h.Processes()) == 1 && h.Processes()[0].Exe == "sleep" }) {
		t.Fatalf("processes: %+v", h.Processes())
	}
	must(t, h.FreezeSome("some", func(p Process) bool { return p.Exe == "sleep" }))
	h.Thaw()
	must(t, h.Freeze())
	h.Thaw()
	must(t, h.KillAll())
	select {
	case <-run.Ended:
	case <-time.After(5 * time.Second):
		t.Fatal("it survived")
	}
	again, err := h.Start(Command{Args: []string{"true"}})
	must(t, err)
	<-again.Ended
	if !again.Cmd.ProcessState.Success() {
		t.Error("nothing can be started on a host that was killed")
	}
}

// A power cut that follows a start at once must find what was started, or it runs on after the machine is dead.
func TestKillAllEndsWhatHasJustStarted(t *testing.T) {
	h := newRig(t, Spec{Hosts: 1}).Hosts[0]
	for range 10 {
		run, err := h.Start(Command{Args: []string{"sleep", "60"}})
		must(t, err)
		must(t, h.KillAll())
		select {
		case <-run.Ended:
		case <-time.After(5 * time.Second):
			_ = run.Cmd.Process.Kill()
			t.Fatal("what had just started survived")
		}
	}
}

// TestPowerCutLosesWhatWasNotFlushed is why volumes exist: after Die and Remount there is
// what was synced, and nothing else.
func TestPowerCutLosesWhatWasNotFlushed(t *testing.T) {
	r := newRig(t, Spec{Hosts: 1, Disks: Disks{DataMB: 32}})
	v := r.Hosts[0].Volumes["data"]
	kept, lost := filepath.Join(v.Dir, "kept"), filepath.Join(v.Dir, "lost")
	must(t, os.WriteFile(kept, []byte("x"), 0o644))
	must(t, exec.Command("sync", "-f", v.Dir).Run())
	must(t, os.WriteFile(lost, []byte("x"), 0o644))
	must(t, v.Die())
	if _, err := os.Create(filepath.Join(v.Dir, "more")); err == nil {
		t.Error("a dead volume takes writes")
	}
	must(t, v.Remount())
	if _, err := os.Stat(kept); err != nil {
		t.Errorf("what was synced: %v", err)
	}
	if _, err := os.Stat(lost); err == nil {
		t.Error("what was never synced survived")
	}
}

func TestFreezeAndThrottleOfADisk(t *testing.T) {
	r := newRig(t, Spec{Hosts: 1, Disks: Disks{DataMB: 32}})
	h := r.Hosts[0]
	v := h.Volumes["data"]
	write := func(name string) Command {
		return Command{Args: []string{"dd", "if=/dev/zero", "of=" + filepath.Join(v.Dir, name), "bs=4k", "count=8", "oflag=direct,dsync", "status=none"}}
	}
	must(t, v.Freeze())
	hung, err := h.Start(write("a"))
	must(t, err)
	select {
	case <-hung.Ended:
		t.Error("a write to a frozen volume ended")
	case <-time.After(300 * time.Millisecond):
	}
	must(t, v.Thaw())
	<-hung.Ended
	must(t, v.Throttle(4))
	began := time.Now()
	must(t, h.Cmd(write("b")).Run())
	if took := time.Since(began); took < time.Second {
		t.Errorf("8 writes at 4 a second took %v", took)
	}
	must(t, v.Unthrottle())
}

// TestFrozenDisksCanBeTakenDown: whoever waits for one cannot be killed before it is thawed, by Close as by
// Sweep, which knows no more than the mounts of a rig.
func TestFrozenDisksCanBeTakenDown(t *testing.T) {
	r := newRig(t, Spec{Hosts: 1, Disks: Disks{DataMB: 32}})
	v := r.Hosts[0].Volumes["data"]
	write := Command{Args: []string{"dd", "if=/dev/zero", "of=" + filepath.Join(v.Dir, "a"), "count=1", "oflag=dsync", "status=none"}}
	must(t, v.Freeze())
	first, err := r.Hosts[0].Start(write)
	must(t, err)
	hangs(t, r.Hosts[0])
	thawMounts(r.ID)
	select {
	case <-first.Ended:
	case <-time.After(5 * time.Second):
		t.Error("a swept volume is still frozen")
	}
	must(t, v.Freeze())
	second, err := r.Hosts[0].Start(write)
	must(t, err)
	hangs(t, r.Hosts[0])
	began := time.Now()
	r.Close()
	if took := time.Since(began); took > 8*time.Second { // KillAll gives up after 10 s
		t.Errorf("Close took %v", took)
	}
	<-second.Ended
}

// hangs waits until a process of the host is in uninterruptible sleep (D).
func hangs(t *testing.T, h *Host) {
	t.Helper()
	if !until(5*time.Second, func() bool {
		for _, p := range h.Processes() {
			stat, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID))
			if p.Exe == "dd" && strings.Contains(string(stat), ") D ") {
				return true
			}
		}
		return false
	}) {
		t.Fatal("no writer hangs")
	}
}

// TestNothingIsLeft: what Close leaves would be found by nobody.
func TestNothingIsLeft(t *testing.T) {
	r := newRig(t, Spec{Hosts: 2, Disks: Disks{DataMB: 16}})
	_, err := r.Hosts[0].Start(Command{Args: []string{"sleep", "100"}})
	must(t, err)
	r.Close()
	own, err := ownGroups()
	must(t, err)
	for _, pattern := range []string{"/run/netns/" + r.ID + "*", "/sys/class/net/" + r.ID + "*", r.Dir, own[""] + "/" + r.ID, own["freezer"] + "/" + r.ID} {
		if left, _ := filepath.Glob(pattern); len(left) > 0 {
			t.Errorf("left: %v", left)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mounts")
	if strings.Contains(string(mounts), r.Dir) {
		t.Error("a volume is still mounted")
	}
}

// A host's watchdog sleeps after a V, and otherwise cuts the power.
func TestWatchdog(t *testing.T) {
	h := newRig(t, Spec{Hosts: 1}).Hosts[0]
	must(t, h.AddWatchdog(300*time.Millisecond))
	running, err := h.Start(Command{Args: []string{"sleep", "1000"}})
	must(t, err)
	must(t, os.WriteFile(h.Watchdog.Path, []byte("\x00V"), 0))
	select {
	case <-running.Ended:
		t.Fatal("it was disarmed, and fired")
	case <-time.After(600 * time.Millisecond):
	}
	must(t, os.WriteFile(h.Watchdog.Path, []byte{0}, 0))
	select {
	case <-h.Watchdog.Fired:
	case <-time.After(10 * time.Second):
		t.Fatal("it did not fire")
	}
	if left := h.Processes(); len(left) > 0 {
		t.Errorf("%d processes are left", len(left))
	}
}
