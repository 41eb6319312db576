package act

import (
	"context"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store/records"
)

func (r *Runner) putCluster(ctx context.Context, s core.Step) error {
	_, err := records.Put(ctx, r.Store, records.KeyCluster, s.Cluster, s.Expect)
	return err
}

func (r *Runner) putOperation(ctx context.Context, s core.Step) error {
	r.Log.Info("operation", "id", s.Operation.ID, "kind", s.Operation.Kind, "phase", s.Operation.Phase, "why", s.Why.Text)
	_, err := records.Put(ctx, r.Store, records.KeyOperation, s.Operation, s.Expect)
	return err
}

func (r *Runner) putRequest(ctx context.Context, s core.Step) error {
	_, err := records.Put(ctx, r.Store, records.RequestPrefix+s.Member, s.Request, s.Expect)
	return err
}

func (r *Runner) endRequest(ctx context.Context, s core.Step) error {
	return r.Store.Delete(ctx, records.RequestPrefix+r.Self, s.Expect)
}
