package integration

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgherd/pgherd/test/ports"
)

// upWithEndpoints makes a cluster whose members have addresses of their own, and endpoints. (PgBouncer
// spreads over hosts, not over ports.)
func (c *cluster) upWithEndpoints(n int) {
	c.t.Helper()
	pg := ports.Free(c.t)
	for i := range n {
		m := c.add()
		m.ip, m.pg, m.rw, m.ro = fmt.Sprintf("127.0.0.%d", i+2), pg, ports.Free(c.t), ports.Free(c.t)
	}
	for i, m := range c.members {
		listen := []string{"--pg-listen", m.ip}
		if i > 0 {
			m.join(c.members[0], listen...)
			m.start()
			continue
		}
		m.init(listen...)
		m.start()
		m.waitState("running")
		c.appRole(m)
		m.psql("SET log_statement = none; CREATE ROLE web LOGIN PASSWORD '" + password + "'; CREATE DATABASE shop OWNER web; CREATE DATABASE other OWNER web")
	}
	c.waitSync()
	c.waitEndpoints()
}

// waitEndpoints waits until all of them send to the primary, and to all standbys.
func (c *cluster) waitEndpoints() {
	c.t.Helper()
	c.wait(30*time.Second, "endpoints that send where they should", func() bool {
		s := c.status()
		for _, e := range s.Endpoints {
			if e.Target != s.primary() || len(e.Readers) != len(c.members)-1 || slices.Contains(e.Readers, e.Target) {
				return false
			}
		}
		return len(s.Endpoints) == len(c.members)
	})
}

func through(ctx context.Context, m *member, port int, role, database, tls string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig("postgresql://" + role + ":" + url.QueryEscape(password) + "@" + m.at(port) + "/" + database + "?connect_timeout=5&sslmode=" + tls)
	if err != nil {
		return nil, err
	}
	return pgx.ConnectConfig(ctx, config)
}

