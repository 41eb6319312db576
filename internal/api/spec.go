package api

import (
	"context"
	"net/http"
	"strings"

	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
)

func (s *Server) getSpec(r *http.Request, _ string) (any, error) {
	v, _, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	return SpecDocument{Revision: v.SpecRevision, Spec: v.Spec, YAML: string(v.Spec.YAML())}, nil
}

func (s *Server) putSpec(r *http.Request, _ string) (any, error) {
	var change SpecChange
	if err := body(r, &change); err != nil {
		return nil, err
	}
	dry := r.URL.Query().Has("dry_run")
	next, changes, err := s.checkSpec(r.Context(), change, dry)
	if err != nil {
		return nil, err
	}
	if !dry && len(changes) > 0 {
		if change.Revision, err = s.writeSpec(r.Context(), next, change.Revision); err != nil {
			return nil, err
		}
	}
	return SpecResult{Revision: change.Revision, DryRun: dry, Changes: changes}, nil
}

// checkSpec validates, compares and lets PostgreSQL judge. In a dry run a change to
// refuse is listed rather than refused.
func (s *Server) checkSpec(ctx context.Context, change SpecChange, dry bool) (spec.Cluster, []spec.Change, error) {
	v, _, err := s.read(ctx)
	if err != nil {
		return spec.Cluster{}, nil, err
	}
	if v.SpecRevision != change.Revision {
		return spec.Cluster{}, nil, refuse(http.StatusConflict, "spec_changed", "read it again with `pgherd config show`, then repeat the change",
			"the spec was changed meanwhile: it is at revision %d, the change is for %d", v.SpecRevision, change.Revision)
	}
	next, err := spec.ParseCluster([]byte(change.YAML))
	if err != nil {
		return next, nil, refuse(http.StatusUnprocessableEntity, "spec_invalid", "nothing was changed", "%v", err)
	}
	changes := append([]spec.Change{}, spec.Diff(v.Spec, next)...)
	for _, c := range changes {
		if c.Effect == spec.EffectRefuse && !dry {
			return next, nil, refuse(http.StatusUnprocessableEntity, "spec_invalid", "nothing was changed", "%s", c.Reason)
		}
	}
	return next, changes, s.tryParameters(ctx, next, changes)
}

// tryParameters asks this member's PostgreSQL. It sees most wrong values at once;
// what shows only at the start is caught by trying a standby first.
func (s *Server) tryParameters(ctx context.Context, next spec.Cluster, changes []spec.Change) error {
	touched := false
	for _, c := range changes {
		touched = touched || strings.HasPrefix(c.Path, "postgres.parameters.")
	}
	if s.b.TryParameters == nil || !touched {
		return nil
	}
	if err := s.b.TryParameters(ctx, next.Postgres.Parameters); err != nil {
		return refuse(http.StatusUnprocessableEntity, "parameters_rejected", "nothing was changed", "%v", err)
	}
	return nil
}

func (s *Server) writeSpec(ctx context.Context, next spec.Cluster, expect int64) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	revision, err := records.Put(ctx, s.b.Store, records.KeySpec, next, expect)
	return revision, written(ctx, err)
}
