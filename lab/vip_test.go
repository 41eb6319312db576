//go:build lab

package lab

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/rig"
)

var _ = add(
	scenario{name: "vip-follows-primary", run: vipFollowsPrimary,
		config: func(c *cluster.Config) {
			c.Setup = func(*cluster.Member) []string { return []string{"--vip-interface", "eth0"} }
		},
		// A switchover, the loss of a host, and a frozen agent.
		bounds: history.Bounds{OutageMax: crash.OutageMax, ChangesMax: 3}},
)

// vipFollowsPrimary: a client that knows the virtual address only writes through everything that moves
// the primary. Nothing but the address is told to it.
func vipFollowsPrimary(l *Lab) {
	p := l.primary()
	vip := strings.TrimSuffix(p.Host.Addr, ".1") + ".100"
	if len(l.bearers(vip)) != 0 || !strings.HasSuffix(p.Host.Addr, ".1") {
		l.T.Fatalf("%s is there before it is asked for, or %s leads on %s", vip, p.Name, p.Host.Addr)
	}
	l.Mark("vip.address is %s/24", vip)
	p.Must("config", "set", "vip.address="+vip+"/24")
	l.bornBy(vip, p)
	l.noCapabilities(p)
	c := l.vipClient(vip)

	to := l.farStandby(p)
	l.Mark("switchover to %s", to.Name)
	p.Must("switchover", to.Name)
	l.bornBy(vip, to)
	l.Mark("the client has waited for %v", c.goesOn())
	l.Cluster.WaitReady(60 * time.Second)

	l.Do("the power of "+to.Name+" fails", to.Host.LinkDown())
	to.PowerCut()
	next := l.takenOver(to)
	l.Cluster.Wait(10*time.Second, next.Name+" bears the address", func() bool { return slices.Contains(l.bearers(vip), next) })
	l.Mark("the client has waited for %v", c.goesOn())
	// The rig's power cut leaves the network's addresses, as a kill of all processes would: the agent that comes back finds one of its own.
	l.Do("the power is back", to.Host.LinkUp())
	to.StartAgent()
	l.bornBy(vip, next)
	l.Cluster.WaitReady(60 * time.Second)

	l.Mark("SIGSTOP to the agent of %s", next.Name)
	resume := l.stop(next, cluster.Agent)
	l.Cluster.Wait(8*time.Second, "the address is gone from "+next.Name+" while its agent is frozen", func() bool {
		return !slices.Contains(l.bearers(vip), next)
	})
	l.Mark("the fence has taken the address away")
	last := l.takenOver(next)
	l.bornBy(vip, last)
	l.Mark("the client has waited for %v", c.goesOn())
	resume()
	l.last(2 * time.Second) // the agent that thaws must not put it up again
	l.bornBy(vip, last)
	c.stop()
	l.Judge = func(history.History, history.Report) { c.judge(l.primary()) }
}

// bearers are the members whose host has the address now.
func (l *Lab) bearers(address string) (list []*cluster.Member) {
	l.T.Helper()
	for _, m := range l.Cluster.Members {
		out, err := m.Host.Cmd(rig.Command{Args: []string{"ip", "-o", "address", "show", "dev", "eth0"}, Outside: true}).Output()
		if err != nil {
			l.T.Fatalf("ip on %s: %v", m.Name, err)
		}
		if strings.Contains(string(out), " "+address+"/") {
			list = append(list, m)
		}
	}
	return list
}

// bornBy waits until this member bears the address, and nobody else.
func (l *Lab) bornBy(address string, m *cluster.Member) {
	l.T.Helper()
	l.Cluster.Wait(10*time.Second, m.Name+" alone bears the address", func() bool {
		list := l.bearers(address)
		return len(list) == 1 && list[0] == m
	})
	l.Mark("%s bears the address", m.Name)
}

// noCapabilities: what pgherd kept of root's for the address goes no further.
func (l *Lab) noCapabilities(m *cluster.Member) {
	l.T.Helper()
	list := m.Processes(cluster.Postmaster, cluster.Backend)
	if len(list) < 5 {
		l.T.Errorf("only %d processes of PostgreSQL", len(list))
	}
	for _, p := range list {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		if err == nil && !strings.Contains(string(status), "CapEff:\t0000000000000000\n") {
			l.T.Errorf("process %v of PostgreSQL has capabilities:\n%s", p.Args, status)
		}
	}
}

// vipWriter inserts numbers through the address, one after the other.
type vipWriter struct {
	l      *Lab
	dsn    string
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	acked   []int64
	last    time.Time
	longest time.Duration // between two acknowledgements, since goesOn
}

func (l *Lab) vipClient(address string) *vipWriter {
	l.T.Helper()
	l.primary().SQL("\\c app\nCREATE TABLE by_vip (id bigint PRIMARY KEY)")
	ctx, cancel := context.WithCancel(context.Background())
	c := &vipWriter{l: l, dsn: "postgresql://app:" + cluster.Password + "@" + address + "/app?sslmode=require&connect_timeout=1", cancel: cancel, done: make(chan struct{}), last: time.Now()}
	go c.write(ctx)
	l.T.Cleanup(c.stop)
	c.goesOn()
	return c
}

func (c *vipWriter) stop() { c.cancel(); <-c.done }

func (c *vipWriter) write(ctx context.Context) {
	defer close(c.done)
	var conn *pgx.Conn
	for id := int64(1); ctx.Err() == nil; id++ {
		step, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
		var err error
		if conn == nil {
			conn, err = pgx.Connect(step, c.dsn)
		}
		if err == nil {
			_, err = conn.Exec(step, "INSERT INTO by_vip VALUES ($1)", id)
		}
		cancel()
		if err == nil {
			c.ack(id)
		} else if conn != nil {
			ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
			_ = conn.Close(ctx)
			cancel()
			conn = nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func (c *vipWriter) ack(id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.longest, c.last, c.acked = max(c.longest, time.Since(c.last)), time.Now(), append(c.acked, id)
}

// goesOn waits for writes that are acknowledged from now on, and gives the longest pause since it was asked last.
func (c *vipWriter) goesOn() time.Duration {
	c.l.T.Helper()
	count := func() int { c.mu.Lock(); defer c.mu.Unlock(); return len(c.acked) }
	before := count()
	c.l.Cluster.Wait(15*time.Second, "writes through the address", func() bool { return count() > before+20 })
	c.mu.Lock()
	defer c.mu.Unlock()
	longest := c.longest
	c.longest = 0
	return longest.Round(10 * time.Millisecond)
}

// judge: nothing that was acknowledged is missing.
func (c *vipWriter) judge(p *cluster.Member) {
	c.l.T.Helper()
	ids := make([]string, len(c.acked))
	for i, id := range c.acked {
		ids[i] = fmt.Sprint(id)
	}
	missing := c.l.as(p, "SELECT count(*)::text FROM unnest($1::bigint[]) AS a(id) WHERE NOT EXISTS (SELECT FROM by_vip b WHERE b.id = a.id)", "{"+strings.Join(ids, ",")+"}")
	c.l.T.Logf("%d writes through the address, %s missing", len(ids), missing)
	if missing != "0" || len(ids) < 100 {
		c.l.T.Errorf("of %d acknowledged writes %s are missing", len(ids), missing)
	}
}
