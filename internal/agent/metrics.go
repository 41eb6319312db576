package agent

import (
	"time"

	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/metrics"
)

// measures is what a scrape is answered by: this process's last decision, and what its parts have in memory.
func (a *Agent) measures() metrics.Snapshot {
	e := a.latest()
	s := metrics.Snapshot{
		Facts: a.health(), Wall: time.Now(), Cluster: a.id.Cluster, Version: a.o.Version,
		Vacant: e.Memory.VacantSince != 0 || e.Report.Vacant,
	}
	if a.server != nil {
		s.Server, s.Kept = metrics.Server(a.observer.Local.Server()), a.keeper.sums()
	}
	return s
}

// sums is what the last look at the saved forks found.
func (k *keeper) sums() []metrics.Kept {
	k.told.Lock()
	defer k.told.Unlock()
	return k.summed
}

func sumsOf(list []forks.Summary) (sums []metrics.Kept) {
	for _, s := range list {
		sums = append(sums, metrics.Kept{Acked: s.Acked, Forks: 1, Bytes: s.Bytes, Transactions: s.Committed})
	}
	return sums
}
