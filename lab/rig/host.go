//go:build lab

package rig

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Host is one machine of the rig.
type Host struct {
	Name    string
	Addr    string
	Dir     string // directories data, wal and state are in it
	Volumes map[string]*Volume
	// Watchdog is there after AddWatchdog.
	Watchdog *Watchdog
	// Wrap is put before every command that is started, such as `unshare --time`.
	Wrap []string

	rig    *Rig
	groups groups
}

func (h *Host) netns() string { return h.rig.ID + "-" + h.Name }
func (h *Host) veth() string  { return h.rig.ID + h.Name }

func (h *Host) build() error {
	h.Dir = join(h.rig.Dir, h.Name)
	if err := os.Mkdir(h.Dir, 0o755); err != nil {
		return err
	}
	if err := h.makeNet(); err != nil {
		return err
	}
	if err := h.makeGroups(); err != nil {
		return err
	}
	d := h.rig.spec.Disks
	h.Volumes = map[string]*Volume{}
	for _, v := range []*Volume{{Name: "data", SizeMB: d.DataMB}, {Name: "wal", SizeMB: d.WALMB}, {Name: "state", SizeMB: d.StoreMB}} {
		if err := h.makeVolume(v); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) makeNet() error {
	ns := h.netns()
	for _, args := range [][]string{
		{"netns", "add", ns},
		{"link", "add", h.veth(), "type", "veth", "peer", "name", "eth0", "netns", ns},
		{"link", "set", h.veth(), "master", h.rig.ID, "up"},
		{"-n", ns, "link", "set", "lo", "up"},
		{"-n", ns, "addr", "add", h.Addr + "/24", "dev", "eth0"},
		{"-n", ns, "link", "set", "eth0", "up"},
	} {
		if err := tool("ip", args...); err != nil {
			return err
		}
	}
	return nil
}

// LinkDown pulls the host's cable, for the test as well.
func (h *Host) LinkDown() error { return tool("ip", "link", "set", h.veth(), "down") }

// LinkUp puts it back.
func (h *Host) LinkUp() error { return tool("ip", "link", "set", h.veth(), "up") }

// LinkIsUp says whether the cable is in.
func (h *Host) LinkIsUp() bool {
	text, err := os.ReadFile("/sys/class/net/" + h.veth() + "/flags")
	flags, bad := strconv.ParseUint(strings.TrimSpace(strings.TrimPrefix(string(text), "0x")), 16, 32)
	return err == nil && bad == nil && flags&syscall.IFF_UP != 0
}

func (h *Host) takeDown() {
	h.Watchdog.close()
	for _, v := range h.Volumes {
		v.takeDown()
	}
	_ = tool("ip", "netns", "del", h.netns())
	_ = tool("ip", "link", "del", h.veth()) // goes with the namespace, unless a process kept that alive
	h.groups.remove()
}

// Command is a program to run on a host.
type Command struct {
	Args []string
	Env  []string // added to the test's own
	Log  string   // file for stdout and stderr
	// Outside keeps it out of the host's cgroups: a tool of the test must not be frozen or
	// killed with the host.
	Outside bool
}

// enter joins the cgroups, then the network. Not `ip netns exec`: that mounts another /sys
// over the cgroups.
const enter = `for g in $LAB_GROUPS; do echo $$ >"$g/cgroup.procs" || exit 125; done; unset LAB_GROUPS; exec "$@"`

// Cmd prepares a command; the caller starts it.
func (h *Host) Cmd(c Command) *exec.Cmd {
	args := []string{"-c", enter, "sh", "nsenter", "--net=/run/netns/" + h.netns(), "--"}
	args = append(args, h.Wrap...)
	cmd := exec.Command("/bin/sh", append(args, c.Args...)...)
	cmd.Dir, cmd.Env = "/", append(os.Environ(), c.Env...)
	if !c.Outside {
		cmd.Env = append(cmd.Env, "LAB_GROUPS="+strings.Join(h.groups.dirs(), " "))
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// Running is a command that was started.
type Running struct {
	Cmd   *exec.Cmd
	Ended chan struct{} // closed at its end
}

// joinedIn is how long a command may take to join its host's groups, on a busy machine.
const joinedIn = 10 * time.Second

// Start runs a command in the background. It belongs to the host when Start returns: a power cut right after it ends it, too.
func (h *Host) Start(c Command) (*Running, error) {
	cmd := h.Cmd(c)
	if c.Log != "" {
		log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return nil, err
		}
		defer log.Close()
		cmd.Stdout, cmd.Stderr = log, log
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &Running{cmd, make(chan struct{})}
	go func() { _ = cmd.Wait(); close(r.Ended) }()
	if !until(joinedIn, r.joined) {
		_ = cmd.Process.Kill()
		return nil, fmt.Errorf("%s has not joined the groups of %s after %v", c.Args[0], h.Name, joinedIn)
	}
	return r, nil
}

// joined says whether enter is over: what it executes has no LAB_GROUPS, and what has ended needs none.
func (r *Running) joined() bool {
	select {
	case <-r.Ended:
		return true
	default:
	}
	env, err := os.ReadFile("/proc/" + strconv.Itoa(r.Cmd.Process.Pid) + "/environ")
	return err == nil && len(env) > 0 && !strings.Contains("\x00"+string(env), "\x00LAB_GROUPS=")
}

// Process is one of the host's, as the kernel tells it now.
type Process struct {
	PID  int
	PPID int
	Exe  string
	Args []string
}

// Processes lists everything that runs in the host's cgroup.
func (h *Host) Processes() (list []Process) {
	for _, pid := range h.groups.pids() {
		if p, ok := inspect(pid); ok {
			list = append(list, p)
		}
	}
	return list
}

func inspect(pid int) (Process, bool) {
	proc := "/proc/" + strconv.Itoa(pid)
	exe, err := os.Readlink(proc + "/exe")
	if err != nil { // it is ending: a zombie runs nothing
		return Process{}, false
	}
	line, _ := os.ReadFile(proc + "/cmdline")
	p := Process{PID: pid, Exe: filepath.Base(strings.TrimSuffix(exe, " (deleted)")), Args: strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")}
	stat, _ := os.ReadFile(proc + "/stat")
	if f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])); len(f) > 1 {
		p.PPID, _ = strconv.Atoi(f[1])
	}
	return p, true
}

// KillAll ends every process of the host at once, as a power cut would, and returns when
// none is left. A process in uninterruptible sleep needs its disk thawed first.
func (h *Host) KillAll() error { return h.groups.kill(10 * time.Second) }

func (h *Host) String() string { return fmt.Sprintf("%s (%s)", h.Name, h.Addr) }
