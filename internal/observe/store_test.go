package observe

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
)

// clock is a hand-set CLOCK_BOOTTIME.
type clock struct{ now core.Instant }

func (c *clock) Now() core.Instant { return c.now }

func put(t *testing.T, s store.Store, key string, record any, expect int64) int64 {
	t.Helper()
	revision, err := records.Put(t.Context(), s, key, record, expect)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

// lateStore answers one Snapshot with what it was told to keep, as a reply does that
// was overtaken on the network.
type lateStore struct {
	store.Store
	late *store.Snapshot
	err  error
}

func (l *lateStore) Snapshot(ctx context.Context) (store.Snapshot, error) {
	if l.err != nil {
		return store.Snapshot{}, l.err
	}
	if l.late != nil {
		return *l.late, nil
	}
	return l.Store.Snapshot(ctx)
}

func TestOlderReplyNeverOverwritesNewerKnowledge(t *testing.T) {
	content, time := mem.New(), &clock{now: 100}
	late := &lateStore{Store: content}
	s := &StoreSource{Self: "n1", Store: late, Now: time.Now}
	r1 := put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n2", Term: 1}, 0)
	old, err := content.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n3", Term: 2}, r1)
	s.refresh(t.Context())
	if got := s.view().Lease.Term; got != 2 {
		t.Fatalf("term %d, want 2", got)
	}
	late.late = &old
	s.refresh(t.Context())
	v := s.view()
	if v.Lease.Term != 2 || v.Lease.Holder != "n3" {
		t.Errorf("the old reply won: %+v", v.Lease)
	}
	if v.Err == "" {
		t.Error("an overtaken reply must not pass for a fresh read")
	}
}

func TestOwnWriteIsNotOverwrittenByAReadFromBefore(t *testing.T) {
	content, time := mem.New(), &clock{now: 100}
	late := &lateStore{Store: content}
	s := &StoreSource{Self: "n1", Store: late, Now: time.Now}
	r1 := put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 1, Beat: 1}, 0)
	s.refresh(t.Context())
	before, err := content.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := core.LeaseRecord{Holder: "n1", Term: 1, Beat: 2}
	r2 := put(t, content, records.KeyLease, next, r1)
	s.Renewed(next, r2, 90)
	late.late = &before
	s.refresh(t.Context())
	v := s.view()
	if v.LeaseRevision != r2 || v.RenewedAt != 90 || v.RenewedTerm != 1 {
		t.Errorf("revision %d (want %d), renewed at %d in term %d", v.LeaseRevision, r2, v.RenewedAt, v.RenewedTerm)
	}
}

func TestLeaseIsSeenFromItsLastChange(t *testing.T) {
	content, time := mem.New(), &clock{now: 100}
	s := &StoreSource{Self: "n1", Store: content, Now: time.Now}
	r1 := put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n2", Term: 1, Beat: 1}, 0)
	s.refresh(t.Context())
	time.now = 200
	s.refresh(t.Context())
	if got := s.view().LeaseSeenAt; got != 100 {
		t.Errorf("an unchanged lease was seen at %d, want 100", got)
	}
	put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n2", Term: 1, Beat: 2}, r1)
	time.now = 300
	s.refresh(t.Context())
	if got := s.view().LeaseSeenAt; got != 300 {
		t.Errorf("a renewed lease was seen at %d, want 300", got)
	}
}

func TestUnavailableStoreKeepsWhatWasKnownAndSaysSo(t *testing.T) {
	content, time := mem.New(), &clock{now: 100}
	late := &lateStore{Store: content}
	s := &StoreSource{Self: "n1", Store: late, Now: time.Now}
	late.err = errors.New("no quorum")
	s.refresh(t.Context())
	if v := s.view(); v.Known || v.Err == "" {
		t.Errorf("never read: known %v, err %q", v.Known, v.Err)
	}
	late.err = nil
	put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n2", Term: 7}, 0)
	s.refresh(t.Context())
	time.now, late.err = 200, errors.New("no quorum")
	s.refresh(t.Context())
	if v := s.view(); !v.Known || v.Err == "" || v.Lease.Term != 7 || v.ReadAt != 100 {
		t.Errorf("known %v, err %q, term %d, read at %d", v.Known, v.Err, v.Lease.Term, v.ReadAt)
	}
}

func TestBrokenRecordIsAnErrorNotAnEmptyRecord(t *testing.T) {
	content, time := mem.New(), &clock{now: 100}
	s := &StoreSource{Self: "n1", Store: content, Now: time.Now}
	if _, err := content.Put(t.Context(), records.KeyLease, []byte("{"), 0); err != nil {
		t.Fatal(err)
	}
	s.refresh(t.Context())
	if v := s.view(); v.Known || v.Err == "" {
		t.Errorf("known %v, err %q", v.Known, v.Err)
	}
}

func TestRequestAndMembersAreDecoded(t *testing.T) {
	content, time := mem.New(), &clock{now: 100}
	s := &StoreSource{Self: "n1", Store: content, Now: time.Now}
	put(t, content, records.MemberPrefix+"n2", core.MemberRecord{Name: "n2", Ordinal: 2}, 0)
	put(t, content, records.MemberPrefix+"n1", core.MemberRecord{Name: "n1", Ordinal: 1}, 0)
	revision := put(t, content, records.RequestPrefix+"n1", core.Request{ID: "r", Kind: core.RequestReinit}, 0)
	s.refresh(t.Context())
	v := s.view()
	if len(v.Members) != 2 || v.Members[0].Name != "n1" {
		t.Errorf("members %+v, want n1 before n2", v.Members)
	}
	if v.Request == nil || v.Request.Revision != revision || len(v.Requests) != 1 {
		t.Errorf("request %+v of %v", v.Request, v.Requests)
	}
}

// While clients are held a question to another member is work for two at the one time when it delays somebody; only who waits for
// what the candidate has received asks.
func TestWhileClientsAreHeldNobodyIsAskedInVain(t *testing.T) {
	content, now := mem.New(), &clock{now: 100}
	s := &StoreSource{Self: "n1", Store: content, Now: now.Now}
	lease := put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 1}, 0)
	revision := int64(0)
	op := func(phase, from, to string, want patience) {
		t.Helper()
		revision = put(t, content, records.KeyOperation, core.Operation{ID: "op", Kind: core.OpSwitchover, Phase: phase, From: from, To: to, Term: 1}, revision)
		s.refresh(t.Context())
		if got := s.patience(); got != want {
			t.Errorf("%s from %s to %s: %+v, want %+v", phase, from, to, got, want)
		}
	}
	op(core.PhaseRequested, "n1", "n2", patience{wait: peerWaitBusy})
	held := patience{peers: ageHeld, own: ageHeld / 2}
	op(core.PhaseHolding, "n1", "n2", held)
	op(core.PhaseHolding, "n3", "n1", held)
	op(core.PhaseStopping, "n1", "n2", patience{wait: peerWaitBusy})
	lease = put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n2", Term: 2}, lease)
	op(core.PhaseStopping, "n1", "n2", held)
	put(t, content, records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 3}, lease)
	op(core.PhaseStopping, "n3", "n1", patience{peers: ageHeld})
	op(core.PhaseDone, "n3", "n1", patience{wait: peerWait})
	now.now = core.Instant(time.Second)
	silent, known := &onePeer{}, &onePeer{known: true, sent: core.Instant(time.Second - 100*time.Millisecond)}
	if silent.answered(now.now) < ageHeld || known.answered(now.now) != 100*time.Millisecond {
		t.Error("who has not answered is asked, whatever the age")
	}
}
