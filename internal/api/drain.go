package api

import (
	"net/http"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
)

// putDrain takes a member out of service before its maintenance: it is given no role any more,
// readers are sent elsewhere, and a primary hands over.
func (s *Server) putDrain(r *http.Request, by string) (any, error) {
	name := r.PathValue("name")
	var request DrainRequest
	if r.ContentLength != 0 {
		if err := body(r, &request); err != nil {
			return nil, err
		}
	}
	if request.Force {
		if err := atLeast(r, RoleAdmin); err != nil {
			return nil, err
		}
	}
	v, snapshot, err := s.read(r.Context())
	if err == nil {
		err = checkDrain(v, name)
	}
	if err != nil {
		return nil, err
	}
	op := core.Operation{}
	if leader(v) == name { // refused before anything is written
		if op, err = newOperation(v, s.b.Members(), OperationRequest{Kind: core.OpSwitchover, MaxWaitMS: request.MaxWaitMS, Force: request.Force, Reason: name + " is drained"}, changeID(r.Context())); err != nil {
			return nil, err
		}
	}
	drain := core.DrainRecord{By: by, At: s.b.Now().UTC().Format(time.RFC3339)}
	if _, drained := snapshot.Entries[records.DrainPrefix+name]; !drained {
		if err := s.put(r.Context(), records.DrainPrefix+name, drain, 0); err != nil {
			return nil, err
		}
	}
	if leader(v) != name {
		return Accepted{Text: name + " is drained: it has no role and no readers until `pgherd undrain " + name + "`"}, nil
	}
	op.By = by
	return Accepted{Kind: op.Kind, Text: name + " is drained, and hands over"}, s.put(r.Context(), records.KeyOperation, op, v.OperationRevision)
}

// checkDrain: somebody who may lead is left, and a strict cluster can go on committing.
func checkDrain(v core.StoreView, name string) error {
	m, err := member(v, name)
	if err != nil {
		return err
	}
	if m.Witness {
		return refuse(http.StatusConflict, "is_witness", "", "%s is a witness: it has no role to give up", name)
	}
	left, sync := 0, 0
	for _, o := range v.Members {
		if o.Name == name || o.Witness || o.Tags.NoFailover {
			continue
		}
		if left++; !o.Tags.NoSync {
			sync++
		}
	}
	if left == 0 {
		return refuse(http.StatusConflict, "last_candidate", "`pgherd status` shows the members; another one must be able to lead", "without %s nobody is left who may lead", name)
	}
	if v.Spec.Strict && v.Spec.Durability == spec.DurabilitySync && sync-1 < v.Spec.SyncStandbys {
		return refuse(http.StatusConflict, "strict", "`pgherd config set strict=false` for the time of the maintenance, or join another member", "the cluster is strict: without %s commits would wait for ever", name)
	}
	return nil
}

func (s *Server) deleteDrain(r *http.Request, _ string) (any, error) {
	name := r.PathValue("name")
	v, snapshot, err := s.read(r.Context())
	if err != nil {
		return nil, err
	}
	if !slices.Contains(v.Drained, name) {
		return Accepted{Text: name + " is not drained"}, nil
	}
	key := records.DrainPrefix + name
	return Accepted{Text: name + " may have a role again"}, s.delete(r.Context(), key, snapshot.Entries[key].Revision)
}
