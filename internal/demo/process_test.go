package demo

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func timeout(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// live starts a stand-in that the test ends.
func live(t *testing.T, mode, dir, program string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), standIn+"="+mode)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd
}

func kinds(c *Cluster) map[int]string {
	is := map[int]string{}
	for _, p := range c.processes() {
		is[p.pid] = p.member + " " + p.kind
	}
	return is
}

func TestProcessesAreToldApart(t *testing.T) {
	c := testCluster(t, 2)
	bin := filepath.Dir(c.exe)
	n1 := filepath.Join(c.dir, "n1")
	agent := live(t, "lives", "/", c.exe, "run", "--config", c.members[0].config)
	warden := live(t, "lives", "/", c.exe, "warden", "--state-dir="+filepath.Join(n1, "state"))
	backend := live(t, "lives", filepath.Join(n1, "state"), program(t, bin, "postgres"), "-x")
	clone := live(t, "lives", "/", program(t, bin, "pg_basebackup"), "-D", filepath.Join(c.dir, "n2", "state", "data"))
	strangers := []*exec.Cmd{
		live(t, "lives", n1, "/bin/sleep", "600"),                                                       // somebody's shell in the directory
		live(t, "lives", "/", c.exe, "status", "--config", c.members[0].config),                         // a command of the user's
		live(t, "lives", "/", c.exe, "run", "--config", c.dir+"-other/n1/pgherd.yaml"),                  // another demo
		live(t, "lives", "/", program(t, bin, "other"), "run", "--config", c.members[0].config),         // another program
		live(t, "lives", "/", filepath.Join(bin, "postgres"), "-D", "/var/lib/postgresql/15/main/data"), // another server
	}
	want := map[int]string{agent.Process.Pid: "n1 agent", warden.Process.Pid: "n1 warden", backend.Process.Pid: "n1 postgres", clone.Process.Pid: "n2 postgres"}
	eventually(t, "all four are found", func() bool { return len(kinds(c)) >= len(want) })
	got := kinds(c)
	for pid, is := range want {
		if got[pid] != is {
			t.Errorf("PID %d is %q, want %q", pid, got[pid], is)
		}
	}
	for _, s := range strangers {
		if is, ok := got[s.Process.Pid]; ok {
			t.Errorf("%v is taken for %q", s.Args, is)
		}
	}
}

func TestPowerCutTakesOneMemberAndNothingElse(t *testing.T) {
	t.Setenv(standIn, "stubborn")
	c := testCluster(t, 2)
	if err := c.startKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	live(t, "stubborn", "/", c.exe, "warden", "--state-dir", filepath.Join(c.dir, "n1", "state"))
	shell := live(t, "lives", filepath.Join(c.dir, "n1"), "/bin/sleep", "600")
	eventually(t, "three processes", func() bool { return len(c.processes()) == 3 })

	killed, err := c.KillMember(t.Context(), "n1")
	if err != nil || killed != 2 {
		t.Fatalf("killed %d: %v", killed, err)
	}
	if left := describe(c.processes()); !strings.HasPrefix(left, "n2's agent") || strings.Contains(left, "n1") {
		t.Errorf("left: %s", left)
	}
	if err := shell.Process.Signal(syscall.Signal(0)); err != nil {
		t.Errorf("the shell in the member's directory is gone: %v", err)
	}
	if err := c.StartMember("n1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "n1's agent is back", func() bool { return len(c.processes()) == 2 })
}

func TestAgentThatDiesIsStartedAgain(t *testing.T) {
	t.Setenv(standIn, "lives")
	c := testCluster(t, 1)
	if err := c.startKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.keepRecord()
	pid := agentInRecord(t, c, 0)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if again := agentInRecord(t, c, pid); again == pid {
		t.Errorf("the same PID %d", pid)
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.Close()
	if pid := agentInRecord(t, c, -1); pid != 0 {
		t.Errorf("after the stop demo.json still names agent %d", pid)
	}
}

// agentInRecord reads demo.json until it names an agent other than old (-1: reads once).
func agentInRecord(t *testing.T, c *Cluster, old int) (pid int) {
	t.Helper()
	eventually(t, "demo.json names a living agent", func() bool {
		var r Record
		data, err := os.ReadFile(filepath.Join(c.dir, recordName))
		if err != nil || json.Unmarshal(data, &r) != nil {
			return false
		}
		pid = r.Members[0].AgentPID
		return old == -1 || pid != 0 && pid != old
	})
	return pid
}

func TestAgentThatNeverComesUpIsHopeless(t *testing.T) {
	t.Setenv(standIn, "fails")
	c := testCluster(t, 1)
	if err := c.startKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := c.waitFor(timeout(t, 30*time.Second), time.Millisecond, func() bool { return false })
	if err == nil || !strings.Contains(err.Error(), "n1's agent does not come up: the port is taken") {
		t.Errorf("got %v", err)
	}
}

func TestStopKillsAtOnceWhenAskedTwice(t *testing.T) {
	t.Setenv(standIn, "stubborn")
	c := testCluster(t, 2)
	if err := c.startKept(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "both run", func() bool { return len(c.processes()) == 2 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	began := time.Now()
	if err := c.Stop(ctx); err != nil {
		t.Error(err)
	}
	if len(c.processes()) != 0 || time.Since(began) > stopTimeout/2 {
		t.Errorf("after %s there is %s", time.Since(began), describe(c.processes()))
	}
}

func TestLeftoversOfAKilledDemoAreStopped(t *testing.T) {
	t.Setenv(standIn, "lives")
	c := testCluster(t, 2)
	if err := c.saveLayout(); err != nil {
		t.Fatal(err)
	}
	left := live(t, "lives", "/", c.exe, "run", "--config", c.members[0].config)
	go func() { _ = left.Wait() }() // as init would
	eventually(t, "it runs", func() bool { return len(c.processes()) == 1 })
	again, err := Open(t.Context(), Config{Dir: c.dir, Nodes: 3, Exe: c.exe, Say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if len(again.members) != 2 || !again.continued || len(c.processes()) != 0 {
		t.Errorf("%d members, continued %v, left %s", len(again.members), again.continued, describe(c.processes()))
	}
	if _, err := Open(t.Context(), Config{Dir: c.dir, Nodes: 2, Exe: c.exe, Say: t.Logf}); err == nil || !strings.Contains(err.Error(), "another demo runs") {
		t.Errorf("a second demo in the same directory: %v", err)
	}
}
