package act

import (
	"context"
	"fmt"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
)

// rewind makes diverged data follow the primary again.
func (r *Runner) rewind(_ context.Context, s core.Step) error {
	source, ok := r.Server.Source(s.Member)
	if !ok {
		return fmt.Errorf("no address of %s is known", s.Member)
	}
	return r.Jobs.Start(s, func(ctx context.Context, progress func(int, string)) error {
		if err := r.saveFork(ctx, s, progress); err != nil {
			return err
		}
		r.Server.applied("", "") // pg_rewind copies the source's configuration over ours
		result, err := postgres.Rewind(ctx, postgres.RewindOptions{Source: source, Instance: r.Server.Instance, Mark: r.mark()},
			func(line string) { progress(0, line) })
		if err != nil {
			return err
		}
		r.Log.Info("rewound", "needed", result.Needed, "source", s.Member)
		return nil
	})
}

// checkpoint runs CHECKPOINT, which may take long on a busy server.
func (r *Runner) checkpoint(_ context.Context, s core.Step) error {
	return r.Jobs.Start(s, func(ctx context.Context, progress func(int, string)) error {
		progress(0, "checkpoint")
		return r.Server.DB.Checkpoint(ctx)
	})
}
