package integration

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/pgherd/pgherd/test/ports"
)

// addPoolerHost makes the place of a host that only pools.
func (c *cluster) addPoolerHost(name, ip string) *member {
	c.t.Helper()
	h := &member{c: c, name: name, ip: ip, pooler: true, dir: filepath.Join(c.dir, name), config: filepath.Join(c.dir, name+".yaml"), rw: ports.Free(c.t), ro: ports.Free(c.t)}
	if err := os.Mkdir(h.dir, 0o700); err != nil {
		c.t.Fatal(err)
	}
	if err := os.Chown(h.dir, owner.uid, owner.gid); err != nil {
		c.t.Fatal(err)
	}
	return h
}

func (m *member) tryPoolerJoin(from *member, tokenFile string) answer {
	m.c.t.Helper()
	return m.c.pgherd("pooler", "join", from.apiAt(), "--token-file", tokenFile, "--config", m.config, "--name", m.name, "--address", m.ip,
		"--state-dir", m.dir, "--listen-rw", m.at(m.rw), "--listen-ro", m.at(m.ro))
}

// waitPooling waits until the host's endpoints send where those of members do, and gives the primary.
func (m *member) waitPooling() (primary *member) {
	c := m.c
	c.t.Helper()
	primary = c.waitSync()
	c.wait(30*time.Second, "endpoints of "+m.name+" that send where they should", func() bool {
		s := c.status()
		for _, e := range s.Endpoints {
			if e.Target != s.primary() || len(e.Readers) != len(c.members)-1 || slices.Contains(e.Readers, e.Target) {
				return false
			}
		}
		return len(s.Endpoints) == len(c.members)+1
	})
	return primary
}

// TestPoolerHost: a host without data, from its join to its removal.
func TestPoolerHost(t *testing.T) {
	c := newCluster(t)
	c.upWithEndpoints(3)
	h := c.addPoolerHost("app1", "127.0.0.9")
	poolerHostJoins(t, c, h)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s:\n%s", h.name, tail(h.logFile(), 8000))
		}
	})
	for _, one := range []struct {
		name string
		test func(*testing.T, *cluster, *member)
	}{
		{"both endpoints", poolerHostServes},
		{"it is killed", poolerHostIsKilled},
		{"the member that it asks is stopped", poolerHostAsksAnother},
		{"a handover", poolerHostHandsOver},
		{"it is removed", poolerHostIsRemoved},
	} {
		if !t.Run(one.name, func(t *testing.T) { c.t = t; one.test(t, c, h) }) {
			break
		}
	}
	c.t = t
}

func poolerHostJoins(t *testing.T, c *cluster, h *member) {
	first := c.members[0]
	refused(t, "a member's token", h.tryPoolerJoin(first, h.tokenFrom(first)), 3, "token")
	token := h.tokenFrom(first, "--pooler")
	if a := h.tryPoolerJoin(first, token); a.code != 0 {
		t.Fatalf("join: %s", a)
	}
	refused(t, "a second join", h.tryPoolerJoin(first, token), 3, "already")
	if _, err := os.Lstat(filepath.Join(h.dir, "pki", "ca.key")); err == nil {
		t.Error("it has the key of the cluster's CA")
	}
	h.start()
	h.waitPooling()
}

func poolerHostServes(t *testing.T, c *cluster, h *member) {
	for _, database := range []string{"shop", "other"} {
		if got := ask(t, h.web(h.rw, database), "SELECT current_database() || pg_is_in_recovery()"); got != database+"false" {
			t.Errorf("read-write: %s", got)
		}
		if got := ask(t, h.web(h.ro, database), "SELECT current_database() || pg_is_in_recovery()"); got != database+"true" {
			t.Errorf("read-only: %s", got)
		}
	}
	evenly(t, h, c.others(c.waitHealthy()))
}

// poolerHostIsKilled: its PgBouncers go on, and the next process takes them over.
func poolerHostIsKilled(t *testing.T, c *cluster, h *member) {
	w, r := h.web(h.rw, "shop"), h.web(h.ro, "shop")
	rw, ro, pauses := h.pid("pooler-rw"), h.pid("pooler-ro"), h.pauses()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGUSR2} {
		h.signal(sig)
		h.waitEnd(20 * time.Second)
		ask(t, w, "SELECT 'without its process'")
		before := h.beat()
		h.start()
		c.wait(20*time.Second, "the next one's record", func() bool { return h.beat() > before })
		h.waitPooling()
		ask(t, w, "SELECT 'with the next one'")
		ask(t, r, "SELECT 'with the next one'")
	}
	if h.pid("pooler-rw") != rw || h.pid("pooler-ro") != ro || h.pauses() != pauses {
		t.Errorf("the poolers were %d and %d, now %d and %d; clients were held %d times", rw, ro, h.pid("pooler-rw"), h.pid("pooler-ro"), h.pauses()-pauses)
	}
}

// poolerHostAsksAnother: members hang one after the other, so one of them was the one that it asked.
func poolerHostAsksAnother(t *testing.T, c *cluster, h *member) {
	w := h.web(h.rw, "shop")
	for _, m := range c.others(c.waitSync()) {
		m.signal(syscall.SIGSTOP)
		ask(t, w, "SELECT 'while a member hangs'")
		before := h.beat()
		c.wait(30*time.Second, "its record to be written while "+m.name+" hangs", func() bool { return h.beat() > before })
		m.signal(syscall.SIGCONT)
		h.waitPooling()
	}
}

