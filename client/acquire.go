package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const acquireAgain = 20 * time.Millisecond

// Acquire gives a connection to the primary; Release it. It waits while there is no primary, or while it moves,
// up to ctx: without a deadline in ctx, for as long as that takes. Connecting is tried again, since nothing was sent then.
// An error that is not of that kind, such as a wrong password, is given at once.
func (p *Pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	conn, _, err := p.acquire(ctx)
	return conn, err
}

func (p *Pool) acquire(ctx context.Context) (*pgxpool.Conn, *generation, error) {
	for {
		gen, err := p.ready(ctx)
		if err != nil {
			return nil, nil, err
		}
		conn, err := gen.acquire(ctx)
		switch {
		case err == nil && p.gives(gen):
			return conn, gen, nil
		case err == nil:
			conn.Release()
		case ctx.Err() != nil:
			return nil, nil, fmt.Errorf("client: no connection: %w", context.Cause(ctx))
		case !gen.past.Load() && !connecting(err):
			return nil, nil, err
		case !gen.past.Load():
			p.suspect(gen, "")
			sleep(ctx, acquireAgain)
		}
	}
}

// acquire gives up when the generation ends.
func (g *generation) acquire(ctx context.Context) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(g.ctx, cancel)()
	return g.pool.Acquire(ctx)
}

// connecting: the error is of a server that goes or comes, not of what the program asks for.
func connecting(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return stale(server.Code)
	}
	return true
}

// lent is a connection of one statement or transaction.
type lent struct {
	*pgxpool.Conn
	p   *Pool
	gen *generation
}

func (p *Pool) lend(ctx context.Context) (*lent, error) {
	conn, gen, err := p.acquire(ctx)
	if err != nil {
		return nil, err
	}
	return &lent{conn, p, gen}, nil
}

// done gives the connection back. One that broke under the statement makes the pool look before it gives out
// the next: the caller who is told of the failure must not fail again on another of the same server.
func (l *lent) done(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && l.Conn.Conn().IsClosed() {
		l.p.suspect(l.gen, "")
	}
	l.Conn.Release()
}
