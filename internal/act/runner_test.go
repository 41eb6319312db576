package act

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/trust"
	"github.com/pgherd/pgherd/internal/warden"
)

type ledger struct {
	term    uint64
	renewed []core.Instant
	others  []core.MemberRecord
	taking  error
	vouched []core.Instant
	refused []error
}

func (l *ledger) Taking(int64) error          { return l.taking }
func (l *ledger) Others() []core.MemberRecord { return l.others }
func (l *ledger) Vouched(_ uint64, sent core.Instant, err error) {
	if err != nil {
		l.refused = append(l.refused, err)
		return
	}
	l.vouched = append(l.vouched, sent)
}

func (l *ledger) Renewed(_ core.LeaseRecord, _ int64, sent core.Instant) {
	l.renewed = append(l.renewed, sent)
}
func (l *ledger) Term() uint64 { return l.term }

// slowStore lets time pass during each write.
type slowStore struct {
	store.Store
	during func()
}

func (s slowStore) Put(ctx context.Context, key string, value []byte, expect int64) (int64, error) {
	revision, err := s.Store.Put(ctx, key, value, expect)
	s.during()
	return revision, err
}

// runner is a witness's: it has a store and no PostgreSQL.
func runner(s store.Store, now *core.Instant, l *ledger) *Runner {
	return &Runner{Self: "n1", Store: s, Ledger: l, Log: slog.New(slog.DiscardHandler),
		Now: func() core.Instant { return *now }, Warden: func() *warden.Client { return nil }}
}

func TestTrustIsCountedFromBeforeTheWrite(t *testing.T) {
	now, l := core.Instant(1000), &ledger{}
	r := runner(slowStore{mem.New(), func() { now = 5000 }}, &now, l)
	lease := core.LeaseRecord{Holder: "n1", Term: 1}
	if err := r.Run(t.Context(), core.Plan{Steps: []core.Step{{Kind: core.StepPutLease, Lease: &lease}}}); err != nil {
		t.Fatal(err)
	}
	if len(l.renewed) != 1 || l.renewed[0] != 1000 {
		t.Errorf("trusted from %v, want from the send time 1000", l.renewed)
	}
}

func TestLostRaceForTheLeaseIsNoTrust(t *testing.T) {
	now, l, s := core.Instant(1000), &ledger{}, mem.New()
	if _, err := records.Put(t.Context(), s, records.KeyLease, core.LeaseRecord{Holder: "n2", Term: 1}, 0); err != nil {
		t.Fatal(err)
	}
	lease := core.LeaseRecord{Holder: "n1", Term: 1}
	err := runner(s, &now, l).Run(t.Context(), core.Plan{Steps: []core.Step{{Kind: core.StepPutLease, Lease: &lease}}})
	if !errors.Is(err, store.ErrConflict) || len(l.renewed) != 0 {
		t.Errorf("error %v, renewed %v", err, l.renewed)
	}
}

