package integration

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/api"
)

// TestDivergedOldPrimaryIsRewound: the old primary has WAL that nobody else has, as durability
// async permits. It is rewound, with the reason.
func TestDivergedOldPrimaryIsRewound(t *testing.T) {
	c := shared(t)
	since := time.Now()
	old, leader := c.diverge()
	old.start()
	c.waitHealthy()
	c.expectEvent(leader, since, old.name, "rewind", "the WAL here goes to")
	for _, m := range c.members {
		c.wait(10*time.Second, "the new history on "+m.name, func() bool {
			v, err := c.query(m, "SELECT count(*) || ' ' || min(id) FROM diverged")
			return err == nil && v == "1 -1"
		})
	}
	leader.do("config", "set", "durability=sync")
	c.waitSync()
}

// diverge makes the primary go on alone, and die; another one leads then. The row -1 of
// the table is the new history's only one. Durability is async afterwards.
func (c *cluster) diverge() (old, leader *member) {
	c.t.Helper()
	old = c.waitSync()
	old.do("config", "set", "durability=async")
	c.wait(20*time.Second, "async", func() bool {
		v, err := c.query(old, "SELECT current_setting('synchronous_standby_names')")
		return err == nil && v == ""
	})
	c.exec(old, "DROP TABLE IF EXISTS diverged; CREATE TABLE diverged (id int)")
	c.settle(old)
	for _, s := range c.others(old) {
		c.exec(s, "ALTER SYSTEM SET primary_conninfo = 'host=192.0.2.77 connect_timeout=1'")
		c.exec(s, "SELECT pg_reload_conf()")
	}
	c.wait(20*time.Second, "no receiver", func() bool {
		v, err := c.query(old, "SELECT count(*)::text FROM pg_stat_replication")
		return err == nil && v == "0"
	})
	c.exec(old, "INSERT INTO diverged SELECT generate_series(1, 1000)")
	c.powerCut(old)
	for _, s := range c.others(old) {
		c.exec(s, "ALTER SYSTEM RESET ALL")
	}
	leader = c.waitLeader(old, 30*time.Second)
	c.exec(leader, "INSERT INTO diverged VALUES (-1)")
	return old, leader
}

// settle waits until all standbys have replayed what the primary has.
func (c *cluster) settle(p *member) {
	c.t.Helper()
	at := c.must(p, "SELECT pg_current_wal_flush_lsn()::text")
	for _, s := range c.others(p) {
		c.wait(20*time.Second, s.name+" to replay "+at, func() bool {
			v, err := c.query(s, "SELECT (pg_last_wal_replay_lsn() >= $1::text::pg_lsn)::text", at)
			return err == nil && v == "true"
		})
	}
}

// TestStandbyWithoutItsWALIsClonedAgain: while it was away its slot was lost and the WAL went.
func TestStandbyWithoutItsWALIsClonedAgain(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[0]
	since := time.Now()
	p.do("config", "set", "postgres.parameters.max_slot_wal_keep_size=1MB", "postgres.parameters.wal_keep_size=0")
	c.wait(20*time.Second, "the new settings", func() bool {
		v, err := c.query(p, "SELECT current_setting('max_slot_wal_keep_size') || current_setting('wal_keep_size')")
		return err == nil && v == "1MB0"
	})
	c.powerCut(s)
	slot := "pgherd_" + s.name
	c.wait(40*time.Second, "the slot to be lost", func() bool {
		for range 3 {
			c.exec(p, "SELECT pg_logical_emit_message(false, 'filler', repeat('x', 1000000)), pg_switch_wal()")
		}
		c.exec(p, "CHECKPOINT")
		v, err := c.query(p, "SELECT coalesce((SELECT wal_status FROM pg_replication_slots WHERE slot_name = $1), 'lost')", slot)
		return err == nil && v == "lost"
	})
	for range 3 { // PostgreSQL recycles two checkpoints later
		c.exec(p, "SELECT pg_logical_emit_message(false, 'filler', 'x'), pg_switch_wal()")
		c.exec(p, "CHECKPOINT")
	}
	s.start()
	c.waitHealthy()
	c.expectEvent(p, since, s.name, "clone", "is gone from")
	p.do("config", "set", "postgres.parameters.max_slot_wal_keep_size=", "postgres.parameters.wal_keep_size=128MB")
	c.waitSync()
	if aside, _ := filepath.Glob(s.data() + ".aside-*"); len(aside) == 0 {
		t.Error("the old data directory was not kept aside")
	}
}

