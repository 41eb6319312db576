package trust

import (
	"errors"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

func TestRefuse(t *testing.T) {
	for name, c := range map[string]struct {
		guard core.Guard
		seen  uint64
		now   core.Instant
		want  error
	}{
		"no guard":              {core.Guard{}, 9, 9, nil},
		"the same term":         {core.Guard{Term: 3}, 3, 0, nil},
		"a newer term was seen": {core.Guard{Term: 3}, 4, 0, ErrTerm},
		"before the deadline":   {core.Guard{Deadline: 500}, 0, 499, nil},
		"at the deadline":       {core.Guard{Deadline: 500}, 0, 500, ErrDeadline},
	} {
		if err := Refuse(c.guard, c.seen, c.now); !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestUntilCountsFromTheSendTime(t *testing.T) {
	l := core.LeaseRecord{TTL: spec.Duration(5 * time.Second), Margin: spec.Duration(time.Second)}
	if got, want := Until(100, l), core.Instant(100).Add(4*time.Second); got != want {
		t.Errorf("%d, want %d", got, want)
	}
}

func TestLedgerKeepsTheNewest(t *testing.T) {
	var l Ledger
	lease := func(term uint64, revision int64) core.StoreView {
		return core.StoreView{Known: true, Lease: core.LeaseRecord{Holder: "n2", Term: term}, LeaseRevision: revision}
	}
	if err := l.Merge(lease(2, 7), 7, 100, 110); err != nil {
		t.Fatal(err)
	}
	if err := l.Merge(lease(1, 5), 5, 120, 130); !errors.Is(err, ErrStale) {
		t.Errorf("an older reply: %v", err)
	}
	if v := l.View(); v.Lease.Term != 2 || v.ReadAt != 100 || v.LeaseSeenAt != 110 {
		t.Errorf("%+v", v)
	}
	l.Renewed("n1", core.LeaseRecord{Holder: "n1", Term: 3}, 9, 140, 150)
	if err := l.Merge(lease(2, 7), 8, 135, 160); !errors.Is(err, ErrStale) {
		t.Errorf("a read from before our own write: %v", err)
	}
	if v := l.View(); v.RenewedAt != 140 || v.RenewedTerm != 3 || v.Lease.Holder != "n1" || l.Term() != 3 {
		t.Errorf("%+v", v)
	}
}

// What we gave away is no trust of ours.
func TestLedgerCountsNoTrustFromALeaseGivenAway(t *testing.T) {
	var l Ledger
	l.Renewed("n1", core.LeaseRecord{Holder: "n2", Term: 3}, 9, 140, 150)
	l.Renewed("n1", core.LeaseRecord{Holder: "n1", Term: 4, Released: true}, 10, 160, 170)
	if v := l.View(); v.RenewedAt != 0 || v.RenewedTerm != 0 {
		t.Errorf("%+v", v)
	}
}

func TestPermit(t *testing.T) {
	var p Permit
	if err := p.Arm(500, 3, 500); !errors.Is(err, ErrDeadlinePast) || p.Armed {
		t.Errorf("a deadline that is past: %v %+v", err, p)
	}
	for _, deadline := range []core.Instant{600, 550} { // renewals out of order
		if err := p.Arm(deadline, 3, 500); err != nil || p.Deadline != 600 {
			t.Errorf("%v %+v", err, p)
		}
	}
	if err := errors.Join(p.Arm(900, 2, 500), p.Disarm(2)); !errors.Is(err, ErrLowerTerm) || p.Deadline != 600 {
		t.Errorf("a lower term: %v %+v", err, p)
	}
	if p.Expired(599) || !p.Expired(600) {
		t.Error("the deadline is not at 600")
	}
	if p.Withdraw(); p.Armed || p.Expired(900) {
		t.Errorf("after a fence: %+v", p)
	}
	if err := p.Disarm(4); err != nil || !p.Armed || p.Deadline != 0 || p.Term != 4 {
		t.Errorf("disarmed: %v %+v", err, p)
	}
}
