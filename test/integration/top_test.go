package integration

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is a real one, of the kernel: what is written to it is kept.
type terminal struct {
	ours, theirs *os.File

	mu   sync.Mutex
	text strings.Builder
}

func newTerminal(t *testing.T) *terminal {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ours.Close() })
	if err := unix.IoctlSetPointerInt(int(ours.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(ours.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = theirs.Close() })
	if err := unix.IoctlSetWinsize(int(ours.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 40, Col: 160}); err != nil {
		t.Fatal(err)
	}
	return &terminal{ours: ours, theirs: theirs}
}

func (t *terminal) keep() {
	buffer := make([]byte, 4096)
	for {
		n, err := t.ours.Read(buffer)
		t.mu.Lock()
		t.text.Write(buffer[:n])
		t.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (t *terminal) all() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}

// shows: the last whole picture has these words.
func (t *terminal) shows(words ...string) bool {
	pictures := strings.Split(t.all(), "\x1b[H")
	if len(pictures) < 2 {
		return false
	}
	for _, word := range words {
		if !strings.Contains(pictures[len(pictures)-2], word) {
			return false
		}
	}
	return true
}

// TestTop: a switchover is followed live, events and all; q ends it and gives the terminal back.
func TestTop(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	tty := newTerminal(t)
	cmd := exec.Command(exe, "--config", p.config, "top")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty.theirs, tty.theirs, tty.theirs
	cmd.Env = append(os.Environ(), "NO_COLOR=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the terminal: %q", tty.all())
		}
	})
	go tty.keep()
	c.wait(20*time.Second, "the cluster in the terminal", func() bool {
		return tty.shows(fmt.Sprintf("%-16s%-8s running", p.name, "primary"), "commits wait for it", "leader_changed", "q: quit")
	})
	p.do("switchover")
	next := c.waitHealthy()
	c.wait(20*time.Second, "the new primary in the terminal", func() bool {
		return tty.shows(fmt.Sprintf("%-16s%-8s running", next.name, "primary"), "└─ ", "certificate: ")
	})
	if _, err := tty.ours.WriteString("q"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("q: %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("q does not end it")
	}
	c.wait(5*time.Second, "the terminal as it was", func() bool { return strings.HasSuffix(tty.all(), "\x1b[?25h\x1b[?1049l") })
	if a := p.try("top"); a.code != 2 || !strings.Contains(a.stderr, "terminal") {
		t.Errorf("without a terminal: %s", a)
	}
}
