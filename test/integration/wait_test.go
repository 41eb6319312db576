package integration

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// wait polls until so is true, or fails the test.
func (c *cluster) wait(limit time.Duration, what string, so func() bool) {
	c.t.Helper()
	began := time.Now()
	for !so() {
		if time.Since(began) > limit {
			c.t.Fatalf("not after %v: %s; status: %s", limit, what, c.status())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

const healthyLimit = 60 * time.Second

// waitHealthy waits until one leads and all others stream, and gives the primary.
func (c *cluster) waitHealthy() *member {
	c.t.Helper()
	var primary *member
	c.wait(healthyLimit, "a healthy cluster", func() bool {
		s := c.status()
		primary = c.get(s.primary())
		if primary == nil || len(s.Members) != len(c.members) {
			return false
		}
		for _, m := range s.Members {
			if m.Name != primary.name && m.Role == "standby" && m.State != "streaming" {
				return false
			}
		}
		return c.isPrimary(primary) && c.sees(primary)
	})
	return primary
}

// sees: the primary itself counts every standby as streaming. What the status tells
// may be a tick old, and what follows depends on who may be promoted.
func (c *cluster) sees(primary *member) bool {
	standbys := 0
	for _, m := range c.status().Members {
		if m.Role == "standby" {
			standbys++
		}
	}
	n, err := c.query(primary, "SELECT count(*) FILTER (WHERE state = 'streaming' AND application_name !~ '^pgherd')::text FROM pg_stat_replication")
	return err == nil && n == fmt.Sprint(standbys)
}

// waitSync waits until losing the primary's member is survivable: a sync set is on record,
// PostgreSQL waits for it, and the store has all its voters.
func (c *cluster) waitSync() *member {
	c.t.Helper()
	p := c.waitHealthy()
	c.wait(30*time.Second, "all voters and a sync set", func() bool {
		v, err := c.query(p, "SELECT current_setting('synchronous_standby_names')")
		return err == nil && v != "" && len(c.lease().Sync.Members) == len(c.members)-1 && c.voters() == min(5, len(c.members))
	})
	return p
}

func (c *cluster) get(name string) *member {
	for _, m := range c.members {
		if m.name == name {
			return m
		}
	}
	return nil
}

// waitState waits for one member's state as it tells itself.
func (m *member) waitState(states ...string) {
	m.c.t.Helper()
	m.c.wait(healthyLimit, m.name+" "+strings.Join(states, " or "), func() bool {
		s, ok := m.status()
		return ok && slices.Contains(states, s.member(m.name).State)
	})
}

// waitLeader waits until another member than old accepts writes, and gives it.
func (c *cluster) waitLeader(old *member, limit time.Duration) (leader *member) {
	c.t.Helper()
	c.wait(limit, "another primary than "+old.name, func() bool {
		for _, m := range c.members {
			if m != old && m.running() && c.isPrimary(m) {
				leader = m
				return true
			}
		}
		return false
	})
	return leader
}

// waitCondition waits until a member or the cluster has the condition, and gives it.
func (c *cluster) waitCondition(limit time.Duration, code string) (found condition) {
	c.t.Helper()
	c.wait(limit, "the condition "+code, func() bool {
		s := c.status()
		all := slices.Clone(s.Conditions)
		for _, m := range s.Members {
			all = append(all, m.Conditions...)
		}
		i := slices.IndexFunc(all, func(x condition) bool { return x.Code == code })
		if i >= 0 {
			found = all[i]
		}
		return i >= 0
	})
	return found
}

// others are all members but one.
func (c *cluster) others(but *member) (rest []*member) {
	for _, m := range c.members {
		if m != but {
			rest = append(rest, m)
		}
	}
	return rest
}

// diagnose prints what is needed to understand a failed test.
func (c *cluster) diagnose(t testing.TB) {
	if !t.Failed() {
		return
	}
	c.dirty = true
	for _, m := range c.members {
		t.Logf("---- %s: agent\n%s", m.name, tail(m.logFile(), 6000))
		t.Logf("---- %s: PostgreSQL\n%s", m.name, tail(m.dir+"/postgres.log", 3000))
		t.Logf("---- %s: warden\n%s", m.name, tail(m.dir+"/warden.log", 1500))
		if m.rw != 0 {
			t.Logf("---- %s: read-write PgBouncer\n%s", m.name, tail(m.dir+"/pooler/rw/pgbouncer.log", 3000))
		}
	}
	for _, m := range c.members {
		if m.running() {
			t.Logf("---- explain\n%s", c.pgherd("explain", "--config", m.config))
			t.Logf("---- events\n%s", c.pgherd("events", "--limit", "120", "--config", m.config))
			return
		}
	}
}

func tail(path string, n int) string {
	data, _ := os.ReadFile(path)
	return string(data[max(0, len(data)-n):])
}
