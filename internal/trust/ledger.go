package trust

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pgherd/pgherd/internal/core"
)

// ErrStale: an overtaken reply. What is known stays as it is.
var ErrStale = errors.New("an older reply came after a newer one")

// Ledger is what one agent knows of the store since it started. The zero value knows
// nothing. It is not safe for concurrent use.
type Ledger struct {
	newest int64 // store revision of what is known; replies below are dropped
	known  core.StoreView

	// unproven is the lease's revision up to which a write by which we would lead may still land: our own, or
	// one of a predecessor of this agent. Only a newer revision rules it out.
	unproven int64
}

// Merge takes a snapshot over that was asked for at sent and arrived at now, unless
// something newer is known: our own write, or a reply that overtook this one. (A
// prototype without this rule promoted on a wrong term.)
func (l *Ledger) Merge(v core.StoreView, revision int64, sent, now core.Instant) error {
	if revision < l.newest {
		return fmt.Errorf("%w: revision %d after %d", ErrStale, revision, l.newest)
	}
	v.ReadAt = sent
	v.RenewedTerm, v.RenewedAt = l.known.RenewedTerm, l.known.RenewedAt
	v.VouchedTerm, v.VouchedAt, v.VouchAsked, v.VouchErr = l.known.VouchedTerm, l.known.VouchedAt, l.known.VouchAsked, l.known.VouchErr
	v.LeaseSeenAt, v.OperationSeenAt, v.PhaseSeenAt = l.known.LeaseSeenAt, l.known.OperationSeenAt, l.known.PhaseSeenAt
	if !l.known.Known {
		l.unproven = v.LeaseRevision
	}
	v.LeaseFirst = !l.known.Known || l.known.LeaseFirst && v.LeaseRevision == l.known.LeaseRevision
	if !l.known.Known || v.LeaseRevision != l.known.LeaseRevision {
		// When the reply is here, not when it was asked for: the others wait too long
		// rather than too short for a renewal to show.
		v.LeaseSeenAt = now
	}
	if op, was := v.Operation, l.known.Operation; op != nil && (was == nil || op.ID != was.ID || op.Phase != was.Phase) {
		v.PhaseSeenAt = now
		if was == nil || op.ID != was.ID || was.Phase == core.PhaseScheduled {
			v.OperationSeenAt = now
		}
	}
	v.Poolers = l.poolers(v.Poolers, now)
	l.newest, l.known = revision, v
	return nil
}

// poolers are list with the time at which each record was seen first. What was known is given again where nothing is new: a
// store is read more often than its poolers write.
func (l *Ledger) poolers(list []core.Pooler, now core.Instant) []core.Pooler {
	same := func(a, b core.Pooler) bool { return a.Name == b.Name && a.Revision == b.Revision }
	if slices.EqualFunc(list, l.known.Poolers, same) {
		return l.known.Poolers
	}
	list = slices.Clone(list) // the snapshot's own may be others', too
	for i, p := range list {
		list[i].SeenAt = now
		for _, known := range l.known.Poolers {
			if same(known, p) {
				list[i].SeenAt = known.SeenAt
			}
		}
	}
	return list
}

// Renewed takes note of our own successful write of the lease, sent at sent and answered
// at now. Trust is counted from the send time: from the reply it would be too long by
// the round trip.
func (l *Ledger) Renewed(self string, lease core.LeaseRecord, revision int64, sent, now core.Instant) {
	if lease.Holder == self && !lease.Released {
		l.known.RenewedTerm, l.known.RenewedAt = lease.Term, sent
	}
	if revision > l.newest {
		l.newest = revision
		l.known.Lease, l.known.LeaseRevision, l.known.LeaseSeenAt, l.known.LeaseFirst = lease, revision, now, false
	}
}

// View is all that is known; Known is false before the first Merge.
func (l *Ledger) View() core.StoreView { return l.known }

// Known is View without its copy, for a look at one of many facts. It is not to be changed.
func (l *Ledger) Known() *core.StoreView { return &l.known }

// Term is the newest term seen; for guards.
func (l *Ledger) Term() uint64 { return l.known.Lease.Term }
