package history

import (
	"cmp"
	"slices"
	"time"
)

// checkLooks: what a client of the writer's endpoint once saw, or was told, stays (N4), and
// is there at the end (no dirty read).
func checkLooks(h History, rowsOnMembers map[string][]Row, bounds Bounds, r *Report) {
	if bounds.LossAllowed == "" && bounds.DirtyReads == "" {
		checkDirty(h, rowsOnMembers, r)
	}
	if bounds.LossAllowed == "" && bounds.StaleReads == "" && bounds.DirtyReads == "" {
		checkBackwards(h, r)
	}
}

func checkDirty(h History, rowsOnMembers map[string][]Row, r *Report) {
	gone := map[int64]bool{}
	for _, rows := range rowsOnMembers {
		there := ids(rows)
		for _, o := range h.Ops {
			for _, id := range o.Seen {
				if there[id] == 0 {
					gone[id] = true
				}
			}
		}
	}
	r.Dirty = len(gone)
	if r.Dirty > 0 {
		r.problem("%d rows that were read by clients do not exist at the end", r.Dirty)
	}
}

// checkBackwards: a look shows each row that was acknowledged, or seen by another look, before it was
// sent, as far as it shows rows of that age at all.
func checkBackwards(h History, r *Report) {
	known := knownAt(h)
	looks := slices.DeleteFunc(slices.Clone(h.Ops), func(o Op) bool { return o.Kind != Look || o.Outcome != Acked || !o.Routed })
	slices.SortFunc(looks, func(a, b Op) int { return cmp.Compare(a.Sent, b.Sent) })
	byID := make([]int64, 0, len(known))
	for id := range known {
		byID = append(byID, id)
	}
	slices.Sort(byID)
	for _, o := range looks {
		if id, missing := firstMissing(o, byID, known); missing {
			r.Backwards++
			if r.Backwards == 1 {
				r.problem("a read from %s, sent at %v, does not show row %d, which was known at %v; %s", o.Member, round(o.Sent), id, round(known[id]), h.before(o.Done))
			}
		}
	}
	if r.Backwards > 1 {
		r.problem("%d reads in all went backwards", r.Backwards)
	}
}

// knownAt gives for each row the first instant at which a client knew that it exists.
func knownAt(h History) map[int64]time.Duration {
	known := map[int64]time.Duration{}
	learn := func(id int64, at time.Duration) {
		if was, ok := known[id]; !ok || at < was {
			known[id] = at
		}
	}
	for _, o := range h.Ops {
		if o.Outcome != Acked {
			continue
		}
		if o.Kind == Insert {
			learn(o.ID, o.Done)
		}
		for _, id := range o.Seen {
			learn(id, o.Done)
		}
	}
	return known
}

// firstMissing looks among the rows not older than the oldest that the look shows; one that
// shows fewer rows than it may shows all there are.
func firstMissing(o Op, byID []int64, known map[int64]time.Duration) (int64, bool) {
	from := 0
	if len(o.Seen) >= LookRows {
		from, _ = slices.BinarySearch(byID, slices.Min(o.Seen))
	}
	for _, id := range byID[from:] {
		if known[id] < o.Sent && !slices.Contains(o.Seen, id) {
			return id, true
		}
	}
	return 0, false
}
