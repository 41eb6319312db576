package pidone

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// The test's own binary is the first process of a namespace when it is called so.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "first" {
		os.Exit(Run(os.Args[2:], os.Stderr))
	}
	os.Exit(m.Run())
}

// container runs a shell script as the agent of a container of its own. said gives its next line.
type container struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines *bufio.Scanner
	first int // its first process, as it is seen from here
}

func begin(t *testing.T, agent string) *container {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("a namespace of process numbers needs root")
	}
	c := &container{t: t, cmd: exec.Command("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", os.Args[0], "first", "/bin/bash", "-c", agent)}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	c.lines = bufio.NewScanner(out)
	c.said("up")
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%[1]d/children", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscan(string(children), &c.first); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *container) said(want string) {
	c.t.Helper()
	if !c.lines.Scan() {
		c.t.Fatalf("the container ended before it said %q", want)
	}
	if got := c.lines.Text(); got != want {
		c.t.Fatalf("it said %q, want %q", got, want)
	}
}

func (c *container) signal(sig syscall.Signal) {
	c.t.Helper()
	if err := syscall.Kill(c.first, sig); err != nil {
		c.t.Fatal(err)
	}
}

func (c *container) ends(code int) {
	c.t.Helper()
	for c.lines.Scan() {
		c.t.Errorf("it also said %q", c.lines.Text())
	}
	_ = c.cmd.Wait()
	if got := c.cmd.ProcessState.ExitCode(); got != code {
		c.t.Errorf("exit code %d, want %d", got, code)
	}
}

func TestSignalIsPassedOnAndTheExitCodeIsTheAgents(t *testing.T) {
	c := begin(t, `trap 'echo handing over; exit 7' TERM; echo up; while :; do sleep 0.05; done`)
	c.signal(syscall.SIGTERM)
	c.said("handing over")
	c.ends(7)
}

// What is killed comes back; what gives up does not.
func TestKilledAgentComesBack(t *testing.T) {
	t.Setenv("KILLED", filepath.Join(t.TempDir(), "killed"))
	c := begin(t, `trap '[ -e "$KILLED" ] && exit 3; : >"$KILLED"; kill -9 $$' HUP; trap 'exit 0' USR2; echo up; while :; do sleep 0.05; done`)
	c.signal(syscall.SIGHUP)
	c.said("up")
	c.signal(syscall.SIGUSR2)
	c.said("up")
	c.signal(syscall.SIGHUP)
	c.ends(3)
}

// Orphans are reaped: what the agent's child has left behind ends, and is gone, while the agent lives.
func TestOrphansAreReaped(t *testing.T) {
	c := begin(t, `echo up
		for i in 1 2 3 4 5; do
			orphan=$(sleep 0.01 >/dev/null & echo $!)
			while [ -e "/proc/$orphan" ]; do read -t 0.01 <> <(:); done
		done
		echo gone`)
	c.said("gone")
	c.ends(0)
}
