package trust

import (
	"errors"
	"fmt"
	"slices"

	"github.com/pgherd/pgherd/internal/core"
)

// ErrNotVouched: this member cannot vouch for the holder that asks, or not yet.
var ErrNotVouched = errors.New("not vouched")

// ErrVouched: the lease must not be taken, for this member has vouched for its holder since.
var ErrVouched = errors.New("refused: this member has vouched for the holder, or has seen it renew, since that was decided")

// Vouch is another member's question, see core.Vouch. A nil answer is a promise: from now on, by this member's
// own clock, the lease counts as just renewed. It is refused whenever this member knows
// otherwise, or may itself have a write under way that takes the lease.
func (l *Ledger) Vouch(v core.Vouch, now core.Instant) error {
	lease := l.known.Lease
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrNotVouched}, args...)...)
	}
	switch {
	case !l.known.Known:
		return refuse("this member has not read the store since it started")
	case v.Cluster != l.known.Cluster.ID:
		return refuse("this is a member of another cluster")
	case v.Term != lease.Term || v.Holder != lease.Holder || lease.Released:
		return refuse("the lease known here is %s's of term %d (released: %v)", lease.Holder, lease.Term, lease.Released)
	case v.TTL != lease.TTL:
		return refuse("the lease is known here with a ttl of %s", lease.TTL.D())
	case !slices.Equal(v.Members, core.Joinings(l.known.Members)):
		return refuse("other members are known here")
	case now >= l.known.LeaseSeenAt.Add(lease.TTL.D()):
		// It may have been judged vacant here, and this member's word counted by whom we do not hear of: to
		// follow the holder again would confirm its commits behind the back of a successor.
		return refuse("the lease has expired here")
	case l.known.LeaseRevision <= l.unproven:
		return refuse("the lease was not seen renewed since this member started or stood for election")
	}
	l.known.LeaseSeenAt = max(l.known.LeaseSeenAt, now)
	return nil
}

// Taking is asked right before a write by which this member takes somebody's lease: a decision made before
// a promise must not be carried out after it. From here on nothing is vouched until the
// lease is seen to have changed.
func (l *Ledger) Taking(expect int64, now core.Instant) error {
	lease := l.known.Lease
	if l.known.LeaseRevision != 0 && !lease.Released && now < l.known.LeaseSeenAt.Add(lease.TTL.D()) {
		return ErrVouched
	}
	l.unproven = max(l.unproven, expect, l.known.LeaseRevision)
	return nil
}

// Vouched takes note of a question to all others, sent at sent, and of the first refusal or silence.
func (l *Ledger) Vouched(term uint64, sent core.Instant, err error) {
	l.known.VouchAsked, l.known.VouchErr = sent, ""
	if err != nil {
		l.known.VouchErr = err.Error()
		return
	}
	l.known.VouchedTerm, l.known.VouchedAt = term, sent
}