// beat is that of the host's record, 0 when there is none.
func (m *member) beat() (beat uint64) {
	m.c.withStore(func(ctx context.Context, store *clientv3.Client) bool {
		r, err := store.Get(ctx, "/pgherd/", clientv3.WithPrefix())
		if err != nil {
			return false
		}
		for _, kv := range r.Kvs {
			var record struct{ Beat uint64 }
			if strings.HasSuffix(string(kv.Key), "/poolers/"+m.name) && json.Unmarshal(kv.Value, &record) == nil {
				beat = record.Beat
			}
		}
		return true
	})
	return beat
}

func poolerHostHandsOver(t *testing.T, c *cluster, h *member) {
	old := h.waitPooling()
	l := c.startBehind(h)
	c.wait(30*time.Second, "both clients to be counted: those of a hold are who was seen last", func() bool {
		return slices.ContainsFunc(c.status().Endpoints, func(e endpointStatus) bool { return e.Name == h.name && e.Clients >= 2 })
	})
	var result struct {
		Phase       string
		Certificate struct {
			Poolers []struct {
				Name, State     string
				Clients, Errors int
				Held            float64 `json:"held_ms"`
			}
		}
	}
	text := old.do("switchover", "--json")
	if err := json.Unmarshal([]byte(text), &result); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	held := 0
	for _, p := range result.Certificate.Poolers {
		t.Logf("%s held %d clients for %.0f ms", p.Name, p.Clients, p.Held)
		if p.Name == h.name {
			held = p.Clients
		}
	}
	if result.Phase != "done" || held < 2 {
		t.Errorf("the certificate counts %s clients of %s: %s", strconv.Itoa(held), h.name, text)
	}
	l.waitAcked(50)
	l.checkUnnoticed()
	if now := h.waitPooling(); now == old {
		t.Errorf("%s leads still", old.name)
	}
	l.checkRows()
}

func poolerHostIsRemoved(t *testing.T, c *cluster, h *member) {
	m := c.members[1]
	refused(t, "a host that nobody knows", m.try("pooler", "remove", "app9"), 3, "app9")
	refused(t, "a member", m.try("pooler", "remove", "n1"), 3, "member")
	m.do("pooler", "remove", h.name)
	if code := h.waitEnd(20 * time.Second); code != 3 {
		t.Errorf("its process ended with %d", code)
	}
	if rw, ro := h.pid("pooler-rw"), h.pid("pooler-ro"); rw != 0 || ro != 0 {
		t.Errorf("its PgBouncers %d and %d go on", rw, ro)
	}
	h.start()
	if code := h.waitEnd(20 * time.Second); code != 3 {
		t.Errorf("started again it ended with %d", code)
	}
	c.waitEndpoints() // of members only
	again := c.addPoolerHost("twin", "127.0.0.10")
	again.name = h.name
	refused(t, "another host of its name", again.tryPoolerJoin(m, again.tokenFrom(m, "--pooler")), 3, "choose another --name")
}

// TestPoolerHostOutlivesTheStore: the store is lost and rebuilt, first from copies that know the host and then without any
// word of it. Its clients' connections, and its processes, are the same all the time.
func TestPoolerHostOutlivesTheStore(t *testing.T) {
	c := newCluster(t)
	c.upWithEndpoints(3)
	h := c.addPoolerHost("app1", "127.0.0.9")
	poolerHostJoins(t, c, h)
	w := h.web(h.rw, "shop")
	ask(t, w, "SELECT 'before'")
	rw, ro, process := h.pid("pooler-rw"), h.pid("pooler-ro"), h.agent
	unnoticed := func(when string) {
		t.Helper()
		ask(t, w, "SELECT 'still here'")
		if h.pid("pooler-rw") != rw || h.pid("pooler-ro") != ro || h.agent != process || !h.running() {
			t.Fatalf("%s: its PgBouncers were %d and %d, now %d and %d; it runs: %v", when, rw, ro, h.pid("pooler-rw"), h.pid("pooler-ro"), h.running())
		}
	}
	c.powerCut(c.members...)
	for _, m := range c.members {
		m.loseStore()
		m.start()
	}
	m := c.members[1]
	m.says("store_lost")
	if out := m.do("recover"); !strings.Contains(out, "app1: they go on") {
		t.Errorf("recover does not tell of it: %s", out)
	}
	m.do("recover", "--confirm", "main")
	h.waitPooling()
	unnoticed("after the store was rebuilt")

	c.forgetPoolerHost(h.name)
	c.wait(20*time.Second, "it says that the cluster does not know it", func() bool {
		return strings.Contains(tail(h.logFile(), 8000), "pgherd pooler admit app1")
	})
	unnoticed("unknown")
	m.do("pooler", "admit", h.name, "--address", h.ip)
	before := h.beat()
	c.wait(20*time.Second, "its record", func() bool { return h.beat() > before })
	h.waitPooling()
	unnoticed("taken in again")
	c.wait(10*time.Second, "a new client to be looked up: the primary lets the host in again", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		conn, err := through(ctx, h, h.rw, "web", "other", "require")
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err == nil
	})
}

// forgetPoolerHost makes the store one of before the host's join.
func (c *cluster) forgetPoolerHost(name string) {
	c.t.Helper()
	forgotten := 0
	c.withStore(func(ctx context.Context, store *clientv3.Client) bool {
		r, err := store.Get(ctx, "/pgherd/", clientv3.WithPrefix(), clientv3.WithKeysOnly())
		if err != nil {
			return false
		}
		for _, prefix := range []string{"/poolerhosts/", "/poolers/"} { // in this order, or it would write its record again
			for _, kv := range r.Kvs {
				if strings.HasSuffix(string(kv.Key), prefix+name) {
					if _, err := store.Delete(ctx, string(kv.Key)); err != nil {
						return false
					}
					forgotten++
				}
			}
		}
		return true
	})
	if forgotten == 0 {
		c.t.Fatalf("the store did not know %s", name)
	}
}
