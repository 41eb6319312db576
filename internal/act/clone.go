package act

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
)

// clone copies the primary's data beside ours and puts it in place; what was there
// is renamed aside, never deleted first.
func (r *Runner) clone(_ context.Context, s core.Step) error {
	source, ok := r.Server.Source(s.Member)
	if !ok {
		return fmt.Errorf("no address of %s is known", s.Member)
	}
	source.AppName = "pgherd clone of " + r.Self // not the member's name: what copies is no standby that commits may wait for
	return r.Jobs.Start(s, func(ctx context.Context, progress func(int, string)) error {
		options := postgres.BackupOptions{Source: source, Instance: r.Server.Instance, Mark: r.mark()}
		if err := r.saveFork(ctx, s, progress); err != nil {
			return err
		}
		progress(0, "cloning from "+s.Member)
		err := waitTurn(ctx, options, func(p postgres.Progress) {
			percent := 0
			if p.TotalBytes > 0 {
				percent = int(min(99, 100*p.DoneBytes/p.TotalBytes))
			}
			if p.Text == turnText {
				progress(0, turnText)
				return
			}
			progress(percent, fmt.Sprintf("cloning from %s: %d of %d MB", s.Member, p.DoneBytes>>20, p.TotalBytes>>20))
		})
		if err != nil {
			return err
		}
		if c := r.Warden(); c == nil || !c.Status().Alive || !c.Status().Empty {
			return fmt.Errorf("PostgreSQL runs in %s: the finished clone is not put in its place", r.Server.Instance.DataDir)
		}
		if err := postgres.InstallClone(r.Server.Instance); err != nil {
			return err
		}
		r.Server.applied("", "") // the files are the source's until they are rendered again
		r.keptChanged()
		return nil
	})
}

const (
	turnText  = "waiting until the source has been cloned by another member"
	turnPause = 500 * time.Millisecond
	turnLimit = time.Minute // then the job ends, and core looks again who leads
)

// waitTurn is BaseBackup that waits while another member clones from the same source.
func waitTurn(ctx context.Context, o postgres.BackupOptions, progress func(postgres.Progress)) error {
	for begun := time.Now(); ; {
		err := postgres.BaseBackup(ctx, o, progress)
		if !errors.Is(err, postgres.ErrCloneBusy) || time.Since(begun) > turnLimit {
			return err
		}
		progress(postgres.Progress{Text: turnText})
		select {
		case <-time.After(turnPause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
