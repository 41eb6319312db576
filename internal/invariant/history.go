package invariant

import "time"

// History watches the whole cluster from outside, as the simulator and the lab can: who
// opened for writes, what was acknowledged, who took the lease. Members and commits are
// numbered by the caller; times are of one clock.
type History struct {
	Sync bool // every acknowledged commit must survive
	// Grace is how long a member that was frozen as a whole may still acknowledge after it
	// was thawed, in async (its fence was frozen with it). 0 in sync: nobody confirms.
	Grace time.Duration

	// Has says whether a commit is part of a member's data now; nil where that cannot be known.
	Has func(member, commit int) bool

	reigns []reign
	thawed map[int]time.Duration // by member
	acked  []int
	found  found
}

// reign is one time of one member as the open primary.
type reign struct {
	member     int
	term       uint64
	firstAcked time.Duration // 0: none
	destroyed  bool          // its data is gone: what it had is not known any more
}

// Found gives the violations so far.
func (h *History) Found() []Violation { return h.found }

// Acked gives the number of acknowledged commits.
func (h *History) Acked() int { return len(h.acked) }

// Opened: the member accepts writes from now on, under the lease of this term. I4: one
// promotion per term, and terms grow. I2: every acknowledged commit is there. It gives
// the number of acknowledged commits that are not there (async).
//
// A member that was paused with all its clocks cannot know that its lease is over, nor can one whose fence is frozen
// past its deadline be stopped; it may open, but synchronous replication must keep it from
// acknowledging (I1).
func (h *History) Opened(member int, term uint64, paused bool, has func(commit int) bool) (lost int) {
	for _, r := range h.reigns {
		if r.term == term && r.member != member {
			h.found.add("I4", "members %d and %d were both promoted in term %d", r.member, member, term)
		}
		if r.term > term && !paused {
			h.found.add("I4", "member %d opens in term %d, after term %d", member, term, r.term)
		}
	}
	overtaken := paused && len(h.reigns) > 0 && h.reigns[len(h.reigns)-1].term > term
	h.reigns = append(h.reigns, reign{member: member, term: term})
	if overtaken {
		return 0
	}
	for _, c := range h.acked {
		if has(c) {
			continue
		}
		if lost++; h.Sync && lost == 1 {
			h.found.add("I2", "commit %d was acknowledged and is not on member %d, which opens in term %d", c, member, term)
		}
	}
	return lost
}

// Forget drops acknowledged commits that are lost for good, so that an async loss is
// counted once.
func (h *History) Forget(lost func(commit int) bool) {
	kept := h.acked[:0]
	for _, c := range h.acked {
		if !lost(c) {
			kept = append(kept, c)
		}
	}
	h.acked = kept
}

// Thawed: the member was frozen as a whole, its fence too, and runs again.
func (h *History) Thawed(member int, at time.Duration) {
	if h.thawed == nil {
		h.thawed = map[int]time.Duration{}
	}
	h.thawed[member] = at
}

// Acknowledge: the member tells a client at that a commit, begun at written, is done. I1: it
// was not begun after a later reign of another member had acknowledged one.
func (h *History) Acknowledge(member, commit int, written, at time.Duration) {
	h.acked = append(h.acked, commit)
	mine := -1
	for i, r := range h.reigns {
		if r.member == member {
			mine = i
		}
	}
	if mine < 0 {
		h.found.add("I1", "member %d acknowledges commit %d and never opened", member, commit)
		return
	}
	r := &h.reigns[mine]
	for _, later := range h.reigns {
		if later.term > r.term && later.firstAcked != 0 && written > later.firstAcked && !h.justThawed(member, at) {
			h.found.add("I1", "member %d (term %d) acknowledges commit %d begun %s after member %d (term %d) had acknowledged", member, r.term, commit, written-later.firstAcked, later.member, later.term)
		}
	}
	if r.firstAcked == 0 {
		r.firstAcked = at
	}
	h.notForgotten(*r, commit)
}

// Saw: a client read a commit of which nobody was told. It may act on that, so the commit must
// survive as one that was acknowledged; when another has opened without it, it went back.
func (h *History) Saw(member, commit int) {
	if !h.Sync {
		return
	}
	h.acked = append(h.acked, commit)
	for i := len(h.reigns) - 1; i >= 0; i-- {
		if h.reigns[i].member == member {
			h.notForgotten(h.reigns[i], commit)
			return
		}
	}
}

// Destroyed: a fault has deleted the member's data. What it had is known by whoever opens next.
func (h *History) Destroyed(member int) {
	for i := range h.reigns {
		h.reigns[i].destroyed = h.reigns[i].destroyed || h.reigns[i].member == member
	}
}

