package agent

import (
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/invariant"
)

const (
	// brokenShown is for how long a broken invariant stays a condition. One tick would be
	// over before anybody looks.
	brokenShown = time.Hour
	// twoPrimariesLast is longer than another member's answer counts (3 s) and a tick
	// together: a primary that was fenced a moment ago is in no answer any more by then.
	twoPrimariesLast = 5 * time.Second
	// viewsApart: after a longer pause (a frozen machine) nothing is known to have lasted.
	viewsApart = 3 * time.Second
	// tellMax bounds the log of a defect that says something else in each tick.
	tellMax = 100
)

// invariants watches this member's decisions in production with the rules that the
// simulator proves. It only looks: it changes no plan, and its conditions never go into a
// decision. A wrong alarm costs a report, a wrong repair could cost data.
type invariants struct {
	log    *slog.Logger
	before *core.View
	told   []string

	broken  string       // what was broken last
	since   core.Instant // first of the time that broken is shown
	last    core.Instant // newest
	twoFrom core.Instant // two primaries in every view since; 0: not in the newest
}

// watch takes a decision before it is written down, and gives the conditions to add.
func (i *invariants) watch(d invariant.Decision) (found []core.Condition) {
	now := d.View.Now
	pause := i.before == nil || now.Sub(i.before.Now) > viewsApart
	d.Before = i.before
	for _, v := range invariant.Tick(&d) {
		if i.last == 0 || now.Sub(i.last) > brokenShown {
			i.since = now
		}
		i.broken, i.last = v.String(), now
		i.tell(core.CondInvariant, v)
	}
	view := d.View
	i.before = &view
	if i.last != 0 && now.Sub(i.last) <= brokenShown {
		found = append(found, core.NewCondition(core.CondInvariant, i.since, "%s", i.text(now)))
	}
	return append(found, i.twoPrimaries(d.View, pause)...)
}

// text says when it was, so that an hour of the same condition is not read as an hour of breaking.
func (i *invariants) text(now core.Instant) string {
	if ago := now.Sub(i.last).Round(time.Minute); ago > 0 {
		return fmt.Sprintf("%s (%s ago)", i.broken, ago)
	}
	return i.broken
}

// twoPrimaries: one view is no proof. The others' answers are of a moment ago, and during a
// failover the old primary may be in one although its warden has fenced it since.
func (i *invariants) twoPrimaries(view core.View, pause bool) []core.Condition {
	two := invariant.TwoPrimaries(view)
	if len(two) == 0 {
		i.twoFrom = 0
		return nil
	}
	if i.twoFrom == 0 || pause {
		i.twoFrom = view.Now
	}
	if view.Now.Sub(i.twoFrom) < twoPrimariesLast {
		return nil
	}
	i.tell(core.CondTwoPrimaries, two[0])
	return []core.Condition{core.NewCondition(core.CondTwoPrimaries, i.twoFrom, "%s", two[0].Text)}
}

// tell logs each text once.
func (i *invariants) tell(code core.Code, v invariant.Violation) {
	text := string(code) + " " + v.String()
	if slices.Contains(i.told, text) || len(i.told) >= tellMax {
		return
	}
	i.told = append(i.told, text)
	_, hint, _ := core.Catalogued(code)
	i.log.Error(string(code), "invariant", v.ID, "text", v.Text, "hint", hint)
}
