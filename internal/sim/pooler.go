package sim

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// pooler is a member's pair of endpoints, as far as the core can see it: a record in the store that
// answers an operation, in time, late, with a failure, or not at all. It runs in the
// agent's process. Where it sends its clients is not modelled: the clients here know the truth.
type pooler struct {
	n      *node
	record core.PoolerRecord
	sawOp  int64
}

func (w *World) startPoolers(seed uint64) {
	if !w.o.Poolers {
		return
	}
	w.chance = rand.New(rand.NewPCG(seed, 0x706f6f6c657273)) // of its own: the rest of a seed's run stays what it was
	for _, n := range w.nodes {
		p := &pooler{n: n, record: core.PoolerRecord{Name: n.name, Address: n.name, RWPort: 6432, ROPort: 6433}}
		w.poolers = append(w.poolers, p)
		w.after(time.Second+time.Duration(n.i)*100*time.Millisecond, p.beat)
	}
}

// beat is the record's keeping fresh. It also finds what no hint told of.
func (p *pooler) beat() {
	w := p.n.w
	p.put()
	p.look()
	w.after(core.PoolerBeat, p.beat)
}

func (p *pooler) alive() bool {
	return p.n.down == 0 && p.n.agent.up && p.n.agent.group.frozen == 0 && p.n.w.store.reachable(p.n)
}

// put writes the record. Snapshots that were given out keep the old list.
func (p *pooler) put() {
	s := p.n.w.store
	if !p.alive() {
		return
	}
	p.record.Beat++
	s.revision++
	next := core.Pooler{PoolerRecord: p.record, Revision: s.revision}
	list := slices.DeleteFunc(slices.Clone(s.records.Poolers), func(was core.Pooler) bool { return was.Name == p.record.Name })
	list = append(list, next)
	slices.SortFunc(list, func(a, b core.Pooler) int { return cmp.Compare(a.Name, b.Name) })
	s.records.Poolers = list
	s.changed()
}

// look answers the operation.
func (p *pooler) look() {
	w := p.n.w
	op, lease := w.store.records.Operation, w.store.records.Lease
	if !p.alive() || op == nil {
		return
	}
	p.sawOp = w.store.records.OperationRevision
	asked := op.Active() && op.Kind == core.OpSwitchover && (op.Phase == core.PhaseHolding || op.Phase == core.PhaseStopping) && op.Term == lease.Term
	h := p.record.Hold
	switch {
	case asked && (h == nil || h.Operation != op.ID):
		p.hold(op.ID, core.HoldHolding, "")
		drain := time.Duration(p.chance(40)+2) * time.Millisecond
		if p.chance(5) == 0 {
			drain = 2500 * time.Millisecond
		}
		w.after(drain, func() { p.drained(op.ID) })
	case !asked && h != nil && (h.State == core.HoldHolding || h.State == core.HoldHeld):
		p.hold(h.Operation, core.HoldOver, "")
	}
}

func (p *pooler) chance(n int) int { return p.n.w.chance.IntN(n) }

func (p *pooler) drained(id string) {
	if h := p.record.Hold; !p.alive() || h == nil || h.Operation != id || h.State != core.HoldHolding {
		return
	}
	if p.chance(10) == 0 {
		p.hold(id, core.HoldFailed, "a transaction is open")
		return
	}
	p.hold(id, core.HoldHeld, "")
}

func (p *pooler) hold(id, state, text string) {
	p.record.Hold = &core.PoolerHold{Operation: id, State: state, Text: text}
	p.put()
}
