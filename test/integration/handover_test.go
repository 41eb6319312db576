package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestHandovers uses one cluster for all that moves the primary while clients are behind endpoints.
func TestHandovers(t *testing.T) {
	c := newCluster(t)
	c.upWithEndpoints(3)
	for _, part := range []struct {
		name string
		run  func(*testing.T, *cluster)
	}{
		{"dry run", dryRunChangesNothing},
		{"others go ahead", othersGoAhead},
		{"drain", drainHandsOver},
		{"at", plannedBeginsByItself},
		{"rolling restart", rollingRestart},
		{"SIGTERM", stoppedAgentHandsOver},
		{"SIGTERM on a standby", stoppedStandbyLetsStatementsEnd},
	} {
		ok := t.Run(part.name, func(t *testing.T) {
			c.t = t
			c.waitRouted()
			part.run(t, c)
		})
		c.t = t
		if !ok {
			return
		}
	}
}

// othersGoAhead: the third member streams from the candidate before that leads, on the old timeline, so that the first commits of the
// new primary need not wait until it has come.
func othersGoAhead(t *testing.T, c *cluster) {
	p := c.waitRouted()
	to, third, timeline := c.others(p)[0], c.others(p)[1], c.lease().Timeline
	l := c.startBehind(c.members...)
	p.do("switchover", to.name)
	want := fmt.Sprintf("streams from %s on timeline %d", to.name, timeline)
	if text := third.do("events"); !strings.Contains(text, want) {
		t.Errorf("%s never %s:\n%s", third.name, want, text)
	}
	l.waitAcked(50)
	l.checkUnnoticed()
	if now := c.waitSync(); now != to {
		t.Errorf("%s leads", now.name)
	}
	l.checkRows()
}

func dryRunChangesNothing(t *testing.T, c *cluster) {
	p := c.waitRouted()
	to, term, pid := c.others(p)[0], c.lease().Term, p.pid("postmaster")
	l := c.startBehind(c.members...)
	var result struct {
		Phase, To string
		Checks    []struct {
			Member, Check, Text string
			OK                  bool
		}
	}
	if err := json.Unmarshal([]byte(p.do("switchover", to.name, "--dry-run", "--json")), &result); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, check := range result.Checks {
		seen[check.Check] = true
		if !check.OK || check.Text == "" {
			t.Errorf("%+v", check)
		}
	}
	for _, name := range []string{"data", "allowed", "disk", "standby", "streaming", "lag", "pooler"} {
		if !seen[name] {
			t.Errorf("no check %q: %+v", name, result.Checks)
		}
	}
	if text := p.do("switchover", "--dry-run"); !strings.Contains(text, "CHECK") || !strings.Contains(text, "would take over") {
		t.Errorf("for people:\n%s", text)
	}
	l.waitAcked(50)
	l.checkUnnoticed()
	if now := c.waitSync(); now != p || c.lease().Term != term || p.pid("postmaster") != pid {
		t.Errorf("%s leads term %d", now.name, c.lease().Term)
	}
	l.checkRows()
}

func drainHandsOver(t *testing.T, c *cluster) {
	old := c.waitRouted()
	l := c.startBehind(c.members...)
	text := old.do("drain", old.name)
	if !strings.Contains(text, "certificate") && !strings.Contains(text, "done") {
		t.Errorf("drain of the primary: %s", text)
	}
	leader := c.waitLeader(old, 5*time.Second)
	c.wait(20*time.Second, "readers elsewhere than on "+old.name, func() bool {
		all := c.readers()
		for _, to := range all { // the third member is left for them
			if len(to) != 1 || to[0] == old.name || to[0] == leader.name {
				return false
			}
		}
		return len(all) == len(c.members)
	})
	refused(t, "a drained member", leader.try("switchover", old.name), 3, old.name)
	l.waitAcked(50)
	l.checkUnnoticed()
	old.do("undrain", old.name)
	c.waitRouted() // and readers are sent to it again
	l.checkRows()
}

