package sdnotify

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// The variables of systemd's that concern this process alone.
var variables = []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"}

// Supervisor is systemd, as far as one of its services is concerned. A nil one is nobody.
type Supervisor struct {
	addr  *net.UnixAddr
	env   map[string]string
	every time.Duration // between two keepalives; 0: none are wanted
	next  atomic.Int64  // when the next is due, since began, nanoseconds
	began time.Time
	ready atomic.Bool
}

// Open finds the supervisor in the environment and takes it out there: PostgreSQL and PgBouncer of Debian would report
// their own READY and STOPPING in our name. nil when there is none.
func Open() *Supervisor {
	s := &Supervisor{env: map[string]string{}, began: time.Now()}
	for _, name := range variables {
		if value, ok := os.LookupEnv(name); ok {
			s.env[name] = value
			_ = os.Unsetenv(name)
		}
	}
	path := s.env["NOTIFY_SOCKET"]
	if !strings.HasPrefix(path, "/") && !strings.HasPrefix(path, "@") {
		return nil
	}
	s.addr = &net.UnixAddr{Name: path, Net: "unixgram"} // Go reads a leading @ as the abstract namespace, as systemd does
	s.every = keepalives(s.env)
	return s
}

// keepalives gives a quarter of WATCHDOG_USEC, if that is meant for this process: one may be late, or lost.
func keepalives(env map[string]string) time.Duration {
	usec, err := strconv.ParseInt(env["WATCHDOG_USEC"], 10, 64)
	if err != nil || usec <= 0 {
		return 0
	}
	if pid := env["WATCHDOG_PID"]; pid != "" && pid != strconv.Itoa(os.Getpid()) {
		return 0
	}
	return time.Duration(usec) * time.Microsecond / 4
}

// PassOn gives the variables back, for a process that executes itself anew.
func (s *Supervisor) PassOn() {
	if s == nil {
		return
	}
	for name, value := range s.env {
		_ = os.Setenv(name, value)
	}
}

// Alive says that the service's loop has gone round once more: the first time that it is ready, then, as often as
// wanted, that it still makes progress. It costs nothing in between.
func (s *Supervisor) Alive() {
	if s == nil {
		return
	}
	if s.ready.CompareAndSwap(false, true) {
		_ = s.send("READY=1")
	}
	now := int64(time.Since(s.began))
	if s.every > 0 && now >= s.next.Load() {
		s.next.Store(now + int64(s.every))
		_ = s.send("WATCHDOG=1")
	}
}

// Stopping says that the service has begun to end, and why that may take a while.
func (s *Supervisor) Stopping(status string) {
	if s != nil {
		_ = s.send("STOPPING=1\nSTATUS=" + strings.ReplaceAll(status, "\n", " "))
	}
}

// sendMax: a systemd that does not read must not hold up the loop.
const sendMax = 100 * time.Millisecond

func (s *Supervisor) send(state string) error {
	c, err := net.DialUnix("unixgram", nil, s.addr)
	if err != nil {
		return fmt.Errorf("telling systemd: %w", err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(sendMax)); err != nil {
		return err
	}
	_, err = c.Write([]byte(state))
	return err
}
