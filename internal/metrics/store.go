package metrics

import (
	"context"
	"errors"
	"time"

	"github.com/pgherd/pgherd/internal/store"
)

// operation is a call of the store that is measured.
type operation int

const (
	opSnapshot operation = iota
	opPut
	opDelete
	operations
)

func (o operation) String() string { return [operations]string{"snapshot", "put", "delete"}[o] }

// Measured is a store whose calls are timed. It is a store like the one under it: the port's conformance suite is run on it.
func (t *Meters) Measured(s store.Store) store.Store {
	if t == nil {
		return s
	}
	return &timed{s, t}
}

type timed struct {
	store.Store
	meters *Meters
}

func (s *timed) Snapshot(ctx context.Context) (store.Snapshot, error) {
	began := time.Now()
	snapshot, err := s.Store.Snapshot(ctx)
	s.meters.requested(opSnapshot, began, err)
	return snapshot, err
}

func (s *timed) Put(ctx context.Context, key string, value []byte, expect int64) (int64, error) {
	began := time.Now()
	revision, err := s.Store.Put(ctx, key, value, expect)
	s.meters.requested(opPut, began, err)
	return revision, err
}

func (s *timed) Delete(ctx context.Context, key string, expect int64) error {
	began := time.Now()
	err := s.Store.Delete(ctx, key, expect)
	s.meters.requested(opDelete, began, err)
	return err
}

func (t *Meters) requested(o operation, began time.Time, err error) {
	t.store[o].Observe(time.Since(began).Seconds())
	if errors.Is(err, store.ErrUnavailable) {
		t.storeErrors[o].Inc()
	}
}
