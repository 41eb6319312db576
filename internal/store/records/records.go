// Package records maps the store's bytes to core's records and back: the keys, their
// JSON, and one decoded snapshot. It is shared by observe, act and api, so that a key
// is spelled in one place.
//
// It must not decide, retry or cache: a record that cannot be read is an error, never
// an empty record.
package records

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
)

// The keys. Those that end in a slash are followed by a name or an id.
const (
	KeyCluster    = "cluster"
	KeySpec       = "spec"
	KeyLease      = "lease"
	KeyOperation  = "operation"
	KeyPause      = "pause"
	MemberPrefix  = "members/"
	PoolerPrefix  = "poolers/"
	DrainPrefix   = "drains/"
	RequestPrefix = "requests/"
	TokenPrefix   = "tokens/"
	RemovalPrefix = "removals/" // followed by the member's name, a slash and the fork's id

	// Of hosts that only pool. The core knows none of them; it sees such a host's PoolerPrefix record, as any other.
	PoolerHostPrefix    = "poolerhosts/"    // who is registered: api.PoolerHost
	PoolerRemovalPrefix = "poolerremovals/" // who was removed: api.PoolerRemoval
	// PoolerTokenPrefix is another than that of members' tokens: an agent that knows no other kind must not take one for a member's.
	PoolerTokenPrefix = "poolertokens/"
)

// Decode reads a snapshot into the part of core's view that is records. self picks
// the request for this member.
func Decode(s store.Snapshot, self string) (core.StoreView, error) {
	v := core.StoreView{Known: true}
	single := []struct {
		key      string
		into     any
		revision *int64
	}{
		{KeyCluster, &v.Cluster, &v.ClusterRevision},
		{KeySpec, &v.Spec, &v.SpecRevision},
		{KeyLease, &v.Lease, &v.LeaseRevision},
		{KeyOperation, &v.Operation, &v.OperationRevision},
	}
	for _, one := range single {
		e, ok := s.Entries[one.key]
		if !ok {
			continue
		}
		*one.revision = e.Revision
		if err := json.Unmarshal(e.Value, one.into); err != nil {
			return v, fmt.Errorf("record %q: %w", one.key, err)
		}
	}
	_, v.Paused = s.Entries[KeyPause]
	return v, decodeLists(s, self, &v)
}

func decodeLists(s store.Snapshot, self string, v *core.StoreView) error {
	for key, e := range s.Entries {
		if err := decodeOne(key, e, self, v); err != nil {
			return fmt.Errorf("record %q: %w", key, err)
		}
	}
	slices.SortFunc(v.Poolers, func(a, b core.Pooler) int { return cmp.Compare(a.Name, b.Name) })
	slices.Sort(v.Drained)
	for i, m := range v.Members {
		if slices.Contains(v.Drained, m.Name) { // to every rule it is as if it were tagged so
			v.Members[i].Tags.NoFailover, v.Members[i].Tags.NoSync = true, true
		}
	}
	slices.Sort(v.Requests)
	slices.SortFunc(v.Removals, func(a, b core.Removal) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(v.Members, func(a, b core.MemberRecord) int {
		return cmp.Or(cmp.Compare(a.Ordinal, b.Ordinal), cmp.Compare(a.Name, b.Name))
	})
	return nil
}

// decodeOne takes one record of the lists over; keys that belong to none are left alone.
func decodeOne(key string, e store.Entry, self string, v *core.StoreView) error {
	prefix, name, listed := strings.Cut(key, "/")
	if !listed {
		return nil
	}
	switch prefix + "/" {
	case RequestPrefix:
		v.Requests = append(v.Requests, name)
		if name != self {
			return nil
		}
		r := core.Request{}
		if err := json.Unmarshal(e.Value, &r); err != nil {
			return err
		}
		r.Revision = e.Revision
		v.Request = &r
	case RemovalPrefix:
		id, ours := strings.CutPrefix(name, self+"/")
		if !ours {
			return nil
		}
		r := core.Removal{}
		if err := json.Unmarshal(e.Value, &r); err != nil {
			return err
		}
		r.ID, r.Revision = id, e.Revision
		v.Removals = append(v.Removals, r)
	case MemberPrefix:
		m := core.MemberRecord{}
		if err := json.Unmarshal(e.Value, &m); err != nil {
			return err
		}
		v.Members = append(v.Members, m)
	case PoolerPrefix:
		p := core.Pooler{Revision: e.Revision}
		if err := json.Unmarshal(e.Value, &p.PoolerRecord); err != nil {
			return err
		}
		v.Poolers = append(v.Poolers, p)
	case DrainPrefix:
		v.Drained = append(v.Drained, name)
	}
	return nil
}

// Put writes a record as JSON with the store's compare-and-swap (expect 0: must not exist).
func Put(ctx context.Context, s store.Store, key string, record any, expect int64) (int64, error) {
	data, err := json.Marshal(record)
	if err != nil {
		return 0, fmt.Errorf("record %q: %w", key, err)
	}
	return s.Put(ctx, key, data, expect)
}
