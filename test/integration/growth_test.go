package integration

import (
	"testing"
	"time"
)

// TestGrowthToSixAndReplacedVoter: five vote, the sixth is a client of theirs until a
// voter is removed for good. One member is a witness, one may never lead.
func TestGrowthToSixAndReplacedVoter(t *testing.T) {
	c := newCluster(t)
	c.up(3)
	first := c.members[0]
	w := c.add()
	refused(t, "a witness cannot be first", c.pgherd(append([]string{"init", "--witness"}, "--config", w.config, "--name", "w", "--address", "127.0.0.1", "--state-dir", w.dir)...), 3)
	if a := c.pgherd("join", first.apiAt(), "--token-file", w.tokenFrom(first, "--witness"), "--witness", "--config", w.config, "--name", w.name,
		"--address", "127.0.0.1", "--state-dir", w.dir, "--listen-api", at(w.api), "--listen-peer", at(w.peer), "--listen-store", at(w.store), "--no-endpoints"); a.code != 0 {
		t.Fatalf("join of the witness: %s", a)
	}
	w.start()
	never := c.add()
	never.join(first, "--no-failover")
	never.start()
	sixth := c.add()
	sixth.join(first)
	sixth.start()
	p := c.waitHealthy()
	p.do("wait", "--for", "healthy", "--timeout", "60s")
	if n := c.voters(); n != 5 {
		t.Errorf("healthy, and %d of five vote", n)
	}
	if s := c.status().member(w.name); s.Role != "witness" || s.State != "running" || s.PostgresPID != 0 || w.pid("postmaster") != 0 {
		t.Errorf("the witness: %+v", s)
	}
	refused(t, "a member tagged no_failover", p.try("switchover", never.name), 3, "no_failover")
	refused(t, "the witness", p.try("switchover", w.name), 3, "witness")

	gone := c.members[1]
	refused(t, "removal of the primary", p.try("remove", p.name), 3, p.name)
	p.do("remove", gone.name)
	c.wait(20*time.Second, gone.name+" stops serving", func() bool { return gone.pid("postmaster") == 0 })
	c.powerCut(gone)
	c.members = append(c.members[:1], c.members[2:]...)
	c.wait(20*time.Second, "its slot to go", func() bool {
		v, err := c.query(p, "SELECT count(*)::text FROM pg_replication_slots WHERE slot_name = 'pgherd_' || $1", gone.name)
		return err == nil && v == "0"
	})
	c.wait(60*time.Second, sixth.name+" to vote in its place", func() bool { return c.voters() == 5 && sixth.votes() })

	// The new voter counts: two of five may go.
	c.waitHealthy()
	l := c.startLoad(2)
	c.powerCut(p, w)
	leader := c.waitLeader(p, 30*time.Second)
	if leader == never {
		t.Error("the member that must never lead leads")
	}
	l.waitAcked(50)
	p.start()
	w.start()
	l.checkRows()
}
