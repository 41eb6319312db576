package health

import (
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
)

// Facts are what the answers follow from: one decision of the agent's loop, and the time now.
type Facts struct {
	Now     core.Instant // of the clock that the lease is counted in
	Decided core.Instant // when the loop last looked and decided; 0: not yet
	View    core.View
	Report  core.Report
}

// leads: the lease is this member's, and trusted now.
func (f Facts) leads() bool {
	l := f.View.Store.Lease
	return l.Holder == f.View.Self && !l.Released && f.Now < f.Report.Trusted // a writer's word ends with its lease
}

// running: PostgreSQL answered when it was looked at last, and that was not long ago. A loop that stands still must
// not go on promising.
func (f Facts) running() bool {
	return f.View.Local.Instance.State == core.StateRunning && f.fresh(1)
}

// writes: a client that comes now can commit.
func (f Facts) writes() bool {
	return f.leads() && f.running() && f.View.Local.Instance.Primary && !f.View.Local.Held
}

// reads: a standby that is there for readers.
func (f Facts) reads() bool {
	return f.running() && !f.View.Local.Instance.Primary && !slices.Contains(f.View.Store.Drained, f.View.Self)
}

// counted: commits may wait for this standby's confirmation.
func (f Facts) counted() bool {
	l := f.View.Store.Lease
	return f.reads() && f.View.Local.Instance.Streaming && !l.Released && slices.Contains(l.Sync.Members, f.View.Self)
}

// fresh: the loop decided within so many leases' time.
func (f Facts) fresh(leases int) bool {
	age := f.Now.Sub(f.Decided)
	return f.Decided != 0 && age >= 0 && age < time.Duration(leases)*f.ttl()
}

func (f Facts) ttl() time.Duration {
	if ttl := f.View.Store.Lease.TTL.D(); ttl > 0 {
		return ttl
	}
	return spec.DefaultCluster().Lease.TTL.D()
}

// lag is how far this standby's readers are behind the newest position that is known of the primary, in bytes.
func (f Facts) lag() int64 {
	newest := f.View.Store.Lease.LSN
	for _, p := range f.View.Peers {
		if p.Known && p.Name == f.View.Store.Lease.Holder {
			newest = max(newest, p.Instance.WriteLSN)
		}
	}
	newest = max(newest, f.View.Local.Instance.ReceivedLSN)
	return max(0, newest.Sub(f.View.Local.Instance.ReplayLSN))
}

func (f Facts) tags() spec.Tags {
	for _, m := range f.View.Store.Members {
		if m.Name == f.View.Self {
			return m.Tags
		}
	}
	return spec.Tags{}
}
