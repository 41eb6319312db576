package core

import (
	"fmt"
	"math/bits"
	"slices"
	"testing"
)

// The solver against counting by hand, over all small cases: up to five standbys, every k,
// every pair (what the lease says, what PostgreSQL waits for) that any chain of wanted
// sets leads to, every wanted set from each. Between any two moves the holder may
// die, the agent may forget everything and want something else, and a reload may not have
// reached every session yet. syncoracle_test.go has the same for the whole of sync.go, with
// clocks, facts that lag and writes that fail, for fewer members.

type mask = uint8 // members as bits

// quorumCase is a moment, seen by one commit: the configuration under which it will be
// acknowledged (by sessions that have not read a newer one, perhaps), or where it is.
type quorumCase struct {
	r, p  int // indexes of sets
	under int // not acknowledged yet: the set that its session goes by
	acked bool
	at    mask // acknowledged: the members that have it
}

type setWorld struct {
	sets    []SyncSet
	members []mask
	index   map[string]int
	moves   map[[3]int][2][2]int // r, p, want: not proven, proven
}

func newSetWorld(n int) *setWorld {
	w := &setWorld{index: map[string]int{}, moves: map[[3]int][2][2]int{}}
	for m := range mask(1 << n) {
		var names []string
		for i := range n {
			if m>>i&1 == 1 {
				names = append(names, memberName(i))
			}
		}
		for k := min(1, len(names)); k <= len(names); k++ {
			w.index[SyncSet{names, k}.text()] = len(w.sets)
			w.sets, w.members = append(w.sets, SyncSet{names, k}), append(w.members, m)
		}
	}
	return w
}

// move is the solver's answer, proven or not.
func (w *setWorld) move(t *testing.T, r, p, want int) [2][2]int {
	key := [3]int{r, p, want}
	if m, ok := w.moves[key]; ok {
		return m
	}
	var out [2][2]int
	for i, proven := range []bool{false, true} {
		a, b := quorumMove(w.sets[r], w.sets[p], w.sets[want], proven)
		ra, okA := w.index[a.text()]
		pb, okB := w.index[b.text()]
		if !okA || !okB {
			t.Fatalf("R=%s P=%s want %s: no such set as %s or %s", w.sets[r].text(), w.sets[p].text(), w.sets[want].text(), a.text(), b.text())
		}
		if ra != r && pb != p {
			t.Fatalf("R=%s P=%s want %s: both change at once, to R=%s P=%s", w.sets[r].text(), w.sets[p].text(), w.sets[want].text(), a.text(), b.text())
		}
		out[i] = [2]int{ra, pb}
	}
	w.moves[key] = out
	return out
}

// placements are the least sets of members that a commit acknowledged under a set is on.
func (w *setWorld) placements(set int) (out []mask) {
	for m := range mask(1 << 5) {
		if m&^w.members[set] == 0 && bits.OnesCount8(m) == w.sets[set].K {
			out = append(out, m)
		}
	}
	return out
}

// electsWithout gives voters that may elect a new leader after the holder's death and are
// none of those who have the commit: the dumb meaning of R + W > N.
func (w *setWorld) electsWithout(r int, has mask) (mask, bool) {
	set := w.sets[r]
	if len(set.Members) == 0 {
		return 0, false // only the holder itself may lead
	}
	for v := range mask(1 << 5) {
		if v&^w.members[r] == 0 && bits.OnesCount8(v) == len(set.Members)-set.K+1 && v&has == 0 {
			return v, true
		}
	}
	return 0, false
}

// next gives every moment that may follow.
func (w *setWorld) next(t *testing.T, c quorumCase) (out []quorumCase) {
	if !c.acked {
		for _, at := range w.placements(c.under) {
			out = append(out, quorumCase{c.r, c.p, 0, true, at})
		}
		out = append(out, quorumCase{c.r, c.p, c.p, false, 0}) // the session reads the newest
	}
	for want := range w.sets {
		m := w.move(t, c.r, c.p, want)
		out = append(out, w.moved(c, m[0], 0))
		if c.acked || c.under == c.p { // proof is only taken when all sessions go by P
			out = append(out, w.moved(c, m[1], w.members[want]))
		}
	}
	return out
}

// moved: proof that those of the wanted set have everything is part of what is known of the
// commit from then on.
func (w *setWorld) moved(c quorumCase, to [2]int, proven mask) quorumCase {
	c.r, c.p = to[0], to[1]
	if c.acked {
		c.at |= proven
	}
	return c
}

