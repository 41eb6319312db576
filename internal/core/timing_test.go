package core

import (
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// primaryView is a primary whose renewal is due, with the lease written under one timing and
// the spec asking for another.
func primaryView(written, wanted time.Duration) View {
	v := View{Now: Instant(time.Hour), Self: "a"}
	s := &v.Store
	s.Known, s.ReadAt, s.Spec = true, v.Now, testSpec()
	s.Spec.Lease.TTL = spec.Duration(wanted)
	s.Cluster = ClusterRecord{ID: "id", SystemID: "7"}
	s.Members = []MemberRecord{{Name: "a", Ordinal: 1}}
	s.Lease = LeaseRecord{Holder: "a", Term: 3, Beat: 8, TTL: spec.Duration(written), Margin: spec.Duration(time.Second)}
	s.LeaseRevision, s.RenewedTerm, s.RenewedAt = 50, 3, v.Now.Add(-time.Second)
	v.Local = Local{ReadAt: v.Now, Warden: Warden{Alive: true, Deadline: v.Now.Add(time.Second), Term: 3},
		Data:     Data{State: DataPresent, ClusterID: "id", SystemID: "7"},
		Instance: Instance{State: StateRunning, Primary: true, SystemID: "7", Timeline: 1, CheckpointTimeline: 1, Roles: true}}
	return v
}

func renewedTTL(t *testing.T, v View) time.Duration {
	t.Helper()
	plan, _, _ := Decide(Memory{}, v)
	for _, s := range plan.Steps {
		if s.Kind == StepPutLease {
			return s.Lease.TTL.D()
		}
	}
	t.Fatal("no renewal")
	return 0
}

// Trust that was earned under 30 s cannot be taken back, while the others would wait the 5 s
// at once: the primary would go on writing beside its successor.
func TestShorterTTLWaitsForTheNextTerm(t *testing.T) {
	v := primaryView(30*time.Second, 5*time.Second)
	if got := renewedTTL(t, v); got != 30*time.Second {
		t.Errorf("the renewal announces %s", got)
	}
	if until := newTestDecider(Memory{}, v).trustUntil(); until != v.Store.RenewedAt.Add(29*time.Second) {
		t.Errorf("trusted until %s after the renewal", until.Sub(v.Store.RenewedAt))
	}
	if next := newTestDecider(Memory{}, v).newLease("b", 0, func(Peer) bool { return false }); next.TTL.D() != 5*time.Second {
		t.Errorf("the next term begins with %s", next.TTL.D())
	}
}

func TestLongerTTLBeginsWithTheNextRenewal(t *testing.T) {
	v := primaryView(5*time.Second, 30*time.Second)
	if got := renewedTTL(t, v); got != 30*time.Second {
		t.Errorf("the renewal announces %s", got)
	}
	if until := newTestDecider(Memory{}, v).trustUntil(); until != v.Store.RenewedAt.Add(4*time.Second) {
		t.Errorf("trusted %s after a renewal that announced 5 s", until.Sub(v.Store.RenewedAt))
	}
}

// Everybody judges the record by its own timing, not by the spec they happen to know.
func TestVacancyIsJudgedByTheRecord(t *testing.T) {
	v := primaryView(30*time.Second, 3*time.Second)
	v.Self = "b"
	v.Store.LeaseSeenAt = v.Now.Add(-29 * time.Second)
	if newTestDecider(Memory{}, v).vacant() {
		t.Error("vacant after 29 s of a ttl of 30 s")
	}
	v.Store.LeaseSeenAt = v.Now.Add(-30 * time.Second)
	if !newTestDecider(Memory{}, v).vacant() {
		t.Error("not vacant after the ttl")
	}
}
