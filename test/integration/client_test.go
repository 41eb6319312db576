package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgherd/pgherd/client"
)

// program is an application that writes through package client all the time, and is never restarted.
type program struct {
	c       *cluster
	pool    *client.Pool
	next    atomic.Int64
	stop    context.CancelFunc
	workers sync.WaitGroup

	mu      sync.Mutex
	acked   map[int64]bool
	failed  []string
	lastAck time.Time
	gap     time.Duration
}

// appDSN is what `pgherd dsn` prints, with the password where pgx looks for it.
func (c *cluster) appDSN(m *member) string {
	c.t.Helper()
	pass := filepath.Join(c.dir, "app.pgpass")
	if err := os.WriteFile(pass, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	text := m.do("dsn", "--format", "pgx", "--user", "app", "--database", "app", "--sslrootcert", filepath.Join(m.dir, "pki", "ca.crt"))
	return strings.TrimSpace(text) + " passfile=" + pass
}

func (c *cluster) startProgram(pool *client.Pool, writers int) *program {
	ctx, stop := context.WithCancel(context.Background())
	g := &program{c: c, pool: pool, stop: stop, acked: map[int64]bool{}, lastAck: time.Now()}
	for range writers {
		g.workers.Go(func() { g.write(ctx) })
	}
	c.t.Cleanup(g.end)
	g.waitAcked(writers * 5)
	return g
}

func (g *program) end() {
	g.stop()
	g.workers.Wait()
}

// write inserts rows; each call has 30 s, as a program's would.
func (g *program) write(ctx context.Context) {
	for ctx.Err() == nil {
		id := g.next.Add(1)
		one, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		_, err := g.pool.Exec(one, "INSERT INTO program VALUES ($1)", id)
		cancel()
		g.note(id, err)
		time.Sleep(5 * time.Millisecond)
	}
}

func (g *program) note(id int64, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.failed = append(g.failed, fmt.Sprintf("%s row %d: %v", time.Now().Format("15:04:05.000"), id, err))
		return
	}
	now := time.Now()
	g.gap = max(g.gap, now.Sub(g.lastAck))
	g.lastAck, g.acked[id] = now, true
}

func (g *program) counts() (acked, failed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.acked), len(g.failed)
}

func (g *program) waitAcked(n int) {
	g.c.t.Helper()
	before, _ := g.counts()
	g.c.wait(healthyLimit, "acknowledged writes of the program", func() bool {
		now, _ := g.counts()
		return now >= before+n
	})
}

// episode runs what breaks things and tells what the program felt of it: how many statements failed, and how long nothing
// was acknowledged.
func (g *program) episode(what string, f func()) (failed int, gap time.Duration) {
	g.c.t.Helper()
	_, before := g.counts()
	g.mu.Lock()
	g.gap = 0
	g.mu.Unlock()
	f()
	g.waitAcked(200)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.c.t.Logf("%s: %d statements failed, nothing was acknowledged for %v; %+v", what, len(g.failed)-before, g.gap.Round(time.Millisecond), g.pool.Stat().Target)
	for _, line := range g.failed[before:] {
		g.c.t.Log("   ", line)
	}
	return len(g.failed) - before, g.gap
}

// checkRows: every acknowledged row is there; a failed one may be.
func (g *program) checkRows() {
	g.c.t.Helper()
	g.end()
	rows, err := g.pool.Query(context.Background(), "SELECT id FROM program")
	if err != nil {
		g.c.t.Fatal(err)
	}
	there := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			g.c.t.Fatal(err)
		}
		there[id] = true
	}
	if rows.Err() != nil {
		g.c.t.Fatal(rows.Err())
	}
	lost := 0
	for id := range g.acked {
		if !there[id] {
			lost++
		}
	}
	if lost > 0 {
		g.c.t.Errorf("%d of %d acknowledged rows are not there", lost, len(g.acked))
	}
	g.c.t.Logf("%d rows acknowledged, %d failed, %d there", len(g.acked), len(g.failed), len(there))
}