func plannedBeginsByItself(t *testing.T, c *cluster) {
	old := c.waitRouted()
	soon := func(d time.Duration) string { return time.Now().UTC().Add(d).Format(time.RFC3339Nano) }

	old.do("switchover", "--at", soon(time.Hour))
	if op := c.operation(); op.Phase != "scheduled" {
		t.Errorf("planned: %+v", op)
	}
	refused(t, "a second one", old.try("switchover"), 3, "planned")
	old.do("cancel")
	if op := c.operation(); op.Phase != "aborted" {
		t.Errorf("taken back: %+v", op)
	}
	refused(t, "cancel of nothing", old.try("cancel"), 3, "nothing is planned")

	l := c.startBehind(c.members...)
	due := time.Now().Add(2 * time.Second)
	old.do("switchover", "--at", soon(2*time.Second))
	leader := c.waitLeader(old, 15*time.Second)
	if time.Now().Before(due) {
		t.Errorf("%s leads before its time", leader.name)
	}
	c.wait(10*time.Second, "its end", func() bool { return c.operation().Phase == "done" })
	l.waitAcked(50)
	l.checkUnnoticed()
	l.checkRows()
}

// rollingRestart: a setting that needs a restart, and that standbys must not have lower than the primary.
func rollingRestart(t *testing.T, c *cluster) {
	old := c.waitRouted()
	l := c.startBehind(c.members...)
	old.do("config", "set", "postgres.parameters.max_connections=231")
	c.waitCondition(20*time.Second, "restart_pending")
	old.do("restart", "--rolling")
	if got := c.settings("max_connections"); slices.ContainsFunc(got, func(v string) bool { return v != "231" }) {
		t.Errorf("max_connections: %v", got)
	}
	if now := c.waitRouted(); now == old {
		t.Errorf("%s leads still: it was restarted in place", old.name)
	}
	l.waitAcked(50)
	l.checkUnnoticed()
	l.checkRows()
}

// stoppedAgentHandsOver: as systemd stops it. The endpoint of that member ends with it, so that clients are
// behind the others'.
func stoppedAgentHandsOver(t *testing.T, c *cluster) {
	old := c.waitRouted()
	l := c.startBehind(c.others(old)...)
	// One transaction does not end: it alone is ended, as the stop would have ended it.
	blocker := c.others(old)[0].web(c.others(old)[0].rw, "app")
	defer blocker.Close(context.Background())
	if _, err := blocker.Exec(context.Background(), "BEGIN; SELECT 1"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	old.signal(syscall.SIGTERM)
	if code := old.waitEnd(60 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	t.Logf("%s ended %s after SIGTERM", old.name, time.Since(began).Round(10*time.Millisecond))
	c.waitLeader(old, 5*time.Second)
	l.waitAcked(50)
	l.checkUnnoticed()
	if _, err := blocker.Exec(context.Background(), "COMMIT"); err == nil {
		t.Error("the transaction that was open went on at the next primary")
	}
	if left := c.processes(old); len(left) > 0 {
		t.Errorf("left of %s: %+v", old.name, left)
	}
	old.start()
	c.waitRouted()
	l.checkRows()
}

// stoppedStandbyLetsStatementsEnd: a host that is to be rebooted takes its endpoint with it, and not what runs there.
func stoppedStandbyLetsStatementsEnd(t *testing.T, c *cluster) {
	standby := c.others(c.waitRouted())[0]
	client := standby.web(standby.rw, "app")
	defer client.Close(context.Background())
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		tx, err := client.Begin(context.Background())
		if err == nil {
			_, err = tx.Exec(context.Background(), "SELECT 1")
		}
		close(begun)
		if err == nil {
			_, err = tx.Exec(context.Background(), "SELECT pg_sleep(1)")
		}
		if err == nil {
			err = tx.Commit(context.Background())
		}
		ended <- err
	}()
	<-begun
	standby.signal(syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("a transaction of one second at the endpoint of a standby whose agent was told to stop: %v", err)
	}
	if code := standby.waitEnd(60 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
	standby.start()
	c.waitRouted()
}
