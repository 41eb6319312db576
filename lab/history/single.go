package history

import (
	"cmp"
	"slices"
	"time"
)

// reign is one member's time as a primary, as clients saw it: from its first to its last
// acknowledgement. Each promotion begins a timeline.
type reign struct {
	member      string
	timeline    uint32
	first, last Op // by their answers
	begun       Op // the last by its sending
}

// reigns gives them in the order of their timelines.
func reigns(h History) []reign {
	type key struct {
		member   string
		timeline uint32
	}
	found := map[key]*reign{}
	for _, o := range h.Ops {
		if !o.writes() || o.Outcome != Acked {
			continue
		}
		k := key{o.Member, o.Timeline}
		g := found[k]
		if g == nil {
			g = &reign{o.Member, o.Timeline, o, o, o}
			found[k] = g
		}
		if o.Done < g.first.Done {
			g.first = o
		}
		if o.Done > g.last.Done {
			g.last = o
		}
		if o.Sent > g.begun.Sent {
			g.begun = o
		}
	}
	var all []reign
	for _, g := range found {
		all = append(all, *g)
	}
	slices.SortFunc(all, func(a, b reign) int {
		return cmp.Or(cmp.Compare(a.timeline, b.timeline), cmp.Compare(a.first.Done, b.first.Done), cmp.Compare(a.member, b.member))
	})
	return all
}

// checkSingle: once a client was acknowledged by a newer primary, no client may be by an
// older one (N3). This is the strict reading: a write that was sent to the old primary before
// and is acknowledged after the new one's first counts as well, for a primary that was fenced
// in time has no process left which could answer.
func checkSingle(h History, bounds Bounds, r *Report) {
	all := reigns(h)
	for i, older := range all {
		for _, newer := range all[i+1:] {
			if older.member == newer.member || older.last.Done <= newer.first.Done {
				continue
			}
			if bounds.LateAnswers != "" && older.begun.Sent <= newer.first.Done {
				continue
			}
			r.Overlaps++
			r.problem("two primaries: %s (timeline %d) acknowledged %s at %v (sent at %v, by %s), but %s (timeline %d) had since %v; %s",
				older.member, older.timeline, older.last.Kind, round(older.last.Done), round(older.last.Sent), older.last.Worker,
				newer.member, newer.timeline, round(newer.first.Done), h.before(older.last.Done))
		}
	}
}

// checkChanges counts the reigns after the first (N8).
func checkChanges(h History, bounds Bounds, r *Report) {
	r.Changes = max(0, len(reigns(h))-1)
	if r.Changes > bounds.ChangesMax {
		r.problem("leadership changed %d times, more than %d", r.Changes, bounds.ChangesMax)
	}
}

// checkOutage finds the longest time in which no routed write was acknowledged (N5).
func checkOutage(h History, bounds Bounds, r *Report) {
	var acks []time.Duration
	for _, o := range h.Ops {
		if o.Routed && o.writes() && o.Outcome == Acked {
			acks = append(acks, o.Done)
		}
	}
	if len(acks) == 0 {
		r.Outage = h.End
	} else {
		slices.Sort(acks)
		acks = append(acks, h.End)
	}
	for i := 1; i < len(acks); i++ {
		if gap := acks[i] - acks[i-1]; gap > r.Outage {
			r.Outage, r.OutageAt = gap, acks[i-1]
		}
	}
	if r.Outage > bounds.OutageMax {
		r.problem("no write was acknowledged for %v from %v on (%s), more than %v", round(r.Outage), round(r.OutageAt), h.before(r.OutageAt+r.Outage/2), bounds.OutageMax)
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
