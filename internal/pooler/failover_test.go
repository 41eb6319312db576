package pooler

import (
	"context"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// mortal is a server of one test's own, with the secrets of the others.
func (w *world) mortal(t testing.TB, host string) *server {
	t.Helper()
	s := w.newServer(t, Target{host, w.servers[0].at.Port})
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		_ = s.cmd.Wait()
	})
	secret := w.servers[0].text(t, "SELECT rolpassword FROM pg_authid WHERE rolname = 'shop'")
	s.exec(t, "ALTER ROLE shop PASSWORD '"+secret+"'")
	return s
}

// TestFailover: the postmaster is killed, clients are held as soon as that shows, and let go at
// the new primary. Only who had a transaction open notices.
func TestFailover(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	s := w.mortal(t, "127.0.0.3")
	p := running(t, w.config(t), s.at)
	probe := must(s.dial(ctx))(t)
	var clients []*pgx.Conn
	for range 8 {
		conn := w.client(t, p, "sales")
		where(t, conn)
		clients = append(clients, conn)
	}
	busy := w.client(t, p, "sales")
	tx := must(busy.Begin(ctx))(t)
	must(tx.Exec(ctx, "SELECT 1"))(t)

	check(t, s.cmd.Process.Kill())
	_, _ = probe.WaitForNotification(ctx) // its end is the sign
	check(t, p.Hold(ctx))
	came := make(chan string, len(clients))
	for _, conn := range clients {
		go func() {
			var host string
			if err := conn.QueryRow(ctx, "SELECT current_setting('cluster_name')").Scan(&host); err != nil {
				host = err.Error()
			}
			came <- host
		}()
	}
	eventually(t, "all wait", func() bool { return stateOf(t, p).Waiting == len(clients) })
	to := []Target{w.servers[1].at}
	check(t, p.Route(ctx, to))
	must(p.DropStale(ctx, to))(t)
	check(t, p.Resume(ctx))
	for range clients {
		if host := <-came; host != "127.0.0.2" {
			t.Error(host)
		}
	}
	if _, err := tx.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("a transaction went on although its server was killed")
	}
}

// TestFrozenPrimary: a host that answers nothing any more keeps its clients for seconds, unless they are
// dropped.
func TestFrozenPrimary(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	s := w.mortal(t, "127.0.0.4")
	p := running(t, w.config(t), s.at)
	conn, other := w.client(t, p, "sales"), w.client(t, p, "sales")
	var backend int
	check(t, conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend))
	check(t, syscall.Kill(backend, syscall.SIGSTOP))
	defer func() { _ = syscall.Kill(backend, syscall.SIGKILL) }()
	stuck := make(chan error, 1)
	go func() {
		_, err := conn.Exec(ctx, "SELECT 1")
		stuck <- err
	}()
	eventually(t, "the statement is under way", func() bool { return stateOf(t, p).Active == 1 })
	to := []Target{w.servers[1].at}
	check(t, p.Hold(ctx))
	check(t, p.Route(ctx, to))
	if n, err := p.DropStale(ctx, to); n != 1 || err != nil {
		t.Errorf("dropped: %d %v", n, err)
	}
	check(t, p.Resume(ctx))
	if err := <-stuck; err == nil || !strings.Contains(err.Error(), "admin forced disconnect") {
		t.Errorf("a statement at the frozen server: %v", err)
	}
	if host := where(t, other); host != "127.0.0.2" {
		t.Errorf("another client is at %s", host)
	}
}

// TestNotStuckBehindAFailedLogin: PgBouncer answers for a server that refuses until it has tried again.
// That must be soon.
func TestNotStuckBehindAFailedLogin(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	cfg := w.config(t)
	cfg.Settings.QueryWait = 300 * time.Millisecond
	p := running(t, cfg, Target{"127.0.0.5", w.servers[0].at.Port}) // nobody listens there
	if _, err := pgx.ConnectConfig(ctx, w.clientConfig(t, p, "shop", "sales", password)); err == nil {
		t.Fatal("let in by nobody")
	}
	check(t, p.Route(ctx, []Target{w.servers[0].at}))
	routed := time.Now()
	eventually(t, "clients are let in", func() bool {
		try, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		conn, err := pgx.ConnectConfig(try, w.clientConfig(t, p, "shop", "sales", password))
		if err == nil {
			conn.Close(ctx)
		}
		return err == nil
	})
	if took := time.Since(routed); took > 2*time.Second { // PgBouncer's own patience is 15 s
		t.Errorf("a refusal was remembered for %v", took)
	}
}
