//go:build lab

package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
)

// The primary's processes die or stop, one by one and all at once.
var _ = add(
	scenario{name: "kill-postmaster", bounds: crash, run: killPostmaster},
	scenario{name: "kill-postmaster-busy-backend", bounds: crash, run: killPostmasterBusyBackend},
	scenario{name: "kill-node", bounds: crash, run: killNode},
	scenario{name: "kill-agent", bounds: calm, run: killAgent},
	scenario{name: "kill-agent-forever", bounds: crash, run: killAgentForever},
	scenario{name: "kill-fence", bounds: crash, run: killFence},
)

// takenOver waits until another member than old leads and takes writes.
func (l *Lab) takenOver(old *cluster.Member) *cluster.Member {
	l.T.Helper()
	next := l.Cluster.WaitPrimary(20*time.Second, l.Cluster.Others(old)...)
	l.Mark("%s leads", next.Name)
	l.Load.WaitAcked(50)
	return next
}

// told waits until pgherd's events since the fault name these codes (N6).
func (l *Lab) told(since time.Time, codes ...string) {
	l.T.Helper()
	for _, code := range codes {
		l.Cluster.Wait(15*time.Second, "an event "+code, func() bool {
			for _, e := range l.Cluster.Events(since) {
				if e.Code == code || strings.HasPrefix(e.Text, code) {
					return true
				}
			}
			return false
		})
	}
}

// emptied waits until no process of PostgreSQL is left on a member of those that are there now. (A
// member without its store comes back as a standby at once.)
func (l *Lab) emptied(m *cluster.Member, limit time.Duration) {
	l.T.Helper()
	postmaster := m.PID(cluster.Postmaster)
	l.Cluster.Wait(limit, "no process of PostgreSQL on "+m.Name, func() bool {
		now := m.PID(cluster.Postmaster)
		return now != 0 && now != postmaster || len(m.Processes(cluster.Postmaster, cluster.Backend)) == 0
	})
	l.Mark("%s is empty", m.Name)
}

func killPostmaster(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Mark("SIGKILL to the postmaster of %s", p.Name)
	p.Kill(cluster.Postmaster)
	l.takenOver(p)
	l.told(since, "postgres_ended", "lease_released", "leader_changed")
}

// busySeconds is longer than any failover: what outlives its postmaster would commit after
// the new primary has taken writes.
const busySeconds = 15

// killPostmasterBusyBackend is the fault that the warden exists for: a backend in a long
// statement does not notice its postmaster's death, and was measured to commit 18 s later.
func killPostmasterBusyBackend(l *Lab) {
	p := l.primary()
	p.SQL("\\c app\nCREATE TABLE busy (id int)")
	answer := make(chan error, 1)
	go func() { answer <- runBusy(p) }()
	pid := ""
	l.Cluster.Wait(10*time.Second, "the busy backend", func() bool {
		var err error
		pid, err = p.Query("SELECT pid::text FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %busy%' AND pid <> pg_backend_pid()")
		return err == nil
	})
	since := time.Now()
	l.Mark("SIGKILL to the postmaster of %s while backend %s is busy", p.Name, pid)
	p.Kill(cluster.Postmaster)
	next := l.takenOver(p)
	if _, err := os.Stat("/proc/" + pid); err == nil {
		l.T.Errorf("backend %s is alive while %s leads", pid, next.Name)
	}
	if err := <-answer; err == nil {
		l.T.Error("the orphan's commit was acknowledged")
	}
	l.last((busySeconds+2)*time.Second - time.Since(since))
	if n, err := next.Query("SELECT count(*)::text FROM busy"); n != "0" || err != nil {
		l.T.Errorf("rows of the orphan on %s: %s, %v", next.Name, n, err)
	}
	l.told(since, "postgres_ended", "leader_changed")
}

func runBusy(p *cluster.Member) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	conn, err := p.Connect(ctx)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, fmt.Sprintf(`DO $$ DECLARE until timestamptz := clock_timestamp() + interval '%d s';
		BEGIN WHILE clock_timestamp() < until LOOP END LOOP; INSERT INTO busy VALUES (1); END $$`, busySeconds))
	return err
}

