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
		if err := waitTurn(ctx, options, tellClone(s.Member, progress)); err != nil {
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

// tellClone passes on how far a clone is. pg_basebackup's lines without counts leave that as it was: the last of them come when all is
// copied and has to reach the disk, which may take long.
func tellClone(source string, progress func(int, string)) func(postgres.Progress) {
	counted := false
	return func(p postgres.Progress) {
		switch {
		case p.Text == turnText:
			progress(0, turnText)
		case p.TotalBytes > 0:
			counted = true
			progress(int(min(99, 100*p.DoneBytes/p.TotalBytes)), fmt.Sprintf("cloning from %s: %d of %d MB", source, p.DoneBytes>>20, p.TotalBytes>>20))
		case !counted:
			progress(0, "cloning from "+source)
		}
	}
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
