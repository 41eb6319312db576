package act

import (
	"context"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/postgres"
)

// configure renders the owned files whole and has a running server read them.
func (r *Runner) configure(ctx context.Context, s core.Step) error {
	conf, hba, ident, err := r.Server.conf(*s.Conf)
	if err != nil {
		return err
	}
	if err := r.tryParameters(ctx, s.Conf.Params); err != nil {
		return err
	}
	if err := postgres.EnsureInclude(r.Server.Instance); err != nil {
		return err
	}
	if _, err := postgres.WriteConf(r.Server.Instance, conf, hba, ident); err != nil {
		return err
	}
	r.Server.setHeld(s.Conf.Hold)
	if c := r.Warden(); c != nil && c.Status().PostmasterPID != 0 {
		if err := r.reload(ctx); err != nil {
			return err
		}
	}
	r.Server.applied(s.Conf.Key(), s.Conf.Follow)
	r.Server.tried(s.Conf.Params)
	return nil
}

// tryParameters asks PostgreSQL about changed parameters before they are written: of a
// file with one bad value a running server ignores everything, the sync set included.
func (r *Runner) tryParameters(ctx context.Context, params map[string]string) error {
	if r.Server.hasTried(params) {
		return nil
	}
	if state, _, _, err := postgres.DataState(r.Server.Instance); err != nil || state != postgres.DirPresent {
		return err
	}
	return postgres.TryParameters(ctx, r.Server.Instance, r.Server.merged(params))
}

const reloadLimit = 500 * time.Millisecond // a busy session must leave time for the signal

// reload asks by SQL where it can be asked, else by signal: a server that recovers and
// is not open yet reads its new primary_conninfo all the same.
func (r *Runner) reload(ctx context.Context) error {
	short, cancel := context.WithTimeout(ctx, reloadLimit)
	defer cancel()
	if err := r.Server.DB.Reload(short); err == nil {
		return nil
	}
	c, err := r.warden()
	if err != nil {
		return err
	}
	return c.Signal(ctx, reloadSignal)
}

// markGood remembers parameters that work, to fall back to.
func (r *Runner) markGood(_ context.Context, s core.Step) error {
	return r.Server.saveGood(s.Conf.Params)
}
