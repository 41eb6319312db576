package pooler

import (
	"context"
	"errors"
)

// PgBouncer is the Pooler that runs PgBouncer.
type PgBouncer struct {
	cfg Config
}

var _ Pooler = (*PgBouncer)(nil)

var errNotYet = errors.New("pooler: not built yet")

// New prepares an endpoint; nothing runs yet.
func New(cfg Config) (*PgBouncer, error) { return &PgBouncer{cfg: cfg}, nil }

// Ensure implements Pooler.
func (p *PgBouncer) Ensure(ctx context.Context, targets []Target) error { return errNotYet }

// Route implements Pooler.
func (p *PgBouncer) Route(ctx context.Context, targets []Target) error { return errNotYet }

// Pause implements Pooler.
func (p *PgBouncer) Pause(ctx context.Context) error { return errNotYet }

// Hold implements Pooler.
func (p *PgBouncer) Hold(ctx context.Context) error { return errNotYet }

// Resume implements Pooler.
func (p *PgBouncer) Resume(ctx context.Context) error { return errNotYet }

// DropStale implements Pooler.
func (p *PgBouncer) DropStale(ctx context.Context, keep []Target) (int, error) { return 0, errNotYet }

// DropActive implements Pooler.
func (p *PgBouncer) DropActive(ctx context.Context) (int, error) { return 0, errNotYet }

// State implements Pooler.
func (p *PgBouncer) State(ctx context.Context) (State, error) { return State{}, errNotYet }

// Stop implements Pooler.
func (p *PgBouncer) Stop(ctx context.Context) error { return errNotYet }
