//go:build lab

package lab

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/load"
)

var _ = add(
	scenario{name: "handover-under-load", config: withEndpoints, bounds: history.Bounds{OutageMax: 3 * time.Second, ChangesMax: 2}, run: handoverUnderLoad},
	scenario{name: "handover-long-transaction", config: withEndpoints, bounds: history.Bounds{OutageMax: 6 * time.Second, ChangesMax: 1}, run: handoverLongTransaction},
)

// handoverUnderLoad goes there and back; clients behind the endpoints of all members must not notice.
func handoverUnderLoad(l *Lab) {
	l.Judge = func(h history.History, _ history.Report) { l.judgeFailed(h); l.judgeGaps(h, history.Report{}) }
	for range 2 {
		l.endpointsReady()
		old := l.primary()
		to := l.Cluster.Standbys(old)[0]
		l.Mark("switchover to %s", to.Name)
		l.T.Log(old.Must("switchover", to.Name))
		l.checkCertificate(old, to)
	}
	l.endpointsReady()
}

// judgeFailed: no statement of a client behind an endpoint failed.
func (l *Lab) judgeFailed(h history.History) {
	failed := load.Failed(h, stopped(h))
	if len(failed) > 0 {
		l.T.Errorf("%d statements behind endpoints failed, such as: %s", len(failed), failed[0])
	}
}

func stopped(h history.History) time.Duration {
	for _, m := range h.Marks {
		if m.Text == clientsStop {
			return m.At
		}
	}
	return h.End
}

// checkCertificate: all who took part have told theirs, and the new primary had everything.
func (l *Lab) checkCertificate(old, to *cluster.Member) {
	l.T.Helper()
	op := l.operation(to)
	c := op.Certificate
	if op.Phase != core.PhaseDone || op.To != to.Name || !c.Whole {
		l.T.Errorf("the certificate is not complete: %+v", op)
	}
	if c.Shutdown == 0 || c.Received.LSN <= c.Shutdown {
		l.T.Errorf("%s stopped at %s, %s had received %s: that proves nothing", old.Name, c.Shutdown, to.Name, c.Received)
	}
	if len(c.Poolers) != len(l.Cluster.Members) {
		l.T.Errorf("%d poolers told their part: %+v", len(c.Poolers), c.Poolers)
	}
	l.tells(15*time.Second, " certificate: ", op.By, c.Shutdown.String(), c.Received.LSN.String())
	for _, p := range c.Poolers {
		if p.State != core.HoldOver || p.HeldMS <= 0 || p.Errors > 0 {
			l.T.Errorf("the pooler of %s: %+v", p.Name, p)
		}
	}
}

// handoverLongTransaction: what is open behind an endpoint takes the handover back; with --force it is ended.
func handoverLongTransaction(l *Lab) {
	l.endpointsReady()
	old := l.primary()
	to, third := l.Cluster.Standbys(old)[0], l.farStandby(old)
	open := l.openTransaction(third)
	l.Mark("switchover to %s while a transaction is open behind the endpoint of %s", to.Name, third.Name)
	a := old.Run("switchover", to.Name, "--max-wait", "1s")
	l.T.Logf("%s", a)
	if a.Code != 1 || !strings.Contains(a.Stderr, third.Name) || !strings.Contains(a.Stderr, "did not end in 1s") || !strings.Contains(a.Stderr, cluster.Clerk) {
		l.T.Errorf("it should be taken back, with the pooler and the client that is in the way: %s", a)
	}
	l.Load.WaitEndpoints(3*time.Second, 5)
	if p := l.primary(); p != old {
		l.T.Errorf("%s leads", p.Name)
	}
	if err := open.exec("INSERT INTO lab_registers VALUES (-1, 0)"); err != nil {
		l.T.Errorf("the open transaction should go on: %v", err)
	}
	l.endpointsReady()
	l.Mark("the same with --force")
	l.T.Log(old.Must("switchover", to.Name, "--max-wait", "1s", "--force"))
	if err := open.exec("SELECT 1"); err == nil {
		l.T.Errorf("the transaction that was in the way is still open")
	}
	l.Load.WaitEndpoints(3*time.Second, 5)
	if p := l.primary(); p != to {
		l.T.Errorf("%s leads, not %s", p.Name, to.Name)
	}
}

// transaction is one that is open behind an endpoint.
type transaction struct {
	l *Lab
	c *pgconn.PgConn
}

func (l *Lab) openTransaction(behind *cluster.Member) *transaction {
	l.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	c, err := pgconn.Connect(ctx, "postgresql://"+cluster.Clerk+":"+url.QueryEscape(cluster.Password)+"@"+behind.Endpoint()+"/app?sslmode=require&application_name=long")
	if err != nil {
		l.T.Fatal(err)
	}
	l.T.Cleanup(func() { _ = c.Close(context.Background()) })
	open := &transaction{l, c}
	if err := open.exec("BEGIN; SELECT count(*) FROM lab_registers"); err != nil {
		l.T.Fatal(err)
	}
	return open
}

func (o *transaction) exec(sql string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := o.c.Exec(ctx, sql).ReadAll()
	return err
}

// commitLater gives what ends it; its server may have died meanwhile.
func (o *transaction) commitLater() func() {
	return func() {
		if err := o.exec("COMMIT"); err != nil {
			o.l.T.Logf("the open transaction: %v", err)
		}
	}
}
