package storetest

import (
	"context"
	"errors"
	"testing"

	"github.com/pgherd/pgherd/internal/store"
)

func open(t *testing.T, f Factory) store.Store {
	t.Helper()
	s := f.Open(t)
	t.Cleanup(func() { s.Close() })
	return s
}

func another(t *testing.T, f Factory, s store.Store) store.Store {
	t.Helper()
	other := f.Another(t, s)
	t.Cleanup(func() { other.Close() })
	return other
}

// ctx ends with the test, or after patience: a hanging call fails, not hangs.
func ctx(t *testing.T) context.Context {
	c, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return c
}

func snapshot(t *testing.T, s store.Store) store.Snapshot {
	t.Helper()
	snap, err := s.Snapshot(ctx(t))
	if err != nil {
		t.Fatalf("snapshot: %v", err)
	}
	return snap
}

func put(t *testing.T, s store.Store, key, value string, expect int64) int64 {
	t.Helper()
	rev, err := s.Put(ctx(t), key, []byte(value), expect)
	if err != nil {
		t.Fatalf("put %s at %d: %v", key, expect, err)
	}
	return rev
}

func conflict(t *testing.T, s store.Store, key string, expect int64) {
	t.Helper()
	if _, err := s.Put(ctx(t), key, []byte("never"), expect); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("put %s at %d: %v, want ErrConflict", key, expect, err)
	}
}

func wantEntry(t *testing.T, s store.Store, key, value string, rev int64) {
	t.Helper()
	e, there := snapshot(t, s).Entries[key]
	if !there || string(e.Value) != value || e.Revision != rev {
		t.Fatalf("%s: there %v, %q at %d; want %q at %d", key, there, e.Value, e.Revision, value, rev)
	}
}
