package act

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/pgherd/pgherd/internal/core"
)

const vouchLimit = 600 * time.Millisecond

// vouch asks every other member at once. What comes of it is a fact for the next decision and never
// the end of the tick: the store is to be tried whatever the others say. Trust counts from
// before the first was asked, and PostgreSQL's deadline moves only when all have promised.
func (r *Runner) vouch(ctx context.Context, s core.Step) error {
	asking, cancel := context.WithTimeout(ctx, vouchLimit)
	defer cancel()
	all, asking := errgroup.WithContext(asking)
	sent := r.Now()
	for _, m := range r.Ledger.Others() {
		all.Go(func() error {
			if err := r.Ask(asking, m, *s.Vouch); err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
			return nil
		})
	}
	err := all.Wait()
	r.Ledger.Vouched(s.Vouch.Term, sent, err)
	if err != nil {
		r.Log.Warn("not every other member vouches for this primary", "error", err)
		return nil
	}
	if err := r.arm(ctx, sent, core.LeaseRecord{Term: s.Vouch.Term, TTL: s.Vouch.TTL, Margin: s.Vouch.Margin}); err != nil {
		r.Log.Warn("the warden did not take the deadline that all other members vouched for", "error", err)
	}
	return nil
}
