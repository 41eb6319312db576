package demo

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Kinds of processes.
const (
	kindAgent      = "agent"
	kindWarden     = "warden"
	kindPostmaster = "postmaster"
	kindPooler     = "pooler"   // it serves an endpoint, and outlives its agent
	kindPostgres   = "postgres" // a backend, or one of PostgreSQL's tools at work for a member
)

type process struct {
	pid, ppid int
	member    string
	kind      string
}

// postgresPrograms are those that members start. What else runs inside the demo's
// directory (somebody's shell, a tail of a log) is none of ours and is left alone.
var postgresPrograms = []string{"postgres", "initdb", "pg_basebackup", "pg_rewind", "pg_waldump", "pg_controldata", "pg_ctl"}

// processes lists every process of the cluster in dir, by what the kernel says of them
// now and by no PID that was noted earlier. exe is the base name of the pgherd binary.
func processes(dir, exe string) []process {
	names, err := procPIDs()
	if err != nil {
		return nil
	}
	var found []process
	for _, pid := range names {
		if p, ok := inspect(pid, dir, exe); ok {
			found = append(found, p)
		}
	}
	markPostmasters(found)
	return found
}

func procPIDs() ([]int, error) {
	f, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	var pids []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, err
}

func inspect(pid int, dir, exe string) (process, bool) {
	proc := "/proc/" + strconv.Itoa(pid)
	program, err := os.Readlink(proc + "/exe")
	if err != nil { // gone, a zombie, the kernel's, or somebody else's
		return process{}, false
	}
	program = filepath.Base(strings.TrimSuffix(program, " (deleted)"))
	args := arguments(proc)
	p := process{pid: pid, ppid: parent(proc)}
	switch {
	case program == exe && len(args) > 1 && args[1] == "run":
		p.kind = kindAgent
	case program == exe && len(args) > 1 && args[1] == "warden":
		p.kind = kindWarden
	case slices.Contains(postgresPrograms, program):
		p.kind = kindPostgres
		cwd, _ := os.Readlink(proc + "/cwd")
		args = append(args, cwd)
	case isPooler(args):
		p.kind = kindPooler
	default:
		return process{}, false
	}
	p.member = memberIn(dir, args)
	return p, p.member != ""
}

// isPooler: PgBouncer may have been started by a loader of its own, so that its program says nothing.
func isPooler(args []string) bool {
	return slices.ContainsFunc(args, func(a string) bool { return filepath.Base(a) == "pgbouncer.ini" })
}

// memberIn gives the member whose directory below dir one of the words lies in.
func memberIn(dir string, words []string) string {
	for _, word := range words {
		if i := strings.Index(word, "="+dir); strings.HasPrefix(word, "--") && i > 0 {
			word = word[i+1:]
		}
		if rest, ok := strings.CutPrefix(word, dir+"/"); ok {
			name, _, _ := strings.Cut(rest, "/")
			return name
		}
	}
	return ""
}

func arguments(proc string) []string {
	data, _ := os.ReadFile(proc + "/cmdline")
	return strings.Split(string(bytes.TrimRight(data, "\x00")), "\x00")
}

// parent reads the parent's PID, the second field after the name, which may itself hold
// spaces and brackets.
func parent(proc string) int {
	data, _ := os.ReadFile(proc + "/stat")
	fields := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(fields) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(string(fields[1]))
	return pid
}

// markPostmasters finds the postmasters: the warden's child is one.
func markPostmasters(found []process) {
	wardens := map[int]string{}
	for _, p := range found {
		if p.kind == kindWarden {
			wardens[p.pid] = p.member
		}
	}
	for i, p := range found {
		if member, ok := wardens[p.ppid]; ok && p.kind == kindPostgres && member == p.member && isPostmaster(p.pid) {
			found[i].kind = kindPostmaster
		}
	}
}

// isPostmaster tells a postmaster from a backend whose postmaster was killed: the
// warden, as the subreaper, is then the parent of both. Only backends rewrite their title.
func isPostmaster(pid int) bool {
	args := arguments("/proc/" + strconv.Itoa(pid))
	return filepath.Base(args[0]) == "postgres"
}

// send sends sig to all processes of the given kinds (all kinds when none is given)
// of one member (of all when it is empty).
func send(found []process, sig syscall.Signal, member string, kinds ...string) (sent int) {
	for _, p := range found {
		if (member == "" || p.member == member) && (len(kinds) == 0 || slices.Contains(kinds, p.kind)) {
			if syscall.Kill(p.pid, sig) == nil {
				sent++
			}
		}
	}
	return sent
}
