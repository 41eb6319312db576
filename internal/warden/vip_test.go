package warden

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/internal/vip"
)

// ownNetwork runs the calling test once more, in a network namespace of its own with an
// interface, and gives that; "" where the run inside has judged already.
func ownNetwork(t *testing.T) (iface string) {
	t.Helper()
	const inside = "WARDEN_TEST_NETWORK"
	if os.Getenv(inside) == "" {
		if os.Getuid() != 0 {
			t.Skip("this test needs root, for a network namespace")
		}
		cmd := exec.Command("/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), inside+"=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
			t.Fatalf("in a network namespace: %v\n%s", err, out)
		}
		return ""
	}
	ip(t, "link", "add", "lan0", "type", "veth", "peer", "name", "lan1")
	ip(t, "link", "set", "lan0", "up")
	ip(t, "link", "set", "lan1", "up")
	return "lan0"
}

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	must(t, err, string(out))
	return string(out)
}

// bearing gives a running primary whose warden has the capabilities and guards an address.
func (i *instance) bearing(t *testing.T, a vip.Address) *Client {
	t.Helper()
	i.o.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
	c := i.running()
	must(t, c.Arm(ctx(t), BootNow().Add(time.Minute), 1))
	must(t, c.GuardVIP(ctx(t), &a))
	if s := c.Status(); s.VIP == nil || *s.VIP != a {
		t.Fatalf("status %+v", s.VIP)
	}
	must(t, vip.Kernel{}.Up(ctx(t), a))
	return c
}

func shown(t *testing.T, a vip.Address) bool {
	have, err := vip.Kernel{}.Has(ctx(t), a)
	must(t, err)
	return have
}

func TestAddressGoesWithPostgres(t *testing.T) {
	iface := ownNetwork(t)
	if iface == "" {
		return
	}
	a := vip.Address{Interface: iface, Prefix: netip.MustParsePrefix("10.7.0.100/24")}
	for name, end := range map[string]func(i *instance, c *Client){
		"deadline": func(i *instance, c *Client) { // nobody asks for anything: the agent is frozen
			must(t, c.Disarm(ctx(t), 2))
			must(t, c.Arm(ctx(t), BootNow().Add(100*time.Millisecond), 2))
		},
		"fence":      func(i *instance, c *Client) { must(t, c.Fence(ctx(t), "told to")) },
		"clean stop": func(i *instance, c *Client) { must(t, c.Signal(ctx(t), syscall.SIGINT)) },
		"crash":      func(i *instance, c *Client) { must(t, c.Signal(ctx(t), syscall.SIGKILL)) },
		"SIGTERM":    func(i *instance, c *Client) { must(t, syscall.Kill(i.wardenPID, syscall.SIGTERM)) },
	} {
		i := newInstance(t)
		c := i.bearing(t, a)
		end(i, c)
		await(t, name+": the address to go", func() bool { return !shown(t, a) })
		if c.Status().Alive { // and not of the one that SIGTERM ends
			awaitStatus(t, c, name+": the status to say so", func(s Status) bool { return s.VIP == nil && s.Empty || !s.Alive })
		}
		if err := c.GuardVIP(ctx(t), &a); err == nil {
			t.Errorf("%s: an address was taken into guard with no postmaster", name)
		}
		i.cleanup()
	}
}

// TestAddressStaysWithPostgres: a dead agent is no reason, nor is a client that goes; and an address that is
// guarded no more is left alone.
func TestAddressStaysWithPostgres(t *testing.T) {
	iface := ownNetwork(t)
	if iface == "" {
		return
	}
	a := vip.Address{Interface: iface, Prefix: netip.MustParsePrefix("10.7.0.100/24")}
	i := newInstance(t)
	c := i.bearing(t, a)
	c.Close()
	c = i.ensure()
	if s := c.Status(); s.VIP == nil || *s.VIP != a || !shown(t, a) {
		t.Errorf("with the next agent: %v, address there: %v", s.VIP, shown(t, a))
	}
	must(t, c.GuardVIP(ctx(t), nil))
	must(t, c.Fence(ctx(t), "told to"))
	if !shown(t, a) {
		t.Error("an address went that was not guarded")
	}
}

// TestWardenWithoutCapability says at once that it could take nothing away.
func TestWardenWithoutCapability(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this test needs root: the warden is started by somebody who has the capabilities")
	}
	i := newInstance(t)
	c := i.running()
	a := vip.Address{Interface: "lo", Prefix: netip.MustParsePrefix("10.7.0.100/32")}
	if err := c.GuardVIP(ctx(t), &a); !errors.Is(err, ErrCapability) || !strings.Contains(err.Error(), "CAP_NET_ADMIN and CAP_NET_RAW") || c.Status().VIP != nil {
		t.Errorf("GuardVIP: %v, status %v", err, c.Status().VIP)
	}
	must(t, c.GuardVIP(ctx(t), nil))
}

// TestPostgresHasNoCapabilities: what the warden keeps does not reach what it starts, nor what that forks.
func TestPostgresHasNoCapabilities(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("this test needs root: it gives capabilities away")
	}
	i := newInstance(t)
	i.o.AmbientCaps = []uintptr{unix.CAP_NET_ADMIN, unix.CAP_NET_RAW}
	i.running()
	const none, both = "0000000000000000", "0000000000003000"
	if got := capabilities(t, i.wardenPID, "CapEff"); !slices.Contains(got, both) {
		t.Errorf("the warden's threads have %v, want %s: the test shows nothing", got, both)
	}
	all := i.processes()
	if len(all) < 4 {
		t.Fatalf("only %d processes", len(all))
	}
	for _, pid := range all {
		for _, set := range []string{"CapEff", "CapPrm", "CapInh", "CapAmb"} {
			if got := capabilities(t, pid, set); len(got) > 0 && (len(got) != 1 || got[0] != none) {
				t.Errorf("process %d of PostgreSQL has %s %v", pid, set, got)
			}
		}
	}
}

// capabilities gives a set of each thread: one of the warden's, perhaps its first, has given them up.
func capabilities(t *testing.T, pid int, set string) (all []string) {
	t.Helper()
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, f := range files {
		text, _ := os.ReadFile(f) // gone: a worker of autovacuum
		for line := range strings.Lines(string(text)) {
			if v, ok := strings.CutPrefix(line, set+":"); ok {
				all = append(all, strings.TrimSpace(v))
			}
		}
	}
	return all
}