const programWriters = 16

// TestClientFollowsThePrimary: a program that was there before the database is not restarted, whatever becomes of the primary.
func TestClientFollowsThePrimary(t *testing.T) {
	c := newCluster(t)
	first := c.add()
	first.init()
	var members []*member
	for range 2 {
		members = append(members, c.add())
	}
	pool := c.openBefore(first)
	defer pool.Close()
	if s := pool.Stat().State; s != client.Absent {
		t.Errorf("before the database exists: %s", s)
	}
	ready := make(chan client.Target, 10)
	pool.OnReady(func(target client.Target) { ready <- target })
	waited := make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), healthyLimit)
		defer cancel()
		_, err := pool.Exec(ctx, "CREATE TABLE program (id bigint PRIMARY KEY)")
		waited <- err
	}()
	first.start()
	first.waitState("running")
	c.appRole(first)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	if target := <-ready; int(target.Port) != first.pg || target.Timeline != 1 {
		t.Errorf("ready with %+v", target)
	}
	for _, m := range members {
		m.join(first)
		m.start()
	}
	c.waitSync()
	g := c.startProgram(pool, programWriters)
	c.breakPrimaries(g)
	if s := pool.Stat(); s.Generations < 4 || s.State != client.Ready {
		t.Errorf("%+v", s)
	}
	g.checkRows()
}

