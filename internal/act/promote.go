package act

import (
	"context"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
)

// promote makes a primary of the running standby. The guard was checked by step; it
// is not waited for, as the next views tell when it is writable.
func (r *Runner) promote(ctx context.Context, s core.Step) error {
	return r.Server.promoted.ask(int(s.Guard.Term), func() error {
		if err := postgres.ReserveTimelines(r.Server.Instance, s.Timeline); err != nil {
			return err
		}
		r.Log.Info("promoting", "term", s.Guard.Term, "timeline", s.Timeline, "why", s.Why.Text)
		defer r.await(postgres.StateInProduction)
		return r.Server.DB.Promote(ctx)
	})
}

// roles makes sure that pgherd's own roles exist.
func (r *Runner) roles(ctx context.Context, _ core.Step) error { return r.Server.DB.EnsureRoles(ctx) }

func (r *Runner) createSlot(ctx context.Context, s core.Step) error {
	return r.Server.DB.CreateSlot(ctx, s.Slot)
}

func (r *Runner) dropSlot(ctx context.Context, s core.Step) error {
	return r.Server.DB.DropSlot(ctx, s.Slot)
}
