package api

import (
	"context"
	"net/http"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// read gives the cluster's records as they are now. For mutations: nothing is ever
// decided on an old snapshot.
func (s *Server) read(ctx context.Context) (core.StoreView, store.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	snapshot, err := s.b.Store.Snapshot(ctx)
	if err != nil {
		return core.StoreView{}, snapshot, readProblem(err)
	}
	v, err := records.Decode(snapshot, s.b.Name)
	if err != nil {
		return v, snapshot, err
	}
	if v.ClusterRevision == 0 {
		return v, snapshot, refuse(http.StatusServiceUnavailable, "not_ready", "wait until the first member has started, then repeat", "the cluster's records are not there yet")
	}
	if s.b.Believed != nil {
		if err := s.b.Believed(snapshot, v); err != nil {
			return v, snapshot, readProblem(err)
		}
	}
	s.lastKnown.Store(&v)
	return v, snapshot, nil
}

// readAnyway gives the newest records known when the store does not answer: status
// is asked for most when things are broken. err then says what is wrong.
func (s *Server) readAnyway(ctx context.Context) (v core.StoreView, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout/3)
	defer cancel()
	v, _, err = s.read(ctx)
	if err == nil {
		return v, nil
	}
	if last := s.lastKnown.Load(); last != nil {
		v = *last
	}
	if s.b.Journal != nil {
		if j := s.b.Journal.Latest().View.Store; j.Known && j.LeaseRevision >= v.LeaseRevision {
			v = j
		}
	}
	if v.ClusterRevision == 0 && s.b.Kept != nil {
		v = s.b.Kept()
	}
	return v, err
}

// put writes one record; delete removes one. A conflict is a refusal, no answer an
// unknown outcome.
func (s *Server) put(ctx context.Context, key string, record any, expect int64) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	_, err := records.Put(ctx, s.b.Store, key, record, expect)
	return written(ctx, err)
}

func (s *Server) delete(ctx context.Context, key string, expect int64) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return written(ctx, s.b.Store.Delete(ctx, key, expect))
}

// tidy deletes what nothing depends on: it is no part of the change on whose way it is found.
func (s *Server) tidy(ctx context.Context, key string, expect int64) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	if err := s.b.Store.Delete(ctx, key, expect); err != nil {
		s.b.Log.Debug("an old record is left", "key", key, "error", err)
	}
}

func member(v core.StoreView, name string) (core.MemberRecord, error) {
	for _, m := range v.Members {
		if m.Name == name {
			return m, nil
		}
	}
	return core.MemberRecord{}, refuse(http.StatusNotFound, "no_such_member", "`pgherd members` lists them", "no member is called %q", name)
}

// leader is the holder of the lease, or "".
func leader(v core.StoreView) string {
	if v.Lease.Released {
		return ""
	}
	return v.Lease.Holder
}
