//go:build lab

package rig

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Freeze stops every process of the host at once, without a signal that any of them could see:
// what a paused virtual machine looks like from outside.
func (h *Host) Freeze() error {
	dir, ok := h.groups.v1["freezer"]
	if !ok {
		return errors.New("this machine has no cgroup v1 controller freezer")
	}
	return freeze(dir)
}

// FreezeSome stops those processes of the host that are wanted, and what they fork meanwhile.
// They are moved into a group of their own first, parents before children, until none is
// left outside.
func (h *Host) FreezeSome(name string, want func(Process) bool) error {
	dir, err := h.moveTo("freezer", name, want)
	if err != nil {
		return err
	}
	return freeze(dir)
}

func freeze(dir string) error {
	if err := write(join(dir, "freezer.state"), "FROZEN"); err != nil {
		return err
	}
	if !until(5*time.Second, func() bool {
		state, _ := os.ReadFile(join(dir, "freezer.state"))
		return strings.TrimSpace(string(state)) == "FROZEN"
	}) {
		return fmt.Errorf("%s does not freeze", dir)
	}
	return nil
}

// Thaw lets everything of the host run again.
func (h *Host) Thaw() { h.groups.thaw() }

func (g *groups) thaw() {
	top, ok := g.v1["freezer"]
	if !ok {
		return
	}
	_ = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = write(join(path, "freezer.state"), "THAWED")
		}
		return nil
	})
}

// LimitMemory puts the wanted processes under a limit of their own; the kernel kills among
// them alone when they exceed it.
func (h *Host) LimitMemory(name string, bytes int64, want func(Process) bool) error {
	dir, err := h.moveTo("memory", name, want)
	if err != nil {
		return err
	}
	return write(join(dir, "memory.limit_in_bytes"), strconv.FormatInt(bytes, 10))
}

// UnlimitMemory takes the limit away.
func (h *Host) UnlimitMemory(name string) error {
	dir, err := h.groups.sub("memory", name)
	if err != nil {
		return err
	}
	return write(join(dir, "memory.limit_in_bytes"), "-1")
}

// moveTo moves the wanted processes into a group below the host's and gives its directory.
func (h *Host) moveTo(controller, name string, want func(Process) bool) (string, error) {
	dir, err := h.groups.sub(controller, name)
	if err != nil {
		return "", err
	}
	for range 100 {
		inside := procsOf(dir)
		moved := false
		for _, p := range h.Processes() {
			if want(p) && !inside[p.PID] {
				moved = true
				// A process that has just ended cannot be moved; the next round does not list it.
				_ = write(join(dir, "cgroup.procs"), strconv.Itoa(p.PID))
			}
		}
		if !moved {
			return dir, nil
		}
	}
	return "", fmt.Errorf("%s: processes are born faster than they can be moved to %s", h.Name, dir)
}

func procsOf(dir string) map[int]bool {
	text, _ := os.ReadFile(join(dir, "cgroup.procs"))
	set := map[int]bool{}
	for _, f := range strings.Fields(string(text)) {
		pid, _ := strconv.Atoi(f)
		set[pid] = true
	}
	return set
}
