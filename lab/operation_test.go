//go:build lab

package lab

import (
	"context"
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/rig"
)

var _ = add(
	scenario{name: "planned-switchover", bounds: history.Bounds{OutageMax: 3 * time.Second, ChangesMax: 2}, run: plannedSwitchover},
	scenario{name: "client-cancel", run: clientCancel,
		bounds: history.Bounds{OutageMax: 10 * time.Second, ChangesMax: 1, DirtyReads: "a cancelled wait makes a row visible that no standby has"}},
	scenario{name: "bad-config", bounds: calm, run: badConfig},
	// A storm of TLS handshakes takes this machine's two cores.
	scenario{name: "conn-storm", run: connStorm, bounds: history.Bounds{OutageMax: 8 * time.Second, ChangesMax: 1,
		LateAnswers: "two thousand clients in the writers' own process: it reads its answers late", StaleReads: "the same for reads"}},
)

// farStandby is the last of the standbys.
func (l *Lab) farStandby(p *cluster.Member) *cluster.Member {
	standbys := l.Cluster.Standbys(p)
	return standbys[len(standbys)-1]
}

// plannedSwitchover goes to a named member and back.
func plannedSwitchover(l *Lab) {
	old := l.primary()
	to := l.farStandby(old)
	l.Mark("switchover to %s", to.Name)
	old.Must("switchover", to.Name)
	l.Cluster.WaitReady(60 * time.Second)
	l.Mark("and back to %s", old.Name)
	to.Must("switchover", old.Name)
	if p := l.primary(); p != old {
		l.T.Errorf("%s leads, not %s", p.Name, old.Name)
	}
	l.tells(10*time.Second, "operation", "done")
}

// badConfig tries what cannot be right, and what only a start shows to be wrong.
func badConfig(l *Lab) {
	p := l.primary()
	pid := p.PID(cluster.Postmaster)
	for _, set := range []string{"max_connections=lots", "wrok_mem=4MB", "archive_command=/bin/true"} {
		if a := p.Run("config", "set", "postgres.parameters."+set); a.Code != 3 && a.Code != 2 || !strings.Contains(a.Stderr, "error: ") {
			l.T.Errorf("%s should be refused: %s", set, a)
		}
	}
	l.last(5 * time.Second) // what to go back to is known after 3 s of running
	l.Mark("shared_buffers = 900GB")
	p.Must("config", "set", "postgres.parameters.shared_buffers=900GB")
	l.sees(p, 20*time.Second, core.CondPending)
	if a := p.Run("restart"); a.Code != 1 || !strings.Contains(a.Stderr, "taken back") {
		l.T.Errorf("the restart should be taken back: %s", a)
	}
	l.sees(p, 20*time.Second, core.CondRejected)
	l.Cluster.WaitWhole(60 * time.Second)
	l.remains(p, pid)
	p.Must("config", "set", "postgres.parameters.shared_buffers=")
	l.Cluster.Wait(30*time.Second, "no condition is left", func() bool {
		for _, m := range l.Cluster.Status().Members {
			if len(m.Conditions) > 0 {
				return false
			}
		}
		return true
	})
	l.remains(p, pid)
}

// stormer connects as a role without privileges: it takes all connections that are for everybody.
func stormer(ctx context.Context, m *cluster.Member) (*pgconn.PgConn, error) {
	return pgconn.Connect(ctx, "postgresql://storm:"+url.QueryEscape(cluster.Password)+"@"+m.Addr()+"/app?sslmode=require&connect_timeout=5")
}

// connStorm: ten times as many clients as there is room for, for ten seconds, and every WAL sender
// taken. A switchover in its middle shows that the agents still act.
func connStorm(l *Lab) {
	p := l.primary()
	p.SQL("CREATE ROLE storm LOGIN PASSWORD '" + cluster.Password + "'")
	senders := l.takeSenders(p)
	ctx, stop := context.WithTimeout(context.Background(), 60*time.Second)
	var clients sync.WaitGroup
	l.T.Cleanup(func() { stop(); clients.Wait() })
	l.Mark("2000 clients want in")
	for range 2000 {
		clients.Go(func() { l.storm(ctx, p) })
	}
	l.Cluster.Wait(20*time.Second, "all connections taken", func() bool {
		c, err := stormer(ctx, p)
		if err == nil {
			_ = c.Close(ctx)
		}
		return err != nil && strings.Contains(err.Error(), "53300")
	})
	l.Mark("no connection is left for them")
	l.sees(p, 15*time.Second, core.CondConnections)
	if s := cluster.Of(l.Cluster.Status(), p.Name); s.Role != api.RolePrimary || s.State != api.StateRunning {
		l.T.Errorf("its agent does not see that %s leads: %+v", p.Name, s)
	}
	to := l.Cluster.Standbys(p)[0]
	l.Mark("switchover to %s", to.Name)
	a := p.Run("switchover", to.Name)
	l.T.Logf("switchover: %s", a)
	if a.Code != 0 {
		l.T.Errorf("the agents do not act any more")
	}
	stop()
	clients.Wait()
	senders()
	l.Mark("the storm is over")
}

// storm connects again and again, and keeps what it gets.
func (l *Lab) storm(ctx context.Context, m *cluster.Member) {
	for ctx.Err() == nil {
		c, err := stormer(ctx, m)
		if err != nil {
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Second):
			}
			continue
		}
		<-ctx.Done()
		_ = c.Close(context.Background())
	}
}

// takeSenders opens replication connections with the member's own certificate until there is
// no WAL sender left; the function that it gives ends them.
func (l *Lab) takeSenders(m *cluster.Member) (release func()) {
	l.T.Helper()
	pki := filepath.Join(m.StateDir, "pki")
	dsn := fmt.Sprintf("host=%s port=%d user=%s dbname=postgres replication=true sslmode=require sslcert=%s sslkey=%s",
		m.Host.Addr, cluster.Port, "pgherd_replicator", filepath.Join(pki, "node.crt"), filepath.Join(pki, "node.key"))
	var taken []*exec.Cmd
	for range 40 {
		cmd := m.Host.Cmd(rig.Command{Args: []string{"psql", "-XqAt", dsn, "-c", "IDENTIFY_SYSTEM", "-f", "-"}, Outside: true})
		if _, err := cmd.StdinPipe(); err != nil {
			l.T.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			l.T.Fatal(err)
		}
		taken = append(taken, cmd)
	}
	release = func() {
		for _, cmd := range taken {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
	}
	l.T.Cleanup(release)
	want := m.SQL("SHOW max_wal_senders")
	l.Cluster.Wait(20*time.Second, "all WAL senders taken", func() bool {
		return m.SQL("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'walsender'") == want
	})
	l.Mark("all %s WAL senders are taken", want)
	return release
}
