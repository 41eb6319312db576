package client

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The methods below are those of pgxpool.Pool. None is ever tried again after it was sent: an error on the way
// may hide a commit that happened, and only the program knows what that means.

// Exec runs SQL.
func (p *Pool) Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	l, err := p.lend(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	tag, err := l.Exec(ctx, sql, args...)
	l.done(ctx, err)
	return tag, err
}

// Query runs SQL that gives rows. Its connection is released when they are closed or read to the end.
func (p *Pool) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	l, err := p.lend(ctx)
	if err != nil {
		return failedRows{err: err}, err
	}
	got, err := l.Query(ctx, sql, args...)
	if err != nil {
		l.done(ctx, err)
		return failedRows{err: err}, err
	}
	return &rows{Rows: got, ctx: ctx, lent: l}, nil
}

// QueryRow runs SQL that gives one row. Its connection is released by Scan.
func (p *Pool) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	l, err := p.lend(ctx)
	if err != nil {
		return failedRows{err: err}
	}
	return &row{l.QueryRow(ctx, sql, args...), ctx, l}
}

// SendBatch sends statements together. Its connection is released when the results are closed.
func (p *Pool) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	l, err := p.lend(ctx)
	if err != nil {
		return failedBatch{err}
	}
	return &batch{l.SendBatch(ctx, b), ctx, l}
}

// CopyFrom copies rows into a table.
func (p *Pool) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, from pgx.CopyFromSource) (int64, error) {
	l, err := p.lend(ctx)
	if err != nil {
		return 0, err
	}
	n, err := l.CopyFrom(ctx, table, columns, from)
	l.done(ctx, err)
	return n, err
}

// Begin begins a transaction.
func (p *Pool) Begin(ctx context.Context) (pgx.Tx, error) { return p.BeginTx(ctx, pgx.TxOptions{}) }

// BeginTx begins a transaction. Its connection is released by Commit or Rollback.
func (p *Pool) BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error) {
	l, err := p.lend(ctx)
	if err != nil {
		return nil, err
	}
	t, err := l.BeginTx(ctx, options)
	if err != nil {
		l.done(ctx, err)
		return nil, err
	}
	return &tx{t, l}, nil
}

// AcquireFunc calls f with a connection.
func (p *Pool) AcquireFunc(ctx context.Context, f func(*pgxpool.Conn) error) error {
	l, err := p.lend(ctx)
	if err != nil {
		return err
	}
	err = f(l.Conn)
	l.done(ctx, err)
	return err
}

// Ping asks the primary for a sign of life.
func (p *Pool) Ping(ctx context.Context) error {
	return p.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return c.Ping(ctx) })
}
