package agent

import (
	"time"

	"github.com/pgherd/pgherd/internal/snapshot"
)

// measures is what a scrape is answered by: this process's last decision, and what its parts have in memory.
func (a *Agent) measures() snapshot.Snapshot {
	e := a.latest()
	s := snapshot.Snapshot{
		Facts: a.health(), Wall: time.Now(), Cluster: a.id.Cluster, Version: a.o.Version,
		Vacant: e.Memory.VacantSince != 0 || e.Report.Vacant,
	}
	if a.server != nil {
		s.Server, s.Kept = snapshot.Server(a.observer.Local.Server()), a.keeper.sums()
	}
	return s
}

// sums is what the last look at the saved forks found.
func (k *keeper) sums() []snapshot.Kept {
	k.told.Lock()
	defer k.told.Unlock()
	return k.summed
}
