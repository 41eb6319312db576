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

// CodePoolerRemoved: the host has a certificate still, but the cluster has removed it.
const CodePoolerRemoved = "pooler_removed"

// keyPoolerHost is followed by the name of a host that only pools. Its join writes the key, its removal deletes it; the
// host itself cannot. Without it a removed host could write its record again, and so be let look roles up again.
const keyPoolerHost = "poolerhosts/"

// poolerRemoveTries bounds the race of a removal with the host's own writing; the last finds nothing left.
const poolerRemoveTries = 5

// PoolerHost is that registration.
type PoolerHost struct {
	Name     string `json:"name"`
	Address  string `json:"address"`
	JoinedAt string `json:"joined_at"` // RFC 3339, for people only
}

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
	if _, ok := snapshot.Entries[keyPoolerHost+name]; !ok {
		return "", v, snapshot, poolerRemoved(name)
	}
	return name, v, snapshot, nil
}

func poolerRemoved(name string) error {
	return refuse(http.StatusForbidden, CodePoolerRemoved, "join again with a new token, under another name", "%s is not, or not any more, a host of this cluster", name)
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
	if _, ok := snapshot.Entries[keyPoolerHost+name]; ok {
		return nil
	}
	if err := s.delete(ctx, records.PoolerPrefix+name, revision); err != nil && asProblem(err).Code != CodeConflict {
		return err
	}
	return poolerRemoved(name)
}

// deletePoolerRecord: the host runs no endpoints for now. It stays registered.
func (s *Server) deletePoolerRecord(r *http.Request, name string, _ core.StoreView, _ store.Snapshot) (any, error) {
	expect, err := strconv.ParseInt(r.URL.Query().Get("expect"), 10, 64)
	if err != nil || expect < 1 {
		return nil, badRequest("expect: want the record's revision")
	}
	return Accepted{Text: "the record is deleted"}, s.delete(r.Context(), records.PoolerPrefix+name, expect)
}

// deletePooler is the removal, by a member: first the registration, so that the record does not come back. The
// host may write its record meanwhile: that is read again. Repeated, it goes on where it failed.
func (s *Server) deletePooler(r *http.Request, _ string) (any, error) {
	name := r.PathValue("name")
	for try := range poolerRemoveTries {
		v, snapshot, err := s.read(r.Context())
		if err != nil {
			return nil, err
		}
		if _, err := member(v, name); err == nil {
			return nil, refuse(http.StatusConflict, "is_member", "`pgherd remove "+name+"`", "%s is a member", name)
		}
		left := false
		for _, key := range []string{keyPoolerHost + name, records.PoolerPrefix + name} {
			e, ok := snapshot.Entries[key]
			if !ok {
				continue
			}
			left = true
			if err := s.delete(r.Context(), key, e.Revision); err != nil && asProblem(err).Code != CodeConflict {
				return nil, err
			}
		}
		switch {
		case left:
		case try == 0:
			return nil, refuse(http.StatusNotFound, "no_such_pooler", "`pgherd status` lists the endpoints", "no host that only pools is called %q", name)
		default:
			return Accepted{Text: name + " is removed"}, nil
		}
	}
	return nil, writeProblem(store.ErrConflict)
}
