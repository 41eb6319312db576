package warden

import (
	"bufio"
	"errors"
	"fmt"
	"hash/fnv"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cgroup is the instance's own cgroup v2, below the warden's. It only makes the
// kill faster and able to reach what changed its user (sudo in archive_command): the proof
// of emptiness never rests on it, so wherever it cannot be had it is nil.
type cgroup struct{ dir string }

// openCgroup makes the instance's cgroup or finds an earlier warden's.
func openCgroup(dataDir string) (*cgroup, error) {
	parent, err := ownCgroup()
	if err != nil {
		return nil, err
	}
	h := fnv.New64a()
	h.Write([]byte(dataDir))
	c := &cgroup{filepath.Join(parent, fmt.Sprintf("pgherd-%016x", h.Sum64()))}
	if err := os.Mkdir(c.dir, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(c.dir, "cgroup.kill"), os.O_WRONLY, 0)
	if err != nil { // Linux before 5.14
		return nil, err
	}
	return c, f.Close()
}

// kill kills all members at once, also those being forked. A nil cgroup has none.
func (c *cgroup) kill() error {
	if c == nil {
		return nil
	}
	return os.WriteFile(filepath.Join(c.dir, "cgroup.kill"), []byte("1"), 0)
}

// add moves a postmaster that has just been forked; what it forks follows. Not CLONE_INTO_CGROUP: on
// Linux 6.18 whatever is cloned into a cgroup that was once killed was measured to die
// at birth, and seccomp profiles forbid clone3. When moving is not permitted, the
// walk of the process tree has to do.
func (c *cgroup) add(pid int) {
	if c != nil {
		_ = os.WriteFile(filepath.Join(c.dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0)
	}
}

func (c *cgroup) remove() {
	if c != nil {
		_ = os.Remove(c.dir)
	}
}

// ownCgroup gives the directory of the warden's own cgroup v2.
func ownCgroup() (string, error) {
	path, err := findLine("/proc/self/cgroup", func(line string) (string, bool) {
		return strings.CutPrefix(line, "0::")
	})
	if err != nil {
		return "", err
	}
	return findLine("/proc/self/mountinfo", func(line string) (string, bool) {
		return mountedAt(line, path)
	})
}

// mountedAt translates a cgroup path by one line of mountinfo:
// "41 31 0:38 ROOT MOUNTPOINT OPTIONS [TAGS] - cgroup2 SOURCE OPTIONS".
func mountedAt(line, path string) (string, bool) {
	mount, fs, ok := strings.Cut(line, " - ")
	fields := strings.Fields(mount)
	if !ok || len(fields) < 5 || !strings.HasPrefix(fs, "cgroup2 ") {
		return "", false
	}
	rel, err := filepath.Rel(fields[3], path)
	if err != nil || strings.HasPrefix(rel, "..") {
		return "", false
	}
	return filepath.Join(fields[4], rel), true
}

func findLine(file string, match func(string) (string, bool)) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := match(s.Text()); ok {
			return v, nil
		}
	}
	return "", fmt.Errorf("%s: no cgroup v2", file)
}
