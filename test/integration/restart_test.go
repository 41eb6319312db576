package integration

import (
	"testing"
	"time"
)

// TestAllKilledThenStartedInAnyOrder: whoever comes first, only a member that has every
// acknowledged row may lead.
func TestAllKilledThenStartedInAnyOrder(t *testing.T) {
	for name, order := range map[string]func(p *member, s []*member) []*member{
		"the standbys first": func(p *member, s []*member) []*member { return []*member{s[1], s[0], p} },
		"the primary first":  func(p *member, s []*member) []*member { return []*member{p, s[0], s[1]} },
	} {
		t.Run(name, func(t *testing.T) {
			c := shared(t)
			p := c.waitSync()
			l := c.startLoad(4)
			c.powerCut(c.members...)
			l.end()
			for _, m := range order(p, c.others(p)) {
				m.start()
			}
			c.waitHealthy()
			l.checkRows()
		})
	}
}

// TestStaleMemberAloneNeverLeads: a member that missed commits is alone with a quorum of
// the store for longer than the ttl. It must wait for one that has them.
func TestStaleMemberAloneNeverLeads(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	stale, other := c.others(p)[0], c.others(p)[1]
	c.powerCut(stale)
	c.wait(30*time.Second, "the sync set without "+stale.name, func() bool {
		l := c.lease()
		return len(l.Sync.Members) == 1 && l.Sync.Members[0] == other.name
	})
	l := c.startLoad(2)
	l.waitAcked(50)
	c.powerCut(p, other)
	l.end()

	stale.start()
	since := time.Now()
	// Alone it has no quorum either. So the other one's voter comes back as well, but
	// with its PostgreSQL kept from starting.
	other.breakConf()
	other.start()
	c.waitCondition(30*time.Second, "no_leader")
	c.wait(30*time.Second, "the time of a ttl and more without a leader", func() bool {
		if c.isPrimary(stale) {
			t.Fatalf("%s leads and has not all rows", stale.name)
		}
		return time.Since(since) > 12*time.Second
	})
	other.mendConf()
	leader := c.leaderOf(c.members, 60*time.Second)
	if leader == stale {
		t.Errorf("the stale member leads")
	}
	p.start()
	c.waitHealthy()
	l.checkRows()
}
