package integration

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestSwitchoverToANamedMemberAndBack(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	l := c.startLoad(4)
	to := c.others(old)[1]
	var result struct{ Phase, From, To string }
	if err := json.Unmarshal([]byte(old.do("switchover", to.name, "--json")), &result); err != nil || result.Phase != "done" || result.From != old.name || result.To != to.name {
		t.Errorf("%+v, %v", result, err)
	}
	if p := c.waitSync(); p != to {
		t.Fatalf("%s leads, not %s", p.name, to.name)
	}
	l.waitAcked(50)
	since := time.Now()
	old.do("switchover") // to whom it likes
	p := c.waitSync()
	if p == to {
		t.Fatalf("%s still leads", to.name)
	}
	// Handing over never needs a rewind: everything was received first.
	for _, line := range old.eventsSince(since) {
		if strings.Contains(line, " rewind:") || strings.Contains(line, " clone:") {
			t.Errorf("a switchover led to: %s", line)
		}
	}
	l.waitAcked(50)
	l.checkSingle()
	l.checkRows()
}

// TestSwitchoverThatCannotBe leaves the primary writable.
func TestSwitchoverThatCannotBe(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[0]
	refuse := func(code int, words string, args ...string) {
		t.Helper()
		a := p.try(append([]string{"switchover"}, args...)...)
		if a.code != code || !strings.Contains(a.stderr, words) || !strings.Contains(a.stderr, "error: ") {
			t.Errorf("switchover %v: want exit %d with %q: %s", args, code, words, a)
		}
		if !c.isPrimary(p) {
			t.Fatalf("%s is not writable any more", p.name)
		}
	}
	refuse(3, "is the primary already", p.name)
	refuse(3, "n9", "n9")
	refuse(2, "arg", "n1", "n2")

	term := c.lease().Term
	s.signal(syscall.SIGTERM)
	s.waitEnd(30 * time.Second)
	l := c.startLoad(2)
	refuse(1, "taken back", s.name, "--timeout", "3s")
	if now := c.lease().Term; now != term {
		t.Errorf("the term went from %d to %d", term, now)
	}
	s.start()
	s.waitState("streaming")
	if _, failed := l.snapshot(); len(failed) > 0 {
		t.Errorf("a switchover that could not be failed a statement: %s", failed[0])
	}
	l.checkRows()
}

func TestStoppedPrimaryHandsOverFirst(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	l := c.startLoad(4)
	old.signal(syscall.SIGTERM)
	if code := old.waitEnd(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	leader := c.leaderOf(c.others(old), 5*time.Second)
	l.waitAcked(50)
	t.Logf("%s took over; the longest gap was %v", leader.name, l.longestGap().Round(time.Millisecond))
	if gap := l.longestGap(); gap > 3*time.Second {
		t.Errorf("writes stopped for %v: that was no handing over", gap)
	}
	if left := c.processes(old); len(left) > 0 {
		t.Errorf("left of %s: %+v", old.name, left)
	}
	old.start()
	l.waitAcked(50)
	c.waitHealthy()
	l.checkRows()
}

func TestStopOfAllAndStartOfAll(t *testing.T) {
	c := shared(t)
	c.waitSync()
	l := c.startLoad(2)
	l.waitAcked(20)
	l.end()
	for _, m := range c.members {
		m.signal(syscall.SIGTERM)
	}
	for _, m := range c.members {
		if code := m.waitEnd(40 * time.Second); code != 0 {
			t.Errorf("%s: exit code %d", m.name, code)
		}
	}
	if left := c.processes(nil); len(left) > 0 {
		t.Errorf("left over: %+v", left)
	}
	for _, m := range c.members {
		m.start()
	}
	c.waitSync()
	l.checkRows()
}
