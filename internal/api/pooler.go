package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// Routes for hosts that only pool. A member does not need them, and is refused.
const (
	PoolerStatePath  = "/v1/pooler/state"
	PoolerRecordPath = "/v1/pooler/record"
	PoolerWatchPath  = "/v1/pooler/watch"
	PoolerRenewPath  = "/v1/pooler/renew"
)

// PoolerChange is the body of PUT PoolerRecordPath; Expect is the revision that it replaces, 0 for none.
type PoolerChange struct {
	Record core.PoolerRecord `json:"record"`
	Expect int64             `json:"expect"`
}

// PoolerWritten answers it.
type PoolerWritten struct {
	Revision int64 `json:"revision"`
}

// asPooler lets in who has a pooler's certificate and is registered still.
func (s *Server) asPooler(f func(*http.Request, string, core.StoreView, store.Snapshot) (any, error)) http.HandlerFunc {
	return s.open(func(r *http.Request, _ string) (any, error) {
		name, v, snapshot, err := s.pooler(r)
		if err != nil {
			return nil, err
		}
		return f(r, name, v, snapshot)
	})
}

// pooler gives the caller's name, and what was read. The certificate outlives a removal, so the registration decides.
func (s *Server) pooler(r *http.Request) (name string, v core.StoreView, snapshot store.Snapshot, err error) {
	if name, err = pki.PoolerName(r.TLS, s.clusterID); err != nil {
		return "", v, snapshot, refuse(http.StatusForbidden, CodeForbidden, "", "this needs a pooler's certificate")
	}
	if v, snapshot, err = s.read(r.Context()); err != nil {
		return "", v, snapshot, err
	}
	if err := registered(snapshot, name); err != nil {
		return "", v, snapshot, err
	}
	return name, v, snapshot, nil
}

func (s *Server) getPoolerState(_ *http.Request, name string, v core.StoreView, _ store.Snapshot) (any, error) {
	return poolerView(v, name), nil
}

// poolerView is what the endpoints of pooler name go by, and no more: no access rules, no parameters, no other host.
func poolerView(v core.StoreView, name string) core.StoreView {
	out := core.StoreView{
		Known: true, Cluster: v.Cluster, ClusterRevision: v.ClusterRevision, Lease: v.Lease, LeaseRevision: v.LeaseRevision,
		Members: v.Members, Operation: v.Operation, OperationRevision: v.OperationRevision, Drained: v.Drained, SpecRevision: v.SpecRevision,
	}
	out.Spec.Pooler = v.Spec.Pooler
	for _, p := range v.Poolers {
		if p.Name == name {
			out.Poolers = append(out.Poolers, p)
		}
	}
	return out
}

func (s *Server) putPoolerRecord(r *http.Request, name string, _ core.StoreView, _ store.Snapshot) (any, error) {
	var change PoolerChange
	if err := body(r, &change); err != nil {
		return nil, err
	}
	if change.Record.Name != name {
		return nil, refuse(http.StatusForbidden, CodeForbidden, "", "%s may write its own record only", name)
	}
	ctx, cancel := context.WithTimeout(r.Context(), storeTimeout)
	defer cancel()
	revision, err := records.Put(ctx, s.b.Store, records.PoolerPrefix+name, change.Record, change.Expect)
	if err != nil {
		return nil, writeProblem(err)
	}
	if change.Expect == 0 {
		err = s.stillPooler(ctx, name, revision)
	}
	return PoolerWritten{revision}, err
}

// stillPooler: a removal may have come between the look at the registration and a record's first writing, and would not
// have seen the record. Every later writing names a revision, which a removal takes away.
func (s *Server) stillPooler(ctx context.Context, name string, revision int64) error {
	_, snapshot, err := s.read(ctx)
	if err != nil {
		return err
	}
	refusal := registered(snapshot, name)
	if refusal == nil {
		return nil
	}
	if err := s.delete(ctx, records.PoolerPrefix+name, revision); err != nil && asProblem(err).Code != CodeConflict {
		return err
	}
	return refusal
}

// deletePoolerRecord: the host runs no endpoints for now. It stays registered.
func (s *Server) deletePoolerRecord(r *http.Request, name string, _ core.StoreView, _ store.Snapshot) (any, error) {
	expect, err := strconv.ParseInt(r.URL.Query().Get("expect"), 10, 64)
	if err != nil || expect < 1 {
		return nil, badRequest("expect: want the record's revision")
	}
	return Accepted{Text: "the record is deleted"}, s.delete(r.Context(), records.PoolerPrefix+name, expect)
}
