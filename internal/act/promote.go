package act

import (
	"context"
	"time"

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
		if err := r.Server.DB.Promote(ctx); err != nil {
			return err
		}
		go r.insist()
		return nil
	})
}

// When a startup process is woken that has not ended its recovery, and for how long that goes on.
const (
	insistAfter = 4 * time.Millisecond // doubled each time
	insistMax   = 2 * time.Second
)

// insist wakes PostgreSQL's startup process until its recovery has ended. It may sleep over a promotion: woken by it while its WAL
// receiver fails to connect to the primary, which has just been stopped, it goes on to wait what is left of
// wal_retrieve_retry_interval. (Measured: up to 95 ms, in one handover of six.)
func (r *Runner) insist() {
	ctx, cancel := context.WithTimeout(context.Background(), insistMax)
	defer cancel()
	for step := insistAfter; ctx.Err() == nil; step *= 2 {
		time.Sleep(step)
		if there, err := r.Server.DB.WakeRecovery(ctx); err != nil || !there {
			return
		}
	}
}

// roles makes sure that pgherd's own roles exist.
func (r *Runner) roles(ctx context.Context, _ core.Step) error { return r.Server.DB.EnsureRoles(ctx) }

func (r *Runner) createSlot(ctx context.Context, s core.Step) error {
	return r.Server.DB.CreateSlot(ctx, s.Slot)
}

func (r *Runner) dropSlot(ctx context.Context, s core.Step) error {
	return r.Server.DB.DropSlot(ctx, s.Slot)
}
