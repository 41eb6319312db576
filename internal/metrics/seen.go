package metrics

import (
	"slices"

	"github.com/pgherd/pgherd/internal/core"
)

// seen is what the last tick showed, for what is known from two of them.
type seen struct {
	some      bool
	term      uint64
	leaseSeen core.Instant // when the lease of term was last seen to change
	lost      []core.Loss
	whole     string // id of the newest operation whose certificate was whole
	rise      rise
}

// rise is a failover to this member that has not come to its end.
type rise struct {
	term                uint64 // 0: none
	sign, vacant, taken core.Instant
}

// See takes a tick: its view and the memory that went into its decision. The loop calls it, once a tick.
func (t *Meters) See(memory *core.Memory, v *core.View) {
	if t == nil || !v.Store.Known {
		return
	}
	s := &v.Store
	if t.seen.some {
		t.seeFailover(memory, v)
		t.seeLosses(v)
	}
	if op := s.Operation; op != nil && op.Certificate.Whole && op.ID != t.seen.whole {
		if t.seen.some && op.To == v.Self { // of one that was whole before this agent began, another has told
			t.seeHandover(&op.Certificate)
		}
		t.seen.whole = op.ID
	}
	t.seen.some, t.seen.term, t.seen.leaseSeen, t.seen.lost = true, s.Lease.Term, s.LeaseSeenAt, s.Lease.Lost
}

// seeFailover: this member takes the lease in one tick and accepts writes in a later one. In a switchover the lease is
// handed to it, and was never free.
func (t *Meters) seeFailover(memory *core.Memory, v *core.View) {
	l, r := v.Store.Lease, &t.seen.rise
	mine := l.Holder == v.Self && !l.Released
	if mine && l.Term > t.seen.term && t.seen.term > 0 && memory.VacantSince != 0 && memory.VacantTerm == t.seen.term {
		*r = rise{l.Term, t.seen.leaseSeen, memory.VacantSince, v.Now}
	}
	switch {
	case r.term == 0:
	case !mine || l.Term != r.term:
		*r = rise{}
	case v.Local.Instance.Primary && !v.Local.Held:
		t.observeFailover(r, v.Now)
		*r = rise{}
	}
}

func (t *Meters) observeFailover(r *rise, now core.Instant) {
	t.failover[PhaseNotice].Observe(max(0, r.vacant.Sub(r.sign).Seconds()))
	t.failover[PhaseElect].Observe(r.taken.Sub(r.vacant).Seconds())
	t.failover[PhaseOpen].Observe(now.Sub(r.taken).Seconds())
	t.failover[PhaseAll].Observe(now.Sub(min(r.sign, r.vacant)).Seconds())
}

// seeLosses counts what this member's own takeovers lost, so that a sum over all members counts each once.
func (t *Meters) seeLosses(v *core.View) {
	if v.Store.Lease.Holder != v.Self {
		return
	}
	for _, l := range v.Store.Lease.Lost {
		if !slices.Contains(t.seen.lost, l) {
			t.losses.Inc()
			t.lossBytes.Add(float64(lostBytes(l)))
		}
	}
}

func (t *Meters) seeHandover(c *core.Certificate) {
	t.handover[PhaseStop].Observe(c.StopMS / 1000)
	t.handover[PhasePromote].Observe(c.PromoteMS / 1000)
	for _, p := range c.Poolers {
		if p.HeldMS > 0 {
			t.handover[PhaseDrain].Observe(p.DrainMS / 1000)
			t.handover[PhaseHold].Observe(p.HeldMS / 1000)
		}
	}
}
