package sdnotify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// systemd listens as systemd does.
func systemd(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	return c
}

func next(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	buf := make([]byte, 200)
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

// silent: the socket is local, so that what was sent is there when send has returned.
func silent(t *testing.T, c *net.UnixConn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 200)
	if n, err := c.Read(buf); err == nil {
		t.Errorf("systemd was told %q", buf[:n])
	}
}

func TestReadyOnceAndKeepalivesOnlyWithProgress(t *testing.T) {
	for _, path := range []string{filepath.Join(t.TempDir(), "notify"), "@pgherd-test-" + strconv.Itoa(os.Getpid())} {
		c := systemd(t, path)
		t.Setenv("WATCHDOG_USEC", "40000")
		t.Setenv("WATCHDOG_PID", strconv.Itoa(os.Getpid()))
		s := Open()
		silent(t, c)
		s.Alive()
		if got := next(t, c) + " " + next(t, c); got != "READY=1 WATCHDOG=1" {
			t.Errorf("first round: %q", got)
		}
		s.next.Store(int64(time.Since(s.began)) + int64(time.Hour)) // not due
		s.Alive()
		silent(t, c)
		s.next.Store(0)
		s.Alive()
		if got := next(t, c); got != "WATCHDOG=1" {
			t.Errorf("when one is due: %q", got)
		}
		s.Stopping("hands over\nfirst")
		if got := next(t, c); got != "STOPPING=1\nSTATUS=hands over first" {
			t.Errorf("at the end: %q", got)
		}
	}
}

// The programs that pgherd starts must not speak in its name, and a pgherd that executes itself anew must.
func TestVariablesAreOursAlone(t *testing.T) {
	systemd(t, filepath.Join(t.TempDir(), "notify"))
	t.Setenv("WATCHDOG_USEC", "40000")
	s := Open()
	for _, name := range variables {
		if _, ok := os.LookupEnv(name); ok {
			t.Errorf("%s is left in the environment", name)
		}
	}
	s.PassOn()
	if os.Getenv("NOTIFY_SOCKET") == "" || os.Getenv("WATCHDOG_USEC") != "40000" {
		t.Error("the variables are not given back")
	}
}

func TestWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	s := Open()
	if s != nil {
		t.Fatal("somebody listens")
	}
	s.Alive()
	s.Stopping("")
	s.PassOn()
}

func TestKeepalivesForAnotherProcess(t *testing.T) {
	if d := keepalives(map[string]string{"WATCHDOG_USEC": "40000", "WATCHDOG_PID": "1"}); d != 0 {
		t.Errorf("%v, though they are wanted of process 1", d)
	}
	if d := keepalives(map[string]string{"WATCHDOG_USEC": "60000000"}); d != 15*time.Second {
		t.Errorf("%v for a watchdog of a minute", d)
	}
}

// A systemd that is gone, or does not read, costs no more than a moment.
func TestNobodyListensAnyMore(t *testing.T) {
	c := systemd(t, filepath.Join(t.TempDir(), "notify"))
	s := Open()
	c.Close()
	began := time.Now()
	s.Alive()
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}
