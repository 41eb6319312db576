package api

import (
	"context"
	"net/http"
	"testing"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// A host that only pools reads what it goes by, writes its own record, and is out when it is removed.
func TestPoolerRoutes(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	app, member := f.remote(poolerPair(t, f.ca, "app1")), f.remote(pair(t, f.ca, "n2"))
	put := func(c *Client, name string, expect int64) (w PoolerWritten, err error) {
		return w, c.call(ctx, http.MethodPut, PoolerRecordPath, PoolerChange{core.PoolerRecord{Name: name}, expect}, &w)
	}
	state := func(c *Client) (v core.StoreView, err error) {
		return v, c.call(ctx, http.MethodGet, PoolerStatePath, nil, &v)
	}
	if _, err := state(app); codeOf(err) != CodePoolerUnknown {
		t.Errorf("before it is registered: %v", err)
	}
	f.put(records.PoolerHostPrefix+"app1", PoolerHost{Name: "app1"})
	f.put(records.PoolerPrefix+"n1", core.PoolerRecord{Name: "n1"})
	secret := spec.DefaultCluster()
	secret.Postgres.HBA = []spec.HBARule{{Users: []string{"somebody"}}}
	f.put(records.KeySpec, secret)
	first, err := put(app, "app1", 0)
	if err != nil {
		t.Fatal(err)
	}
	v, err := state(app)
	if err != nil || v.Lease.Holder != "n1" || len(v.Members) != 3 || len(v.Spec.Postgres.HBA) != 0 || len(v.Poolers) != 1 || v.Poolers[0].Revision != first.Revision {
		t.Errorf("state: %+v, %v", v, err)
	}
	if _, err := put(app, "app1", 0); codeOf(err) != "conflict" {
		t.Errorf("an old revision: %v", err)
	}
	if _, err := put(app, "n1", f.revision(records.PoolerPrefix+"n1")); codeOf(err) != CodeForbidden {
		t.Errorf("another's record: %v", err)
	}
	if _, err := put(member, "n2", 0); codeOf(err) != CodeForbidden {
		t.Errorf("a member: %v", err)
	}
	var a Accepted
	if err := app.call(ctx, http.MethodDelete, "/v1/poolers/app1", nil, &a); codeOf(err) != CodeForbidden {
		t.Errorf("it removes itself: %v", err)
	}
	if err := member.call(ctx, http.MethodDelete, "/v1/poolers/n1", nil, &a); codeOf(err) != "is_member" {
		t.Errorf("the removal of a member's endpoints: %v", err)
	}
	if err := member.call(ctx, http.MethodDelete, "/v1/poolers/app1", nil, &a); err != nil {
		t.Fatal(err)
	}
	if err := member.call(ctx, http.MethodDelete, "/v1/poolers/app1", nil, &a); codeOf(err) != "no_such_pooler" {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := put(app, "app1", 0); codeOf(err) != "pooler_removed" || f.get(records.PoolerPrefix+"app1", &core.PoolerRecord{}) {
		t.Errorf("after its removal: %v", err)
	}
}

// racing removes the host right before its record is written.
type racing struct {
	store.Store
	remove func()
}

func (s *racing) Put(ctx context.Context, key string, value []byte, expect int64) (int64, error) {
	if key == records.PoolerPrefix+"app1" {
		s.remove()
	}
	return s.Store.Put(ctx, key, value, expect)
}

// A removal that comes between the look at the registration and the first record takes the record with it.
func TestPoolerRemovedMeanwhile(t *testing.T) {
	race := &racing{}
	f := newFixture(t, func(b *Backend) { race.Store, b.Store = b.Store, race })
	ctx := context.Background()
	race.remove = func() {
		if left, err := f.s.removePooler(ctx, f.snapshot(), "app1"); err != nil || !left {
			t.Error(left, err)
		}
	}
	f.put(records.PoolerHostPrefix+"app1", PoolerHost{Name: "app1"})
	_, err := f.remote(poolerPair(t, f.ca, "app1")).PutPoolerRecord(ctx, PoolerChange{Record: core.PoolerRecord{Name: "app1"}})
	if codeOf(err) != CodePoolerRemoved || f.get(records.PoolerPrefix+"app1", &core.PoolerRecord{}) {
		t.Errorf("%v; there is a record: %v", err, f.get(records.PoolerPrefix+"app1", &core.PoolerRecord{}))
	}
}
