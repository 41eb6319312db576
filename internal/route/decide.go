package route

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

const (
	// storeSilent is how old knowledge of the store may be before it is said.
	storeSilent = 5 * time.Second
	// heldTold is how long clients wait for a primary before that is a condition: a switchover is no news.
	heldTold = 2 * time.Second
	// unreadTold is the same for readers: a standby takes that long to start.
	unreadTold = 10 * time.Second
)

// Decide says what the two endpoints are to do. Equal views and memories give equal plans.
func Decide(m Memory, v View) (Plan, Memory) {
	d := &decider{v: v, m: m, since: map[core.Code]core.Instant{}}
	if m.Began == 0 {
		d.m.Began = v.Now
	}
	d.m.Written = slices.Clone(m.Written)
	if !v.Known {
		d.unknown()
	} else {
		d.adopt()
		d.newTerm()
		d.hold()
		d.readWrite()
		d.readOnly()
	}
	d.blind()
	d.record()
	d.m.Since = d.since
	return d.plan, d.m
}

type decider struct {
	v     View
	m     Memory
	plan  Plan
	since map[core.Code]core.Instant // conditions of now
	wrong []string                   // their texts
}

// adopt takes over from a process before this one what the poolers do: clients must not be held because an
// agent was restarted. That waits for the store, which says who the targets are.
func (d *decider) adopt() {
	if d.m.Adopted {
		return
	}
	d.m.Adopted, d.m.Readers, d.m.Holds = true, slices.Sorted(slices.Values(d.v.RO.Targets)), d.v.RW.HeldAt != 0
	if len(d.v.RW.Targets) > 0 {
		d.m.Target = d.v.RW.Targets[0]
	}
}

// unknown: without one reading of the store nothing is begun. What a process before this one left
// running runs on; what it left holding is let go in the end.
func (d *decider) unknown() {
	why := core.Reason{Code: core.CondPoolerBlind, Text: "the store was not read yet: the endpoints stay as they are"}
	d.plan.RW, d.plan.RO = Endpoint{Keep: true, Why: why}, Endpoint{Keep: true, Why: why}
	if d.v.RW.HeldAt == 0 || d.v.RW.Down {
		return
	}
	if at := d.m.Began.Add(core.HoldWait + core.HoldMax); d.v.Now < at {
		d.wakeAt(at)
		return
	}
	d.plan.RW = Endpoint{LetGo: true, Why: because(core.CondPoolerBlind, "the store was not read yet, and clients were held for long enough: they go on where they were")}
}

// newTerm takes note of a change of leadership: what was seen before it says nothing of the holder now.
func (d *decider) newTerm() {
	if d.v.Lease.Term <= d.m.Term && d.m.TermAt != 0 {
		return
	}
	d.m.Term, d.m.TermAt = d.v.Lease.Term, d.v.Now
	d.m.Written = nil
}

// blind says that decisions are made from old knowledge.
func (d *decider) blind() {
	switch age := d.v.Now.Sub(d.v.ReadAt); {
	case !d.v.Known && d.v.Err != "" && d.v.Now.Sub(d.m.Began) > storeSilent:
		d.condition(core.CondPoolerBlind, "the store has not been read yet: %s; the endpoints stay as they are", d.v.Err)
	case d.v.Known && d.v.Err != "" && age > storeSilent:
		d.condition(core.CondPoolerBlind, "the store has not answered for %s: the endpoints go by what was known then", age.Round(time.Second))
	}
}

// record is what this host tells the cluster of itself; the caller adds what it knows better.
func (d *decider) record() {
	r := &d.plan.Record
	r.Term, r.Clients = d.v.Lease.Term, d.v.RW.Clients+d.v.RO.Clients
	if !d.m.Holds && d.v.RW.HeldAt == 0 && !d.v.RW.Down {
		r.Target = d.m.Target
	}
	if r.Readers = nil; !d.plan.RO.Hold && !d.v.RO.Down {
		for _, name := range d.m.Readers {
			if slices.Contains(d.v.RO.Targets, name) { // the pooler may not be able to send to all
				r.Readers = append(r.Readers, name)
			}
		}
	}
	r.Hold = d.m.Hold.answer()
	r.Text = strings.Join(d.wrong, "; ")
}

func (d *decider) condition(code core.Code, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	since, ok := d.m.Since[code]
	if !ok {
		since = d.v.Now
	}
	d.since[code] = since
	d.plan.Conditions = append(d.plan.Conditions, core.NewCondition(code, since, "%s", text))
	d.wrong = append(d.wrong, text)
}

// lasting runs a clock for as long as it is called with each decision, and says how long that is.
func (d *decider) lasting(what string) time.Duration {
	key := core.Code("for:" + what)
	since, ok := d.m.Since[key]
	if !ok {
		since = d.v.Now
	}
	d.since[key] = since
	return d.v.Now.Sub(since)
}

func (d *decider) wakeAt(at core.Instant) {
	if d.plan.WakeAt == 0 || at < d.plan.WakeAt {
		d.plan.WakeAt = at
	}
}

func because(code core.Code, format string, args ...any) core.Reason {
	return core.Reason{Code: code, Text: fmt.Sprintf(format, args...)}
}

func list(names []string) string {
	if len(names) == 0 {
		return "nobody"
	}
	return strings.Join(names, ", ")
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
