package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/pgherd/pgherd/internal/demo"
)

const (
	askEvery  = 5 * time.Millisecond // a watcher's pause between two questions: what the figure can be wrong by
	openEvery = 2 * time.Millisecond
	logins    = 4 // at a time on one endpoint: a login costs a key derivation
)

// crowd is the clients of all endpoints.
type crowd struct {
	mu       sync.Mutex
	sleepers []*pgx.Conn
	watchers map[string]*pgx.Conn // by member
}

// gather connects the idle clients, evenly, and a watcher to each endpoint.
func gather(ctx context.Context, c *demo.Cluster, clients int) (*crowd, error) {
	w := &crowd{watchers: map[string]*pgx.Conn{}}
	names := c.Names()
	all, ctx := errgroup.WithContext(ctx)
	all.SetLimit(logins * 2)
	for _, name := range names {
		dsn := c.EndpointDSN(name)
		if dsn == "" {
			return nil, errors.New("the cluster has no endpoints: `make deps` installs PgBouncer")
		}
		for i := range clients/len(names) + 1 {
			all.Go(func() error { return w.connect(ctx, name, dsn, i == 0) })
		}
	}
	if err := all.Wait(); err != nil {
		w.leave()
		return nil, err
	}
	return w, nil
}

func (w *crowd) connect(ctx context.Context, name, dsn string, watches bool) error {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return fmt.Errorf("a client of the endpoint of %s: %w", name, err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if watches {
		w.watchers[name] = conn
	} else {
		w.sleepers = append(w.sleepers, conn)
	}
	return nil
}

func (w *crowd) idle() int { return len(w.sleepers) }

// lost counts the idle clients whose connection is not good any more.
func (w *crowd) lost(ctx context.Context) (n int) {
	for _, conn := range w.sleepers {
		if conn.Ping(ctx) != nil {
			n++
		}
	}
	return n
}

func (w *crowd) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, conn := range w.sleepers {
		_ = conn.Close(ctx)
	}
	for _, conn := range w.watchers {
		_ = conn.Close(ctx)
	}
}

// round moves the primary, and gives how long after it accepted writes the last endpoint's watcher was answered by it.
func (w *crowd) round(ctx context.Context, c *demo.Cluster) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, roundMax, errors.New("a round took longer than "+roundMax.String()))
	defer cancel()
	s, err := c.WaitHealthy(ctx, func(demo.Status) {})
	if err != nil {
		return 0, err
	}
	time.Sleep(calm)
	next := other(c.Names(), s.Primary())
	port := c.PortsOf(next).Postgres
	var opened, last time.Time
	var mu sync.Mutex
	parts, watching := errgroup.WithContext(ctx)
	for _, conn := range w.watchers {
		parts.Go(func() error {
			at, err := answeredBy(watching, conn, port)
			mu.Lock()
			defer mu.Unlock()
			if at.After(last) {
				last = at
			}
			return err
		})
	}
	parts.Go(func() (err error) { opened, err = accepts(watching, c.MemberDSN(next)); return err })
	parts.Go(func() error { _, err := c.Pgherd(watching, "switchover", next); return err })
	if err := parts.Wait(); err != nil {
		return 0, err
	}
	return max(0, last.Sub(opened)), nil
}

func other(names []string, primary string) string {
	if names[0] != primary {
		return names[0]
	}
	return names[1]
}

// answeredBy asks until the server at port answers.
func answeredBy(ctx context.Context, conn *pgx.Conn, port int) (time.Time, error) {
	for {
		var at int
		if err := conn.QueryRow(ctx, "SELECT inet_server_port()").Scan(&at); err != nil {
			return time.Time{}, err
		}
		if at == port {
			return time.Now(), nil
		}
		time.Sleep(askEvery)
	}
}

// accepts asks a member itself until it accepts writes.
func accepts(ctx context.Context, dsn string) (time.Time, error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return time.Time{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for {
		var recovers bool
		if err := conn.QueryRow(ctx, "SELECT pg_is_in_recovery()").Scan(&recovers); err != nil {
			return time.Time{}, err
		}
		if !recovers {
			return time.Now(), nil
		}
		time.Sleep(openEvery)
	}
}