// openBefore opens the pool with nothing but addresses.
func (c *cluster) openBefore(first *member) *client.Pool {
	c.t.Helper()
	pass := filepath.Join(c.dir, "app.pgpass")
	if err := os.WriteFile(pass, []byte("*:*:*:*:"+password+"\n"), 0o600); err != nil {
		c.t.Fatal(err)
	}
	var hosts, ports []string
	for _, m := range c.members {
		hosts, ports = append(hosts, "127.0.0.1"), append(ports, itoa(m.pg))
	}
	pool, err := client.Open(client.Config{
		DSN: fmt.Sprintf("host=%s port=%s user=app dbname=app connect_timeout=2 sslmode=verify-full sslrootcert=%s passfile=%s",
			strings.Join(hosts, ","), strings.Join(ports, ","), filepath.Join(first.dir, "pki", "ca.crt"), pass),
		Pool: func(p *pgxpool.Config) { p.MaxConns = programWriters },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return pool
}

// breakPrimaries: kill -9, then switchovers. Only what was on its way when a server ended may fail.
func (c *cluster) breakPrimaries(g *program) {
	c.t.Helper()
	for n := range 3 {
		old := c.waitSync()
		failed, _ := g.episode(fmt.Sprintf("kill -9 of the postmaster of %s", old.name), func() {
			old.kill("postmaster")
			c.waitLeader(old, 30*time.Second)
		})
		if failed > programWriters {
			c.t.Errorf("%d statements failed: a program's writer failed twice", failed)
		}
		old = c.waitSync()
		failed, _ = g.episode(fmt.Sprintf("switchover %d from %s", n+1, old.name), func() { old.do("switchover") })
		if failed > programWriters {
			c.t.Errorf("%d statements failed in a switchover: a program's writer failed twice", failed)
		}
	}
}

// TestClientWithTheWatch: with the event stream, a planned switchover is waited for instead of run into.
func TestClientWithTheWatch(t *testing.T) {
	c := shared(t)
	p := c.waitSync()
	c.exec(p, "DROP TABLE IF EXISTS program; CREATE TABLE program (id bigint PRIMARY KEY)")
	w := &client.Watch{TLS: p.trusted(), Token: strings.TrimSpace(p.do("access", "create", "program"))} // a viewer
	for _, m := range c.members {
		w.URLs = append(w.URLs, "https://"+at(m.api))
	}
	pool, err := client.Open(client.Config{DSN: c.appDSN(p), Watch: w, Pool: func(p *pgxpool.Config) { p.MaxConns = programWriters }})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	g := c.startProgram(pool, programWriters)
	for n := range 4 {
		old := c.waitSync()
		failed, _ := g.episode(fmt.Sprintf("switchover %d from %s", n+1, old.name), func() { old.do("switchover") })
		if failed > programWriters {
			t.Errorf("%d statements failed in a switchover: a program's writer failed twice", failed)
		}
	}
	c.cancelledStatement(pool)
	c.terminatedSession(pool)
	g.checkRows()
}

// trusted is TLS with the cluster's CA and no certificate of one's own.
func (m *member) trusted() *tls.Config {
	m.c.t.Helper()
	ca, err := os.ReadFile(filepath.Join(m.dir, "pki", "ca.crt"))
	if err != nil {
		m.c.t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	return &tls.Config{RootCAs: roots}
}

// cancelledStatement: a program's own error is its own, and costs nobody else anything.
func (c *cluster) cancelledStatement(pool *client.Pool) {
	c.t.Helper()
	before := pool.Stat().Generations
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := pool.Exec(ctx, "SELECT pg_sleep(10)"); !errors.Is(err, context.DeadlineExceeded) {
		c.t.Errorf("a cancelled statement: %v", err)
	}
	var server *pgconn.PgError
	if _, err := pool.Exec(context.Background(), "INSERT INTO nothing VALUES (1)"); !errors.As(err, &server) || server.Code != "42P01" {
		c.t.Errorf("a wrong statement: %v", err)
	}
	if _, err := pool.Exec(context.Background(), "BEGIN READ ONLY; CREATE TABLE x ()"); !errors.As(err, &server) || server.Code != "25006" {
		c.t.Errorf("a write in a read-only transaction: %v", err)
	}
	if now := pool.Stat().Generations; now != before {
		c.t.Errorf("%d new pools for nothing", now-before)
	}
}

// terminatedSession: one session's end is looked into, and is no change of primary.
func (c *cluster) terminatedSession(pool *client.Pool) {
	c.t.Helper()
	before := pool.Stat().Generations
	var server *pgconn.PgError
	if _, err := pool.Exec(context.Background(), "SELECT pg_terminate_backend(pg_backend_pid())"); !errors.As(err, &server) || server.Code != "57P01" {
		c.t.Errorf("a terminated session: %v", err)
	}
	if _, err := pool.Exec(context.Background(), "SELECT 1"); err != nil {
		c.t.Errorf("the next statement: %v", err)
	}
	if now := pool.Stat().Generations; now != before {
		c.t.Errorf("%d new pools for nothing", now-before)
	}
}

// TestClientCutsWhatHangs: a primary that is frozen as a whole answers nothing and closes nothing. Statements that were on
// their way there end with the old pool's deadline, and the writers go on.
func TestClientCutsWhatHangs(t *testing.T) {
	c := shared(t)
	old := c.waitSync()
	c.exec(old, "DROP TABLE IF EXISTS program; CREATE TABLE program (id bigint PRIMARY KEY)")
	pool, err := client.Open(client.Config{DSN: c.appDSN(old), Drain: time.Second, Pool: func(p *pgxpool.Config) { p.MaxConns = programWriters }})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	g := c.startProgram(pool, programWriters)
	failed, gap := g.episode("all processes of "+old.name+" frozen", func() {
		frozen := c.processes(old)
		for _, p := range frozen {
			_ = syscall.Kill(p.pid, syscall.SIGSTOP)
		}
		defer func() {
			for _, p := range frozen {
				_ = syscall.Kill(p.pid, syscall.SIGCONT)
			}
		}()
		c.leaderOf(c.others(old), 30*time.Second)
		g.waitAcked(200) // while it is frozen still
	})
	if failed > programWriters {
		t.Errorf("%d statements failed", failed)
	}
	if gap > 20*time.Second {
		t.Errorf("nothing was acknowledged for %v", gap)
	}
	g.checkRows()
	c.waitHealthy()
}
