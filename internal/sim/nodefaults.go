package sim

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Faults of one host and of what runs on it.

func (n *node) fault(f Fault) (end func()) {
	switch f.Kind {
	case KillAgent:
		n.agent.kill()
		return n.revive
	case FreezeAgent:
		n.agent.group.freeze()
		return n.agent.group.thaw
	case KillWarden:
		n.killWarden()
	case FreezeWarden:
		n.warden.group.freeze()
		n.frozenFence++
		return func() {
			n.frozenFence--
			if !n.dog.guards() {
				n.resumedAt = n.w.now // what it does first is to kill, which takes its moment
			}
			n.warden.group.thaw()
		}
	case FreezeNode, HideNode:
		return n.pause(f.Kind == HideNode)
	case LoseWatchdog:
		n.dog.lost++
		n.dog.bound = false
		n.warden.watch()
		return func() { n.dog.lost-- }
	case PowerOff:
		n.powerOff()
		return n.powerOn
	case StopAgent:
		if a := &n.agent; a.up && !a.stopping {
			a.stopping, a.stopSince = true, n.w.now
			a.poke()
		}
		return n.revive
	}
	return nil
}

// revive is the supervisor: an agent that is gone starts again; one that was told to stop
// and has not ended is killed first.
func (n *node) revive() {
	if n.down > 0 {
		return
	}
	if n.agent.up && n.agent.stopping {
		n.agent.kill()
	}
	if !n.agent.up {
		n.agent.start()
	}
}

// killWarden: the postmaster dies with its warden (PR_SET_PDEATHSIG); the agent makes another
// warden, which kills what is left first.
func (n *node) killWarden() {
	if !n.warden.alive || n.witness {
		return
	}
	n.warden.group.kill()
	n.warden.alive = false
	n.orphan()
	n.pg.halt()
	if n.agent.up {
		n.agent.reconnect()
		n.agent.poke()
	}
}

// orphan is a backend that is busy when its postmaster dies: it commits on its own, unless the
// next warden kills it first. No WAL sender is left, so only where commits wait for nobody
// is it acknowledged.
func (n *node) orphan() {
	p := &n.pg
	if p.waitsOn || !p.open || p.holds || !n.w.oneIn(2) {
		return
	}
	epoch := p.group.epoch + 1 // of the instance's remains
	n.w.after(n.w.upTo(18*time.Second), func() {
		if p.group.epoch == epoch && !n.warden.alive && n.down == 0 {
			n.w.note(n, "orphan", len(p.wal), "a backend that outlived its warden commits")
			c := commit{at: len(p.wal), written: n.w.now}
			c.uid = n.w.newRecord(true)
			p.wal = append(p.wal, c.uid)
			p.acknowledge(c)
		}
	})
}

// pause stops a whole virtual machine. When its clocks stop with it, nothing on it can
// tell that time has passed.
func (n *node) pause(hidden bool) func() {
	if hidden {
		if n.hides++; n.hides == 1 {
			n.hiddenAt = n.clock()
			n.dog.pause()
		}
	}
	for _, g := range []*group{&n.warden.group, &n.pg.group, &n.agent.group} {
		g.freeze()
	}
	return func() {
		if hidden {
			if n.hides--; n.hides == 0 {
				n.jump += time.Duration(n.hiddenAt - n.clock()) // it goes on where it stood, however fast it runs
				n.dog.resume()
				n.blind, n.thawedAt = true, n.clock().Add(200*time.Millisecond) // the clock's own error
			}
		} else {
			n.w.hist.Thawed(n.i, n.w.now)
		}
		n.resumedAt = n.w.now
		// Whoever the kernel lets run first.
		groups := []*group{&n.warden.group, &n.pg.group, &n.agent.group}
		n.w.rng.Shuffle(len(groups), func(i, j int) { groups[i], groups[j] = groups[j], groups[i] })
		for _, g := range groups {
			g.thaw()
		}
	}
}

// unaware: what this host does now can be of before a pause. It may open, and must not
// acknowledge.
func (n *node) unaware() bool {
	return n.blind || n.resumedAt > 0 && n.w.now-n.resumedAt < 100*time.Millisecond
}

