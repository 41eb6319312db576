package integration

import (
	"strings"
	"testing"
	"time"
)

// TestCommitsThatWaitForNobody: who lowers synchronous_commit for all sessions takes the promise away, and the lease says so: no standby
// takes over by itself while it could lack what clients were told of. For a role it is said, and remains its own affair.
func TestCommitsThatWaitForNobody(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	c.exec(p, "ALTER SYSTEM SET synchronous_commit = 'local'")
	c.exec(p, "SELECT pg_reload_conf()")
	c.waitAnyCondition(20*time.Second, p.name, "sync_overridden")
	found := c.waitAnyCondition(20*time.Second, p.name, "commits_unguarded")
	if !strings.Contains(found.Text, "all sessions: local") || !strings.Contains(found.Hint, "ALTER SYSTEM") {
		t.Errorf("%+v", found)
	}
	c.wait(20*time.Second, "a lease that promises nothing", func() bool { return len(c.lease().Sync.Members) == 0 })
	c.exec(p, "ALTER SYSTEM RESET synchronous_commit")
	c.exec(p, "SELECT pg_reload_conf()")
	c.waitSync()

	c.exec(p, "ALTER ROLE app SET synchronous_commit = 'off'")
	found = c.waitAnyCondition(20*time.Second, p.name, "commits_unguarded")
	if !strings.Contains(found.Text, "role app: off") {
		t.Errorf("%+v", found)
	}
	if lease := c.lease(); len(lease.Sync.Members) == 0 {
		t.Error("the commits of all others wait, and the lease promises nobody")
	}
	c.exec(p, "ALTER ROLE app RESET synchronous_commit")
	c.wait(20*time.Second, "the condition ends", func() bool {
		for _, x := range c.status().member(p.name).Conditions {
			if x.Code == "commits_unguarded" {
				return false
			}
		}
		return true
	})
}
