//go:build lab

package cluster

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/lab/rig"
)

// Kind names a member's processes.
type Kind string

// Kinds of processes. Tool is one of PostgreSQL's programs, run by the agent.
const (
	Agent      Kind = "agent"
	Warden     Kind = "warden"
	Postmaster Kind = "postmaster"
	Backend    Kind = "backend" // every process below a postmaster
	Tool       Kind = "tool"
	Pooler     Kind = "pooler"        // of the read-write endpoint
	ReadPooler Kind = "reader pooler" // of the read-only one
)

// KindOf says what a process of a host is; empty for anything else.
func KindOf(p rig.Process) Kind {
	runs := func(config string) bool {
		return slices.ContainsFunc(p.Args, func(arg string) bool { return strings.HasSuffix(arg, config) })
	}
	switch {
	case runs("/pooler/rw/pgbouncer.ini"): // by what it reads: its program may be a loader of another system's
		return Pooler
	case runs("/pooler/ro/pgbouncer.ini"):
		return ReadPooler
	case p.Exe == "postgres" && (slices.Contains(p.Args, "-C") || slices.Contains(p.Args, "--version")):
		return Tool // asked for a setting or its version; a new agent does so beside the running server
	case p.Exe == "postgres" && filepath.Base(p.Args[0]) == "postgres":
		return Postmaster
	case p.Exe == "postgres":
		return Backend
	case slices.Contains([]string{"initdb", "pg_basebackup", "pg_rewind", "pg_controldata", "pg_waldump"}, p.Exe):
		return Tool
	case len(p.Args) > 1 && p.Args[1] == "run":
		return Agent
	case len(p.Args) > 1 && p.Args[1] == "warden":
		return Warden
	}
	return ""
}

// IsPostgres is for what freezes or limits PostgreSQL alone.
func IsPostgres(p rig.Process) bool { return KindOf(p) == Postmaster || KindOf(p) == Backend }

// Processes lists the member's of some kinds; without kinds, all.
func (m *Member) Processes(kinds ...Kind) (list []rig.Process) {
	for _, p := range m.Host.Processes() {
		if k := KindOf(p); len(kinds) == 0 || slices.Contains(kinds, k) {
			list = append(list, p)
		}
	}
	return list
}

// PID gives one process of the kind, 0 when there is none. A postmaster's first
// child looks like it until it has its title: the oldest is meant.
func (m *Member) PID(kind Kind) int {
	list := m.Processes(kind)
	if len(list) == 0 {
		return 0
	}
	for _, p := range list {
		if !slices.ContainsFunc(list, func(q rig.Process) bool { return q.PID == p.PPID }) {
			return p.PID
		}
	}
	return list[0].PID
}

// Signal sends a signal to the member's process of that kind.
func (m *Member) Signal(kind Kind, sig syscall.Signal) int {
	m.c.T.Helper()
	pid := m.PID(kind)
	if pid == 0 {
		m.c.T.Fatalf("%s has no %s", m.Name, kind)
	}
	if err := syscall.Kill(pid, sig); err != nil {
		m.c.T.Fatalf("signal %v to the %s of %s: %v", sig, kind, m.Name, err)
	}
	return pid
}

// Kill is SIGKILL to the member's process of that kind.
func (m *Member) Kill(kind Kind) int {
	m.c.T.Helper()
	return m.Signal(kind, syscall.SIGKILL)
}

// PowerCut ends everything of the member at once. What its volumes had not flushed is
// lost with it, where they are file systems of their own.
func (m *Member) PowerCut() {
	m.c.T.Helper()
	m.c.PowerCut(m)
}

// PowerCut is that of several members in the same moment.
func (c *Cluster) PowerCut(members ...*Member) {
	c.T.Helper()
	var dead []*rig.Volume
	for _, m := range members {
		for _, v := range m.Host.Volumes {
			if v.SizeMB > 0 {
				dead = append(dead, v)
			}
		}
	}
	// The cables first, then the disks: processes end one after the other, and what one does that has seen another's end
	// must reach nobody: an agent that has seen its PostgreSQL die of the dead disk would tell the store so.
	var up []*rig.Host
	for _, m := range members {
		if !m.Host.LinkIsUp() {
			continue
		}
		up = append(up, m.Host)
		if err := m.Host.LinkDown(); err != nil {
			c.T.Fatal(err)
		}
	}
	c.each(dead, (*rig.Volume).Die)
	var wg sync.WaitGroup
	errs := make([]error, len(members))
	for i, m := range members {
		wg.Go(func() { errs[i] = m.Host.KillAll() })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		c.T.Fatal(err)
	}
	c.each(dead, (*rig.Volume).Remount)
	for _, m := range members {
		m.WaitAgentEnd(10 * time.Second)
	}
	for _, h := range up {
		if err := h.LinkUp(); err != nil {
			c.T.Fatal(err)
		}
	}
}

func (c *Cluster) each(volumes []*rig.Volume, do func(*rig.Volume) error) {
	c.T.Helper()
	for _, v := range volumes {
		if err := do(v); err != nil {
			c.T.Fatal(err)
		}
	}
}

// FreezePostgres stops PostgreSQL alone; agent and warden run on.
func (m *Member) FreezePostgres() {
	m.c.T.Helper()
	if err := m.Host.FreezeSome("postgres", IsPostgres); err != nil {
		m.c.T.Fatal(err)
	}
}
