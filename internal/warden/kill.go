package warden

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// process names one process for good: a PID alone may be another one a moment later.
type process struct {
	pid, ppid int
	start     uint64 // ticks since boot
}

// readProcess reads /proc/PID/stat. The name in it may hold anything, so fields are
// counted from its last ")".
func readProcess(pid int) (process, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return process{}, err
	}
	fields := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:])
	if len(fields) < 20 {
		return process{}, fmt.Errorf("/proc/%d/stat: too short", pid)
	}
	p := process{pid: pid}
	p.ppid, _ = strconv.Atoi(string(fields[1]))
	p.start, err = strconv.ParseUint(string(fields[19]), 10, 64)
	return p, err
}

func allPIDs() ([]int, error) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	pids := make([]int, 0, len(names))
	for _, n := range names {
		if pid, err := strconv.Atoi(n); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

// descendants lists everything below root in the process tree. It may miss what is forked or
// re-parented while it reads; the caller repeats until wait4 says ECHILD.
func descendants(root int) ([]process, error) {
	pids, err := allPIDs()
	children := make(map[int][]process)
	for _, pid := range pids {
		if p, err := readProcess(pid); err == nil {
			children[p.ppid] = append(children[p.ppid], p)
		}
	}
	var found []process
	for level := children[root]; len(level) > 0; {
		found = append(found, level...)
		var next []process
		for _, p := range level {
			next = append(next, children[p.pid]...)
			delete(children, p.pid)
		}
		level = next
	}
	return found, err
}

// kill sends SIGKILL to exactly this process; a process that is gone is no error.
func (p process) kill() error { return p.signal(unix.SIGKILL) }

func (p process) signal(sig syscall.Signal) error {
	fd, err := unix.PidfdOpen(p.pid, 0)
	switch {
	case errors.Is(err, unix.ESRCH):
		return nil
	case err != nil: // a kernel before 5.3, or no descriptors left: the PID is the next best
		return ignoreGone(syscall.Kill(p.pid, sig))
	}
	defer unix.Close(fd)
	if now, err := readProcess(p.pid); err != nil || now.start != p.start {
		return nil
	}
	return ignoreGone(unix.PidfdSendSignal(fd, sig, nil, 0))
}

func ignoreGone(err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// leftovers lists processes that an earlier warden's instance left behind: postgres
// with the data directory as its working directory (every postgres process goes
// there and stays), of our user. They are no descendants of ours. A path alone says nothing of a process that sees other
// mounts: containers whose processes this one sees have the same paths, and other data. (That of a directory that was
// deleted under it does: nothing else is left to know it by.)
func leftovers(dataDir string) []process {
	want, wantErr := os.Stat(dataDir)
	pids, _ := allPIDs()
	var found []process
	for _, pid := range pids {
		p, err := readProcess(pid)
		if err != nil || !isOurPostgres(pid) {
			continue
		}
		got, err := os.Stat(fmt.Sprintf("/proc/%d/cwd", pid))
		sameDir := err == nil && wantErr == nil && os.SameFile(want, got)
		if sameDir || linkTarget(pid, "cwd") == dataDir && (sameMounts(pid) || deleted(got, err)) {
			found = append(found, p)
		}
	}
	return found
}

func sameMounts(pid int) bool {
	ours, err := os.Readlink("/proc/self/ns/mnt")
	return err != nil || linkTarget(pid, "ns/mnt") == ours
}

// deleted is also said of what cannot be looked at: better one process too many.
func deleted(dir os.FileInfo, err error) bool {
	return err != nil || dir.Sys().(*syscall.Stat_t).Nlink == 0
}

// commName is how a warden calls itself; that is how another one knows it.
const commName = "pgherd-warden"

// guarded finds a process that another, living warden is above of; 0 when there is none.
func guarded(found []process) (pid, warden int) {
	for _, p := range found {
		for up := p.ppid; up > 1 && up != os.Getpid(); {
			if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", up)); strings.TrimSpace(string(name)) == commName {
				return p.pid, up
			}
			parent, err := readProcess(up)
			if err != nil {
				break
			}
			up = parent.ppid
		}
	}
	return 0, 0
}

func isOurPostgres(pid int) bool {
	info, err := os.Stat(fmt.Sprintf("/proc/%d", pid))
	if err != nil {
		return false
	}
	uid := os.Getuid()
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	return (uid == 0 || owner == uid) && filepath.Base(linkTarget(pid, "exe")) == "postgres"
}

// linkTarget reads /proc/PID/NAME; the kernel marks what was unlinked meanwhile, as
// a binary is by an upgrade.
func linkTarget(pid int, name string) string {
	target, _ := os.Readlink(fmt.Sprintf("/proc/%d/%s", pid, name))
	return strings.TrimSuffix(target, " (deleted)")
}
