package pooler

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/internal/pki"
)

func itoa(n int) string { return strconv.Itoa(n) }

func newKeys(t testing.TB) pki.Dir {
	t.Helper()
	ca := must(pki.NewCA("0190b5a0-0000-7000-8000-000000000001", time.Now()))(t)
	keys := pki.Dir(testDir(t))
	check(t, ca.Save(keys))
	return keys
}

// load is clients that write as fast as they can.
type load struct {
	stop   context.CancelFunc
	done   sync.WaitGroup
	count  atomic.Int64
	errors atomic.Int64
	last   atomic.Value // the last error's text
	hosts  sync.Map
}

func (w *world) load(t testing.TB, p *PgBouncer, clients int) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(testContext(t))
	l := &load{stop: cancel}
	for range clients {
		conn := w.client(t, p, "sales")
		l.done.Go(func() {
			for ctx.Err() == nil {
				var host string
				err := pgx.BeginFunc(context.Background(), conn, func(tx pgx.Tx) error {
					return tx.QueryRow(context.Background(), "SELECT current_setting('cluster_name')").Scan(&host)
				})
				if err != nil {
					l.errors.Add(1)
					l.last.Store(err.Error())
					return
				}
				l.hosts.Store(host, true)
				l.count.Add(1)
			}
		})
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) end() { l.stop(); l.done.Wait() }

// moves waits for n more transactions.
func (l *load) moves(t testing.TB, n int64) {
	t.Helper()
	from := l.count.Load()
	eventually(t, "clients go on", func() bool { return l.count.Load() >= from+n || l.errors.Load() > 0 })
}

func (l *load) unharmed(t testing.TB) {
	t.Helper()
	if n := l.errors.Load(); n > 0 {
		t.Fatalf("%d clients failed: %v", n, l.last.Load())
	}
}

// TestHandover: clients are held, sent to another server, and let go. None notices, also when logins to
// the server are still under way.
func TestHandover(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	cfg := w.config(t)
	cfg.Settings.PoolSize = 4 // some always wait
	p := running(t, cfg, w.servers[0].at)
	l := w.load(t, p, 12)
	l.moves(t, 50)
	for round := range 40 {
		to := w.servers[(round+1)%2].at
		check(t, p.Pause(ctx))
		s := stateOf(t, p)
		if !s.Paused || s.Active != 0 || s.Clients != 12 {
			t.Errorf("paused: %+v", s)
		}
		before := l.count.Load()
		check(t, p.Route(ctx, []Target{to}))
		eventually(t, "all wait", func() bool { return stateOf(t, p).Waiting == 12 })
		if after := l.count.Load(); after > before+12 { // answers that were under way
			t.Errorf("%d transactions in a pause", after-before)
		}
		l.hosts.Clear()
		check(t, p.Resume(ctx))
		check(t, p.Resume(ctx))
		l.moves(t, int64(1+round))
		l.unharmed(t)
		l.hosts.Range(func(host, _ any) bool {
			if host != to.Host {
				t.Errorf("round %d: somebody was sent to %s", round, host)
			}
			return true
		})
		if n, err := p.DropStale(ctx, []Target{to}); n != 0 || err != nil {
			t.Errorf("stale clients after a handover: %d %v", n, err)
		}
	}
	l.end()
	l.unharmed(t)
	checkWidth(t, p, cfg.Settings.PoolSize)
}

// checkWidth: pools are narrow for moments only.
func checkWidth(t testing.TB, p *PgBouncer, want int) {
	t.Helper()
	c := must(dial(testContext(t), p.cfg.socket()))(t)
	defer c.Close()
	config := must(c.command(testContext(t), "SHOW CONFIG"))(t)
	for i := range config {
		if config[i]["key"] == "default_pool_size" && config.number(i, "value") != want {
			t.Errorf("pools are %s wide, not %d", config[i]["value"], want)
		}
	}
}

// TestNewClientsWait: who connects in a pause is let in after it.
func TestNewClientsWait(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	p := running(t, w.config(t), w.servers[0].at)
	check(t, p.Pause(ctx))
	var wait sync.WaitGroup
	for range 5 {
		cfg := w.clientConfig(t, p, "shop", "sales", password)
		wait.Go(func() {
			conn, err := pgx.ConnectConfig(ctx, cfg)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close(ctx)
			if where(t, conn) != "127.0.0.2" {
				t.Error("sent to the former target")
			}
		})
	}
	eventually(t, "all five wait", func() bool { return stateOf(t, p).Waiting == 5 })
	check(t, p.Route(ctx, []Target{w.servers[1].at}))
	check(t, p.Resume(ctx))
	wait.Wait()
}