func TestQuorumMovesKeepEveryCommitElectable(t *testing.T) {
	largest := 5
	if testing.Short() {
		largest = 4
	}
	for n := 1; n <= largest; n++ {
		w := newSetWorld(n)
		seen := map[quorumCase]quorumCase{{}: {}} // and from where
		todo := []quorumCase{{}}
		pairs := map[[2]int]bool{}
		for len(todo) > 0 {
			c := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			pairs[[2]int{c.r, c.p}] = true
			if v, bad := w.electsWithout(c.r, c.at); c.acked && bad {
				t.Fatalf("members %05b may elect without the commit that is on %05b:\n%s", v, c.at, w.told(seen, c))
			}
			for _, to := range w.next(t, c) {
				if _, ok := seen[to]; !ok {
					seen[to] = c
					todo = append(todo, to)
				}
			}
		}
		t.Logf("%d members: %d sets, %d pairs of R and P, %d moments", n, len(w.sets), len(pairs), len(seen))
		if len(pairs) < 1<<n {
			t.Fatalf("only %d pairs: the cases are too few to show anything", len(pairs))
		}
		w.arrives(t, pairs)
	}
}

// arrives: with proof given where it is asked for, every wanted set is reached from
// everywhere, and is rested in.
func (w *setWorld) arrives(t *testing.T, pairs map[[2]int]bool) {
	longest := 0
	for at := range pairs {
		for want := range w.sets {
			is, n := at, 0
			for ; is != [2]int{want, want}; n++ {
				if n > 6 {
					t.Fatalf("R=%s P=%s never comes to %s; it is at R=%s P=%s", w.sets[at[0]].text(), w.sets[at[1]].text(), w.sets[want].text(), w.sets[is[0]].text(), w.sets[is[1]].text())
				}
				needs := needsProof(w.sets[is[0]], w.sets[is[1]], w.sets[want])
				m := w.move(t, is[0], is[1], want)
				if !needs && m[0] != m[1] {
					t.Fatalf("R=%s P=%s want %s: proof counts where none is asked for", w.sets[is[0]].text(), w.sets[is[1]].text(), w.sets[want].text())
				}
				is = m[1]
			}
			longest = max(longest, n)
			if m := w.move(t, want, want, want); m != [2][2]int{{want, want}, {want, want}} {
				t.Fatalf("%s does not rest", w.sets[want].text())
			}
		}
	}
	t.Logf("at most %d moves", longest)
}

func (w *setWorld) told(seen map[quorumCase]quorumCase, c quorumCase) (text string) {
	for {
		line := fmt.Sprintf("  R=%s P=%s", w.sets[c.r].text(), w.sets[c.p].text())
		if c.acked {
			line += fmt.Sprintf(", acknowledged on %05b", c.at)
		} else {
			line += ", its session waits for " + w.sets[c.under].text()
		}
		text = line + "\n" + text
		if c == seen[c] {
			return text
		}
		c = seen[c]
	}
}

// Every distribution of up to five members over near and far, every k, whoever counts now.
func TestSpreadPrefersOtherFailureDomains(t *testing.T) {
	var names []string
	for i := range 5 {
		names = append(names, memberName(i))
	}
	in := func(m mask) func(string) bool {
		return func(name string) bool { return m>>slices.Index(names, name)&1 == 1 }
	}
	for n := range 6 {
		for nearBits := range mask(1 << n) {
			for countedBits := range mask(1 << n) {
				for k := 1; k <= 3; k++ {
					near, members := in(nearBits), slices.Clone(names[:n])
					got := spread(members, k, near, in(countedBits))
					far := slices.DeleteFunc(slices.Clone(got), near)
					farAll := n - bits.OnesCount8(nearBits)
					said := fmt.Sprintf("members %v, near %05b, counted %05b, k=%d: %v", members, nearBits, countedBits, k, got)
					switch {
					case !slices.IsSorted(got) || !subset(got, members):
						t.Fatalf("%s: no set of theirs", said)
					case len(far) != farAll:
						t.Fatalf("%s: a member elsewhere is left out", said)
					case farAll >= k && len(got) != farAll:
						t.Fatalf("%s: enough are elsewhere, and one that is near counts", said)
					case farAll == 0 && len(got) != n:
						t.Fatalf("%s: nobody is elsewhere, and not all work", said)
					case farAll > 0 && farAll < k && len(got) != min(k, n):
						t.Fatalf("%s: want exactly k, or a commit may be near only", said)
					}
					if again := spread(members, k, near, func(name string) bool { return slices.Contains(got, name) }); !slices.Equal(again, got) {
						t.Fatalf("%s: does not rest: %v", said, again)
					}
				}
			}
		}
	}
}
