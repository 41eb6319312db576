package observe

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/trust"
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

	// Check refuses a snapshot that must not be believed. Remembered are the members as they were known before
	// this agent started: they are asked while the store has not answered yet.
	Check      func(store.Snapshot, core.StoreView) error
	Remembered func() []core.MemberRecord

	flight flight
	mu     sync.Mutex
	ledger trust.Ledger
	err    string
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
		if v, err = records.Decode(snapshot, s.Self); err == nil && s.Check != nil {
			err = s.Check(snapshot, v)
		}
		if err == nil {
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

// merge takes a snapshot over by the ledger's rules.
func (s *StoreSource) merge(v core.StoreView, revision int64, sent core.Instant) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.Merge(v, revision, sent, s.Now())
}

// Renewed takes note of our own successful write of the lease.
func (s *StoreSource) Renewed(l core.LeaseRecord, revision int64, sent core.Instant) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.Renewed(s.Self, l, revision, sent, s.Now())
}

// Taking is asked right before a write that takes somebody's lease; see trust.Ledger.
func (s *StoreSource) Taking(expect int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.Taking(expect, s.Now())
}

// Vouch answers another member that asks to vouch for its lease; see trust.Ledger.
func (s *StoreSource) Vouch(v core.Vouch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.Vouch(v, s.Now())
}

// Vouched takes note of what came of asking all others.
func (s *StoreSource) Vouched(term uint64, sent core.Instant, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ledger.Vouched(term, sent, err)
}

// Others are the other members as they are known, to be asked directly.
func (s *StoreSource) Others() []core.MemberRecord {
	return slices.DeleteFunc(slices.Clone(s.members()), func(m core.MemberRecord) bool { return m.Name == s.Self })
}

// JustRenewed says that our own last write of the lease is only an echo away.
func (s *StoreSource) JustRenewed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.ledger.View().RenewedAt
	return at != 0 && s.Now().Sub(at) < echo
}

// Term is the newest term seen; for guards.
func (s *StoreSource) Term() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ledger.Term()
}

// patience is how long a view waits for the answers of the other members.
type patience struct {
	wait       time.Duration
	peers, own time.Duration // how old their answers may be, and the own server's, that are not asked for again
}

// patience goes by what is known of the running operation. While clients are held, what most members wait for is in the
// store: each question would be work for two members at the one time when it delays somebody.
func (s *StoreSource) patience() patience {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.ledger.Known()
	op, leads := known.Operation, known.Lease.Holder == s.Self
	switch {
	case !op.Active():
		return patience{wait: peerWait}
	case op.Kind != core.OpSwitchover || op.Phase == core.PhaseRequested:
		return patience{wait: peerWaitBusy}
	case leads && op.Phase == core.PhaseStopping && op.From == s.Self:
		return patience{wait: peerWaitBusy} // for what the candidate has received
	case leads && op.Phase == core.PhaseStopping:
		return patience{peers: ageHeld} // for its own promotion
	}
	return patience{peers: ageHeld, own: ageHeld / 2}
}

func (s *StoreSource) view() core.StoreView {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.ledger.View()
	v.Err = s.err
	return v
}

func (s *StoreSource) members() []core.MemberRecord {
	s.mu.Lock()
	list := s.ledger.View().Members
	s.mu.Unlock()
	if len(list) == 0 && s.Remembered != nil {
		return s.Remembered()
	}
	return list
}
