package vip

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const inside = "VIP_TEST_INSIDE"

// TestMain runs the tests in a network namespace of their own, where they may do as they like; as
// anybody but root, in a user namespace besides.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread() // Pdeathsig is about the thread
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "in a network namespace:", err)
		os.Exit(1)
	}
}

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %v: %v\n%s", args, err, out)
	}
	return string(out)
}

// wire makes a pair of interfaces and listens at the far end.
func wire(t *testing.T) (near string, far *listener) {
	t.Helper()
	ip(t, "link", "add", "near0", "type", "veth", "peer", "name", "far0")
	t.Cleanup(func() { _ = exec.Command("ip", "link", "del", "near0").Run() }) // gone already when its peer was
	for _, name := range []string{"near0", "far0"} {
		ip(t, "link", "set", name, "up")
	}
	link, err := net.InterfaceByName("far0")
	if err != nil {
		t.Fatal(err)
	}
	const every = 0x0300 // ETH_P_ALL in network order
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, every)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: every, Ifindex: link.Index}); err != nil {
		t.Fatal(err)
	}
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 100_000})
	return "near0", &listener{fd}
}

type listener struct{ fd int }

// hears waits for exactly this frame.
func (l *listener) hears(t *testing.T, what string, frame []byte) {
	t.Helper()
	buf := make([]byte, 2000)
	for began := time.Now(); time.Since(began) < 5*time.Second; {
		n, err := unix.Read(l.fd, buf)
		if err == nil && bytes.Equal(buf[:n], frame) {
			return
		}
	}
	t.Errorf("the far end has not heard %s:\n% x", what, frame)
}

func macOf(t *testing.T, name string) net.HardwareAddr {
	t.Helper()
	link, err := net.InterfaceByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return link.HardwareAddr
}

// is fails unless driver and kernel agree on what there is.
func is(t *testing.T, a Address, want bool) {
	t.Helper()
	have, err := Kernel{}.Has(context.Background(), a)
	if err != nil || have != want {
		t.Errorf("Has(%s) = %v, %v; want %v", a, have, err, want)
	}
	if shown := strings.Contains(ip(t, "addr", "show", "dev", a.Interface), " "+a.Prefix.String()+" "); shown != want {
		t.Errorf("`ip addr` shows %s: %v; want %v", a, shown, want)
	}
}

func TestAddressComesIsHeardAndGoes(t *testing.T) {
	near, far := wire(t)
	ip(t, "addr", "add", "10.9.0.1/24", "dev", near) // the machine's own
	mac, ctx, k := macOf(t, near), context.Background(), Kernel{}
	v4 := Address{near, netip.MustParsePrefix("10.9.0.100/24")}
	v6 := Address{near, netip.MustParsePrefix("2001:db8::100/64")}
	for _, a := range []Address{v4, v6} {
		is(t, a, false)
		for range 2 { // the second is an announcement only
			if err := k.Up(ctx, a); err != nil {
				t.Fatal(err)
			}
			is(t, a, true)
			if a == v4 {
				far.hears(t, "the gratuitous request", gratuitousARP(mac, a.Prefix.Addr(), arpRequest))
				far.hears(t, "the gratuitous reply", gratuitousARP(mac, a.Prefix.Addr(), arpReply))
			} else {
				far.hears(t, "the advertisement", neighbourAdvertisement(mac, a.Prefix.Addr()))
			}
		}
		for range 2 {
			if err := k.Down(ctx, a); err != nil {
				t.Fatal(err)
			}
			is(t, a, false)
		}
	}
	is(t, Address{near, netip.MustParsePrefix("10.9.0.1/24")}, true) // the machine's own stays
}

// TestFrames: byte for byte as RFC 826 and RFC 4861 draw them, checksum worked out by hand.
func TestFrames(t *testing.T) {
	mac := net.HardwareAddr{2, 0, 0, 0, 0, 9}
	arp := gratuitousARP(mac, netip.MustParseAddr("10.0.0.100"), arpRequest)
	want := "ffffffffffff 020000000009 0806 0001 0800 06 04 0001 020000000009 0a000064 000000000000 0a000064"
	if got := fmt.Sprintf("%x", arp); got != strings.ReplaceAll(want, " ", "") {
		t.Errorf("ARP\n%s\n%s", got, want)
	}
	from := netip.MustParseAddr("2001:db8::100")
	na := neighbourAdvertisement(mac, from)
	if len(na) != ethernetBytes+ipv6Bytes+adverBytes {
		t.Errorf("%d bytes", len(na))
	}
	message := na[ethernetBytes+ipv6Bytes:]
	if sum := checksum(from, allNodesAddr, message); sum != 0 { // with the sum in it, the whole adds up to nothing
		t.Errorf("the checksum is off by %#x", sum)
	}
}

