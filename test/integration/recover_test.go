package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// loseStore takes what this member's share of the store had, of whatever generation.
func (m *member) loseStore() {
	m.c.t.Helper()
	shares, _ := filepath.Glob(filepath.Join(m.dir, "store*", "member"))
	if len(shares) == 0 {
		m.c.t.Fatalf("%s has no share of the store", m.name)
	}
	for _, share := range shares {
		if err := os.RemoveAll(share); err != nil {
			m.c.t.Fatal(err)
		}
	}
}

func (m *member) refuses(code, hint string, args ...string) {
	m.c.t.Helper()
	a := m.try(append([]string{"recover", "--json"}, args...)...)
	if a.code != 3 || !strings.Contains(a.stdout, `"code": "`+code+`"`) || !strings.Contains(a.stderr, "hint: ") || !strings.Contains(a.stderr, hint) {
		m.c.t.Fatalf("recover %v on %s: want %s: %s", args, m.name, code, a)
	}
}

func (m *member) says(code string) {
	m.c.t.Helper()
	m.c.wait(20*time.Second, m.name+" says "+code, func() bool { return strings.Contains(m.try("status", "--json").stdout, `"`+code+`"`) })
}

// TestRecoverALostStore: first all shares are gone, then those of a majority, whose machines come
// back after all, with what they had.
func TestRecoverALostStore(t *testing.T) {
	c := newCluster(t)
	c.up(3)
	old := c.waitSync()
	old.refuses("store_answers", "pgherd status", "--confirm", "main")
	c.exec(old, "CREATE TABLE kept AS SELECT 1 AS id")
	was := c.lease()
	c.powerCut(c.members...)
	for _, m := range c.members {
		m.loseStore()
		m.start()
	}
	c.members[1].says("store_lost")
	for _, m := range c.members {
		if m.pid("postmaster") != 0 {
			t.Errorf("%s runs PostgreSQL without a store", m.name)
		}
	}
	n2 := c.members[1]
	if out := n2.do("recover"); !strings.Contains(out, "nothing was changed") || !strings.Contains(out, "pgherd recover --confirm main\n") || !strings.Contains(out, "all data members answer") {
		t.Errorf("recover without confirmation: %s", out)
	}
	n2.refuses("not_confirmed", "--confirm main", "--confirm", "mian")
	if out := n2.do("recover", "--confirm", "main"); !strings.Contains(out, " leads\n") {
		t.Errorf("recover: %s", out)
	}
	p := c.waitSync()
	if now := c.lease(); now.Term <= was.Term {
		t.Errorf("term %d after %d", now.Term, was.Term)
	}
	c.exec(p, "INSERT INTO kept VALUES (2)")

	// A majority is gone. What is left cannot know whether the others go on.
	others := c.others(p)
	c.powerCut(others...)
	p.refuses("silent_quorum", "--destroyed "+others[0].name+","+others[1].name, "--confirm", "main")
	gone := []string{"--confirm", "main", "--destroyed", others[0].name + "," + others[1].name}
	p.refuses("loss_not_accepted", "--accept-loss", gone...)
	p.do(append([]string{"recover", "--accept-loss"}, gone...)...)
	c.wait(20*time.Second, "a primary alone", func() bool { return c.isPrimary(p) })
	c.exec(p, "INSERT INTO kept VALUES (3)")
	for _, m := range others {
		m.start() // with their old shares, which are a quorum
	}
	for _, m := range others { // they hear of the new store from its member, and that they are no part of it
		c.wait(30*time.Second, m.name+" has left the old store", func() bool {
			text, _ := os.ReadFile(filepath.Join(m.dir, "generation.json"))
			return strings.Contains(string(text), `"generation": 2`) && m.pid("postmaster") == 0
		})
	}
	if !c.isPrimary(p) || c.isPrimary(others[0]) || c.isPrimary(others[1]) {
		t.Errorf("%s does not lead alone", p.name)
	}
	if rows, err := c.query(p, "SELECT string_agg(id::text, ' ' ORDER BY id) FROM kept"); err != nil || rows != "1 2 3" {
		t.Errorf("rows %q %v", rows, err)
	}
	if out := p.do("events"); !strings.Contains(out, "store_recovery") {
		t.Errorf("events: %s", out)
	}
}
