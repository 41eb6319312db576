package core

import "slices"

// The rule that keeps acknowledged commits electable, by itself: no clock, no facts but
// those that are named here. quorum_test.go holds it against counting by hand, over all
// small cases.
//
// Let R, k be the set in the lease and P, p what PostgreSQL waits for. An election must
// hear |R|-k+1 members of R. Every acknowledged commit is on k of them as long as, at
// every moment,
//
//	P ⊆ R and p ≥ k, for this commit and all before it.
//
// So R grows before P does, P shrinks before R does, and R shrinks only when those
// who stay were seen to have flushed everything that was acknowledged under the
// larger set. An empty R means "on the holder only" and is always safe to write: it
// permits nobody else. (CloudNativePG lost data in 47 % of an outside tester's runs
// by enforcing before observing.)

// within: every commit that waited for s is on enough of r.
func (s SyncSet) within(r SyncSet) bool { return s.K >= r.K && subset(s.Members, r.Members) }

// quorumMove is the next of the moves that lead from what the lease says (r) and what
// PostgreSQL waits for (p) to the wanted set, each safe by itself: whatever fails between
// two of them, and whatever is wanted after that. It changes one of the two at a time.
// proven: each of want has flushed all that was acknowledged before p was in effect
// everywhere; it is only asked where needsProof.
func quorumMove(r, p, want SyncSet, proven bool) (record, conf SyncSet) {
	switch {
	case len(want.Members) == 0 && len(r.Members) > 0:
		// Nobody is left. First the store says that only we have what comes next, then
		// (next tick, r is empty) PostgreSQL stops waiting.
		return SyncSet{}, p
	case needsProof(r, p, want) && proven:
		return want, want
	case len(r.Members) == 0:
		return r, want
	case want.K < r.K:
		return SyncSet{Members: r.Members, K: want.K}, p
	case !subset(want.Members, r.Members):
		return SyncSet{Members: union(r.Members, want.Members), K: r.K}, p
	}
	return r, want
}

// needsProof: PostgreSQL waits as wanted, and only the lease's word is missing.
func needsProof(r, p, want SyncSet) bool {
	return p.same(want) && !r.same(want)
}

// spread prefers members in other failure domains than the holder's. With k of them
// there, nobody else is counted: any k confirmations are then from elsewhere. With some, but
// fewer than k, they are filled up to exactly k (by those that count already, so that the set
// rests): more than k would let commits be kept near by only. With none, all who are near
// share the work, as where no zones are named. It stays one ANY k: PostgreSQL knows no "one
// of these and one of those", and a quorum of quorums would have no R + W > N to count.
func spread(members []string, k int, near, counted func(string) bool) []string {
	far := slices.DeleteFunc(slices.Clone(members), near)
	if len(far) == 0 {
		return members
	}
	for _, first := range []bool{true, false} {
		for _, name := range members {
			if near(name) && counted(name) == first && len(far) < k {
				far = append(far, name)
			}
		}
	}
	slices.Sort(far)
	return far
}
