//go:build lab

package lab

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
)

// cancellers are clients with little patience: each sends a cancel request some milliseconds
// after its commit. They have a table of their own, so that the other clients' verdict is theirs.
type cancellers struct {
	l       *Lab
	quit    context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup

	mu              sync.Mutex
	next            int64
	acked           []int64
	warned, aborted int
}

func (l *Lab) startCancellers(n int) *cancellers {
	l.T.Helper()
	k := &cancellers{l: l}
	k.quit, k.stop = context.WithCancel(context.Background())
	l.T.Cleanup(k.end)
	p := l.primary()
	if _, err := p.Query("CREATE TABLE cancelled (id bigint)"); err != nil && !strings.Contains(err.Error(), "no rows") {
		l.T.Fatal(err)
	}
	for i := range n {
		random := rand.New(rand.NewPCG(38, uint64(i)))
		k.workers.Go(func() { k.work(random) })
	}
	return k
}

func (k *cancellers) end() {
	k.stop()
	k.workers.Wait()
}

func (k *cancellers) work(random *rand.Rand) {
	for k.quit.Err() == nil {
		config, err := pgconn.ParseConfig(cluster.DSN("read-write", k.l.Cluster.Members...))
		if err != nil {
			k.l.T.Error(err)
			return
		}
		warned := false
		config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { warned = warned || n.Severity == "WARNING" }
		c, err := pgconn.ConnectConfig(k.quit, config)
		if err != nil {
			continue
		}
		for err == nil && k.quit.Err() == nil {
			warned = false
			err = k.one(c, random, &warned)
		}
		_ = c.Close(context.Background())
	}
}

// one sends a commit and cancels it after a moment. An ERROR is no reason to connect anew.
func (k *cancellers) one(c *pgconn.PgConn, random *rand.Rand, warned *bool) error {
	k.mu.Lock()
	k.next++
	id := k.next
	k.mu.Unlock()
	cancelled := make(chan struct{})
	impatient := time.AfterFunc(time.Duration(random.IntN(20000))*time.Microsecond, func() {
		defer close(cancelled)
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Second)
		defer stop()
		_ = c.CancelRequest(ctx)
	})
	_, err := c.Exec(k.quit, fmt.Sprintf("INSERT INTO cancelled VALUES (%d)", id)).ReadAll()
	if !impatient.Stop() {
		<-cancelled // it must not hit the next statement
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case err == nil && *warned:
		k.warned++
	case err == nil:
		k.acked = append(k.acked, id)
	case !c.IsClosed():
		k.aborted++
		return nil
	}
	return err
}

// clientCancel is isolate-primary under such clients: with no standby in reach each commit waits,
// and is cancelled while it waits.
func clientCancel(l *Lab) {
	old := l.primary()
	k := l.startCancellers(4)
	l.Load.WaitAcked(100)
	l.Do(old.Name+" is cut off", l.Rig.Isolate(old.Host))
	next := l.Cluster.WaitPrimary(20*time.Second, l.Cluster.Others(old)...)
	l.Mark("%s leads", next.Name)
	l.Load.WaitAcked(100)
	l.Do("the cut is healed", l.Rig.HealNet())
	l.Cluster.WaitWhole(60 * time.Second)
	k.end()
	l.T.Logf("cancellers: %d acknowledged, %d acknowledged with a warning, %d aborted", len(k.acked), k.warned, k.aborted)
	if k.warned == 0 || len(k.acked) == 0 {
		l.T.Error("no wait was cancelled, or none was not: this shows nothing")
	}
	l.Judge = func(history.History, history.Report) { k.judge() }
}

// judge looks for all rows that were acknowledged without a warning.
func (k *cancellers) judge() {
	for _, m := range k.l.Cluster.Data() {
		n := k.l.as(m, "SELECT count(DISTINCT id)::text FROM cancelled WHERE id = ANY($1)", k.acked)
		if n != fmt.Sprint(len(k.acked)) {
			k.l.T.Errorf("%s has %s of %d rows that were acknowledged without a warning", m.Name, n, len(k.acked))
		}
	}
}
