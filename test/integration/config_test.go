package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// waitSetting waits until PostgreSQL on all the members runs with the value.
func (c *cluster) waitSetting(limit time.Duration, name, value string, on ...*member) {
	c.t.Helper()
	for _, m := range on {
		c.wait(limit, name+" = "+value+" on "+m.name, func() bool {
			v, err := c.query(m, "SELECT current_setting($1)", name)
			return err == nil && v == value
		})
	}
}

func TestReloadableParameterReachesEveryMember(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	pid := p.pid("postmaster")
	out := c.others(p)[0].do("config", "set", "postgres.parameters.work_mem=7MB")
	c.waitSetting(15*time.Second, "work_mem", "7MB", c.members...)
	if strings.Contains(out, "restart") || p.pid("postmaster") != pid {
		t.Errorf("a reload was enough: %s", out)
	}
	p.do("config", "set", "postgres.parameters.work_mem=")
	c.waitSetting(15*time.Second, "work_mem", "4MB", c.members...)
}

// TestMaxConnectionsGrowsAndShrinksInOrder: PostgreSQL stops replay on a standby that has
// less than its primary.
func TestMaxConnectionsGrowsAndShrinksInOrder(t *testing.T) {
	c := shared(t)
	c.waitSync()
	for _, value := range []string{"130", "90", "100"} {
		p := c.waitSync()
		since := time.Now()
		if out := p.do("config", "set", "postgres.parameters.max_connections="+value); !strings.Contains(out, "pgherd restart") {
			t.Errorf("no word of the restart: %s", out)
		}
		c.waitCondition(20*time.Second, "restart_pending")
		p.do("restart")
		c.waitSetting(30*time.Second, "max_connections", value, c.members...)
		if now := c.waitSync(); now != p {
			t.Errorf("a restart for %s moved the primary to %s", value, now.name)
		}
		for _, m := range c.members {
			if strings.Contains(tail(m.dir+"/postgres.log", 20000), "recovery aborted because of insufficient parameter settings") {
				t.Fatalf("%s stopped replay at %s", m.name, value)
			}
		}
		t.Logf("max_connections = %s:\n%s", value, strings.Join(p.eventsSince(since), "\n"))
	}
}

func TestConfigRefusals(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	before := p.do("config", "show")
	for set, words := range map[string]string{
		"postgres.parameters.archive_command=/bin/true":       "archive_command",
		"postgres.parameters.restore_command=cp":              "restore_command",
		"postgres.parameters.port=1234":                       "port",
		"postgres.parameters.max_connections=lots":            "max_connections",
		"postgres.parameters.work_mem=12 parsecs":             "work_mem",
		"postgres.parameters.wrok_mem=4MB":                    "work_mem",
		"postgres.parameters.shared_preload_libraries=/tmp/x": "shared_preload_libraries",
		"lease.ttl=1s": "lease.ttl",
		"leese.ttl=9s": "lease",
	} {
		a := p.try("config", "set", set)
		if a.code != 3 && a.code != 2 || !strings.Contains(a.stderr, words) || !strings.Contains(a.stderr, "error: ") {
			t.Errorf("config set %s: %s", set, a)
		}
	}
	if after := p.do("config", "show"); after != before {
		t.Errorf("a refusal changed the spec:\n%s\n%s", before, after)
	}
}

// TestValueThatOnlyFailsAtStart: postgres -C accepts it, starting with it fails. A standby
// tries first, goes back, and the primary is not touched.
func TestValueThatOnlyFailsAtStart(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	pid := p.pid("postmaster")
	for _, m := range c.members { // what to go back to is known after 3 s of running
		c.wait(20*time.Second, "good parameters of "+m.name, func() bool {
			_, err := os.Stat(filepath.Join(m.dir, "good-parameters.json"))
			return err == nil
		})
	}
	l := c.startLoad(2)
	if a := p.try("config", "set", "postgres.parameters.shared_buffers=900GB"); a.code != 0 {
		t.Skipf("it was refused at once, as well as can be: %s", a)
	}
	c.waitCondition(20*time.Second, "restart_pending")
	refused(t, "restart", p.try("restart"), 1, "taken back")
	c.waitCondition(20*time.Second, "parameters_rejected")
	c.waitHealthy()
	if p.pid("postmaster") != pid {
		t.Error("the primary was touched")
	}
	p.do("config", "set", "postgres.parameters.shared_buffers=")
	c.wait(30*time.Second, "no condition is left", func() bool {
		for _, m := range c.status().Members {
			if len(m.Conditions) > 0 {
				return false
			}
		}
		return true
	})
	if _, failed := l.snapshot(); len(failed) > 0 {
		t.Errorf("a statement failed: %s", failed[0])
	}
	l.checkRows()
}
