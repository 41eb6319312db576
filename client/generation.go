package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// generation is the pool of one primary: one server process on one timeline. Each of its connections was
// made to that, and none is given out after it.
type generation struct {
	p       *Pool
	target  Target
	started string
	pool    *pgxpool.Pool
	past    atomic.Bool // another generation took over
	ctx     context.Context
	end     context.CancelFunc

	mu    sync.Mutex
	conns map[*pgx.Conn]bool // open
}

func (g *generation) is(s sighting) bool { return g.target == s.target() && g.started == s.started }

// newGeneration makes the pool, and sees it give a connection.
func (p *Pool) newGeneration(ctx context.Context, s sighting) (*generation, error) {
	g := &generation{p: p, target: s.target(), started: s.started, conns: map[*pgx.Conn]bool{}}
	c := p.base.Copy()
	if p.o.Pool != nil {
		p.o.Pool(c)
	}
	s.host.only(c.ConnConfig)
	g.hook(c)
	var err error
	if g.pool, err = pgxpool.NewWithConfig(ctx, c); err != nil {
		return nil, err
	}
	g.ctx, g.end = context.WithCancel(context.Background())
	ctx, cancel := context.WithTimeout(ctx, c.ConnConfig.ConnectTimeout+queryLimit)
	defer cancel()
	conn, err := g.pool.Acquire(ctx)
	if err != nil {
		p.retire(g)
		return nil, err
	}
	conn.Release()
	return g, nil
}

// hook adds ours to the hooks of the program.
func (g *generation) hook(c *pgxpool.Config) {
	c.ConnConfig.ValidateConnect = g.validate
	theirError := c.ConnConfig.OnPgError
	c.ConnConfig.OnPgError = func(conn *pgconn.PgConn, e *pgconn.PgError) bool {
		if stale(e.Code) {
			g.p.suspect(g, e.Code)
		}
		if theirError != nil {
			return theirError(conn, e)
		}
		return e.Severity != "FATAL"
	}
	theirConnect, theirClose := c.AfterConnect, c.BeforeClose
	c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		g.mu.Lock()
		g.conns[conn] = true
		g.mu.Unlock()
		if theirConnect == nil {
			return nil
		}
		err := theirConnect(ctx, conn)
		if err != nil {
			g.forget(conn)
		}
		return err
	}
	c.BeforeClose = func(conn *pgx.Conn) {
		g.forget(conn)
		if conn.IsClosed() { // it broke, or its statement was cancelled
			g.p.poke()
		}
		if theirClose != nil {
			theirClose(conn)
		}
	}
	g.prepare(c)
}

func (g *generation) prepare(c *pgxpool.Config) {
	theirs, older := c.PrepareConn, c.BeforeAcquire
	c.PrepareConn = func(ctx context.Context, conn *pgx.Conn) (bool, error) {
		switch {
		case g.past.Load() || !quiet(ctx, conn):
			return false, nil
		case theirs != nil:
			return theirs(ctx, conn)
		case older != nil:
			return older(ctx, conn), nil
		}
		return true, nil
	}
}

func (g *generation) forget(conn *pgx.Conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, conn)
}

// validate refuses a server that is another than the pool was made for: it was restarted, or is a standby now.
func (g *generation) validate(ctx context.Context, conn *pgconn.PgConn) error {
	s, err := look(ctx, host{name: g.target.Host, port: g.target.Port}, conn)
	switch {
	case err != nil:
		return err
	case !s.writable || s.timeline != g.target.Timeline || s.started != g.started:
		return errMoved
	}
	return nil
}

// quiet says that an idle connection is one still: a server that stops says so, or closes it, and that
// waits to be read. Not looking would cost the program a statement.
func quiet(ctx context.Context, conn *pgx.Conn) bool {
	switch peek(conn.PgConn().Conn()) {
	case peekClosed:
		return false
	case peekData: // perhaps a notification
		ctx, cancel := context.WithTimeout(ctx, queryLimit)
		defer cancel()
		return conn.Ping(ctx) == nil
	}
	return true
}

// retire closes a pool that gives out nothing any more. What is in use has until the deadline.
func (p *Pool) retire(g *generation) {
	g.past.Store(true)
	g.end()
	closed := make(chan struct{})
	go func() { g.pool.Close(); close(closed) }()
	p.drains.Go(func() {
		timer := time.NewTimer(p.o.Drain)
		defer timer.Stop()
		select {
		case <-closed:
		case <-timer.C:
			g.cut()
		}
	})
}

// cut ends connections below whoever uses them: a host that is silent would keep them for as long as TCP has patience.
func (g *generation) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.conns {
		raw := conn.PgConn().Conn()
		_ = raw.SetDeadline(time.Unix(1, 0))
		_ = raw.Close()
	}
}