// web opens a client's connection through an endpoint of m.
func (m *member) web(port int, database string) *pgx.Conn {
	m.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := through(ctx, m, port, "web", database, "require")
	if err != nil {
		m.c.t.Fatalf("through %s's port %d: %v", m.name, port, err)
	}
	m.c.t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func ask(t testing.TB, conn *pgx.Conn, sql string, args ...any) (value string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := conn.QueryRow(ctx, sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// TestEndpoints: one cluster, and what can happen to its endpoints.
func TestEndpoints(t *testing.T) {
	c := newCluster(t)
	c.upWithEndpoints(3)
	for _, one := range []struct {
		name string
		test func(*testing.T, *cluster)
	}{
		{"any database on any host", endpointsServe},
		{"they are measured", endpointsAreMeasured},
		{"who may not come in", endpointsRefuse},
		{"a pooler is killed", endpointsComeBack},
		{"an agent is killed", endpointsOutliveTheAgent},
		{"a standby lags", endpointsLeaveWhoLags},
		{"the primary is killed", endpointsFollowAFailover},
		{"a member stops", endpointsLeaveWhoStops},
		{"what dsn prints", endpointsByDSN},
	} {
		if !t.Run(one.name, func(t *testing.T) { c.t = t; one.test(t, c); c.waitEndpoints() }) {
			c.t = t
			return
		}
	}
	c.t = t
}

func endpointsServe(t *testing.T, c *cluster) {
	for _, m := range c.members {
		for _, database := range []string{"shop", "other"} {
			w := m.web(m.rw, database)
			if got := ask(t, w, "SELECT current_database() || pg_is_in_recovery()"); got != database+"false" {
				t.Errorf("read-write on %s: %s", m.name, got)
			}
			if got := ask(t, m.web(m.ro, database), "SELECT current_database() || pg_is_in_recovery()"); got != database+"true" {
				t.Errorf("read-only on %s: %s", m.name, got)
			}
		}
		evenly(t, m, c.others(c.waitHealthy()))
	}
}

// evenly: of readers who are there at the same time neither of two standbys gets less than a third. (They are more than
// one pool's servers, so that the pool grows to its full size.)
func evenly(t *testing.T, m *member, standbys []*member) {
	const readers = 24
	seen := spread(t, m, readers)
	t.Logf("readers of %s come to %v", m.name, seen)
	for _, s := range standbys {
		if seen[s.ip]*3 < readers {
			t.Errorf("of %d readers of %s less than a third come to %s", readers, m.name, s.ip)
		}
	}
	if len(standbys) != 2 || len(seen) != 2 {
		t.Errorf("readers of %s come to %v, there are %d standbys", m.name, seen, len(standbys))
	}
}

// spread tells to which servers so many readers come who are there at the same time, and how many to each.
func spread(t *testing.T, m *member, n int) map[string]int {
	var mu sync.Mutex
	var readers sync.WaitGroup
	seen := map[string]int{}
	for range n {
		conn := m.web(m.ro, "shop")
		readers.Go(func() {
			var at string
			if err := conn.QueryRow(context.Background(), "SELECT host(inet_server_addr()) FROM pg_sleep(0.3)").Scan(&at); err != nil {
				at = err.Error()
			}
			mu.Lock()
			defer mu.Unlock()
			seen[at]++
		})
	}
	readers.Wait()
	return seen
}

// endpointsRefuse: neither superusers, pgherd's roles and wrong passwords, nor anybody without TLS.
func endpointsRefuse(t *testing.T, c *cluster) {
	m := c.members[0]
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	for name, one := range map[string]struct{ role, tls string }{
		"a superuser": {"app", "require"}, "the administrator": {"postgres", "require"}, "the lookup role": {"pgherd_pooler", "require"},
		"nobody": {"nosuch", "require"}, "no TLS": {"web", "disable"},
	} {
		if conn, err := through(ctx, m, m.rw, one.role, "shop", one.tls); err == nil {
			_ = conn.Close(ctx)
			t.Errorf("%s came in", name)
		}
	}
}

func endpointsComeBack(t *testing.T, c *cluster) {
	m := c.members[1]
	for kind, port := range map[string]int{"pooler-rw": m.rw, "pooler-ro": m.ro} {
		began := time.Now()
		was := m.kill(kind)
		c.wait(10*time.Second, "a new "+kind, func() bool {
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			conn, err := through(ctx, m, port, "web", "shop", "require")
			if err != nil {
				return false
			}
			_ = conn.Close(ctx)
			return true
		})
		t.Logf("%s takes clients again %s after kill -9", kind, time.Since(began).Round(time.Millisecond))
		if pid := m.pid(kind); pid == 0 || pid == was {
			t.Errorf("%s: %d after %d", kind, pid, was)
		}
	}
}

// endpointsOutliveTheAgent: an agent's end, by kill and by detaching, is not its clients'.
func endpointsOutliveTheAgent(t *testing.T, c *cluster) {
	p := c.waitHealthy()
	m := c.others(p)[0]
	w, r := m.web(m.rw, "shop"), m.web(m.ro, "shop")
	ask(t, w, "SELECT 'x'")
	ask(t, r, "SELECT 'x'")
	rw, ro, pauses := m.pid("pooler-rw"), m.pid("pooler-ro"), m.pauses()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGUSR2} {
		m.signal(sig)
		m.waitEnd(20 * time.Second)
		ask(t, w, "SELECT 'without an agent'")
		m.start()
		m.waitState("streaming")
		c.waitEndpoints()
		ask(t, w, "SELECT 'with the next agent'")
		ask(t, r, "SELECT 'with the next agent'")
	}
	if n := m.pauses(); n != pauses {
		t.Errorf("clients were held %d times though the primary was always there", n-pauses)
	}
	if m.pid("pooler-rw") != rw || m.pid("pooler-ro") != ro {
		t.Errorf("the poolers were %d and %d, now %d and %d", rw, ro, m.pid("pooler-rw"), m.pid("pooler-ro"))
	}
}

// pauses counts how often clients were held, by the poolers' own logs.
func (m *member) pauses() int {
	return strings.Count(tail(m.dir+"/pooler/rw/pgbouncer.log", 1<<20)+tail(m.dir+"/pooler/ro/pgbouncer.log", 1<<20), "PAUSE command issued")
}

func endpointsLeaveWhoLags(t *testing.T, c *cluster) {
	p := c.waitHealthy()
	late := c.others(p)[1]
	p.do("config", "set", "pooler.read_lag_max_bytes=1000000")
	c.must(late, "SELECT pg_wal_replay_pause()::text")
	c.exec(p, "CREATE TABLE lag AS SELECT g, repeat('x', 200) t FROM generate_series(1, 20000) g")
	readers := func(n int) func() bool {
		return func() bool {
			for _, e := range c.status().Endpoints {
				if len(e.Readers) != n || n == 1 && e.Readers[0] == late.name {
					return false
				}
			}
			return true
		}
	}
	c.wait(10*time.Second, "readers to leave "+late.name, readers(1))
	if seen := spread(t, p, 8); len(seen) != 1 || seen[late.ip] > 0 {
		t.Errorf("readers come to %v, %s lags", seen, late.ip)
	}
	c.must(late, "SELECT pg_wal_replay_resume()::text")
	c.wait(10*time.Second, "readers to come back to "+late.name, readers(2))
	c.exec(p, "DROP TABLE lag")
}

// writer is one client of an application that never connects again by itself.
type writer struct {
	conn   *pgx.Conn
	last   time.Time
	gap    time.Duration
	failed []error
	lost   int // connections that had to be made anew
}

func (w *writer) write(stop <-chan struct{}, again func() *pgx.Conn) {
	w.last = time.Now()
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(5 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		_, err := w.conn.Exec(ctx, "INSERT INTO written DEFAULT VALUES")
		cancel()
		if err == nil {
			w.gap, w.last = max(w.gap, time.Since(w.last)), time.Now()
			continue
		}
		w.failed = append(w.failed, err)
		if w.conn.IsClosed() {
			w.lost++
			if w.conn = again(); w.conn == nil {
				return
			}
		}
	}
}

// endpointsFollowAFailover: clients whose statement was not on its way at the crash notice a wait, and no error.
func endpointsFollowAFailover(t *testing.T, c *cluster) {
	p := c.waitSync()
	setup := p.web(p.rw, "shop")
	if _, err := setup.Exec(context.Background(), "CREATE TABLE written (id bigserial)"); err != nil {
		t.Fatal(err)
	}
	const each = 4
	var refused atomic.Int64
	var writers []*writer
	var parts sync.WaitGroup
	var idle []*pgx.Conn
	stop := make(chan struct{})
	for _, m := range c.members {
		for range each {
			w := &writer{conn: m.web(m.rw, "shop")}
			writers = append(writers, w)
			parts.Go(func() {
				w.write(stop, func() *pgx.Conn {
					ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
					defer cancel()
					for ctx.Err() == nil {
						conn, err := through(ctx, m, m.rw, "web", "shop", "require")
						if err == nil {
							return conn
						}
						refused.Add(1)
						t.Logf("on %s: connecting anew: %v", m.name, err)
						time.Sleep(20 * time.Millisecond)
					}
					return nil
				})
			})
		}
		conn := m.web(m.rw, "other")
		ask(t, conn, "SELECT 'idle'")
		idle = append(idle, conn)
	}
	time.Sleep(500 * time.Millisecond) // of calm, so that a gap can be seen
	pauses := p.pauses()
	p.kill("postmaster")
	c.wait(20*time.Second, "a primary", func() bool {
		s := c.status()
		return s.primary() != "" && s.Term > 0 && c.isPrimary(c.get(s.primary()))
	})
	c.waitEndpoints()
	time.Sleep(500 * time.Millisecond)
	close(stop)
	parts.Wait()
	if p.pauses() == pauses {
		t.Error("nobody was held: or the logs do not say so any more")
	}
	gap, failed, lost := time.Duration(0), 0, 0
	for _, w := range writers {
		gap, failed, lost = max(gap, w.gap), failed+len(w.failed), lost+w.lost
		if w.conn == nil || len(w.failed) > 2 {
			t.Errorf("a client that was refused again and again: %v", w.failed)
		}
		for _, err := range w.failed {
			var said *pgconn.PgError
			if !errors.As(err, &said) && !strings.Contains(err.Error(), "EOF") && !strings.Contains(err.Error(), "reset") {
				t.Errorf("%v", err)
			}
			t.Logf("a statement failed: %v", err)
		}
	}
	t.Logf("%d clients on %d hosts: longest gap %s, %d statements failed, %d connections made anew, %d times refused", len(writers), len(c.members), gap.Round(time.Millisecond), failed, lost, refused.Load())
	if gap > 10*time.Second || failed > len(writers) {
		t.Errorf("longest gap %s, %d statements failed", gap, failed)
	}
	for _, conn := range idle { // they had no transaction: they have not noticed anything
		ask(t, conn, "SELECT 'still here'")
	}
}

// endpointsLeaveWhoStops: an agent that is told to stop takes its endpoints with it, last; others send
// readers elsewhere.
func endpointsLeaveWhoStops(t *testing.T, c *cluster) {
	p := c.waitHealthy()
	m, other := c.others(p)[0], c.others(p)[1]
	r := p.web(p.ro, "shop")
	m.signal(syscall.SIGTERM)
	m.waitEnd(30 * time.Second)
	if m.pid("pooler-rw") != 0 || m.pid("pooler-ro") != 0 {
		t.Errorf("poolers are left: %v", c.processes(m))
	}
	c.wait(10*time.Second, "its record to be gone, and its readers to be elsewhere", func() bool {
		list := c.status().Endpoints
		for _, e := range list {
			if !slices.Equal(e.Readers, []string{other.name}) {
				return false
			}
		}
		return len(list) == 2
	})
	if got := ask(t, r, "SELECT host(inet_server_addr())"); got != other.ip {
		t.Errorf("readers come to %s", got)
	}
	m.start()
	m.waitState("streaming")
}
