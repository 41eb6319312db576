package pooler

import (
	"context"
	"crypto/tls"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/test/ports"
)

// TestClients: who may come through an endpoint, and who may not.
func TestClients(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	p := running(t, w.config(t), w.servers[0].at)
	for _, db := range []string{"postgres", "sales", "Odd name"} {
		var name string
		check(t, w.client(t, p, db).QueryRow(ctx, "SELECT current_database()").Scan(&name))
		if name != db {
			t.Errorf("in %q, not in %q", name, db)
		}
	}
	unknown := "(no such user|SASL authentication failed)"
	for name, c := range map[string]struct{ user, db, pass, refusal string }{
		"wrong password":              {"shop", "sales", "no", "SASL authentication failed"},
		"no password":                 {"shop", "sales", "", "authentication failed"},
		"superuser":                   {"boss", "sales", password, unknown},
		"the superuser":               {"postgres", "postgres", password, unknown},
		"past its date":               {"past", "sales", password, unknown},
		"pgherd's own role":           {"pgherd_pooler", "postgres", password, unknown},
		"nobody":                      {"nobody", "sales", password, unknown},
		"no such database":            {"shop", "nowhere", password, "does not exist"},
		"the console":                 {"pgbouncer", "pgbouncer", password, "not allowed"},
		"the console as another role": {"shop", "pgbouncer", password, "not allowed"},
	} {
		conn, err := pgx.ConnectConfig(ctx, w.clientConfig(t, p, c.user, c.db, c.pass))
		if err == nil {
			conn.Close(ctx)
		}
		if err == nil || !regexp.MustCompile(c.refusal).MatchString(err.Error()) {
			t.Errorf("%s: want a refusal with %q, got %v", name, c.refusal, err)
		}
	}
	plain := w.clientConfig(t, p, "shop", "sales", password)
	plain.TLSConfig = nil
	if _, err := pgx.ConnectConfig(ctx, plain); err == nil || !strings.Contains(err.Error(), "SSL required") {
		t.Errorf("without TLS: %v", err)
	}
}

// TestClientCertificates: none is needed, and one of the cluster's CA does no harm.
func TestClientCertificates(t *testing.T) {
	w := theServers(t)
	p := running(t, w.config(t), w.servers[0].at)
	cfg := w.clientConfig(t, p, "shop", "sales", password)
	cfg.TLSConfig.Certificates = []tls.Certificate{must(tls.LoadX509KeyPair(w.keys.NodeCert(), w.keys.NodeKey()))(t)}
	where(t, must(pgx.ConnectConfig(testContext(t), cfg))(t))
	cfg.Password = "no"
	if _, err := pgx.ConnectConfig(testContext(t), cfg); err == nil {
		t.Error("a certificate stood for a password")
	}
}

// TestReloadIsQuick: it is a part of each handover. (With the system's CA bundle it took 10 to 20 ms.)
func TestReloadIsQuick(t *testing.T) {
	w := theServers(t)
	p := running(t, w.config(t), w.servers[0].at)
	best := time.Hour
	for round := range 10 {
		began := time.Now()
		check(t, p.Route(testContext(t), []Target{w.servers[(round+1)%2].at}))
		best = min(best, time.Since(began))
	}
	if best > 8*time.Millisecond {
		t.Errorf("the quickest of ten took %v", best)
	}
	t.Logf("the quickest of ten took %v", best)
}

// TestServersSeeTLS: the connection to PostgreSQL is encrypted, too, and a server that is not the cluster's is not
// believed.
func TestServersSeeTLS(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	p := running(t, w.config(t), w.servers[0].at)
	var encrypted bool
	check(t, w.client(t, p, "sales").QueryRow(ctx, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted))
	if !encrypted {
		t.Error("no TLS between PgBouncer and PostgreSQL")
	}
	other := newKeys(t)
	cfg := w.config(t)
	cfg.CAFile = other.CACert()
	cfg.Settings.QueryWait = 300 * time.Millisecond
	strict := running(t, cfg, w.servers[0].at)
	if _, err := pgx.ConnectConfig(ctx, w.clientConfig(t, strict, "shop", "sales", password)); err == nil {
		t.Error("a server with another CA's certificate was believed")
	}
}

