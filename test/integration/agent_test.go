package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pids are the processes that must outlive an agent.
func (m *member) pids() (postmaster, warden int) { return m.pid("postmaster"), m.pid("warden") }

// sameServer fails when the postmaster or the warden is another one than before.
func (m *member) sameServer(postmaster, warden int) {
	m.c.t.Helper()
	if p, w := m.pids(); p != postmaster || w != warden {
		m.c.t.Errorf("%s: postmaster %d and warden %d are now %d and %d", m.name, postmaster, warden, p, w)
	}
}

func TestAgentKilledAndRestartedCostsNoStatement(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	postmaster, warden := p.pids()
	term := c.lease().Term
	l := c.startLoad(4)
	p.kill("agent")
	p.waitEnd(5 * time.Second)
	time.Sleep(2 * time.Second) // the promise is about an agent that is away for 2 s
	p.start()
	p.waitState("running")
	c.waitSync()
	l.waitAcked(100)
	if _, failed := l.snapshot(); len(failed) > 0 {
		t.Errorf("%d statements failed, first: %s", len(failed), failed[0])
	}
	p.sameServer(postmaster, warden)
	if now := c.lease().Term; now != term {
		t.Errorf("the term went from %d to %d", term, now)
	}
	l.checkRows()
}

func TestDetachLeavesPostgresRunning(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	l := c.startLoad(2)
	for _, way := range []string{"SIGUSR2", "--detach-on-exit"} {
		t.Run(way, func(t *testing.T) {
			postmaster, warden := p.pids()
			term := c.lease().Term
			if way == "SIGUSR2" {
				p.signal(syscall.SIGUSR2)
			} else {
				p.signal(syscall.SIGTERM) // it was started with the flag below
			}
			if code := p.waitEnd(10 * time.Second); code != 0 {
				t.Errorf("exit code %d", code)
			}
			p.sameServer(postmaster, warden)
			p.start("--detach-on-exit")
			p.waitState("running")
			l.waitAcked(50)
			p.sameServer(postmaster, warden)
			if now := c.lease().Term; now != term {
				t.Errorf("the term went from %d to %d", term, now)
			}
		})
	}
	if _, failed := l.snapshot(); len(failed) > 0 {
		t.Errorf("%d statements failed, first: %s", len(failed), failed[0])
	}
	// The flag must not stay for the tests to come.
	p.signal(syscall.SIGUSR2)
	p.waitEnd(10 * time.Second)
	p.start()
	p.waitState("running")
	l.checkRows()
}

// TestFrozenAgentIsFenced: a holder that is frozen for longer than its ttl must be dead
// before anybody else accepts writes, although nobody can tell it so.
func TestFrozenAgentIsFenced(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	l := c.startPinned()
	since := time.Now()
	old.signal(syscall.SIGSTOP)
	thawed := false
	defer func() {
		if !thawed {
			_ = old.agent.Process.Signal(syscall.SIGCONT)
		}
	}()
	c.wait(20*time.Second, "the warden fences "+old.name, func() bool { return old.pid("postmaster") == 0 && old.pid("backend") == 0 })
	fenced := time.Now()
	leader := c.leaderOf(c.others(old), 20*time.Second)
	t.Logf("empty %v after the freeze, %s writable after %v", fenced.Sub(since).Round(time.Millisecond), leader.name, time.Since(since).Round(time.Millisecond))
	if log := tail(old.dir+"/warden.log", 2000); !strings.Contains(log, "deadline") {
		t.Errorf("the warden's log does not say that the deadline passed:\n%s", log)
	}
	l.waitAcked(50)
	old.signal(syscall.SIGCONT)
	thawed = true
	c.wait(30*time.Second, old.name+" streams", func() bool {
		m := c.status().member(old.name)
		return m.Role == "standby" && m.State == "streaming"
	})
	l.waitAcked(50)
	l.checkSingle()
	l.checkRows()
}

// leaderOf waits until one of the members accepts writes; only they are asked.
func (c *cluster) leaderOf(some []*member, limit time.Duration) (leader *member) {
	c.t.Helper()
	c.wait(limit, "a primary", func() bool {
		for _, m := range some {
			if m.running() && c.isPrimary(m) {
				leader = m
				return true
			}
		}
		return false
	})
	return leader
}

// TestStandbyAgentKilledIsHarmless: the standby goes on streaming, the new agent takes it over.
func TestStandbyAgentKilledIsHarmless(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[0]
	postmaster, warden := s.pids()
	s.kill("agent")
	s.waitEnd(5 * time.Second)
	if n := c.must(p, fmt.Sprintf("SELECT count(*)::text FROM pg_stat_replication WHERE application_name = '%s' AND state = 'streaming'", s.name)); n != "1" {
		t.Errorf("%s stopped streaming with its agent", s.name)
	}
	s.start()
	s.waitState("streaming")
	s.sameServer(postmaster, warden)
}