func (h *History) justThawed(member int, at time.Duration) bool {
	thawed, ok := h.thawed[member]
	return ok && at-thawed <= h.Grace && h.Grace > 0
}

// notForgotten is I2 from the other side: what a deposed primary still acknowledges is on
// whoever opened last.
func (h *History) notForgotten(r reign, commit int) {
	if !h.Sync || h.Has == nil {
		return
	}
	newest := r
	for _, later := range h.reigns {
		if later.term > newest.term {
			newest = later
		}
	}
	if newest.term > r.term && !newest.destroyed && !h.Has(newest.member, commit) {
		h.found.add("I2", "member %d (term %d) acknowledges commit %d, and member %d has opened term %d without it", r.member, r.term, commit, newest.member, newest.term)
	}
}

// Final is I2 at the end: the leader has everything that was ever acknowledged.
func (h *History) Final(leader int) {
	for _, c := range h.acked {
		if h.Sync && !h.Has(leader, c) {
			h.found.add("I2", "commit %d was acknowledged and is not on member %d, which leads in the end", c, leader)
			return
		}
	}
}

// Fenced is I3 from outside: when somebody takes a lease that was not released, nothing of
// its last holder can write any more.
func (h *History) Fenced(holder int, term uint64, writable bool) {
	if writable {
		h.found.add("I3", "term %d was taken over while its holder %d could still write", term, holder)
	}
}

// Lagging is I7: what an async failover gives up is within the bound.
func (h *History) Lagging(member int, behindBytes, maxBytes int64) {
	if behindBytes > maxBytes {
		h.found.add("I7", "member %d takes over %d bytes behind the last published position; max_lag is %d", member, behindBytes, maxBytes)
	}
}

// Dropped is I8: what a rewind, a clone or a pruning takes away is somewhere else.
func (h *History) Dropped(member int, has, elsewhere func(commit int) bool) {
	if !h.Sync {
		return
	}
	for _, c := range h.acked {
		if has(c) && !elsewhere(c) {
			h.found.add("I8", "member %d drops the only copy of the acknowledged commit %d", member, c)
			return
		}
	}
}

// Replaced is I8 for all that anybody wrote, acknowledged or not, in every durability: what a rewind or a
// clone takes away and the source does not have was saved before.
func (h *History) Replaced(member, commit int, saved bool) {
	if !saved {
		h.found.add("I8", "member %d replaces data with commit %d, which the source does not have and nobody saved", member, commit)
	}
}

// Pruned is I8 for what was saved or set aside: it stays at least until the data that
// replaced it has streamed, or led.
func (h *History) Pruned(member int, what string, proven bool) {
	if !proven {
		h.found.add("I8", "member %d drops %s before the data in its place has streamed", member, what)
	}
}

// Unsaid is the second half of I7: whoever opens without acknowledged commits has said in the lease
// that some may be lost.
func (h *History) Unsaid(member int, term uint64, lost int, said bool) {
	if lost > 0 && !said {
		h.found.add("I7", "member %d opens term %d without %d acknowledged commits, and the lease says nothing of a loss", member, term, lost)
	}
}

// Forked: a standby takes WAL from a primary whose history it does not share: its data
// is a mixture of two.
func (h *History) Forked(member, source int) {
	h.found.add("I8", "member %d streams from %d, whose history is another", member, source)
}

// Initialised is what DESIGN §6 says of a cluster: its database is made once.
func (h *History) Initialised(times int) {
	if times > 1 {
		h.found.add("I8", "the cluster's database was made %d times", times)
	}
}

// Live is I11: after the last fault a leader is there within leaderMax, all stream within
// wholeMax, and then nothing is done any more but renewals.
func (h *History) Live(leader, whole, leaderMax, wholeMax time.Duration, restless string) {
	if leader > leaderMax {
		h.found.add("I11", "%s after the last fault nobody leads", leader.Round(time.Second))
	}
	if whole > wholeMax {
		h.found.add("I11", "%s after the last fault the cluster is not whole", whole.Round(time.Second))
	}
	if restless != "" {
		h.found.add("I11", "the cluster is whole and yet does not rest: %s", restless)
	}
}

// Elsewhere is I13: with members in another failure domain to keep it, an acknowledged commit is kept there.
func (h *History) Elsewhere(member, commit int, kept bool) {
	if !kept {
		h.found.add("I13", "member %d acknowledges commit %d, which is in no other failure domain, though standbys of others stream", member, commit)
	}
}

// Promised is I5 as it is meant: each acknowledged commit is on as many members of the
// lease's sync set as the lease says.
func (h *History) Promised(enough func(commit int) bool) {
	for _, c := range h.acked {
		if !enough(c) {
			h.found.add("I5", "the lease promises more than is so: commit %d is on fewer members of its set", c)
			return
		}
	}
}