// TestPreparedStatements: named statements live on although transactions change servers' connections.
func TestPreparedStatements(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	cfg := w.config(t)
	cfg.Settings.PoolSize = 2
	p := running(t, cfg, w.servers[0].at)
	var conns []*pgx.Conn
	for range 5 {
		conns = append(conns, w.client(t, p, "sales"))
	}
	blocker := must(conns[4].Begin(ctx))(t) // takes one of the two
	for round := range 20 {
		for i, c := range conns[:4] {
			var got int
			if err := c.QueryRow(ctx, "SELECT $1::int + $2::int", round, i).Scan(&got); err != nil || got != round+i {
				t.Fatalf("%d %v", got, err)
			}
		}
	}
	check(t, blocker.Rollback(ctx))
}

func TestReadOnlySpread(t *testing.T) {
	w := theServers(t)
	cfg := w.config(t)
	cfg.ReadOnly = true
	p := running(t, cfg, w.servers[0].at, w.servers[1].at)
	ctx := testContext(t)
	seen := map[string]int{}
	var open []pgx.Tx
	for range 8 { // eight at once, so that there are eight connections
		tx := must(w.client(t, p, "sales").Begin(ctx))(t)
		var host string
		check(t, tx.QueryRow(ctx, "SELECT current_setting('cluster_name')").Scan(&host))
		seen[host]++
		open = append(open, tx)
	}
	for _, tx := range open {
		check(t, tx.Rollback(ctx))
	}
	if seen["127.0.0.1"] != 4 || seen["127.0.0.2"] != 4 {
		t.Errorf("spread: %v", seen)
	}
	check(t, p.Route(ctx, []Target{w.servers[1].at}))
	for range 8 {
		if host := where(t, w.client(t, p, "sales")); host != "127.0.0.2" {
			t.Errorf("sent to %s, which was taken out", host)
		}
	}
}

// TestFiles: nobody else can read or reach anything, and no secret is written anywhere.
func TestFiles(t *testing.T) {
	w := theServers(t)
	cfg := w.config(t)
	p := running(t, cfg, w.servers[0].at)
	where(t, w.client(t, p, "sales"))
	_, err := pgx.ConnectConfig(testContext(t), w.clientConfig(t, p, "shop", "sales", "no"))
	if err == nil {
		t.Error("a wrong password was accepted")
	}
	secret := w.servers[0].text(t, "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop'")
	check(t, filepath.WalkDir(cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		check(t, err)
		info := must(d.Info())(t)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, info.Mode())
		}
		if info.Mode().IsRegular() {
			noSecret(t, path, secret)
		}
		return nil
	}))
	for _, name := range []string{"cmdline", "environ"} {
		noSecret(t, filepath.Join("/proc", itoa(stateOf(t, p).PID), name), secret)
	}
}

func noSecret(t *testing.T, path, secret string) {
	t.Helper()
	data := string(must(os.ReadFile(path))(t))
	if strings.Contains(data, password) || strings.Contains(data, secret) || strings.Contains(data, "SCRAM-SHA-256$") {
		t.Errorf("%s has a secret in it:\n%s", path, data)
	}
}

func TestPortInUse(t *testing.T) {
	w := theServers(t)
	cfg := w.config(t)
	l := must(net.Listen("tcp", cfg.Listen))(t)
	p := must(New(cfg))(t)
	if err := p.Ensure(testContext(t), []Target{w.servers[0].at}); !errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), cfg.Listen) {
		t.Errorf("beside another program: %v", err)
	}
	if s := stateOf(t, p); s.Running {
		t.Errorf("it runs: %+v", s)
	}
	check(t, l.Close())
	where(t, w.client(t, running(t, cfg, w.servers[0].at), "sales"))
}

