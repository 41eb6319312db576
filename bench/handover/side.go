package main

import (
	"context"
	"time"
)

// side is one way to move the primary: pgherd's, or by hand.
type side interface {
	name() string
	dsn() string // of the endpoint that clients use
	// handover moves the primary and returns when clients go on. pgherd's returns later: when the
	// certificate is whole.
	handover(ctx context.Context) (phases, error)
	// ready returns when the next handover can begin: the old primary streams from the new one.
	ready(ctx context.Context) error
	poolerPID() (int, error) // of the endpoint's PgBouncer
}

// phases are what one handover took, for the clients of its endpoint.
type phases struct {
	Drain   time.Duration // PAUSE, until no transaction was open
	Stop    time.Duration // from SIGINT until it is proven that the next primary has everything
	Promote time.Duration // until it accepts writes
	Held    time.Duration // all of it, from PAUSE until RESUME: more than the sum
}

// rest is what the others leave of Held: records that are written and seen, RELOAD, RESUME.
func (p phases) rest() time.Duration { return p.Held - p.Drain - p.Stop - p.Promote }

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func fromMS(ms float64) time.Duration { return time.Duration(ms * float64(time.Millisecond)) }

// sleep waits, or ends with ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}

// await looks again until it is so, an error comes or ctx ends.
func await(ctx context.Context, every time.Duration, is func() (bool, error)) error {
	for {
		if ok, err := is(); ok || err != nil {
			return err
		}
		if err := sleep(ctx, every); err != nil {
			return err
		}
	}
}
