package integration

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// ack is one acknowledged insert: in which reign, and when it was sent and acknowledged.
type ack struct {
	id          int64
	timeline    string // of the primary, as the WAL file names have it
	sent, acked time.Time
}

// load is writers that insert rows all the time and remember what they were told.
type load struct {
	c        *cluster
	strict   bool // a write that is refused as read-only is a failure
	next     atomic.Int64
	mu       sync.Mutex
	acks     []ack
	failures []string // statements that failed on an open connection
	stop     chan struct{}
	once     sync.Once
	writers  sync.WaitGroup
}

// startLoad begins n writers through a multi-host connection string.
func (c *cluster) startLoad(n int) *load {
	c.t.Helper()
	l := c.newLoad()
	for range n {
		l.writers.Go(func() { l.write("read-write", c.members...) })
	}
	l.waitAcked(20)
	return l
}

// startPinned begins one writer for each member, which tries to write there whatever the
// member says of itself: only so would two primaries at once be seen.
func (c *cluster) startPinned() *load {
	c.t.Helper()
	l := c.newLoad()
	for _, m := range c.members {
		l.writers.Go(func() { l.write("any", m) })
	}
	l.waitAcked(20)
	return l
}

func (c *cluster) newLoad() *load {
	c.t.Helper()
	for _, m := range c.members {
		if c.isPrimary(m) {
			c.exec(m, "DROP TABLE IF EXISTS load; CREATE TABLE load (id bigint PRIMARY KEY)")
		}
	}
	l := &load{c: c, stop: make(chan struct{})}
	c.t.Cleanup(l.end)
	return l
}

// end stops the writers.
func (l *load) end() {
	l.once.Do(func() { close(l.stop) })
	l.writers.Wait()
}

func (l *load) stopped() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

func (l *load) write(session string, to ...*member) {
	l.writeBy(func(ctx context.Context) (*pgx.Conn, error) { return connect(ctx, session, to...) })
}

func (l *load) writeBy(dial func(context.Context) (*pgx.Conn, error)) {
	var conn *pgx.Conn
	for !l.stopped() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		if conn == nil {
			conn, _ = dial(ctx)
		}
		if conn != nil && !l.insert(ctx, conn) {
			_ = conn.Close(ctx)
			conn = nil
		}
		cancel()
		time.Sleep(2 * time.Millisecond)
		if conn == nil {
			time.Sleep(10 * time.Millisecond)
		}
	}
	if conn != nil {
		_ = conn.Close(context.Background())
	}
}

func (l *load) insert(ctx context.Context, conn *pgx.Conn) bool {
	a := ack{id: l.next.Add(1), sent: time.Now()}
	err := conn.QueryRow(ctx, "INSERT INTO load VALUES ($1) RETURNING left(pg_walfile_name(pg_current_wal_insert_lsn()), 8)", a.id).Scan(&a.timeline)
	a.acked = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	var server *pgconn.PgError
	switch {
	case err == nil:
		l.acks = append(l.acks, a)
	case !l.strict && errors.As(err, &server) && server.Code == "25006": // read-only: a standby
		return true
	default:
		l.failures = append(l.failures, a.acked.Format("15:04:05.000 ")+err.Error())
	}
	return err == nil
}

func (l *load) snapshot() (acks []ack, failures []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]ack(nil), l.acks...), append([]string(nil), l.failures...)
}

// waitAcked waits for n more acknowledged rows.
func (l *load) waitAcked(n int) {
	l.c.t.Helper()
	before, _ := l.snapshot()
	l.c.wait(healthyLimit, "acknowledged writes", func() bool {
		now, _ := l.snapshot()
		return len(now) >= len(before)+n
	})
}

// witness: it has no PostgreSQL to ask.
func (m *member) witness() bool { return m.c.status().member(m.name).Role == "witness" }

// longestGap is the longest time between two acknowledged writes.
func (l *load) longestGap() (gap time.Duration) {
	acks, _ := l.snapshot()
	for i := 1; i < len(acks); i++ {
		gap = max(gap, acks[i].acked.Sub(acks[i-1].acked))
	}
	return gap
}

// checkRows ends the writers and looks for every acknowledged row on the primary and
// then, once they have replayed as much, on the standbys.
func (l *load) checkRows() {
	l.c.t.Helper()
	l.end()
	acks, _ := l.snapshot()
	primary := l.c.waitHealthy()
	at := l.c.must(primary, "SELECT pg_current_wal_flush_lsn()::text")
	for _, m := range l.c.members {
		if !m.running() || m.witness() {
			continue
		}
		if m != primary {
			l.c.wait(20*time.Second, m.name+" to replay "+at, func() bool {
				v, err := l.c.query(m, "SELECT (pg_last_wal_replay_lsn() >= $1::text::pg_lsn)::text", at)
				return err == nil && v == "true"
			})
		}
		l.checkOn(m, acks)
	}
	l.c.t.Logf("%d acknowledged rows are on every member; the longest gap between two was %v", len(acks), l.longestGap().Round(time.Millisecond))
}

func (l *load) checkOn(m *member, acks []ack) {
	l.c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	conn, err := connect(ctx, "any", m)
	if err != nil {
		l.c.t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, _ := conn.Query(ctx, "SELECT id FROM load")
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		l.c.t.Fatal(err)
	}
	there := make(map[int64]bool, len(ids))
	for _, id := range ids {
		there[id] = true
	}
	lost := 0
	for _, a := range acks {
		if !there[a.id] {
			lost++
		}
	}
	if lost > 0 {
		l.c.t.Errorf("%s lacks %d of %d acknowledged rows", m.name, lost, len(acks))
	}
}

// checkSingle: no write was sent and acknowledged on an older timeline after the first
// acknowledgement on a newer one. Each new primary begins a timeline.
func (l *load) checkSingle() {
	l.c.t.Helper()
	acks, _ := l.snapshot()
	first := map[string]ack{}
	for _, a := range acks {
		if f, ok := first[a.timeline]; !ok || a.acked.Before(f.acked) {
			first[a.timeline] = a
		}
	}
	for _, a := range acks {
		for timeline, f := range first {
			if timeline > a.timeline && a.sent.After(f.acked) {
				l.c.t.Errorf("row %d was acknowledged on timeline %s at %v, after timeline %s took writes at %v: two primaries", a.id, a.timeline, a.acked, timeline, f.acked)
				return
			}
		}
	}
}