func TestGuardIsCheckedAgainBeforeEachEffect(t *testing.T) {
	for name, c := range map[string]struct {
		guard core.Guard
		term  uint64
		now   core.Instant
		want  error
	}{
		"a newer term was seen":          {core.Guard{Term: 3}, 4, 0, trust.ErrTerm},
		"the same term":                  {core.Guard{Term: 3}, 3, 0, nil},
		"at the deadline":                {core.Guard{Deadline: 500}, 0, 500, trust.ErrDeadline},
		"before the deadline":            {core.Guard{Deadline: 500}, 0, 499, nil},
		"past it, with a term as before": {core.Guard{Term: 3, Deadline: 500}, 3, 501, trust.ErrDeadline},
	} {
		now := c.now
		err := runner(mem.New(), &now, &ledger{term: c.term}).guard(c.guard)
		if !errors.Is(err, c.want) || c.want == nil && err != nil {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

func TestFirstFailureEndsThePlan(t *testing.T) {
	now, s := core.Instant(1), mem.New()
	op := core.Operation{ID: "x"}
	err := runner(s, &now, &ledger{}).Run(t.Context(), core.Plan{Steps: []core.Step{
		{Kind: core.StepFence}, // there is no warden
		{Kind: core.StepPutOperation, Operation: &op},
	}})
	if err == nil || !strings.HasPrefix(err.Error(), "fence: ") {
		t.Errorf("error %v, want the fence's", err)
	}
	if snapshot, _ := s.Snapshot(t.Context()); len(snapshot.Entries) != 0 {
		t.Errorf("a step after the failed one was done: %v", snapshot.Entries)
	}
}

func TestUnknownStepIsRefused(t *testing.T) {
	now := core.Instant(1)
	if err := runner(mem.New(), &now, &ledger{}).Run(t.Context(), core.Plan{Steps: []core.Step{{Kind: "dance"}}}); err == nil {
		t.Error("a step that nobody knows was carried out")
	}
}

func TestRequestIsDeletedOnlyAtItsRevision(t *testing.T) {
	now, s := core.Instant(1), mem.New()
	revision, err := records.Put(t.Context(), s, records.RequestPrefix+"n1", core.Request{ID: "r"}, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := runner(s, &now, &ledger{})
	if err := r.Run(t.Context(), core.Plan{Steps: []core.Step{{Kind: core.StepEndRequest, Expect: revision + 1}}}); err == nil {
		t.Error("a newer request was deleted in place of the old one")
	}
	if err := r.Run(t.Context(), core.Plan{Steps: []core.Step{{Kind: core.StepEndRequest, Expect: revision}}}); err != nil {
		t.Error(err)
	}
}

// Nobody's lease is taken after this member has vouched for its holder, whatever was decided before.
func TestTakingIsAskedRightBeforeTheWrite(t *testing.T) {
	now, s := core.Instant(1000), mem.New()
	r := runner(s, &now, &ledger{term: 3, taking: trust.ErrVouched})
	take := core.LeaseRecord{Holder: "n1", Term: 4}
	if err := r.Run(t.Context(), core.Plan{Steps: []core.Step{{Kind: core.StepPutLease, Lease: &take}}}); !errors.Is(err, trust.ErrVouched) {
		t.Errorf("%v", err)
	}
	if v, err := s.Snapshot(t.Context()); err != nil || len(v.Entries) != 0 {
		t.Errorf("written all the same: %v %v", v, err)
	}
	renewal := core.LeaseRecord{Holder: "n1", Term: 3}
	if err := r.Run(t.Context(), core.Plan{Steps: []core.Step{{Kind: core.StepPutLease, Lease: &renewal}}}); err != nil {
		t.Errorf("a renewal takes nothing: %v", err)
	}
}

func TestVouchNeedsEverybodysWordAndCountsFromBeforeTheQuestion(t *testing.T) {
	others := []core.MemberRecord{{Name: "n2"}, {Name: "n3"}, {Name: "w"}}
	plan := core.Plan{Steps: []core.Step{{Kind: core.StepVouch, Vouch: &core.Vouch{Term: 3}}}}
	for name, c := range map[string]struct {
		refuses string
		want    int
	}{"all do": {want: 1}, "one refuses": {refuses: "n3"}, "the witness refuses": {refuses: "w"}} {
		now, l := core.Instant(1000), &ledger{others: others}
		r := runner(mem.New(), &now, l)
		r.Ask = func(_ context.Context, m core.MemberRecord, _ core.Vouch) error {
			now = 5000
			if m.Name == c.refuses {
				return trust.ErrNotVouched
			}
			return nil
		}
		if err := r.Run(t.Context(), plan); err != nil {
			t.Errorf("%s: it ended the tick: %v", name, err)
		}
		if len(l.vouched) != c.want || len(l.refused) != 1-c.want {
			t.Errorf("%s: vouched %v, refused %v", name, l.vouched, l.refused)
		}
		if c.want == 1 && l.vouched[0] != 1000 {
			t.Errorf("trusted from %v, want from the send time 1000", l.vouched)
		}
	}
}

// One silent member must not hold up the tick: the store is to be tried behind it.
func TestVouchDoesNotWaitForTheSilent(t *testing.T) {
	now, l := core.Instant(1000), &ledger{others: []core.MemberRecord{{Name: "n2"}}}
	r := runner(mem.New(), &now, l)
	r.Ask = func(ctx context.Context, _ core.MemberRecord, _ core.Vouch) error {
		<-ctx.Done()
		return ctx.Err()
	}
	renewal := core.LeaseRecord{Holder: "n1", Term: 3}
	steps := []core.Step{{Kind: core.StepVouch, Vouch: &core.Vouch{Term: 3}}, {Kind: core.StepPutLease, Lease: &renewal}}
	if err := r.Run(t.Context(), core.Plan{Steps: steps}); err != nil || len(l.refused) != 1 || len(l.renewed) != 1 {
		t.Errorf("%v: refused %v, renewed %v", err, l.refused, l.renewed)
	}
}
