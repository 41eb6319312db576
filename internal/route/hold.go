package route

import (
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// asked is the operation that wants clients held now, nil when none does.
func (v View) asked() *core.Operation {
	op := v.Operation
	if !op.Holds() {
		return nil
	}
	if op.Term != v.Lease.Term || op.From != v.holder() {
		return nil // it is through, or it is of another term and nobody drives it any more
	}
	return op
}

// hold follows the newest operation that holds clients. It ends the hold when the operation does not ask
// for it any more, when transactions do not end in time, and after HoldMax by this host's own
// clock: whoever drives the operation may be dead, or out of sight.
func (d *decider) hold() {
	op := d.v.asked()
	again := d.m.Hold.LetGoAt != 0 && d.m.Hold.Ended == "" // it asks once more, in another term
	if op != nil && (d.m.Hold.Operation != op.ID || again) {
		d.m.Hold = Hold{Operation: op.ID, Since: d.v.Now, MaxWait: op.MaxWait(), Clients: d.v.RW.Clients}
	}
	h := &d.m.Hold
	if h.Operation == "" || h.LetGoAt != 0 {
		return
	}
	d.follow(h)
	if op == nil || h.Ended != "" {
		return
	}
	waited := d.v.Now.Sub(h.Since)
	drained := h.DrainedAt != 0
	switch {
	case waited >= h.MaxWait+core.HoldMax:
		d.end(h, !drained, "clients were held for "+waited.Round(time.Millisecond).String()+": they are let go, whatever becomes of the operation")
	case drained:
		d.wakeAt(h.Since.Add(h.MaxWait + core.HoldMax))
	case waited < h.MaxWait:
		d.wakeAt(h.Since.Add(h.MaxWait))
	case op.Force:
		d.plan.Terminate = true
		d.wakeAt(h.Since.Add(h.MaxWait + core.HoldMax))
	default:
		h.Blockers = d.v.RW.Blockers
		d.end(h, true, "open transactions did not end in "+h.MaxWait.String()+listed(h.Blockers))
	}
}

// listed: the operation tells its end by this text alone, and a person wants to know whom to ask.
func listed(blockers []string) string {
	if len(blockers) == 0 {
		return ""
	}
	return ": " + strings.Join(blockers, "; ")
}

// follow takes over what the pooler did.
func (d *decider) follow(h *Hold) {
	p := d.v.RW
	if p.Down {
		h.Died = h.Clients
		if h.DrainedAt == 0 {
			h.DrainedAt = d.v.Now // no process, no transaction
		}
	}
	if p.HeldAt != 0 {
		if h.HeldAt == 0 {
			h.HeldAt = p.HeldAt
		}
		if p.DrainedAt != 0 && h.DrainedAt == 0 {
			h.DrainedAt = max(p.DrainedAt, h.Since)
		}
		h.Waiting, h.Dropped = p.Waiting, p.Dropped
		return
	}
	if p.LetGoAt > h.Since && !d.m.Holds {
		h.LetGoAt = p.LetGoAt
	}
}

func (d *decider) end(h *Hold, failed bool, text string) {
	h.Ended, h.Failed = text, failed
}

// holding says that clients are held for the operation now.
func (h Hold) holding(op *core.Operation) bool {
	return op != nil && h.Operation == op.ID && h.Ended == ""
}

// answer is what the operation is told.
func (h Hold) answer() *core.PoolerHold {
	if h.Operation == "" {
		return nil
	}
	a := &core.PoolerHold{Operation: h.Operation, State: core.HoldHolding, Clients: h.Clients, Waiting: h.Waiting, Errors: max(h.Dropped, h.Died), Text: h.Ended}
	if h.DrainedAt != 0 {
		a.State = core.HoldHeld
		a.DrainMS = milliseconds(max(0, h.DrainedAt.Sub(max(h.HeldAt, h.Since))))
	}
	if h.LetGoAt != 0 && h.HeldAt != 0 {
		a.HeldMS = milliseconds(h.LetGoAt.Sub(h.HeldAt))
	}
	switch {
	case h.Failed:
		a.State, a.Blockers = core.HoldFailed, h.Blockers
	case h.LetGoAt != 0:
		a.State = core.HoldOver
	}
	return a
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
