package rebuild

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
)

// Records are the first records of the new store: the newest ones, with a term and a timeline that
// nobody has seen. by says who did it, for people.
func (v Verdict) Records(by, at string) (map[string]Raw, error) {
	out := map[string]Raw{}
	for key, value := range v.newest.Entries {
		if Lasting(key) {
			out[key] = value
		}
	}
	for _, name := range v.destroyed {
		delete(out, records.MemberPrefix+name) // should it come back all the same, it is no member and does not serve
	}
	cluster := v.view.Cluster
	cluster.Generation, cluster.RecoveredBy, cluster.RecoveredAt = v.Generation, by, at
	changed := map[string]any{records.KeyCluster: cluster, records.KeyLease: v.firstLease()}
	for key, record := range changed {
		data, err := json.Marshal(record)
		if err != nil {
			return nil, fmt.Errorf("record %q: %w", key, err)
		}
		out[key] = data
	}
	return out, nil
}

// firstLease goes on from the last one that is known, by the usual rules: its holder may lead, since it
// has everything; others wait for a ttl and prove by its sync set that they do. Where that cannot
// be proven, the member that the operator accepts holds it, and nobody else may take it.
func (v Verdict) firstLease() core.LeaseRecord {
	was, s := v.view.Lease, v.view.Spec.Lease
	l := core.LeaseRecord{Holder: was.Holder, Term: v.Term, Beat: 1, TTL: s.TTL, Margin: s.Margin, Timeline: wal.Timeline(v.Timeline), LSN: was.LSN, On: was.On, Past: was.Past,
		Sync: was.Sync, Released: was.Released || was.Holder == "", Final: was.Final, Lost: was.Lost,
		Written: true} // its holder may have written what nobody of the set has, see core's wroteBefore
	l.Lost = append(slices.Clone(l.Lost), v.lost...)
	told := slices.ContainsFunc(v.lost, func(l core.Loss) bool { return l.Member == was.Holder })
	if v.Leader != "" && !v.Enough && !told && was.Holder != "" && was.Holder != v.Leader {
		loss := core.Loss{Member: was.Holder, Term: was.Term, To: was.LSN}
		for _, r := range v.Rows {
			if r.Name == v.Leader {
				loss.From = r.Position
			}
		}
		l.Lost = append(slices.Clone(l.Lost), loss) // said until that member is back, or is none any more
	}
	if v.Leader != "" {
		l.Holder, l.Sync, l.Released, l.Final = v.Leader, core.SyncSet{}, false, wal.Position{}
	}
	return l
}

// Wait is how long a lease of the old store may still be trusted by somebody, once all who answer have left it.
// Where every member has, and none runs as primary, nobody trusts any.
func (v Verdict) Wait(answers map[string]Answer) time.Duration {
	calm, longest := true, spec.Duration(0)
	for _, m := range v.Members {
		a, ok := answers[m.Name]
		calm = calm && ok && (m.Witness || a.Instance.State == core.StateStopped || a.Instance.Standby())
	}
	for _, a := range answers {
		if a.Saved == nil {
			continue
		}
		if view, err := a.Saved.View(); err == nil {
			longest = max(longest, view.Lease.TTL, view.Spec.Lease.TTL)
		}
	}
	if calm {
		return 0
	}
	return longest.D()
}
