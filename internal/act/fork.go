package act

import (
	"context"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/postgres"
	"github.com/pgherd/pgherd/internal/store/records"
)

// notSaved says that a job ended before it replaced anything.
type notSaved struct{ err error }

func (e *notSaved) Error() string {
	return "the WAL that only this member has is not saved: " + e.err.Error()
}
func (e *notSaved) Unwrap() error        { return e.err }
func (e *notSaved) Condition() core.Code { return core.CondForkNotSaved }

// saveFork is what every job does first that replaces diverged data.
func (r *Runner) saveFork(ctx context.Context, s core.Step, progress func(int, string)) error {
	if s.Fork == nil {
		return nil
	}
	saved, err := postgres.SaveFork(ctx, postgres.ForkOptions{
		Dir: forks.DirName(r.Server.StateDir), Instance: r.Server.Instance, From: s.Fork.From, Timeline: s.Fork.Timeline, Acked: s.Fork.Acked,
		Member: r.Self, Cluster: r.Identity.ClusterID, Now: time.Now(),
	}, func(text string) { progress(0, text) })
	if err != nil {
		return &notSaved{err}
	}
	if saved != nil {
		r.Log.Warn("WAL that only this member has is saved", "fork", saved.Text())
		r.keptChanged()
	}
	return nil
}

func (r *Runner) keptChanged() {
	if r.KeptChanged != nil {
		r.KeptChanged()
	}
}

// dropFork takes a saved fork, or data that was set aside, out of the way; its space is freed
// later, since that may take longer than a tick may.
func (r *Runner) dropFork(ctx context.Context, s core.Step) error {
	if r.Server != nil {
		if err := r.Server.drop(s.ID); err != nil {
			return err
		}
		r.Log.Info("dropped", "id", s.ID, "why", s.Why.Text)
		r.keptChanged()
	}
	if s.Expect == 0 {
		return nil
	}
	return r.Store.Delete(ctx, records.RemovalPrefix+r.Self+"/"+s.ID, s.Expect)
}

func (s *Server) drop(id string) error {
	if stamp, ok := strings.CutPrefix(id, postgres.AsidePrefix); ok {
		return postgres.RemoveAside(s.Instance, stamp)
	}
	return forks.Remove(forks.DirName(s.StateDir), id)
}