func TestLostDataDirectoryOfAStandbyIsCloned(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	s := c.others(p)[0]
	since := time.Now()
	c.powerCut(s)
	s.loseData()
	s.start()
	c.waitHealthy()
	c.expectEvent(p, since, s.name, "clone", "this member has no data")
}

// TestLostDataDirectoryOfThePrimaryIsNeverAnEmptyDatabase: all were stopped, then the
// primary's disk was lost. Also when it is the first to start, another one must lead.
func TestLostDataDirectoryOfThePrimaryIsNeverAnEmptyDatabase(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	l := c.startLoad(2)
	c.powerCut(c.members...)
	l.end()
	p.loseData()
	p.start()
	rest := c.others(p)
	rest[0].start()
	c.wait(20*time.Second, "the first two to know each other", func() bool {
		s, ok := p.status()
		return ok && s.member(p.name).State == "stopped"
	})
	if _, err := os.Stat(filepath.Join(p.data(), "PG_VERSION")); err == nil {
		t.Error("there is a new database")
	}
	rest[1].start()
	if leader := c.waitHealthy(); leader == p {
		t.Error("the member without data leads")
	}
	l.checkRows()
}

// TestForcedFailover: without enough members that are known to have everything nobody
// leads, until an operator accepts the loss that is stated.
func TestForcedFailover(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	a, b := c.others(p)[0], c.others(p)[1]
	refused(t, "failover with a primary", a.try("failover", a.name, "--force"), 3, p.name+" leads")
	c.powerCut(a)
	c.wait(30*time.Second, "commits on "+b.name, func() bool {
		s := c.lease().Sync.Members
		return len(s) == 1 && s[0] == b.name
	})
	c.exec(p, "DROP TABLE IF EXISTS forced; CREATE TABLE forced AS SELECT 1 AS id")
	c.powerCut(p, b)
	b.breakConf()
	a.start()
	b.start()
	c.waitCondition(40*time.Second, "no_leader")
	refused(t, "failover without --force", a.try("failover", a.name), 3, "hint: ", "--force")
	since := time.Now()
	a.do("failover", a.name, "--force")
	if leader := c.waitLeader(p, 20*time.Second); leader != a {
		t.Fatalf("%s leads", leader.name)
	}
	b.mendConf()
	p.start()
	if leader := c.waitHealthy(); leader != a {
		t.Errorf("%s leads, not %s", leader.name, a.name)
	}
	c.expectEvent(a, since, p.name, "rewind")
	if log := strings.Join(a.eventsSince(since), "\n"); !strings.Contains(log, "failover to "+a.name) {
		t.Errorf("the events do not tell of the failover:\n%s", log)
	}
}

