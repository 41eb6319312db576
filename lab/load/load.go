//go:build lab

package load

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pgherd/pgherd/lab/history"
)

// Member is one PostgreSQL server.
type Member struct {
	Name string
	Addr string // host:port
}

// Config says where to write, as whom and how often. Only Members and Password are needed.
type Config struct {
	Members                           []Member
	User, Password, Database, SSLMode string // default: app, -, app, require

	Writers    int           // routed writers; default 4
	ProbeEvery time.Duration // default 50 ms
	Pause      time.Duration // of a writer between two statements; default 5 ms

	// Endpoints have one more routed writer each, which knows nothing else. Clerk is their user: a
	// pooler lets no superuser in.
	Endpoints []Member
	Clerk     string
	app       string // application_name
}

func (c Config) withDefaults() Config {
	set := func(s *string, value string) {
		if *s == "" {
			*s = value
		}
	}
	set(&c.User, "app")
	set(&c.Database, "app")
	set(&c.SSLMode, "require")
	if c.Writers == 0 {
		c.Writers = 4
	}
	if c.ProbeEvery == 0 {
		c.ProbeEvery = 50 * time.Millisecond
	}
	if c.Pause == 0 {
		c.Pause = 5 * time.Millisecond
	}
	return c
}

// Load is the clients at work.
type Load struct {
	t       testing.TB
	cfg     Config
	began   time.Time // carries the monotonic clock, which nobody can step
	next    atomic.Int64
	acked   atomic.Int64
	quit    context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup // those that ask
	pending sync.WaitGroup // statements without an answer yet

	mu     sync.Mutex
	hist   history.History
	open   map[*conn]bool
	ended  bool
	result history.History
	by     map[string]int // acknowledged writes of each worker
}

const startLimit = 30 * time.Second

// Start makes the tables through whoever is primary, and begins. It returns when writes are
// acknowledged and each member was probed. The test's end stops it.
func Start(t testing.TB, cfg Config) *Load {
	t.Helper()
	l := &Load{t: t, cfg: cfg.withDefaults(), began: time.Now(), open: map[*conn]bool{}, by: map[string]int{}}
	l.quit, l.stop = context.WithCancel(context.Background())
	t.Cleanup(func() { l.Stop() })
	if err := l.createTables(); err != nil {
		t.Fatalf("load: %v", err)
	}
	for _, m := range l.cfg.Members {
		l.hist.Members = append(l.hist.Members, m.Name)
		l.workers.Go(func() { l.probe(m) })
	}
	for i := range l.cfg.Writers {
		l.workers.Go(func() { l.write(fmt.Sprintf("writer-%d", i+1), i) })
	}
	for i, e := range l.cfg.Endpoints {
		l.workers.Go(func() { l.writeBy(l.endpoint(e), i) })
	}
	l.workers.Go(func() { l.look("reader") })
	l.WaitAcked(20)
	l.WaitEndpoints(startLimit, 5)
	l.waitProbed()
	return l
}

// Stop ends all clients. What has no answer by then is unknown. It may be called twice.
func (l *Load) Stop() history.History {
	l.stop()
	l.workers.Wait()
	l.closeAll()
	l.pending.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.ended = true
		l.hist.End = l.now()
		l.result = l.hist
	}
	return l.result
}

// Mark writes into the history what the scenario is doing.
func (l *Load) Mark(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.hist.Marks = append(l.hist.Marks, history.Mark{At: l.now(), Text: text})
}

// Acked counts the acknowledged routed writes.
func (l *Load) Acked() int { return int(l.acked.Load()) }

// WaitAcked waits for n more acknowledged routed writes.
func (l *Load) WaitAcked(n int) {
	l.t.Helper()
	goal := l.acked.Load() + int64(n)
	l.wait(fmt.Sprintf("%d acknowledged writes", n), func() bool { return l.acked.Load() >= goal })
}

func (l *Load) waitProbed() {
	l.t.Helper()
	l.wait("a probe of each member", func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		asked := map[string]bool{}
		for _, o := range l.hist.Ops {
			if !o.Routed {
				asked[o.Member] = true
			}
		}
		return len(asked) == len(l.cfg.Members)
	})
}

func (l *Load) wait(what string, so func() bool) {
	l.t.Helper()
	for began := time.Now(); !so(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > startLimit {
			l.t.Fatalf("load: not after %v: %s", startLimit, what)
		}
	}
}

func (l *Load) now() time.Duration { return time.Since(l.began) }

func (l *Load) record(o history.Op) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.hist.Ops = append(l.hist.Ops, o)
	}
	if o.Outcome == history.Acked {
		l.by[o.Worker]++
	}
	if o.Outcome == history.Acked && o.Routed && (o.Kind == history.Insert || o.Kind == history.Set) {
		l.acked.Add(1)
	}
}

// pause waits a moment; it gives false when the load ends.
func (l *Load) pause(d time.Duration) bool {
	select {
	case <-l.quit.Done():
		return false
	case <-time.After(d):
		return true
	}
}
