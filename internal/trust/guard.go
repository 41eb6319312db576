package trust

import (
	"errors"

	"github.com/pgherd/pgherd/internal/core"
)

// Why a step is refused.
var (
	ErrTerm     = errors.New("refused: a newer term was seen")
	ErrDeadline = errors.New("refused: trust in the lease has ended")
)

// Refuse says why a step with this guard must not run any more, nil when it may: the plan may
// be a tick old, and the agent may have been frozen since.
func Refuse(g core.Guard, seen uint64, now core.Instant) error {
	if g.Term != 0 && seen > g.Term {
		return ErrTerm
	}
	if g.Deadline != 0 && now >= g.Deadline {
		return ErrDeadline
	}
	return nil
}

// Until is how long the holder trusts a lease that it sent at sent, and how long
// PostgreSQL may live on it.
func Until(sent core.Instant, l core.LeaseRecord) core.Instant {
	return sent.Add(l.TTL.D() - l.Margin.D())
}
