package act

import (
	"context"
	"errors"
	"fmt"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/warden"
)

// putLease writes the lease by compare-and-swap. Trust, and with it the warden's
// deadline, is counted from before the write was sent.
func (r *Runner) putLease(ctx context.Context, s core.Step) error {
	ctx, cancel := context.WithTimeout(ctx, storeLimit)
	defer cancel()
	if s.Lease.Holder == r.Self && s.Lease.Term > r.Ledger.Term() {
		if err := r.Ledger.Taking(s.Expect); err != nil {
			return err
		}
	}
	sent := r.Now()
	revision, err := records.Put(ctx, r.Store, records.KeyLease, s.Lease, s.Expect)
	if err != nil {
		return err // after a timeout it may have been written: the next view tells
	}
	r.Ledger.Renewed(*s.Lease, revision, sent)
	if s.Lease.Holder != r.Self || s.Lease.Released {
		return nil
	}
	return r.arm(ctx, sent, *s.Lease)
}

// arm gives postgres' guard the new deadline. A deadline that is past already is
// refused by the warden: then postgres is killed, or must not be promoted.
func (r *Runner) arm(ctx context.Context, sent core.Instant, lease core.LeaseRecord) error {
	if r.Server == nil {
		return nil
	}
	c, err := r.warden()
	if err != nil {
		return err
	}
	err = c.Renewed(ctx, sent, lease)
	if errors.Is(err, warden.ErrDeadlinePast) {
		return fmt.Errorf("the renewal took too long: %w", err)
	}
	return err
}
