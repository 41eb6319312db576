package core

import (
	"slices"

	"github.com/pgherd/pgherd/internal/wal"
)

// forked says what of the stopped data here the primary does not have, and is to be saved before
// the data is replaced: nil when there is nothing, or when the spec gives it up.
func (d *decider) forked(p Peer) *Fork {
	mine, at, last := max(d.inst.Timeline, d.inst.CheckpointTimeline), d.forkOf(p), d.inst.LastRecord
	if mine == 0 || at == ^wal.LSN(0) || last != 0 && last < at || d.v.Local.Data.State == DataAbsent || d.spec.Retention().Discard {
		return nil
	}
	f := &Fork{From: wal.Position{Timeline: mine, LSN: at}, Timeline: mine, Acked: !d.synchronous() || len(d.lease.Lost) > 0}
	if at == 0 {
		f.From, _ = d.inst.History.Common(mine, p.Instance.History, p.Instance.Timeline)
	}
	return f
}

// evidence drops what an operator asked to drop, and what is kept longer than the spec asks for.
// The latter only while PostgreSQL here streams or leads: until the data that replaced it is
// known to be good, it may be all there is.
func (d *decider) evidence() {
	for _, r := range d.v.Store.Removals {
		d.do(Step{Kind: StepDropFork, ID: r.ID, Expect: r.Revision, Why: because("removal", "asked for by %s", r.By)})
	}
	if !d.v.Store.Known || d.v.Store.Paused || d.v.Local.Job.Running || !d.inst.Streaming && !d.inst.Primary {
		return
	}
	for _, id := range d.v.Local.Kept.Overdue {
		d.do(Step{Kind: StepDropFork, ID: id, Why: because("retention", "it is kept longer than the spec asks for")})
	}
}

// lossesOpen are those of which it is not known yet what was lost. The member of one has told all
// that it can when it follows this primary: what it alone had is saved, or it had nothing.
func (d *decider) lossesOpen() []Loss {
	return slices.DeleteFunc(slices.Clone(d.lease.Lost), func(l Loss) bool {
		p, _ := d.peer(l.Member)
		_, ok := d.member(l.Member)
		back := d.inst.Primary && fresh(p) && p.Instance.Streaming && p.Instance.Follows == d.v.Self
		return !ok || back || l.Member == d.v.Self && d.inst.Primary
	})
}
