package observe

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

const (
	storeReadLimit = time.Second
	echo           = 50 * time.Millisecond // within which a watch reports our own write
)

// StoreSource keeps the newest knowledge of the store.
type StoreSource struct {
	Self  string
	Store store.Store
	Now   func() core.Instant

	flight flight
	mu     sync.Mutex
	newest int64 // store revision of what is known; replies below are dropped
	known  core.StoreView
	err    string
	opID   string
}

func (s *StoreSource) refresh(ctx context.Context) {
	done := s.flight.start(func() { s.read(context.WithoutCancel(ctx)) })
	within(ctx, done, storeWait)
}

func (s *StoreSource) read(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeReadLimit)
	defer cancel()
	sent := s.Now()
	snapshot, err := s.Store.Snapshot(ctx)
	if err == nil {
		var v core.StoreView
		if v, err = records.Decode(snapshot, s.Self); err == nil {
			err = s.merge(v, snapshot.Revision, sent)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = ""
	if err != nil {
		s.err = err.Error()
	}
}

var errStale = errors.New("an older reply came after a newer one")

// merge takes a snapshot over, unless something newer is known: our own write, or a
// reply that overtook this one. (A prototype without this rule promoted on a wrong term.)
func (s *StoreSource) merge(v core.StoreView, revision int64, sent core.Instant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if revision < s.newest {
		return fmt.Errorf("%w: revision %d after %d", errStale, revision, s.newest)
	}
	now := s.Now()
	v.ReadAt = sent
	v.RenewedTerm, v.RenewedAt = s.known.RenewedTerm, s.known.RenewedAt
	v.LeaseSeenAt, v.OperationSeenAt = s.known.LeaseSeenAt, s.known.OperationSeenAt
	if !s.known.Known || v.LeaseRevision != s.known.LeaseRevision {
		v.LeaseSeenAt = now
	}
	if v.Operation != nil && v.Operation.ID != s.opID {
		s.opID, v.OperationSeenAt = v.Operation.ID, now
	}
	s.newest, s.known = revision, v
	return nil
}

// Renewed takes note of our own successful write of the lease: its send time is what
// trust is counted from.
func (s *StoreSource) Renewed(l core.LeaseRecord, revision int64, sent core.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.Holder == s.Self && !l.Released {
		s.known.RenewedTerm, s.known.RenewedAt = l.Term, sent
	}
	if revision > s.newest {
		s.newest = revision
		s.known.Lease, s.known.LeaseRevision, s.known.LeaseSeenAt = l, revision, s.Now()
	}
}

// JustRenewed says that our own last write of the lease is only an echo away.
func (s *StoreSource) JustRenewed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.RenewedAt != 0 && s.Now().Sub(s.known.RenewedAt) < echo
}

// Term is the newest term seen; for guards.
func (s *StoreSource) Term() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.Lease.Term
}

func (s *StoreSource) view() core.StoreView {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.known
	v.Err = s.err
	return v
}

func (s *StoreSource) members() []core.MemberRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known.Members
}
