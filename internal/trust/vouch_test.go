package trust

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

const ttl = 5 * time.Second

// follower knows n1's lease of term 3, and has seen it renewed.
func follower(t *testing.T) *Ledger {
	t.Helper()
	var l Ledger
	for revision := int64(7); revision < 9; revision++ {
		if err := l.Merge(known(revision), revision, 100, 110); err != nil {
			t.Fatal(err)
		}
	}
	return &l
}

func known(revision int64) core.StoreView {
	return core.StoreView{Known: true, Cluster: core.ClusterRecord{ID: "c"}, LeaseRevision: revision,
		Lease:   core.LeaseRecord{Holder: "n1", Term: 3, TTL: spec.Duration(ttl)},
		Members: []core.MemberRecord{{Name: "n1", Ordinal: 1}, {Name: "n2", Ordinal: 2}}}
}

func question() core.Vouch {
	return core.Vouch{Cluster: "c", Holder: "n1", Term: 3, TTL: spec.Duration(ttl), Members: []core.Joining{{Name: "n1", Ordinal: 1}, {Name: "n2", Ordinal: 2}}}
}

func TestVouchIsAsGoodAsARenewal(t *testing.T) {
	l := follower(t)
	now := core.Instant(110).Add(ttl - 1)
	if err := l.Vouch(question(), now); err != nil {
		t.Fatal(err)
	}
	if got := l.View().LeaseSeenAt; got != now {
		t.Errorf("the lease was seen at %d, want %d", got, now)
	}
	if err := l.Taking(8, now.Add(ttl-1)); !errors.Is(err, ErrVouched) {
		t.Errorf("taken although vouched for: %v", err)
	}
	if err := l.Taking(8, now.Add(ttl)); err != nil {
		t.Errorf("the promise is over: %v", err)
	}
	if err := l.Merge(known(8), 9, now+1, now+2); err != nil || l.View().LeaseSeenAt != now {
		t.Errorf("a read of the same lease takes the promise back: %v, seen at %d", err, l.View().LeaseSeenAt)
	}
}

func TestVouchIsRefused(t *testing.T) {
	for want, c := range map[string]struct {
		change func(l *Ledger, v *core.Vouch)
	}{
		"has not read":      {func(l *Ledger, _ *core.Vouch) { *l = Ledger{} }},
		"another cluster":   {func(_ *Ledger, v *core.Vouch) { v.Cluster = "d" }},
		"is n1's of term 3": {func(_ *Ledger, v *core.Vouch) { v.Term = 2 }},
		"n1's of term 3 (":  {func(_ *Ledger, v *core.Vouch) { v.Holder = "n3" }},
		"released: true":    {func(l *Ledger, _ *core.Vouch) { l.known.Lease.Released = true }},
		"a ttl of 5s":       {func(_ *Ledger, v *core.Vouch) { v.TTL = spec.Duration(2 * ttl) }},
		"other members":     {func(_ *Ledger, v *core.Vouch) { v.Members = v.Members[:1] }},
		"has expired here":  {func(l *Ledger, _ *core.Vouch) { l.known.LeaseSeenAt = core.Instant(900).Add(-ttl) }},
		"not seen renewed":  {func(l *Ledger, _ *core.Vouch) { l.unproven = l.known.LeaseRevision }},
	} {
		l, v := follower(t), question()
		c.change(l, &v)
		before := l.View().LeaseSeenAt
		err := l.Vouch(v, 900)
		if !errors.Is(err, ErrNotVouched) || !strings.Contains(err.Error(), want) || l.View().LeaseSeenAt != before {
			t.Errorf("%s: %v, seen at %d", want, err, l.View().LeaseSeenAt)
		}
	}
}

// A write of ours that takes the lease may land long after it was given up: until a renewal has
// made its revision old, this member's word is worth nothing.
func TestNobodyVouchesWhoMayHaveTakenTheLease(t *testing.T) {
	l := follower(t)
	late := core.Instant(110).Add(ttl)
	if err := l.Taking(8, late); err != nil {
		t.Fatal(err)
	}
	if err := l.Vouch(question(), late+1); !errors.Is(err, ErrNotVouched) {
		t.Errorf("vouched while taking: %v", err)
	}
	if err := l.Merge(known(9), 9, late+2, late+3); err != nil {
		t.Fatal(err)
	}
	if err := l.Vouch(question(), late+4); err != nil {
		t.Errorf("the holder's renewal rules our write out, and yet: %v", err)
	}
}

// So too after a restart of the agent: its predecessor may have sent one.
func TestANewAgentVouchesAfterTheNextRenewal(t *testing.T) {
	var l Ledger
	if err := l.Merge(known(7), 7, 100, 110); err != nil {
		t.Fatal(err)
	}
	if err := l.Vouch(question(), 120); !errors.Is(err, ErrNotVouched) {
		t.Errorf("%v", err)
	}
	if err := l.Merge(known(8), 8, 130, 140); err != nil {
		t.Fatal(err)
	}
	if err := l.Vouch(question(), 150); err != nil {
		t.Error(err)
	}
}

func TestTrustFromAVouchEndsWithItsTerm(t *testing.T) {
	l := follower(t)
	l.Renewed("n1", core.LeaseRecord{Holder: "n1", Term: 3}, 10, 200, 210)
	l.Vouched(3, 400, nil)
	if got := l.View().TrustedFrom(); got != 400 {
		t.Errorf("trusted from %d, want 400", got)
	}
	l.Vouched(3, 500, ErrNotVouched)
	if v := l.View(); v.TrustedFrom() != 400 || v.VouchAsked != 500 || v.VouchErr == "" {
		t.Errorf("after a refusal: %+v", v)
	}
	l.Renewed("n1", core.LeaseRecord{Holder: "n1", Term: 5}, 12, 600, 610)
	l.Vouched(3, 900, nil) // late, of an older term
	if got := l.View().TrustedFrom(); got != 600 {
		t.Errorf("trusted from %d, want 600", got)
	}
}
