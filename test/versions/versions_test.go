//go:build versions

package versions

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestCluster walks a cluster of three through what breaks clusters. Each step begins and
// ends with a healthy one, so what the step before left is part of the test.
func TestCluster(t *testing.T) {
	c := newCluster(t)
	for _, step := range []struct {
		name string
		run  func(*cluster)
	}{
		{"three streaming", (*cluster).checkStreaming},
		{"failover under load", (*cluster).checkFailover},
		{"switchover under load", (*cluster).checkSwitchover},
		{"divergence and rewind", (*cluster).checkRewind},
		{"clone", (*cluster).checkClone},
	} {
		ok := t.Run(step.name, func(t *testing.T) {
			c.t = t
			step.run(c)
		})
		if !ok {
			t.Fatalf("%q failed; what follows it was not tried", step.name)
		}
	}
}

func (c *cluster) checkStreaming() {
	c.up(3)
	want := major(c.t.(*testing.T), binDir)
	for _, m := range c.members {
		if got := c.must(m, "SELECT (current_setting('server_version_num')::int / 10000)::text"); got != want {
			c.t.Errorf("%s runs PostgreSQL %s, want %s", m.name, got, want)
		}
	}
	c.t.Logf("PostgreSQL %s", c.must(c.members[0], "SHOW server_version"))
}

// checkFailover kills the primary's postmaster under writers.
func (c *cluster) checkFailover() {
	old := c.waitHealthy()
	l := c.startLoad(4)
	pid := c.postmaster(old)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	at := time.Now()
	leader := c.waitLeader(old)
	took := time.Since(at)
	c.wait(30*time.Second, old.name+" to stream again", func() bool { return c.status().streams(old.name) })
	c.t.Logf("%s leads after %v, %s streams again after %v", leader.name, took.Round(time.Millisecond), old.name, time.Since(at).Round(time.Millisecond))
	l.waitAcked(50)
	l.check()
}

func (c *cluster) checkSwitchover() {
	old := c.waitHealthy()
	to := c.others(old)[0]
	l := c.startLoad(4)
	c.t.Log(strings.TrimSpace(old.do("switchover", to.name)))
	l.waitAcked(50)
	l.check()
	if now := c.waitHealthy(); now != to {
		c.t.Errorf("%s leads, want %s", now.name, to.name)
	}
}

// checkRewind gives the primary commits that no standby has (its WAL senders are frozen,
// and the session does not wait for standbys), cuts its power, and lets it come back: only
// a rewind makes its data follow the new primary.
func (c *cluster) checkRewind() {
	old := c.waitHealthy()
	c.exec(old, "DROP TABLE IF EXISTS diverged", "CREATE TABLE diverged (id int, filling text)")
	for _, pid := range strings.Fields(c.must(old, "SELECT string_agg(pid::text, ' ') FROM pg_stat_replication")) {
		n, _ := strconv.Atoi(pid)
		if err := syscall.Kill(n, syscall.SIGSTOP); err != nil {
			c.t.Fatal(err)
		}
	}
	c.exec(old, "SET synchronous_commit = local", "INSERT INTO diverged SELECT g, repeat('x', 1000) FROM generate_series(1, 3000) g", "CHECKPOINT")
	lsn := c.must(old, "SELECT pg_current_wal_flush_lsn()::text")
	old.powerCut()
	leader := c.waitLeader(old)
	if v := c.must(leader, "SELECT ($1::text::pg_lsn > substring(pg_read_file('pg_wal/' || max(f)) from '([0-9A-F]+/[0-9A-F]+)\t[^\n]*\n*$')::pg_lsn)::text FROM pg_ls_dir('pg_wal') f WHERE f LIKE '%.history'", lsn); v != "true" {
		c.t.Fatalf("%s had no WAL beyond the fork: the divergence was not made", old.name)
	}
	c.exec(leader, "INSERT INTO diverged VALUES (0, 'after the fork')", "CHECKPOINT")
	at := time.Now()
	old.start()
	c.waitHealthy()
	c.expectEvent(leader, at, old.name, "rewind")
	c.refuseEvent(leader, at, old.name, "clone")
	for _, m := range c.members {
		c.wait(10*time.Second, m.name+" to have the row from after the fork", func() bool {
			v, err := c.query(m, "SELECT string_agg(id::text, ' ') FROM diverged")
			return err == nil && v == "0"
		})
	}
	if set := must(filepath.Glob(filepath.Join(old.dir, "data.aside-*"))); len(set) != 0 {
		c.t.Errorf("the data was replaced, not rewound: %v", set)
	}
}

// checkClone replaces a standby's data by the primary's.
func (c *cluster) checkClone() {
	primary := c.waitHealthy()
	m := c.others(primary)[0]
	before := must(os.Stat(filepath.Join(m.dir, "data")))
	at := time.Now()
	primary.do("reinit", m.name)
	c.wait(time.Minute, m.name+" to have new data", func() bool {
		now, err := os.Stat(filepath.Join(m.dir, "data"))
		return err == nil && !os.SameFile(before, now)
	})
	c.waitHealthy()
	c.expectEvent(primary, at, m.name, "clone")
	if v := c.must(m, "SELECT count(*)::text FROM diverged"); v != "1" {
		c.t.Errorf("%s has %s rows, want 1", m.name, v)
	}
}

