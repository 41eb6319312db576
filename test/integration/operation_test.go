package integration

import (
	"encoding/json"
	"os"
	"testing"
	"time"
)

func TestPauseLeavesAKilledPostmasterAndResumeHeals(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	term := c.lease().Term
	p.do("pause")
	c.waitCondition(10*time.Second, "paused")
	refused(t, "switchover", p.try("switchover"), 3, "paused", "hint: ")
	p.kill("postmaster")
	began := time.Now()
	c.wait(20*time.Second, "longer than a ttl", func() bool {
		for _, m := range c.members {
			if c.isPrimary(m) {
				t.Fatalf("%s leads although the cluster is paused", m.name)
			}
		}
		return time.Since(began) > 7*time.Second
	})
	if now := c.lease().Term; now != term {
		t.Errorf("the term went from %d to %d", term, now)
	}
	c.others(p)[0].do("resume")
	c.leaderOf(c.members, 15*time.Second)
	c.waitSync()
}

// TestPauseDoesNotDisturbARunningPrimary: for longer than its ttl.
func TestPauseDoesNotDisturbARunningPrimary(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	pid := p.pid("postmaster")
	l := c.startLoad(2)
	p.do("pause")
	began := time.Now()
	c.wait(20*time.Second, "longer than a ttl", func() bool { return time.Since(began) > 6*time.Second })
	p.do("resume")
	if p.pid("postmaster") != pid {
		t.Error("the primary was restarted")
	}
	if _, failed := l.snapshot(); len(failed) > 0 {
		t.Errorf("a statement failed: %s", failed[0])
	}
	l.checkRows()
}

func TestReinitOfAStandby(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[1]
	refused(t, "reinit of the primary", p.try("reinit", p.name), 3, p.name)
	pid := s.pid("postmaster")
	since := time.Now()
	before, _ := os.Stat(s.data())
	var asked struct{ ID string }
	if err := json.Unmarshal([]byte(p.do("reinit", s.name, "--json")), &asked); err != nil || asked.ID == "" {
		t.Fatalf("%+v %v", asked, err)
	}
	if o := p.outcome(asked.ID); o.State != "running" {
		t.Errorf("just asked for, and its outcome is %+v", o)
	}
	c.wait(40*time.Second, "a new data directory", func() bool {
		after, err := os.Stat(s.data())
		return err == nil && !os.SameFile(before, after)
	})
	c.waitSync()
	c.wait(10*time.Second, "an outcome, told by the member that was asked", func() bool { return p.outcome(asked.ID).State == "done" })
	c.expectEvent(p, since, s.name, "clone", "asked for by")
	if s.pid("postmaster") == pid {
		t.Error("the postmaster is still the old one")
	}
}

// outcome is what became of a change.
func (m *member) outcome(id string) (o struct{ State, Phase, Text string }) {
	m.c.t.Helper()
	if err := json.Unmarshal([]byte(m.do("outcome", id, "--json")), &o); err != nil {
		m.c.t.Fatal(err)
	}
	return o
}

func TestRestartOfOneMember(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	for _, m := range []*member{c.others(p)[0], p} {
		pid := m.pid("postmaster")
		m.do("restart", m.name)
		c.wait(20*time.Second, "another postmaster", func() bool { now := m.pid("postmaster"); return now != 0 && now != pid })
		if now := c.waitSync(); now != p {
			t.Errorf("the restart of %s moved the primary to %s", m.name, now.name)
		}
	}
}
