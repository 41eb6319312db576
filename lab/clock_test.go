//go:build lab

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/rig"
)

// Clocks differ between members, and jump. This machine's own clock cannot be set for the sake of one test: it is
// everybody's. So each member's boot and monotonic clock has an offset of its own, by a time
// namespace, and the wall clock is stepped inside pgherd: built with a time.Now that adds
// what a file says. That is all of pgherd's wall clock, its TLS, its store and its log included.
var _ = add(
	scenario{name: "clock-step", bounds: crash, rig: otherBootTimes, config: steppedClock, run: clockStep},
)

func otherBootTimes(r *rig.Rig) {
	for i, h := range r.Hosts {
		hours := fmt.Sprint(3600 * i * i)
		h.Wrap = []string{"unshare", "--time", "--boottime", hours, "--monotonic", hours, "--"}
	}
}

// clockFile is read by time.Now of the built pgherd; it is found by the member's state directory.
const clockFile = "/wall-clock-offset"

// A goroutine reads the file: the runtime's timers call time.Now where no system call may be made. Races
// on the offset are harmless: it is a number of seconds.
const clockSource = `package time

import "syscall"

var labOffset int64

func init() {
	if path, ok := syscall.Getenv("LAB_CLOCK"); ok {
		go func() {
			for {
				labRead(path)
				Sleep(50 * Millisecond)
			}
		}()
	}
}

func labRead(path string) {
	fd, err := syscall.Open(path, syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer syscall.Close(fd)
	var text [16]byte
	n, _ := syscall.Read(fd, text[:])
	sum, sign := int64(0), int64(1)
	for _, c := range text[:max(n, 0)] {
		switch {
		case c == '-':
			sign = -1
		case c >= '0' && c <= '9':
			sum = 10*sum + int64(c-'0')
		}
	}
	labOffset = sign * sum
}
`

func steppedPgherd() (string, error) {
	now, err := source("go", "src/time/time.go")
	if err != nil {
		return "", err
	}
	return overlay{
		name:  "stepped",
		added: map[string]string{filepath.Join(filepath.Dir(now), "lab_clock.go"): clockSource},
		edits: []edit{{now, "	sec, nsec, mono := runtimeNow()\n	if mono == 0 {", "	sec, nsec, mono := runtimeNow()\n	sec += labOffset\n	if mono == 0 {"}},
	}.build()
}

func steppedClock(c *cluster.Config) {
	if stepped, err := steppedPgherd(); err == nil {
		c.Exe = stepped
	}
	c.EnvOf = func(m *cluster.Member) []string {
		return []string{"LAB_CLOCK=" + filepath.Join(m.Host.Dir, clockFile)}
	}
}

func clockStep(l *Lab) {
	if _, err := steppedPgherd(); err != nil {
		l.T.Fatal(err)
	}
	p := l.primary()
	before := guards(p)
	for round, hours := range [][]int{{1, -1, 0}, {-1, 1, 0}, {0, 0, 0}, {-1, 0, 1}} {
		for i, m := range l.Cluster.Members {
			l.setClock(m, hours[i])
		}
		l.last(3 * time.Second)
		l.Load.WaitAcked(50)
		if now := l.Cluster.Primary(); now != p || guards(p) != before {
			l.T.Fatalf("step %d had an effect: %s", round+1, l.Cluster.Words())
		}
	}
	if broken := l.Cluster.Broken(); broken != "" {
		l.T.Errorf("after the steps: %s", broken)
	}
	since := time.Now()
	l.Mark("SIGKILL to the postmaster of %s, while all clocks differ", p.Name)
	p.Kill(cluster.Postmaster)
	next := l.takenOver(p)
	l.Mark("%s leads after %v", next.Name, time.Since(since).Round(time.Millisecond))
}

// setClock steps the wall clock of the member's agent, and proves that the agent has seen it.
func (l *Lab) setClock(m *cluster.Member, hours int) {
	l.T.Helper()
	l.Do(fmt.Sprintf("the wall clock of %s is %d h off", m.Name, hours), os.WriteFile(filepath.Join(m.Host.Dir, clockFile), []byte(fmt.Sprint(3600*hours)), 0o644))
	l.Cluster.Wait(10*time.Second, "the agent of "+m.Name+" to see its clock", func() bool {
		at, ok := m.DecidedAt()
		off := time.Until(at) - time.Duration(hours)*time.Hour
		return ok && off.Abs() < 10*time.Minute
	})
}
