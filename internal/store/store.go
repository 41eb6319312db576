package store

import (
	"context"
	"errors"
)

// Errors of every implementation; test with errors.Is.
var (
	// ErrConflict: the key's revision is not the expected one. Nothing was written.
	ErrConflict = errors.New("store: the record was changed by someone else")
	// ErrUnavailable: no quorum, no connection or no answer in time. For a write
	// the outcome is UNKNOWN: it may still take effect.
	ErrUnavailable = errors.New("store: not available")
	// ErrClosed: the store was closed by us.
	ErrClosed = errors.New("store: closed")
)

// Entry is one record with the revision of its last change.
type Entry struct {
	Value    []byte
	Revision int64 // > 0; grows with each change of this key, as does Snapshot.Revision
}

// Snapshot is the whole content at one revision: a cluster of ten members is a
// few dozen small records, and one consistent read is worth more than many cheap ones.
type Snapshot struct {
	Revision int64 // store-wide; grows with each change of any key
	Entries  map[string]Entry
}

// Store is the port. All calls are linearizable and bounded by ctx: an
// implementation returns ErrUnavailable (wrapped) when ctx ends first.
// Keys are relative, like "lease" or "members/n1".
type Store interface {
	// Snapshot reads everything. A stale answer (from a cut-off replica) is an error, not an answer.
	Snapshot(ctx context.Context) (Snapshot, error)

	// Put writes key if its revision is exactly expect; expect 0 means "must not
	// exist". It returns the new revision, or ErrConflict.
	Put(ctx context.Context, key string, value []byte, expect int64) (revision int64, err error)

	// Delete removes key if its revision is exactly expect, or returns ErrConflict.
	Delete(ctx context.Context, key string, expect int64) error

	// Watch gives a hint channel (capacity 1, coalescing) that receives after a change of a key
	// that news says yes to; nil: of any. news must be quick, and may be called for one change more than once. It is a hint only: it may miss changes or fire without one; it
	// reconnects by itself and is closed when ctx ends.
	Watch(ctx context.Context, news func(key string) bool) <-chan struct{}

	// Close releases connections. Later calls return ErrClosed.
	Close() error
}
