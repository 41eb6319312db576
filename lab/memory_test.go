//go:build lab

package lab

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
)

// The kernel runs out of memory for PostgreSQL, and chooses whom to kill.
var _ = add(
	scenario{name: "oom-backend", bounds: history.Bounds{OutageMax: crash.OutageMax}, run: oomBackend},
	scenario{name: "oom-postmaster", bounds: crash, run: oomPostmaster},
)

// memoryMax is above what PostgreSQL needs here and far below what the query asks for.
const memoryMax = 400 << 20

// eatMemory runs a query that takes a gigabyte, on a member whose PostgreSQL may have less.
func (l *Lab) eatMemory(p *cluster.Member) (answer chan error) {
	l.T.Helper()
	l.Do(fmt.Sprintf("PostgreSQL on %s may have %d MB", p.Name, memoryMax>>20), p.Host.LimitMemory("postgres", memoryMax, cluster.IsPostgres))
	l.T.Cleanup(func() { _ = p.Host.UnlimitMemory("postgres") })
	answer = make(chan error, 1)
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		conn, err := p.Connect(ctx)
		if err == nil {
			defer conn.Close(ctx)
			_, err = conn.Exec(ctx, "SELECT length(string_agg(repeat('x', 1000000), '')) FROM generate_series(1, 1000)")
		}
		answer <- err
	}()
	return answer
}

// killed waits for the query's end, which must be a bad one.
func (l *Lab) killed(answer chan error) {
	l.T.Helper()
	err := <-answer
	if err == nil {
		l.T.Fatal("the query had its memory: there was no fault")
	}
	l.Mark("the query ended: %v", err)
}

// oomBackend: the postmaster is protected (the warden sees to it), its children are not. PostgreSQL restarts itself in
// place, which is quicker than any failover.
func oomBackend(l *Lab) {
	p := l.primary()
	before, log := guards(p), len(l.postgresLog(p))
	l.killed(l.eatMemory(p))
	l.Cluster.Wait(5*time.Second, "PostgreSQL's word that a process of it was killed", func() bool {
		return strings.Contains(l.postgresLog(p)[log:], "was terminated by signal 9")
	})
	l.Load.WaitAcked(50)
	if now := guards(p); now != before {
		l.T.Errorf("postmaster and warden %v are now %v: the kernel should have chosen a backend", before, now)
	}
}

// oomPostmaster makes the postmaster the kernel's first choice.
func oomPostmaster(l *Lab) {
	p := l.primary()
	postmaster := p.PID(cluster.Postmaster)
	since := time.Now()
	l.Do("the kernel is to prefer the postmaster", os.WriteFile(fmt.Sprintf("/proc/%d/oom_score_adj", postmaster), []byte("1000"), 0o644))
	l.killed(l.eatMemory(p))
	l.takenOver(p)
	l.told(since, "postgres_ended", "leader_changed")
	if now := p.PID(cluster.Postmaster); now == postmaster {
		l.T.Errorf("the postmaster %d lives: there was no fault", now)
	}
}
