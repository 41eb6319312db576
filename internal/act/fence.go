package act

import (
	"context"

	"github.com/pgherd/pgherd/internal/core"
)

// fence kills every process of the instance and returns when none is left.
func (r *Runner) fence(ctx context.Context, s core.Step) error {
	c, err := r.warden()
	if err != nil {
		return err
	}
	r.Log.Warn("fencing PostgreSQL", "why", s.Why.Text)
	return c.Fence(ctx, s.Why.String())
}

// disarm takes the deadline away from an instance that accepts no writes.
func (r *Runner) disarm(ctx context.Context, _ core.Step) error {
	c, err := r.warden()
	if err != nil {
		return err
	}
	return c.Disarm(ctx, max(c.Status().Term, 1))
}
