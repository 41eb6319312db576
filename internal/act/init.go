package act

import (
	"context"
	"os"
	"path/filepath"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
)

// InitIntent is written before initdb and removed after the mark, so that a crash
// between the two is finished by FinishInit rather than taken for foreign data.
func (s *Server) initIntent() string { return filepath.Join(s.StateDir, "initdb-intent") }

// walSegmentMB is a quarter of PostgreSQL's default. A promotion copies the segment that it ends in, and a standby that
// follows to a new timeline is sent all of it again before it counts for commits: in a handover clients wait for both.
const walSegmentMB = 4

// initDB makes the cluster's database, once in its life.
func (r *Runner) initDB(_ context.Context, s core.Step) error {
	return r.Jobs.Start(s, func(ctx context.Context, progress func(int, string)) error {
		progress(0, "initdb in "+r.Server.Instance.DataDir)
		if err := os.WriteFile(r.Server.initIntent(), []byte(r.Identity.ClusterID), 0o600); err != nil {
			return err
		}
		if err := r.Server.Instance.InitDB(ctx, postgres.InitOptions{WalSegmentMB: walSegmentMB}); err != nil {
			return err
		}
		return r.Server.FinishInit(r.mark())
	})
}

// FinishInit marks data that initdb finished as this cluster's; without an intent it
// does nothing.
func (s *Server) FinishInit(mark postgres.Mark) error {
	text, err := os.ReadFile(s.initIntent())
	if os.IsNotExist(err) {
		return nil
	}
	if err != nil || string(text) != mark.ClusterID {
		return err
	}
	state, _, old, err := postgres.DataState(s.Instance)
	if err != nil || state != postgres.DirPresent {
		return err
	}
	if old == nil {
		control, err := postgres.ReadControl(s.Instance.DataDir)
		if err != nil {
			return err
		}
		mark.SystemID = control.SystemID
		if err := postgres.WriteMark(s.Instance, mark); err != nil {
			return err
		}
	}
	return os.Remove(s.initIntent())
}