func killNode(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Do("the power of "+p.Name+" fails", p.Host.LinkDown())
	p.PowerCut()
	l.takenOver(p)
	l.told(since, "leader_changed")
	l.seen("member_unreachable")
}

// seen waits until the status of any member shows the condition.
func (l *Lab) seen(code core.Code) {
	l.T.Helper()
	l.Cluster.Wait(15*time.Second, "the condition "+string(code), func() bool {
		for _, m := range l.Cluster.Members {
			if s, ok := m.Status(); ok && cluster.Has(s, code) {
				return true
			}
		}
		return false
	})
}

// guards are the two processes that must outlive an agent.
func guards(m *cluster.Member) [2]int {
	return [2]int{m.PID(cluster.Postmaster), m.PID(cluster.Warden)}
}

func killAgent(l *Lab) {
	p := l.primary()
	before := guards(p)
	l.Mark("SIGKILL to the agent of %s", p.Name)
	p.Kill(cluster.Agent)
	p.WaitAgentEnd(5 * time.Second)
	time.Sleep(time.Second) // a supervisor's pause is the fault
	l.Mark("its supervisor starts it again")
	p.StartAgent()
	l.Cluster.Wait(20*time.Second, p.Name+" is seen again", func() bool {
		s, ok := p.Status()
		return ok && cluster.Of(s, p.Name).State == "running"
	})
	l.Load.WaitAcked(500)
	if now := guards(p); now != before {
		l.T.Errorf("postmaster and warden %v are now %v", before, now)
	}
	l.Judge = l.noneFailed
}

// noneFailed: no routed statement met an error. It is what zero downtime means to a client.
func (l *Lab) noneFailed(h history.History, _ history.Report) {
	failed, first := 0, history.Op{}
	stop := h.Marks[len(h.Marks)-1]
	if stop.Text != clientsStop {
		l.T.Fatalf("the last mark is %q", stop.Text)
	}
	for _, o := range h.Ops {
		if o.Routed && o.Outcome == history.Unknown && o.Done < stop.At {
			if failed == 0 {
				first = o
			}
			failed++
		}
	}
	if failed > 0 {
		l.T.Errorf("%d statements failed; the first at %v: %s", failed, first.Done, first.Text)
	}
}

func killAgentForever(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Mark("SIGKILL to the agent of %s, for good", p.Name)
	p.Kill(cluster.Agent)
	l.emptied(p, 8*time.Second)
	l.takenOver(p)
	l.told(since, "leader_changed")
	l.fencedByDeadline(p)
}

// fencedByDeadline: the warden's own log says why.
func (l *Lab) fencedByDeadline(m *cluster.Member) {
	l.T.Helper()
	l.Cluster.Wait(5*time.Second, "the deadline as the reason in the warden's log of "+m.Name, func() bool { // it logs apart from what it does
		log, err := os.ReadFile(filepath.Join(m.StateDir, "warden.log"))
		return err == nil && strings.Contains(string(log), "the deadline passed without a trusted renewal")
	})
}

func killFence(l *Lab) {
	p, since := l.primary(), time.Now()
	l.Mark("SIGKILL to the warden of %s", p.Name)
	postmaster := p.PID(cluster.Postmaster)
	warden := p.Kill(cluster.Warden)
	l.Cluster.Wait(5*time.Second, "a new warden", func() bool { pid := p.PID(cluster.Warden); return pid != 0 && pid != warden })
	l.Cluster.Wait(5*time.Second, "the end of the old postmaster", func() bool { return p.PID(cluster.Postmaster) != postmaster })
	l.Load.WaitAcked(50)
	l.told(since, "primary_open")
}

// stopped sends SIGSTOP and gives the way back, which is safe to call twice.
func (l *Lab) stop(m *cluster.Member, kind cluster.Kind) (resume func()) {
	l.T.Helper()
	pid := m.Signal(kind, syscall.SIGSTOP)
	done := false
	resume = func() {
		if !done {
			done = true
			_ = syscall.Kill(pid, syscall.SIGCONT)
		}
	}
	l.T.Cleanup(resume)
	return resume
}
