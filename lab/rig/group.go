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

// groups are one host's control groups: in the v2 tree, whose cgroup.kill ends everything at
// once, and in the v1 controllers that freeze, slow and limit. A machine that lacks a v1
// controller lacks only the faults that need it.
type groups struct {
	unified    string
	v1         map[string]string // controller -> directory
	uid, gid   int
	subs       []string // below the v1 freezer and memory, made when first needed
	unifiedTop string
}

var controllers = []string{"freezer", "blkio", "memory"}

func (h *Host) makeGroups() error {
	g := &h.groups
	g.uid, g.gid, g.v1 = h.rig.spec.UID, h.rig.spec.GID, map[string]string{}
	own, err := ownGroups()
	if err != nil {
		return err
	}
	// At the root of the v2 tree: there alone may processes live beside children.
	g.unifiedTop = join(own[""], h.rig.ID)
	g.unified = join(g.unifiedTop, h.Name)
	if err := g.makeUnified(); err != nil {
		return err
	}
	for _, c := range controllers {
		if own[c] == "" {
			continue
		}
		g.v1[c] = join(own[c], h.rig.ID, h.Name)
		if err := os.MkdirAll(g.v1[c], 0o755); err != nil {
			return err
		}
	}
	return nil
}

// makeUnified gives the host's v2 group to the user: the warden makes a child of its own.
func (g *groups) makeUnified() error {
	if err := os.MkdirAll(g.unified, 0o755); err != nil {
		return err
	}
	return errors.Join(os.Chown(g.unified, g.uid, g.gid), os.Chown(join(g.unified, "cgroup.procs"), g.uid, g.gid))
}

// ownGroups gives where each v1 controller's group of this process is mounted, and under
// "" the mount point of the v2 tree. Groups are made below our own, so that limits which
// hold for us hold for them.
func ownGroups() (map[string]string, error) {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	self, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	path := map[string]string{}
	for line := range strings.Lines(string(self)) {
		if f := strings.SplitN(strings.TrimSpace(line), ":", 3); len(f) == 3 {
			path[f[1]] = f[2]
		}
	}
	found := map[string]string{}
	for line := range strings.Lines(string(mounts)) {
		mount, kind, _ := strings.Cut(line, " - ")
		f, k := strings.Fields(mount), strings.Fields(kind)
		switch {
		case len(f) < 5 || len(k) < 3:
		case k[0] == "cgroup2":
			found[""] = f[4]
		case k[0] == "cgroup":
			for _, c := range controllers {
				if strings.Contains(","+k[2]+",", ","+c+",") {
					found[c] = join(f[4], path[c])
				}
			}
		}
	}
	if found[""] == "" {
		return nil, errors.New("no cgroup v2 is mounted: the lab ends its hosts by cgroup.kill")
	}
	return found, nil
}

func (g *groups) dirs() []string {
	list := []string{g.unified}
	for _, dir := range g.v1 {
		list = append(list, dir)
	}
	return list
}

// pids lists the processes of the group and of all below it.
func (g *groups) pids() (list []int) {
	_ = filepath.WalkDir(g.unified, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			text, _ := os.ReadFile(join(path, "cgroup.procs"))
			for _, f := range strings.Fields(string(text)) {
				if pid, err := strconv.Atoi(f); err == nil {
					list = append(list, pid)
				}
			}
		}
		return nil
	})
	return list
}

// kill empties the group. The directory is made anew afterwards: on Linux 6.18 a process
// cloned into a group that was once killed dies at birth.
func (g *groups) kill(limit time.Duration) error {
	if g.unified == "" {
		return nil
	}
	if err := write(join(g.unified, "cgroup.kill"), "1"); err != nil {
		return err
	}
	g.thaw() // who is frozen dies as soon as it may run, before it does anything
	empty := until(limit, func() bool { return len(g.pids()) == 0 })
	if !empty {
		return fmt.Errorf("%d processes survive cgroup.kill", len(g.pids()))
	}
	removeTree(g.unified)
	return g.makeUnified()
}

func (g *groups) remove() {
	if g.unified == "" {
		return
	}
	removeTree(g.unified)
	_ = os.Remove(g.unifiedTop)
	for _, dir := range g.v1 {
		removeTree(dir)
		_ = os.Remove(filepath.Dir(dir))
	}
}

// removeTree removes a group and those below it; each is busy until the last process's
// exit has been accounted for.
func removeTree(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			removeTree(join(dir, e.Name()))
		}
	}
	until(2*time.Second, func() bool { err := os.Remove(dir); return err == nil || errors.Is(err, fs.ErrNotExist) })
}

// sub makes a group below the host's in one v1 controller.
func (g *groups) sub(controller, name string) (string, error) {
	top, ok := g.v1[controller]
	if !ok {
		return "", fmt.Errorf("this machine has no cgroup v1 controller %s", controller)
	}
	dir := join(top, name)
	return dir, os.MkdirAll(dir, 0o755)
}
