package trust

import (
	"errors"
	"fmt"
	"time"

	"github.com/pgherd/pgherd/internal/core"
)

// Why a permit is not changed; test with errors.Is.
var (
	ErrLowerTerm    = errors.New("a higher term is known")
	ErrDeadlinePast = errors.New("the deadline has already passed")
)

// Permit is the warden's memory of what PostgreSQL may do: start, and live until when.
// The zero value permits nothing.
type Permit struct {
	Deadline core.Instant `json:"deadline"` // 0: none (disarmed, fenced, or never armed)
	Term     uint64       `json:"term"`     // highest term seen by Arm or Disarm
	Armed    bool         `json:"armed"`    // a start is permitted: armed or disarmed since the last fence
	// Margin is the lease's: others may lead so long after the deadline. Only a watchdog asks for it.
	Margin time.Duration `json:"margin,omitempty"`
}

// Arm moves the deadline forward. An earlier deadline of a term that is not lower is
// no error: renewals may arrive out of order.
func (p *Permit) Arm(deadline core.Instant, term uint64, now core.Instant) error {
	if term < p.Term {
		return fmt.Errorf("term %d, but term %d is known: %w", term, p.Term, ErrLowerTerm)
	}
	if deadline <= now {
		return fmt.Errorf("by %v: %w", now.Sub(deadline), ErrDeadlinePast)
	}
	p.Term, p.Armed = term, true
	p.Deadline = max(p.Deadline, deadline)
	return nil
}

// Disarm is for standbys: they run without a deadline.
func (p *Permit) Disarm(term uint64) error {
	if term < p.Term {
		return fmt.Errorf("term %d, but term %d is known: %w", term, p.Term, ErrLowerTerm)
	}
	p.Term, p.Armed, p.Deadline = term, true, 0
	return nil
}

// Expired says that PostgreSQL must not live any more.
func (p *Permit) Expired(now core.Instant) bool { return p.Deadline != 0 && now >= p.Deadline }

// Withdraw takes the permission to live and to start back: a fence.
func (p *Permit) Withdraw() { p.Armed, p.Deadline = false, 0 }