// TestPauseTakenBack: a transaction that does not end keeps the pause from being complete. The session
// of that PAUSE must not be confused with the next one (PgBouncer's issue 715).
func TestPauseTakenBack(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	p := running(t, w.config(t), w.servers[0].at)
	for range 3 {
		tx := must(w.client(t, p, "sales").Begin(ctx))(t)
		must(tx.Exec(ctx, "SELECT 1"))(t)
		short, cancel := context.WithTimeout(ctx, 150*time.Millisecond)
		if err := p.Pause(short); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("with an open transaction: %v", err)
		}
		cancel()
		s := stateOf(t, p)
		if !s.Paused || s.Active != 1 || len(s.Servers) != 1 || !s.Servers[0].Active || s.Servers[0].Target != w.servers[0].at {
			t.Errorf("after a pause that was not complete: %+v", s)
		}
		var pid int
		check(t, tx.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)) // what is open goes on
		if b := s.Servers[0]; b.RemotePID != pid || b.Database != "sales" || b.User != "shop" || b.Client == "" || time.Since(b.Since) > time.Minute {
			t.Errorf("what keeps the pause: %+v, backend %d", b, pid)
		}
		checkWidth(t, p, 20)
		check(t, p.Resume(ctx))
		other := w.client(t, p, "sales")
		where(t, other)
		paused := make(chan error, 1)
		go func() { paused <- p.Pause(ctx) }()
		eventually(t, "it is paused", func() bool { return stateOf(t, p).Paused })
		check(t, tx.Rollback(ctx))
		check(t, <-paused)
		check(t, p.Resume(ctx))
		where(t, other)
	}
}

// TestHold: clients are held at once; a Pause then completes it, and who keeps that from
// happening can be ended.
func TestHold(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	p := running(t, w.config(t), w.servers[0].at)
	kept, busy := w.client(t, p, "sales"), w.client(t, p, "sales")
	where(t, kept)
	tx := must(busy.Begin(ctx))(t)
	must(tx.Exec(ctx, "SELECT 1"))(t)
	check(t, p.Hold(ctx))
	check(t, p.Hold(ctx))
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	if err := p.Pause(short); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("pause with an open transaction: %v", err)
	}
	paused := make(chan error, 1)
	go func() { paused <- p.Pause(ctx) }()
	if n, err := p.DropActive(ctx); n != 1 || err != nil {
		t.Errorf("dropped: %d %v", n, err)
	}
	check(t, <-paused)
	if _, err := tx.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("the client that was dropped goes on")
	}
	check(t, p.Resume(ctx))
	where(t, kept)
}

// TestDropStale: after a failover only those whose transaction was open at the old primary are dropped.
func TestDropStale(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	p := running(t, w.config(t), w.servers[0].at)
	idle, busy := w.client(t, p, "sales"), w.client(t, p, "sales")
	where(t, idle)
	tx := must(busy.Begin(ctx))(t)
	must(tx.Exec(ctx, "SELECT 1"))(t)
	to := []Target{w.servers[1].at}
	check(t, p.Hold(ctx))
	check(t, p.Route(ctx, to))
	if n, err := p.DropStale(ctx, to); n != 1 || err != nil {
		t.Errorf("dropped: %d %v", n, err)
	}
	check(t, p.Resume(ctx))
	if _, err := tx.Exec(ctx, "SELECT 1"); err == nil {
		t.Error("a transaction goes on at the old primary")
	}
	if where(t, idle) != "127.0.0.2" {
		t.Error("an idle client was not moved")
	}
}

// TestWithoutTargets: clients wait until there is somewhere to go.
func TestWithoutTargets(t *testing.T) {
	w := theServers(t)
	ctx := testContext(t)
	p := running(t, w.config(t))
	if s := stateOf(t, p); !s.Paused || len(s.Targets) != 0 {
		t.Errorf("without targets: %+v", s)
	}
	came := make(chan *pgx.Conn, 1)
	go func() { came <- w.client(t, p, "sales") }()
	eventually(t, "it waits", func() bool { return stateOf(t, p).Waiting == 1 })
	check(t, p.Route(ctx, []Target{w.servers[0].at}))
	check(t, p.Resume(ctx))
	if where(t, <-came) != "127.0.0.1" {
		t.Error("sent elsewhere")
	}
	check(t, p.Route(ctx, nil))
	if s := stateOf(t, p); !s.Paused {
		t.Errorf("without targets again: %+v", s)
	}
	check(t, p.Route(ctx, []Target{w.servers[0].at}))
	check(t, p.Resume(ctx))
}
