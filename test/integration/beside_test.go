package integration

import (
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Programs of others that run beside a cluster.

// tool finds one that scripts/deps.sh provides: not all of their places are in everybody's PATH.
func tool(name string) string {
	for _, program := range []string{name, filepath.Join("/usr/sbin", name), filepath.Join("/sbin", name)} {
		if found, err := exec.LookPath(program); err == nil {
			return found
		}
	}
	return filepath.Join("/usr/local/lib/pgherd", name)
}

// beside runs it until the test's end; what it said is told when the test failed.
func (c *cluster) beside(name string, cmd *exec.Cmd) {
	c.t.Helper()
	t := c.t // a shared cluster goes on to the next test
	var said strings.Builder
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &said, &said, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v (`make deps` provides it)", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", name, said.String())
		}
	})
}