// TestAdopt: an owner that comes back finds its PgBouncer as it was, with its clients.
func TestAdopt(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	cfg := w.config(t)
	p := running(t, cfg, w.servers[0].at)
	conn := w.client(t, p, "sales")
	where(t, conn)
	pid := stateOf(t, p).PID
	if pgid, err := syscall.Getpgid(pid); err != nil || pgid != pid {
		t.Errorf("process %d is in the group %d (%v): it would end with its owner", pid, pgid, err)
	}
	check(t, p.Pause(ctx))
	next := must(New(cfg))(t)
	if s := stateOf(t, next); !slices.Equal(s.Targets, []Target{w.servers[0].at}) || !s.Paused { // seen before anything is asked of it
		t.Errorf("before it is adopted: %+v", s)
	}
	check(t, next.Ensure(ctx, []Target{w.servers[0].at}))
	s := stateOf(t, next)
	if s.PID != pid || !s.Running || !s.Paused || s.Clients != 1 || s.Version.Major == 0 || len(s.Targets) != 1 {
		t.Errorf("adopted: %+v, started as %d", s, pid)
	}
	check(t, next.Resume(ctx))
	if where(t, conn) != "127.0.0.1" {
		t.Error("the client is elsewhere")
	}
	check(t, next.Ensure(ctx, []Target{w.servers[1].at})) // what changed meanwhile is put right
	if where(t, conn) != "127.0.0.2" {
		t.Error("the client is still sent to the former target")
	}
}

// TestStartsAgain: whatever ended the process or took its files away.
func TestStartsAgain(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	targets := []Target{w.servers[0].at}
	cfg := w.config(t)
	p := running(t, cfg, targets...)
	for name, harm := range map[string]func(pid int){
		"killed": func(pid int) { check(t, syscall.Kill(pid, syscall.SIGKILL)) },
		"killed, and its pid file names another's process": func(pid int) {
			check(t, syscall.Kill(pid, syscall.SIGKILL))
			check(t, os.WriteFile(cfg.path(pidFile), []byte(itoa(os.Getpid())+"\n"), 0o600))
		},
		"its socket was removed": func(int) { check(t, os.Remove(cfg.socket())) },
	} {
		pid := stateOf(t, p).PID
		harm(pid)
		eventually(t, name, func() bool { return !stateOf(t, p).Running })
		check(t, p.Ensure(ctx, targets))
		s := stateOf(t, p)
		if !s.Running || s.PID == pid || alive(pid) {
			t.Errorf("%s: %+v; the old one was %d, alive: %v", name, s, pid, alive(pid))
		}
		where(t, w.client(t, p, "sales"))
	}
	pid := stateOf(t, p).PID
	check(t, p.Stop(ctx))
	check(t, p.Stop(ctx))
	if stateOf(t, p).Running || alive(pid) {
		t.Error("it runs after Stop")
	}
	check(t, p.Ensure(ctx, targets))
	pid = stateOf(t, p).PID
	check(t, syscall.Kill(pid, syscall.SIGSTOP)) // it listens, and does not answer
	short, cancel := context.WithTimeout(ctx, 100e6)
	defer cancel()
	if err := p.Ensure(short, targets); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen one: %v", err)
	}
	check(t, p.Stop(short))
	if alive(pid) {
		t.Error("a frozen one lives on after Stop")
	}
	check(t, p.Ensure(ctx, targets))
}

// TestAnotherAddress: what cannot be changed in a running PgBouncer takes a new one.
func TestAnotherAddress(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	cfg := w.config(t)
	pid := stateOf(t, running(t, cfg, w.servers[0].at)).PID
	for _, listen := range []string{"127.0.0.2:" + cfg.port(), "127.0.0.1:" + itoa(ports.Free(t))} {
		cfg.Listen = listen
		p := must(New(cfg))(t)
		check(t, p.Ensure(ctx, []Target{w.servers[0].at}))
		if s := stateOf(t, p); alive(pid) || s.PID == pid {
			t.Errorf("%s: %+v, and the old one is alive: %v", listen, s, alive(pid))
		}
		pid = stateOf(t, p).PID
		conn := must(net.Dial("tcp", listen))(t)
		conn.Close()
		t.Cleanup(func() { _ = p.Stop(context.Background()) })
	}
}
