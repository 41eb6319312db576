package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/store/storetest"
	"github.com/pgherd/pgherd/test/ports"
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

// TestRecoverAWipedExternalStore: the etcd of others comes back empty. That is no answer, and no new
// cluster; the records are written anew under the same confirmation.
func TestRecoverAWipedExternalStore(t *testing.T) {
	c := newCluster(t)
	etcd := startEtcd(t, c)
	first := c.add()
	first.init(append(etcd.flags, "--store-endpoint", etcd.url)...)
	first.start()
	first.waitState("running")
	c.appRole(first)
	second := c.add()
	second.join(first, etcd.flags...)
	second.start()
	p := c.waitHealthy()
	c.exec(p, "CREATE TABLE kept AS SELECT 1 AS id")
	second.refuses("store_answers", "pgherd status")
	etcd.wipe()
	second.says("store_lost")
	first.says("store_lost")
	c.powerCut(first)
	second.refuses("members_silent", "--destroyed n1", "--confirm", "main")
	first.start()
	first.says("store_lost")
	if out := second.do("recover", "--confirm", "main"); !strings.Contains(out, "nothing is lost") {
		t.Errorf("recover: %s", out)
	}
	p = c.waitHealthy()
	if rows, err := c.query(p, "SELECT string_agg(id::text, ' ') FROM kept"); err != nil || rows != "1" {
		t.Errorf("rows %q %v", rows, err)
	}
}

// externalEtcd is a server of its own on this machine, with a CA of its own.
type externalEtcd struct {
	t     *testing.T
	url   string
	dir   string
	flags []string // of pgherd, to reach it
	args  []string
	run   *exec.Cmd
}

func startEtcd(t *testing.T, c *cluster) *externalEtcd {
	t.Helper()
	binary := filepath.Join(c.dir, "etcd")
	if out, err := exec.Command("go", "build", "-o", binary, "go.etcd.io/etcd/server/v3").CombinedOutput(); err != nil {
		t.Fatalf("build etcd: %v\n%s", err, out)
	}
	ca := storetest.NewCA(t)
	files := ca.Issue(t, c.dir, "etcd")
	caFile := filepath.Join(c.dir, "etcd-ca.pem")
	text, err := os.ReadFile(ca.File)
	for _, err := range []error{err, os.WriteFile(caFile, text, 0o644), os.Chown(files.Cert, owner.uid, owner.gid), os.Chown(files.Key, owner.uid, owner.gid)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	e := &externalEtcd{t: t, url: "https://" + at(ports.Free(t)), dir: filepath.Join(c.dir, "etcd-data")}
	e.flags = []string{"--store-ca-file", caFile, "--store-cert-file", files.Cert, "--store-key-file", files.Key}
	peer := "http://" + at(ports.Free(t))
	e.args = []string{binary, "--name", "e", "--data-dir", e.dir, "--log-level", "error", "--listen-client-urls", e.url, "--advertise-client-urls", e.url,
		"--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", "e=" + peer,
		"--cert-file", files.Cert, "--key-file", files.Key, "--trusted-ca-file", caFile, "--client-cert-auth"}
	e.start()
	t.Cleanup(e.stop)
	return e
}

func (e *externalEtcd) start() {
	e.t.Helper()
	e.run = exec.Command(e.args[0], e.args[1:]...)
	e.run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := e.run.Start(); err != nil {
		e.t.Fatal(err)
	}
}

func (e *externalEtcd) stop() { _ = e.run.Process.Kill(); _ = e.run.Wait() }

func (e *externalEtcd) wipe() {
	e.t.Helper()
	e.stop()
	if err := os.RemoveAll(e.dir); err != nil {
		e.t.Fatal(err)
	}
	e.start()
}
