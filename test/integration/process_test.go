package integration

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is one of a cluster's, as the kernel tells it now.
type process struct {
	pid, ppid int
	kind      string // agent, warden, postmaster, backend, tool, pooler-rw, pooler-ro
	title     string
}

// processes lists those of one member, or of all (nil).
func (c *cluster) processes(of *member) (found []process) {
	prefix := c.dir + "/"
	if of != nil {
		prefix = of.dir
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if p, ok := inspect(pid, prefix); ok {
				found = append(found, p)
			}
		}
	}
	return found
}

func inspect(pid int, prefix string) (process, bool) {
	proc := "/proc/" + strconv.Itoa(pid)
	program, err := os.Readlink(proc + "/exe")
	if err != nil {
		return process{}, false
	}
	cmdline, _ := os.ReadFile(proc + "/cmdline")
	cwd, _ := os.Readlink(proc + "/cwd")
	args := strings.Split(string(cmdline), "\x00")
	p := process{pid: pid, ppid: parent(proc), title: strings.TrimSpace(strings.ReplaceAll(string(cmdline), "\x00", " "))}
	switch name := filepath.Base(strings.TrimSuffix(program, " (deleted)")); {
	case name == "pgherd" && slices.Contains(args[1:], "run"):
		p.kind = "agent"
	case name == "pgherd" && slices.Contains(args[1:], "warden"):
		p.kind = "warden"
	case name == "postgres" && filepath.Base(args[0]) == "postgres":
		p.kind = "postmaster"
	case name == "postgres":
		p.kind = "backend"
	case slices.Contains([]string{"initdb", "pg_basebackup", "pg_rewind", "pg_ctl"}, name):
		p.kind = "tool"
	case poolerKind(args) != "":
		p.kind = poolerKind(args)
	default:
		return process{}, false
	}
	ours := func(path string) bool {
		rest, ok := strings.CutPrefix(path, prefix)
		return ok && (strings.HasSuffix(prefix, "/") || rest == "" || rest[0] == '/' || strings.HasPrefix(rest, ".yaml"))
	}
	return p, ours(cwd) || slices.ContainsFunc(args, func(a string) bool { _, v, _ := strings.Cut(a, "="); return ours(a) || ours(v) })
}

// poolerKind knows PgBouncer by its configuration: a loader of its own may be its program.
func poolerKind(args []string) string {
	for _, a := range args {
		if filepath.Base(a) == "pgbouncer.ini" {
			return "pooler-" + filepath.Base(filepath.Dir(a))
		}
	}
	return ""
}

func parent(proc string) int {
	data, _ := os.ReadFile(proc + "/stat")
	if fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:]); len(fields) > 1 {
		pid, _ := strconv.Atoi(string(fields[1]))
		return pid
	}
	return 0
}

// pid gives the member's process of a kind, 0 when there is none.
func (m *member) pid(kind string) int {
	for _, p := range m.c.processes(m) {
		if p.kind == kind {
			return p.pid
		}
	}
	return 0
}

// kill sends SIGKILL to one process of the member and tells its PID.
func (m *member) kill(kind string) int {
	m.c.t.Helper()
	pid := m.pid(kind)
	if pid == 0 {
		m.c.t.Fatalf("%s has no %s", m.name, kind)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		m.c.t.Fatal(err)
	}
	return pid
}

// powerCut kills everything of the members at once, agents and wardens first, so that none
// of them sees another one die.
func (c *cluster) powerCut(members ...*member) {
	c.t.Helper()
	for began := time.Now(); ; {
		var found []process
		for _, m := range members {
			found = append(found, c.processes(m)...)
		}
		if len(found) == 0 {
			return
		}
		killAll(found)
		if time.Since(began) > 10*time.Second {
			c.t.Fatal("processes survive SIGKILL")
		}
	}
}

func killAll(found []process) {
	for _, kinds := range []string{"agent warden", "postmaster backend tool pooler-rw pooler-ro"} {
		for _, p := range found {
			if strings.Contains(kinds, p.kind) {
				_ = syscall.Kill(p.pid, syscall.SIGKILL)
			}
		}
	}
}

// down ends every process of the cluster and removes its directory.
func (c *cluster) down() {
	for began := time.Now(); time.Since(began) < 10*time.Second; time.Sleep(5 * time.Millisecond) {
		found := c.processes(nil)
		if len(found) == 0 {
			break
		}
		killAll(found)
	}
	for _, m := range c.members {
		if m.ended != nil {
			<-m.ended
		}
	}
	if os.Getenv("PGHERD_KEEP") == "" {
		_ = os.RemoveAll(c.dir)
	}
}

func itoa(n int) string { return strconv.Itoa(n) }
