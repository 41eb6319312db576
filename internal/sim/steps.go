package sim

import (
	"errors"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/trust"
)

// Carrying out a plan, as act does: step by step, each guard checked again right before
// its effect, the first failure ends the tick.

var (
	errUnanswered = errors.New("the store did not answer")
	errConflict   = errors.New("changed by someone else")
	errWarden     = errors.New("the warden does not answer or refuses")
	errServer     = errors.New("PostgreSQL does not answer")
	errTimeline   = errors.New("the timeline is not free")
	errJob        = errors.New("another job is running")
	errTime       = errors.New("the tick took too long")
)

func (a *agent) act(v *core.View, plan core.Plan, i int) {
	if i == len(plan.Steps) {
		a.ended(v, plan, nil, false)
		return
	}
	s := &plan.Steps[i] // as it is in the plan: what is to be done holds on to it
	done := func(err error) {
		if err == nil {
			a.act(v, plan, i+1)
			return
		}
		a.ended(v, plan, &core.StepFailure{Kind: s.Kind, Text: err.Error(), At: a.n.clock()}, errors.Is(err, errConflict))
	}
	if a.n.w.now-a.planned > planLimit {
		done(errTime)
		return
	}
	if err := trust.Refuse(s.Guard, a.ledger.Term(), a.n.clock()); err != nil {
		done(err)
		return
	}
	a.step(s, done)
}

func (a *agent) step(s *core.Step, done func(error)) {
	n, w := a.n, a.n.w
	switch s.Kind {
	case core.StepPutLease:
		a.putLease(s, done)
	case core.StepVouch:
		a.askVouch(*s, done)
	case core.StepPutCluster, core.StepPutOperation, core.StepPutRequest, core.StepEndRequest:
		w.store.write(n, storeLimit, func() outcome { return w.store.put(n, *s) }, func(o outcome) { done(failure(o)) })
	case core.StepInit, core.StepClone, core.StepRewind, core.StepCheckpoint:
		done(a.startJob(*s))
	case core.StepConfigure:
		// `postgres -C` and the files take a while.
		a.later(w.between(time.Millisecond, 40*time.Millisecond), done, func() error {
			n.pg.configure(*s.Conf)
			a.confKey, a.follows = s.Conf.Key(), s.Conf.Follow
			return nil
		})
	case core.StepStart:
		a.startServer(*s, done)
	case core.StepMarkGood:
		a.good = s.Conf.Params
		done(nil)
	case core.StepRoles:
		done(nil)
	case core.StepDropFork:
		n.pg.drop(s.ID)
		done(nil)
	case core.StepFence, core.StepDisarm, core.StepStop:
		a.later(w.upTo(2*time.Millisecond), done, func() error { return a.ofWarden(s) })
	default:
		a.later(w.upTo(3*time.Millisecond), done, func() error { return a.ofServer(s) })
	}
}

// later lets a step take its time; its effect comes at the end of it.
func (a *agent) later(d time.Duration, done func(error), effect func() error) {
	a.group.after(d, func() { done(effect()) })
}

func failure(o outcome) error {
	switch o {
	case conflicted:
		return errConflict
	case unanswered:
		return errUnanswered
	}
	return nil
}

// putLease: trust, and with it the warden's deadline, counts from before the write.
func (a *agent) putLease(s *core.Step, done func(error)) {
	n, w := a.n, a.n.w
	if s.Lease.Holder == n.name && s.Lease.Term > a.ledger.Term() {
		if err := a.ledger.Taking(s.Expect, n.clock()); err != nil {
			done(err)
			return
		}
	}
	if s.Lease.Sync.K == 0 {
		n.emptying = s.Expect
	}
	sent := n.clock()
	var revision int64
	w.store.write(n, storeLimit, func() outcome {
		o := w.store.put(n, *s)
		revision = w.store.revision
		return o
	}, func(o outcome) {
		if o != answered {
			done(failure(o))
			return
		}
		a.ledger.Renewed(n.name, *s.Lease, revision, sent, n.clock())
		if s.Lease.Holder != n.name || s.Lease.Released {
			done(nil)
			return
		}
		if !n.warden.alive || n.warden.group.frozen > 0 {
			done(errWarden)
			return
		}
		done(n.warden.arm(trust.Until(sent, *s.Lease), *s.Lease))
	})
}

func (a *agent) ofWarden(s *core.Step) error {
	d := &a.n.warden
	if !d.alive || d.group.frozen > 0 {
		return errWarden
	}
	d.checkDeadline()
	switch s.Kind {
	case core.StepFence:
		d.fence(s.Why.String())
	case core.StepDisarm:
		return d.disarm(d.permit.Term)
	case core.StepStop:
		p := &a.n.pg
		if p.state == core.StateStopped || p.state == core.StateStopping || p.group.frozen > 0 {
			return nil // asked for, and taken when it thaws: it is asked for again
		}
		p.stop()
	}
	return nil
}

func (a *agent) startServer(s core.Step, done func(error)) {
	n, w := a.n, a.n.w
	a.later(w.between(10*time.Millisecond, 60*time.Millisecond), done, func() error {
		d := &n.warden
		if !d.alive || d.group.frozen > 0 || n.pg.data.State != core.DataPresent {
			return errWarden
		}
		n.pg.signal = s.Standby
		if s.Standby {
			if err := d.disarm(d.permit.Term); err != nil {
				return err
			}
		}
		if err := trust.Refuse(s.Guard, a.ledger.Term(), n.clock()); err != nil {
			return err
		}
		if !d.startServer() {
			return errWarden
		}
		return nil
	})
}

// ofServer are the steps that ask by SQL.
func (a *agent) ofServer(s *core.Step) error {
	p := &a.n.pg
	if p.state != core.StateRunning || p.group.frozen > 0 {
		return errServer
	}
	switch s.Kind {
	case core.StepPromote:
		if a.promotedTerm == s.Guard.Term && a.n.w.now-a.promotedAt < 5*time.Second {
			return nil
		}
		if p.timeline >= s.Timeline || p.half.timeline >= s.Timeline {
			return errTimeline
		}
		a.promotedTerm, a.promotedAt = s.Guard.Term, a.n.w.now
		p.promote(s.Timeline)
	case core.StepCreateSlot:
		p.slot(s.Slot, true)
	case core.StepDropSlot:
		p.slot(s.Slot, false)
	}
	return nil
}

func (p *server) slot(name string, there bool) {
	for i, s := range slotNames[:len(p.slots)] {
		if s == name {
			p.slots[i], p.lostSlots[i] = there, false
		}
	}
}