// powerOff leaves nothing but the disk.
func (n *node) powerOff() {
	n.down++
	if n.down > 1 {
		return
	}
	n.agent.kill()
	n.pg.halt()
	n.blind = false // no trust outlives the agent and the warden
	n.dog.sleep()
	n.dog.bound = false
	n.warden.group.kill()
	n.warden.alive = false
	n.w.note(n, "power", 0, "the power is off")
}

func (n *node) powerOn() {
	if n.down--; n.down > 0 {
		return
	}
	n.w.note(n, "power", 1, "the power is on")
	n.warden.begin()
	if !n.agent.up {
		n.agent.start()
	}
}

// powerOffAll: they come back one after the other, in an order of the fault's own.
func (w *World) powerOffAll(f Fault) func() {
	for _, n := range w.nodes {
		n.powerOff()
	}
	return func() {
		for i := range w.nodes {
			n := w.nodes[(i+f.N)%len(w.nodes)]
			if f.N&64 != 0 {
				n = w.nodes[(f.N+len(w.nodes)-i)%len(w.nodes)]
			}
			w.after(time.Duration(i)*time.Duration(f.N%4)*time.Second, n.powerOn)
		}
	}
}

// hangPromotion has the disk under the next promotion hang as soon as that has begun, until the fault's end: a disk that hung
// before is noticed, and its member not elected.
func (w *World) hangPromotion() (end func()) {
	h := &promotionHang{}
	w.promotionHangs = append(w.promotionHangs, h)
	return func() {
		w.promotionHangs = slices.DeleteFunc(w.promotionHangs, func(one *promotionHang) bool { return one == h })
		if h.of != nil {
			h.of.hung--
		}
	}
}

// promotionHang waits for a promotion, or has one's disk hang.
type promotionHang struct{ of *server }

func (p *server) hangsInPromotion() {
	for _, h := range p.n.w.promotionHangs {
		if h.of == nil {
			h.of = p
			p.hung++
		}
	}
}

func (p *server) fault(f Fault) (end func()) {
	w := p.n.w
	switch f.Kind {
	case KillPostgres:
		if p.state != core.StateStopped {
			p.exited("signal: killed")
		}
	case FreezePostgres:
		p.group.freeze()
		return p.group.thaw
	case HangFsync:
		if f.N%2 == 1 { // of whoever is promoted next
			return w.hangPromotion()
		}
		p.hung++
		return func() { p.hung-- }
	case DeadDevice:
		p.dead++
		return func() { p.dead-- }
	case WALFull:
		if p.full++; p.open {
			p.exited("exit code 1")
		}
		return func() { p.full-- }
	case WipeData:
		p.wipe()
	case LoseSlot:
		j := f.Peer
		if p.open && p.slots[j] && !p.senders[j].live {
			p.lostSlots[j], p.oldest = true, len(p.wal)
			w.note(p.n, "slot", j, "the slot of %s lost its WAL", memberNames[j])
		}
	}
	return nil
}

// wipe destroys the data directory under whatever runs.
func (p *server) wipe() {
	if p.n.witness || p.data.State != core.DataPresent {
		return
	}
	followed := slices.ContainsFunc(p.senders, func(s sender) bool { return s.live })
	r := &p.n.w.store.records
	if r.Lease.Holder == p.n.name && (r.Lease.Sync.K == 0 || r.LeaseRevision == p.n.emptying || !followed) {
		return // the only copy there is, or declared so by a write under way, or soon; nothing could bear that
	}
	for _, m := range p.n.w.nodes {
		if m != p.n && !m.witness && (m.pg.data.State != core.DataPresent || m.agent.job.Running) {
			return // another one has no data right now: two copies would be gone
		}
	}
	if p.n.w.leader() == nil {
		// A candidate that loses its data in the very moment of its election leaves a lease that
		// names it as the only holder: nobody but an operator may then decide.
		return
	}
	p.n.w.noCopy = true
	if p.state != core.StateStopped {
		p.exited("exit code 1")
	}
	p.n.w.hist.Destroyed(p.n.i)
	p.data = core.Data{State: core.DataAbsent}
	p.wal, p.timeline, p.history, p.control, p.checkpoint, p.ckptTL, p.oldest = nil, 0, nil, "", 0, 0, 0
	for i := range p.slots {
		p.slots[i] = false
	}
}
