//go:build versions

package versions

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const password = "only-for-these-tests"

// psql is the administrator on the member itself: the script goes by stdin.
func (m *member) psql(script string) {
	m.c.t.Helper()
	cmd := exec.Command(filepath.Join(binDir, "psql"), "-XqAt", "-v", "ON_ERROR_STOP=1", "-h", filepath.Join(m.dir, "run"), "-p", strconv.Itoa(m.ports[0]), "-d", "postgres", "-f", "-")
	cmd.Dir, cmd.SysProcAttr, cmd.Stdin = "/", &syscall.SysProcAttr{Credential: &owner}, strings.NewReader(strings.ReplaceAll(script, "; ", ";\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		m.c.t.Fatalf("psql on %s: %v\n%s", m.name, err, out)
	}
}

// connect goes to one of some members; session is target_session_attrs.
func connect(ctx context.Context, session string, members ...*member) (*pgx.Conn, error) {
	hosts := make([]string, len(members))
	for i, m := range members {
		hosts[i] = "127.0.0.1:" + strconv.Itoa(m.ports[0])
	}
	config, err := pgx.ParseConfig("postgresql://app:" + password + "@" + strings.Join(hosts, ",") + "/app?sslmode=require&connect_timeout=2&target_session_attrs=" + session)
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	return pgx.ConnectConfig(ctx, config)
}

// query gives one text value from one member.
func (c *cluster) query(m *member, sql string, args ...any) (value string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	conn, err := connect(ctx, "any", m)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	err = conn.QueryRow(ctx, sql, args...).Scan(&value)
	return value, err
}

// must is query on a member that has to answer.
func (c *cluster) must(m *member, sql string, args ...any) string {
	c.t.Helper()
	v, err := c.query(m, sql, args...)
	if err != nil {
		c.t.Fatalf("%s on %s: %v", sql, m.name, err)
	}
	return v
}

// exec runs statements without a result in one session of one member.
func (c *cluster) exec(m *member, statements ...string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := connect(ctx, "any", m)
	if err != nil {
		c.t.Fatalf("connection to %s: %v", m.name, err)
	}
	defer conn.Close(ctx)
	for _, sql := range statements {
		if _, err := conn.Exec(ctx, sql); err != nil {
			c.t.Fatalf("%s on %s: %v", sql, m.name, err)
		}
	}
}

// load is writers that insert rows all the time and remember which were acknowledged.
type load struct {
	c       *cluster
	next    atomic.Int64
	mu      sync.Mutex
	acked   []int64
	last    time.Time
	gap     time.Duration // the longest between two acknowledgements
	stop    chan struct{}
	once    sync.Once
	writers sync.WaitGroup
}

func (c *cluster) startLoad(n int) *load {
	c.t.Helper()
	l := &load{c: c, stop: make(chan struct{})}
	primary := c.get(c.status().primary())
	c.exec(primary, "DROP TABLE IF EXISTS load", "CREATE TABLE load (id bigint PRIMARY KEY)")
	for range n {
		l.writers.Go(l.write)
	}
	c.t.Cleanup(l.end)
	l.waitAcked(50)
	return l
}

func (l *load) end() {
	l.once.Do(func() { close(l.stop) })
	l.writers.Wait()
}

func (l *load) write() {
	var conn *pgx.Conn
	for {
		select {
		case <-l.stop:
			if conn != nil {
				_ = conn.Close(context.Background())
			}
			return
		case <-time.After(2 * time.Millisecond):
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		if conn == nil {
			conn, _ = connect(ctx, "read-write", l.c.members...)
		}
		if conn != nil && !l.insert(ctx, conn) {
			_ = conn.Close(ctx)
			conn = nil
		}
		cancel()
	}
}

func (l *load) insert(ctx context.Context, conn *pgx.Conn) bool {
	id := l.next.Add(1)
	if _, err := conn.Exec(ctx, "INSERT INTO load VALUES ($1)", id); err != nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); len(l.acked) > 0 {
		l.gap, l.last = max(l.gap, now.Sub(l.last)), now
	} else {
		l.last = now
	}
	l.acked = append(l.acked, id)
	return true
}

func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked)
}

// waitAcked waits for n more acknowledged rows.
func (l *load) waitAcked(n int) {
	l.c.t.Helper()
	want := l.count() + n
	l.c.wait(30*time.Second, "acknowledged writes", func() bool { return l.count() >= want })
}

// check ends the writers and looks for every acknowledged row on every member, on the
// standbys once they have replayed as much as the primary has.
func (l *load) check() {
	l.c.t.Helper()
	l.end()
	primary := l.c.waitHealthy()
	at := l.c.must(primary, "SELECT pg_current_wal_flush_lsn()::text")
	for _, m := range l.c.members {
		if m != primary {
			l.c.wait(20*time.Second, m.name+" to replay "+at, func() bool {
				v, err := l.c.query(m, "SELECT (pg_last_wal_replay_lsn() >= $1::text::pg_lsn)::text", at)
				return err == nil && v == "true"
			})
		}
		lost := l.c.must(m, "SELECT count(*)::text FROM unnest($1::text::bigint[]) a WHERE a NOT IN (SELECT id FROM load)", array(l.acked))
		if lost != "0" {
			l.c.t.Errorf("%s lacks %s of %d acknowledged rows", m.name, lost, len(l.acked))
		}
	}
	l.c.t.Logf("%d acknowledged rows are on every member; the longest gap was %v", len(l.acked), l.gap.Round(time.Millisecond))
}

func array(ids []int64) string {
	return "{" + strings.ReplaceAll(strings.Trim(fmt.Sprint(ids), "[]"), " ", ",") + "}"
}