// TestForkOfTheOldPrimaryIsKept: what only the old primary had is saved before it is rewound, any member
// lists it with the tables' names, and it is gone when an operator says so. It also stays over a
// clone, whose old data directory is listed beside it.
func TestForkOfTheOldPrimaryIsKept(t *testing.T) {
	c := shared(t)
	since := time.Now()
	metrics := c.scraper()
	old, leader := c.diverge()
	c.expectEvent(leader, since, leader.name, "commits_lost", "from "+old.name)
	c.wait(10*time.Second, "the loss in the metrics of who took over", func() bool {
		text := metrics.scrape(leader)
		return sample(t, text, "pgherd_losses_open") == 1 && sample(t, text, "pgherd_losses_total") >= 1
	})
	old.start()
	c.waitHealthy()
	c.expectEvent(leader, since, old.name, "fork_saved", "transaction")
	list := func(from *member) (out api.Forks) {
		if err := json.Unmarshal([]byte(from.do("forks", old.name, "--json")), &out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	newest := func(kind string) (e api.ForkEntry) {
		for _, one := range list(leader).Forks {
			if one.Kind == kind && one.SavedAt.After(since.Add(-time.Second)) {
				e = one
			}
		}
		return e
	}
	c.wait(20*time.Second, "the table's name", func() bool { return slices.Contains(newest(api.ForkWAL).Tables, "app.public.diverged") })
	fork := newest(api.ForkWAL)
	if fork.Committed == 0 || !fork.Acked || !fork.Complete || fork.Bytes < 1000*50 {
		t.Errorf("fork: %+v", fork)
	}
	const lost = `pgherd_fork_transactions{acked="true"}`
	c.wait(20*time.Second, "the transactions in the metrics of who had them, and the loss settled", func() bool {
		return sample(t, metrics.scrape(old), lost) >= float64(fork.Committed) && sample(t, metrics.scrape(leader), "pgherd_losses_open") == 0
	})
	if files, _ := filepath.Glob(filepath.Join(fork.Path, "0000*")); len(files) == 0 {
		t.Errorf("no WAL in %s", fork.Path)
	}
	leader.do("reinit", old.name)
	c.wait(60*time.Second, "the clone, and the data directory set aside", func() bool { return newest(api.ForkData).ID != "" })
	c.waitHealthy()
	if again := newest(api.ForkWAL); again.ID != fork.ID {
		t.Errorf("after a clone: %+v", again)
	}
	aside := newest(api.ForkData)
	if aside.DiskBytes < 20<<20 {
		t.Errorf("set aside: %+v", aside)
	}
	for _, e := range []api.ForkEntry{fork, aside} {
		leader.do("forks", "remove", e.ID)
		c.wait(20*time.Second, e.ID+" to be removed", func() bool {
			_, err := os.Stat(e.Path)
			return os.IsNotExist(err) && !slices.ContainsFunc(list(leader).Forks, func(l api.ForkEntry) bool { return l.ID == e.ID })
		})
	}
	c.expectEvent(leader, since, old.name, "drop_fork", "asked for by")
	leader.do("config", "set", "durability=sync")
	c.waitSync()
}

// TestNothingIsReplacedBeforeTheForkIsSaved: while what only the old primary has cannot be written
// down, it is neither rewound nor cloned, and says why.
func TestNothingIsReplacedBeforeTheForkIsSaved(t *testing.T) {
	c := shared(t)
	since := time.Now()
	old, leader := c.diverge()
	forks := filepath.Join(old.dir, "forks")
	if err := os.Rename(forks, forks+".away"); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	if err := os.WriteFile(forks, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	old.start()
	if x := c.waitAnyCondition(40*time.Second, old.name, "fork_not_saved"); !strings.Contains(x.Text, "is not saved") {
		t.Errorf("condition: %+v", x)
	}
	c.wait(20*time.Second, "a second attempt", func() bool {
		n := 0
		for _, line := range leader.eventsSince(since) {
			if strings.Contains(line, old.name) && strings.Contains(line, "job_failed") && strings.Contains(line, "rewind") {
				n++
			}
		}
		return n >= 2
	})
	for _, suffix := range []string{".rewinding", ".clone", ".clone.complete"} {
		if _, err := os.Stat(old.data() + suffix); !os.IsNotExist(err) {
			t.Errorf("%s%s: %v", old.data(), suffix, err)
		}
	}
	if err := os.Remove(forks); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(forks+".away", forks); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	c.waitHealthy()
	c.expectEvent(leader, since, old.name, "fork_saved", "transaction")
	leader.do("config", "set", "durability=sync")
	c.waitSync()
}