// TestOtherMajorIsRefused: a member with another major version cannot join, learns why,
// and nothing is changed; with the right one it can.
func TestOtherMajorIsRefused(t *testing.T) {
	c := newCluster(t)
	first := c.found()
	m := c.add()
	a := m.tryJoin(first, otherDir)
	mine, other := major(t, binDir), major(t, otherDir)
	t.Logf("%s joins %s: %s", other, mine, a)
	if want := "the cluster runs PostgreSQL " + mine + ", the joining member has " + other; a.code != 3 || !strings.Contains(a.stderr, want) || !strings.Contains(a.stderr, "hint:") {
		t.Errorf("want exit 3 and %q with a hint, got %s", want, a)
	}
	if _, err := os.Stat(m.config); err == nil {
		t.Error("the refused member has a configuration")
	}
	if left := must(os.ReadDir(m.dir)); len(left) != 0 {
		t.Errorf("the refused member's directory holds %v", left)
	}
	if s := c.status(); len(s.Members) != 1 {
		t.Errorf("members: %+v", s.Members)
	}
	if a := m.tryJoin(first, binDir); a.code != 0 {
		t.Fatalf("with the right version: %s", a)
	}
	m.start()
	c.waitHealthy()
}

// TestDataOfAnotherMajorAreLeftAlone: a bin_dir that does not fit the data (an upgrade by
// mistake) is told, and never changes them; with the right one all goes on.
func TestDataOfAnotherMajorAreLeftAlone(t *testing.T) {
	c := newCluster(t)
	first := c.found()
	c.exec(first, "CREATE TABLE kept (id int)", "INSERT INTO kept VALUES (1)")
	control := filepath.Join(first.dir, "data/global/pg_control")
	first.powerCut()
	<-first.ended
	before, right := must(os.ReadFile(control)), must(os.ReadFile(first.config))
	wrong := strings.Replace(string(right), binDir, otherDir, 1)
	if wrong == string(right) {
		t.Fatalf("no bin_dir in %s", right)
	}
	check(t, os.WriteFile(first.config, []byte(wrong), 0o644))
	first.start()
	// 17's programs refuse 18's postgresql.conf, 18's let it pass and refuse the data.
	failure := regexp.MustCompile(`start_failed|failed +start`)
	c.wait(30*time.Second, "the member to explain that PostgreSQL does not start", func() bool {
		return failure.MatchString(first.try("explain").stdout)
	})
	t.Logf("%s\n%s", first.try("status"), first.try("explain"))
	if !slices.Equal(before, must(os.ReadFile(control))) {
		t.Error("the control file was changed")
	}
	first.powerCut()
	<-first.ended
	check(t, os.WriteFile(first.config, right, 0o644))
	first.start()
	c.wait(30*time.Second, "the member to lead again", func() bool {
		v, err := c.query(first, "SELECT count(*)::text FROM kept")
		return err == nil && v == "1"
	})
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// postmaster is what PostgreSQL itself wrote down.
func (c *cluster) postmaster(m *member) int {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(m.dir, "data/postmaster.pid"))
	line, _, _ := strings.Cut(string(text), "\n")
	pid, perr := strconv.Atoi(line)
	if err != nil || perr != nil || pid < 2 {
		c.t.Fatalf("the postmaster of %s: %v %v %q", m.name, err, perr, line)
	}
	return pid
}

func (c *cluster) others(but *member) []*member {
	return slices.DeleteFunc(slices.Clone(c.members), func(m *member) bool { return m == but })
}

// events gives the lines about a member since an instant.
func (m *member) events(at time.Time) (lines []string) {
	var e struct {
		Events []struct {
			At                 time.Time
			Member, Code, Text string
		}
	}
	_ = json.Unmarshal([]byte(m.try("events", "--json", "--limit", "2000").stdout), &e)
	for _, ev := range e.Events {
		if ev.At.After(at) {
			lines = append(lines, ev.Member+" "+ev.Code+": "+ev.Text)
		}
	}
	return lines
}

func hasAll(line string, words ...string) bool {
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(line, w) })
}

func (c *cluster) expectEvent(from *member, at time.Time, of string, words ...string) {
	c.t.Helper()
	c.wait(10*time.Second, "an event of "+of+" with "+strings.Join(words, ", "), func() bool {
		for _, line := range from.events(at) {
			if strings.HasPrefix(line, of+" job_done") && hasAll(line, words...) {
				c.t.Log(line)
				return true
			}
		}
		return false
	})
}

func (c *cluster) refuseEvent(from *member, at time.Time, of string, words ...string) {
	c.t.Helper()
	for _, line := range from.events(at) {
		if strings.HasPrefix(line, of+" job_") && hasAll(line, words...) {
			c.t.Errorf("unexpected event: %s", line)
		}
	}
}
