package sim

import (
	"errors"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/trust"
)

// The failsafe's questions, as act asks them: all others at once, each answers by its real ledger.

const vouchLimit = 600 * time.Millisecond

var errSilent = errors.New("a member does not answer")

func (a *agent) askVouch(s core.Step, done func(error)) {
	n, w := a.n, a.n.w
	sent, open, over := n.clock(), 0, false
	finish := func(err error) {
		if over {
			return
		}
		over = true
		a.ledger.Vouched(s.Vouch.Term, sent, err)
		if err == nil {
			w.note(n, "vouched", int(s.Vouch.Term), "all others vouch for term %d", s.Vouch.Term)
			if n.warden.alive && n.warden.group.frozen == 0 {
				l := core.LeaseRecord{Term: s.Vouch.Term, TTL: s.Vouch.TTL, Margin: s.Vouch.Margin}
				_ = n.warden.arm(trust.Until(sent, l), l)
			}
		}
		done(nil)
	}
	for i := range a.ledger.Known().Members {
		if m := w.nodes[a.ledger.Known().Members[i].Ordinal-1]; m != n {
			open++
			a.askVouchOf(m, *s.Vouch, func(err error) {
				if open--; err != nil || open == 0 {
					finish(err)
				}
			})
		}
	}
	a.group.after(vouchLimit, func() { finish(errSilent) })
	if open == 0 {
		finish(nil)
	}
}

func (a *agent) askVouchOf(m *node, v core.Vouch, answer func(error)) {
	w, back := a.n.w, a.group.asks()
	d, ok := w.delivery(a.n.i, m.i)
	if !ok {
		return
	}
	w.after(d, func() {
		if m.down > 0 || !m.agent.up {
			return
		}
		m.agent.group.after(0, func() { // a frozen one answers when it thaws: late, but it answers
			err := m.agent.ledger.Vouch(v, m.clock())
			w.note(m, "vouch", int(v.Term), "asked to vouch for %s in term %d: %v", v.Holder, v.Term, err)
			if d, ok := w.delivery(m.i, a.n.i); ok {
				back.after(d, func() { answer(err) })
			}
		})
	})
}
