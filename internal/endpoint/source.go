package endpoint

import (
	"context"
	"fmt"
	"strings"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// Source is the cluster's state, as this host may see it. All calls are bounded by ctx.
type Source interface {
	// State reads all records; an answer is never older than the one before it.
	State(ctx context.Context) (core.StoreView, error)
	// Watch gives hints that something has changed; it may miss changes and is closed when ctx ends.
	Watch(ctx context.Context) <-chan struct{}
	// Put writes this host's record if its revision is expect (0: there is none), else store.ErrConflict.
	Put(ctx context.Context, r core.PoolerRecord, expect int64) (revision int64, err error)
	// Delete removes it under the same condition.
	Delete(ctx context.Context, name string, expect int64) error
}

// StoreSource is the Source of a host with the store at hand.
type StoreSource struct {
	Store store.Store
	Self  string
	Check func(store.Snapshot, core.StoreView) error // refuses a snapshot that must not be believed; may be nil
}

var _ Source = StoreSource{}

// State implements Source.
func (s StoreSource) State(ctx context.Context) (core.StoreView, error) {
	snapshot, err := s.Store.Snapshot(ctx)
	if err != nil {
		return core.StoreView{}, err
	}
	v, err := records.Decode(snapshot, s.Self)
	if err == nil && s.Check != nil {
		err = s.Check(snapshot, v)
	}
	return v, err
}

// Watch implements Source. What other poolers say of themselves changes nothing here.
func (s StoreSource) Watch(ctx context.Context) <-chan struct{} {
	return s.Store.Watch(ctx, func(key string) bool { return !strings.HasPrefix(key, records.PoolerPrefix) })
}

// Put implements Source.
func (s StoreSource) Put(ctx context.Context, r core.PoolerRecord, expect int64) (int64, error) {
	revision, err := records.Put(ctx, s.Store, records.PoolerPrefix+r.Name, r, expect)
	if err != nil {
		return 0, fmt.Errorf("the endpoints' record: %w", err)
	}
	return revision, nil
}

// Delete implements Source.
func (s StoreSource) Delete(ctx context.Context, name string, expect int64) error {
	return s.Store.Delete(ctx, records.PoolerPrefix+name, expect)
}
