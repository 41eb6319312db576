package warden

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// removeStaleLocks takes away the postmaster.pid of a dead postmaster, and its socket's lock
// file, if any process has that PID now. The instance is proven empty, so they are stale, but
// PostgreSQL would refuse to start: the process may be a zombie that init has not
// reaped yet (seen after kill -9 of the warden; PID 1 of a container may never do it)
// or, where PIDs are few, something unrelated. If no process has the PID, the files are
// left to PostgreSQL's own examination, which also looks for shared memory in use.
func removeStaleLocks(dataDir string) {
	path := filepath.Join(dataDir, "postmaster.pid")
	lines := readLines(path) // PID, data directory, start, port, socket directory, ...
	pid, ok := lockPID(lines)
	if !ok || errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return
	}
	if len(lines) > 4 && filepath.IsAbs(lines[4]) {
		socket := filepath.Join(lines[4], fmt.Sprintf(".s.PGSQL.%s.lock", filepath.Base(lines[3])))
		if owner, ok := lockPID(readLines(socket)); ok && owner == pid {
			_ = os.Remove(socket)
		}
	}
	_ = os.Remove(path) // last: it is what leads to the other
}

func readLines(path string) []string {
	b, _ := os.ReadFile(path)
	return strings.Split(string(b), "\n")
}

// lockPID reads the PID of a lock file; PostgreSQL writes it negative in single-user mode.
func lockPID(lines []string) (pid int, ok bool) {
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if pid < 0 {
		pid = -pid
	}
	return pid, err == nil && pid > 0
}
