//go:build lab

package rig

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Spec says which hosts are wanted.
type Spec struct {
	Hosts int
	Disks Disks
	UID   int // who owns the hosts' directories and cgroups
	GID   int
}

// Disks are the sizes of each host's own file systems; 0 means a plain directory.
type Disks struct{ DataMB, WALMB, StoreMB int }

// Rig is a set of hosts on one bridge.
type Rig struct {
	ID      string // begins every name in the kernel: lab<pid><letter>
	Dir     string
	Hosts   []*Host
	Gateway string // the test's own address on the bridge

	spec Spec
	net  [2]byte // 10.x.y.0/24
	mu   sync.Mutex
	once sync.Once
}

var registry struct {
	sync.Mutex
	next byte
	open map[*Rig]bool
}

// New builds the hosts; Close takes everything down again. What an error leaves half
// made is taken down at once.
func New(spec Spec) (*Rig, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("the lab needs root: it makes network namespaces, mounts and cgroups")
	}
	r := &Rig{spec: spec}
	if err := r.register(); err != nil {
		return nil, err
	}
	if err := r.build(); err != nil {
		r.Close()
		return nil, fmt.Errorf("building the lab's hosts: %w", err)
	}
	return r, nil
}

func (r *Rig) register() error {
	registry.Lock()
	defer registry.Unlock()
	if registry.open == nil {
		registry.open = map[*Rig]bool{}
	}
	letter := 'a' + registry.next%26
	registry.next++
	r.ID = fmt.Sprintf("lab%d%c", os.Getpid(), letter)
	dir, err := os.MkdirTemp("", r.ID+"-")
	if err != nil {
		return err
	}
	r.Dir = dir
	registry.open[r] = true
	return os.Chmod(dir, 0o755)
}

func (r *Rig) build() error {
	if err := r.makeBridge(); err != nil {
		return err
	}
	for i := range r.spec.Hosts {
		h := &Host{rig: r, Name: fmt.Sprintf("n%d", i+1), Addr: r.addr(i + 1)}
		r.Hosts = append(r.Hosts, h)
		if err := h.build(); err != nil {
			return fmt.Errorf("%s: %w", h.Name, err)
		}
	}
	return nil
}

func (r *Rig) addr(n int) string { return net.IPv4(10, r.net[0], r.net[1], byte(n)).String() }

// Close ends every process of the hosts and removes what New made. It can be called twice.
func (r *Rig) Close() {
	r.once.Do(func() {
		for _, h := range r.Hosts {
			h.Thaw()
			for _, v := range h.Volumes {
				_ = v.Thaw() // who waits for a frozen disk cannot be killed
			}
			h.KillAll()
		}
		for _, h := range r.Hosts {
			h.takeDown()
		}
		r.removeBridge()
		if os.Getenv("LAB_KEEP") == "" {
			_ = os.RemoveAll(r.Dir)
		}
		registry.Lock()
		delete(registry.open, r)
		registry.Unlock()
	})
}

// CloseAll is for the end of a test process by a signal or a deadline.
func CloseAll() {
	registry.Lock()
	var open []*Rig
	for r := range registry.open {
		open = append(open, r)
	}
	registry.Unlock()
	for _, r := range open {
		r.Close()
	}
}

// HealAll undoes every fault that the rig itself can make; processes that were killed stay so.
func (r *Rig) HealAll() error {
	var errs []error
	errs = append(errs, r.HealNet())
	for _, h := range r.Hosts {
		h.Thaw()
		errs = append(errs, h.LinkUp())
		for _, v := range h.Volumes {
			errs = append(errs, v.Thaw(), v.Unthrottle())
		}
	}
	return errors.Join(errs...)
}

// tool runs one program of the system to its end.
func tool(name string, args ...string) error { return toolIn("", name, args...) }

func toolIn(stdin, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// until polls for a fact outside of this process.
func until(limit time.Duration, so func() bool) bool {
	for began := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > limit {
			return false
		}
	}
	return true
}

func write(path, text string) error { return os.WriteFile(path, []byte(text), 0o644) }

func join(parts ...string) string { return filepath.Join(parts...) }
