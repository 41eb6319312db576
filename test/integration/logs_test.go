package integration

import (
	"os"
	"strings"
	"testing"
	"time"
)

// TestLogs: PostgreSQL's lines are in the agent's stream, and how much is in it changes while it runs.
func TestLogs(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	logged := func(words ...string) bool {
		text, err := os.ReadFile(p.logFile())
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			all := true
			for _, word := range words {
				all = all && strings.Contains(line, word)
			}
			if all {
				return true
			}
		}
		return false
	}
	if _, err := c.query(p, "SELECT 1/0 AS a_mark_of_this_test"); err == nil {
		t.Fatal("1/0 is no error")
	}
	c.wait(10*time.Second, "PostgreSQL's error in the agent's log", func() bool { return logged("level=WARN", "division by zero", "source=postgres") })
	c.wait(10*time.Second, "and its statement", func() bool { return logged("a_mark_of_this_test", "source=postgres", "member="+p.name) })

	if level := strings.TrimSpace(p.do("log-level")); level != "info" {
		t.Errorf("it begins with %q", level)
	}
	if level := strings.TrimSpace(p.do("log-level", "debug")); level != "debug" {
		t.Errorf("asked for debug: %q", level)
	}
	c.wait(10*time.Second, "a line of that level", func() bool { return logged("level=DEBUG") })
	p.do("log-level", "info")
	if !logged("the log's level was changed", "to=debug", "uid 0") {
		t.Error("nobody is named who changed the level")
	}
	if a := p.try("log-level", "loud"); a.code != 2 || !strings.Contains(a.stderr, "debug, info, warn, error") {
		t.Errorf("a level that is none: %s", a)
	}
}