// neighbour moves an interface to a machine of its own: the namespace of a process that sleeps.
func neighbour(t *testing.T, link string) (run func(args ...string) string) {
	t.Helper()
	cmd := exec.Command("sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	pid := fmt.Sprint(cmd.Process.Pid)
	ip(t, "link", "set", link, "netns", pid)
	return func(args ...string) string {
		out, err := exec.Command("nsenter", append([]string{"-t", pid, "-n", "ip"}, args...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("the neighbour's ip %v: %v\n%s", args, err, out)
		}
		return string(out)
	}
}

// TestNeighbourLearns: a real neighbour that knew another owner follows the announcement.
func TestNeighbourLearns(t *testing.T) {
	near, _ := wire(t)
	far := neighbour(t, "far0")
	far("link", "set", "far0", "up")
	mac := macOf(t, near).String()
	for _, p := range []string{"10.8.0.100/24", "fd00:8::100/64"} {
		prefix := netip.MustParsePrefix(p)
		address := prefix.Addr().String()
		far("addr", "add", prefix.Addr().Prev().String()+fmt.Sprintf("/%d", prefix.Bits()), "dev", "far0")
		far("neigh", "replace", address, "lladdr", "02:00:00:00:00:99", "dev", "far0", "nud", "stale")
		if err := (Kernel{}).Up(context.Background(), Address{near, prefix}); err != nil {
			t.Fatal(err)
		}
		known := ""
		for began := time.Now(); time.Since(began) < 5*time.Second && !strings.Contains(known, mac); time.Sleep(10 * time.Millisecond) {
			known = far("neigh", "show", address, "dev", "far0")
		}
		if !strings.Contains(known, mac) {
			t.Errorf("%s: the neighbour knows %q, want %s", p, known, mac)
		}
	}
}

// TestNotOurs: what looks like the address is not taken for it.
func TestNotOurs(t *testing.T) {
	near, _ := wire(t)
	ip(t, "addr", "add", "110.9.0.10/24", "dev", near)
	a := Address{near, netip.MustParsePrefix("10.9.0.1/24")}
	is(t, a, false)
	if err := (Kernel{}).Down(context.Background(), a); err != nil {
		t.Error(err)
	}
	is(t, Address{near, netip.MustParsePrefix("110.9.0.10/24")}, true)
}

func TestIPv6IsNoSource(t *testing.T) {
	near, _ := wire(t)
	a := Address{near, netip.MustParsePrefix("2001:db8::100/64")}
	if err := (Kernel{}).Up(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	shown := ip(t, "-6", "addr", "show", "dev", near)
	if !strings.Contains(shown, "deprecated") || strings.Contains(shown, "tentative") && strings.Contains(shown, "::100/64 scope global tentative") {
		t.Errorf("want it deprecated and at once in use:\n%s", shown)
	}
	if !strings.Contains(shown, "valid_lft forever") {
		t.Errorf("want it for good:\n%s", shown)
	}
}

func TestWithoutItsInterface(t *testing.T) {
	a, ctx := Address{"gone0", netip.MustParsePrefix("10.9.0.100/24")}, context.Background()
	if have, err := (Kernel{}).Has(ctx, a); have || err != nil {
		t.Errorf("Has: %v, %v", have, err)
	}
	if err := (Kernel{}).Down(ctx, a); err != nil {
		t.Error(err)
	}
	if err := (Kernel{}).Up(ctx, a); err == nil || !strings.Contains(err.Error(), "no such interface") {
		t.Errorf("Up: %v", err)
	}
	near, _ := wire(t)
	ip(t, "link", "set", near, "down")
	if err := (Kernel{}).Up(ctx, Address{near, a.Prefix}); err == nil || !strings.Contains(err.Error(), "is down") {
		t.Errorf("Up on an interface that is down: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	ip(t, "link", "set", near, "up")
	if err := (Kernel{}).Up(gone, Address{near, a.Prefix}); err == nil {
		t.Error("Up after the end of its context")
	}
	is(t, Address{near, a.Prefix}, false)
}

// TestLoopbackHasNobodyToTell: an address for a routed setup may live on lo.
func TestLoopbackHasNobodyToTell(t *testing.T) {
	ip(t, "link", "set", "lo", "up")
	a := Address{"lo", netip.MustParsePrefix("10.9.9.9/32")}
	if err := (Kernel{}).Up(context.Background(), a); err != nil {
		t.Fatal(err)
	}
	have, err := Kernel{}.Has(context.Background(), a)
	if err != nil || !have {
		t.Errorf("Has: %v, %v", have, err)
	}
	if err := (Kernel{}).Down(context.Background(), a); err != nil {
		t.Error(err)
	}
}
