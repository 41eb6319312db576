package agent

import (
	"math"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/spec"
)

// overdueFor: the age of what is kept is read from the wall clock, and one that was set a year ahead by mistake must not cost
// the evidence. So age counts when it has been too great for that long by the clock that nobody sets (or for as long as is
// asked for, where that is less).
const overdueFor = time.Hour

// ages remembers since when a fork has been too old.
type ages map[string]core.Instant

// overdue names what is to be dropped: for its age, or for the size of all together.
func (a ages) overdue(list []forks.Summary, sizes func(id string) int64, keep spec.Forks, wall time.Time, now core.Instant) []string {
	old := forks.Overdue(list, sizes, keep.Keep.D(), math.MaxInt64, wall)
	for id := range a {
		if !slices.Contains(old, id) {
			delete(a, id)
		}
	}
	large := forks.Overdue(list, sizes, math.MaxInt64, keep.MaxBytes, wall)
	all := forks.Overdue(list, sizes, keep.Keep.D(), keep.MaxBytes, wall)
	return slices.DeleteFunc(all, func(id string) bool {
		if slices.Contains(large, id) {
			return false
		}
		since, ok := a[id]
		if !ok {
			a[id], since = now, now
		}
		return now.Sub(since) < min(overdueFor, keep.Keep.D())
	})
}

// keptOf tells of the newest saved fork. That is the one which was not there before, whatever its name says: names are times
// of the wall clock.
func keptOf(list []forks.Summary, was core.Kept, seen []string) (k core.Kept) {
	k.Count = len(list)
	if k.Count == 0 {
		return k
	}
	newest := list[k.Count-1]
	for _, s := range list {
		if s.ID == was.Newest && k.Count >= was.Count {
			newest = s
		}
	}
	for _, s := range list {
		if seen != nil && !slices.Contains(seen, s.ID) {
			newest = s
		}
	}
	k.Newest, k.Text, k.Named = newest.ID, newest.Text(), newest.Named
	return k
}

func sumsOf(list []forks.Summary) (sums []snapshot.Kept) {
	for _, s := range list {
		sums = append(sums, snapshot.Kept{Acked: s.Acked, Forks: 1, Bytes: s.Bytes, Transactions: s.Committed})
	}
	return sums
}

func idsOf(list []forks.Summary) []string {
	ids := make([]string, len(list))
	for i, s := range list {
		ids[i] = s.ID
	}
	return ids
}
