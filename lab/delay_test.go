//go:build lab

package lab

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/pgherd/pgherd/lab/rig"
)

// delay makes a host's connections to some ports of other hosts slow. This kernel has no netem,
// so nft redirects them to a proxy of the test inside the host's own network, which passes each
// chunk on, in both directions, when it is old enough. A proxy hides half-open connections and
// resets; it is good for delay and for nothing else.
type delay struct {
	host  *rig.Host
	space string       // the network namespace's file
	each  atomic.Int64 // nanoseconds, each way
	proxy net.Listener
}

const (
	delayMark = 0x7a7a // of the proxy's own connections, which must not come back to it
	delayPort = 9999
)

func startDelay(t testing.TB, r *rig.Rig, h *rig.Host, ports ...int) *delay {
	t.Helper()
	d := &delay{host: h, space: "/run/netns/" + r.ID + "-" + h.Name}
	err := d.inside(func() (err error) {
		d.proxy, err = net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(delayPort)))
		return err
	})
	if err != nil {
		t.Fatalf("a proxy on %s: %v", h.Name, err)
	}
	t.Cleanup(d.stop)
	go d.serve()
	if err := d.nft(d.rules(ports)); err != nil {
		t.Fatal(err)
	}
	return d
}

// set makes the way so long, also for connections that exist.
func (d *delay) set(each time.Duration) { d.each.Store(int64(each)) }

func (d *delay) now() time.Duration { return time.Duration(d.each.Load()) }

// stop lets connections be quick again; those that go through the proxy are closed.
func (d *delay) stop() {
	_ = d.nft("delete table ip delay")
	_ = d.proxy.Close()
}

// rules redirect new connections; those that exist already are reset, to be made anew
// through the proxy before it becomes slow.
func (d *delay) rules(ports []int) string {
	var list []string
	for _, p := range ports {
		list = append(list, strconv.Itoa(p))
	}
	match := fmt.Sprintf("ip daddr != %s ip daddr != 127.0.0.0/8 tcp dport { %s } meta mark != %d", d.host.Addr, strings.Join(list, ", "), delayMark)
	return fmt.Sprintf(`table ip delay {
	chain away { type nat hook output priority -100; %s redirect to :%d; }
	chain before { type filter hook output priority 0; %s reject with tcp reset; }
}`, match, delayPort, match)
}

func (d *delay) nft(script string) error {
	cmd := exec.Command("nsenter", "--net="+d.space, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(script + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft on %s: %w: %s", d.host.Name, err, out)
	}
	return nil
}

// inside runs f in the host's network. Its thread is not used for anything else afterwards.
func (d *delay) inside(f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, err := os.Open(d.space)
		if err == nil {
			defer space.Close()
			err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNET)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

func (d *delay) serve() {
	for {
		from, err := d.proxy.Accept()
		if err != nil {
			return
		}
		go d.pass(from.(*net.TCPConn))
	}
}

// pass connects to where the client wanted to go.
func (d *delay) pass(from *net.TCPConn) {
	defer from.Close()
	target, err := originalTarget(from)
	if err != nil {
		return
	}
	time.Sleep(d.now()) // the handshake is late as well
	var to net.Conn
	dial := net.Dialer{Timeout: 10 * time.Second, Control: func(_, _ string, c syscall.RawConn) (err error) {
		failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, delayMark) })
		if failed != nil {
			return failed
		}
		return err
	}}
	if err := d.inside(func() (err error) { to, err = dial.Dial("tcp4", target); return err }); err != nil {
		return
	}
	defer to.Close()
	ended := make(chan struct{}, 2)
	go func() { d.copy(to, from); ended <- struct{}{} }()
	go func() { d.copy(from, to); ended <- struct{}{} }()
	<-ended
}

type chunk struct {
	due  time.Time
	data []byte
}

// copy passes on each chunk when it is due. What is late does not delay what follows: it is the
// way that is long, not narrow.
func (d *delay) copy(to io.Writer, from io.Reader) {
	way := make(chan chunk, 10000)
	go func() {
		defer close(way)
		for {
			buffer := make([]byte, 32<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				way <- chunk{time.Now().Add(d.now()), buffer[:n]}
			}
			if err != nil {
				return
			}
		}
	}()
	for c := range way {
		time.Sleep(time.Until(c.due))
		if _, err := to.Write(c.data); err != nil {
			return
		}
	}
}

// originalTarget asks the kernel where a redirected connection was going.
func originalTarget(c *net.TCPConn) (target string, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return "", err
	}
	var address unix.RawSockaddrInet4
	size := uint32(unsafe.Sizeof(address))
	var errno syscall.Errno
	if err := raw.Control(func(fd uintptr) {
		const originalDestination = 80 // SO_ORIGINAL_DST
		_, _, errno = syscall.Syscall6(syscall.SYS_GETSOCKOPT, fd, unix.SOL_IP, originalDestination,
			uintptr(unsafe.Pointer(&address)), uintptr(unsafe.Pointer(&size)), 0)
	}); err != nil {
		return "", err
	}
	if errno != 0 {
		return "", errno
	}
	port := address.Port<<8 | address.Port>>8 // in network order
	return net.JoinHostPort(net.IP(address.Addr[:]).String(), strconv.Itoa(int(port))), nil
}
