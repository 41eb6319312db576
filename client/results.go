package client

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// rows gives its connection back when it is closed.
type rows struct {
	pgx.Rows
	ctx  context.Context
	lent *lent
}

func (r *rows) Close() {
	r.Rows.Close()
	if r.lent != nil {
		r.lent.done(r.ctx, r.Rows.Err())
		r.lent = nil
	}
}

func (r *rows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

func (r *rows) Scan(into ...any) error {
	err := r.Rows.Scan(into...)
	if err != nil {
		r.Close()
	}
	return err
}

func (r *rows) Values() ([]any, error) {
	values, err := r.Rows.Values()
	if err != nil {
		r.Close()
	}
	return values, err
}

type row struct {
	pgx.Row
	ctx  context.Context
	lent *lent
}

// Scan releases the connection even if a value's Scan panics.
func (r *row) Scan(into ...any) (err error) {
	defer func() { r.lent.done(r.ctx, err) }()
	return r.Row.Scan(into...)
}

type tx struct {
	pgx.Tx
	lent *lent
}

func (t *tx) Commit(ctx context.Context) error { return t.over(ctx, t.Tx.Commit(ctx)) }

func (t *tx) Rollback(ctx context.Context) error { return t.over(ctx, t.Tx.Rollback(ctx)) }

func (t *tx) over(ctx context.Context, err error) error {
	if t.lent != nil {
		t.lent.done(ctx, err)
		t.lent = nil
	}
	return err
}

type batch struct {
	pgx.BatchResults
	ctx  context.Context
	lent *lent
}

func (b *batch) Close() error {
	err := b.BatchResults.Close()
	if b.lent != nil {
		b.lent.done(b.ctx, err)
		b.lent = nil
	}
	return err
}

// failedRows answers for a query that was never sent.
type failedRows struct{ err error }

func (failedRows) Close()                                       {}
func (f failedRows) Err() error                                 { return f.err }
func (failedRows) CommandTag() pgconn.CommandTag                { return pgconn.CommandTag{} }
func (failedRows) FieldDescriptions() []pgconn.FieldDescription { return nil }
func (failedRows) Next() bool                                   { return false }
func (f failedRows) Scan(...any) error                          { return f.err }
func (f failedRows) Values() ([]any, error)                     { return nil, f.err }
func (failedRows) RawValues() [][]byte                          { return nil }
func (failedRows) Conn() *pgx.Conn                              { return nil }

type failedBatch struct{ err error }

func (f failedBatch) Exec() (pgconn.CommandTag, error) { return pgconn.CommandTag{}, f.err }
func (f failedBatch) Query() (pgx.Rows, error)         { return failedRows{f.err}, f.err }
func (f failedBatch) QueryRow() pgx.Row                { return failedRows{f.err} }
func (f failedBatch) Close() error                     { return f.err }
