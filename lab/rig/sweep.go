//go:build lab

package rig

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

var ours = regexp.MustCompile(`^(lab(\d+)[a-z])(-|$)`)

// Sweep removes what labs left whose test process is gone (killed, so that it could not
// clean up). The process ID in each name says whose it is; a live one's is never touched.
func Sweep() {
	for _, id := range leftIDs() {
		thawMounts(id)
		sweepGroups(id)
		sweepMounts(id)
		spaces, _ := filepath.Glob("/run/netns/" + id + "-*")
		for _, path := range spaces {
			_ = tool("ip", "netns", "del", filepath.Base(path))
		}
		_ = tool("nft", "delete", "table", "bridge", id)
		_ = tool("ip", "link", "del", id)
		dirs, _ := filepath.Glob(join(os.TempDir(), id+"-*"))
		for _, dir := range dirs {
			_ = os.RemoveAll(dir)
		}
	}
}

// leftIDs gives the rigs of dead processes, by all the kinds of names they leave.
func leftIDs() (ids []string) {
	seen := map[string]bool{}
	own, _ := ownGroups()
	for _, pattern := range []string{"/run/netns/lab*", "/sys/class/net/lab*", join(os.TempDir(), "lab*"), join(own[""], "lab*")} {
		paths, _ := filepath.Glob(pattern)
		for _, path := range paths {
			m := ours.FindStringSubmatch(filepath.Base(path))
			if m == nil || seen[m[1]] {
				continue
			}
			seen[m[1]] = true
			if _, err := os.Stat("/proc/" + m[2]); os.IsNotExist(err) {
				ids = append(ids, m[1])
			}
		}
	}
	return ids
}

func sweepGroups(id string) {
	own, err := ownGroups()
	if err != nil {
		return
	}
	for controller, top := range own {
		dir := join(top, id)
		if controller == "freezer" {
			states, _ := filepath.Glob(join(dir, "*/freezer.state"))
			deeper, _ := filepath.Glob(join(dir, "*/*/freezer.state"))
			for _, f := range append(states, deeper...) {
				_ = write(f, "THAWED")
			}
		}
	}
	unified := join(own[""], id)
	_ = write(join(unified, "cgroup.kill"), "1")
	g := groups{unified: unified}
	until(5*time.Second, func() bool { return len(g.pids()) == 0 })
	for _, top := range own {
		removeTree(join(top, id))
	}
}

// thawMounts comes before any killing: who waits for a frozen disk cannot be killed.
func thawMounts(id string) {
	for _, dir := range mountsOf(id) {
		_ = ioctl(dir, fiThaw, 0)
	}
}

func sweepMounts(id string) {
	for _, dir := range mountsOf(id) {
		_ = tool("umount", "-l", dir)
	}
}

func mountsOf(id string) (dirs []string) {
	text, _ := os.ReadFile("/proc/self/mounts")
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > 1 && strings.HasPrefix(f[1], join(os.TempDir(), id+"-")) {
			dirs = append(dirs, f[1])
		}
	}
	return dirs
}
