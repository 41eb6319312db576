package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/demo"
)

// bench is the cluster under measurement.
type bench struct {
	c   *demo.Cluster
	o   options
	exe string
	say func(string, ...any)
}

// figures are measured in this order; the idle one first, before the journals and PostgreSQL's
// caches have a history.
var figures = []struct {
	name    string
	measure func(context.Context, *bench, *result) error
}{
	{"idle", idle},
	{"postmaster", postmaster},
	{"power", power},
	{"agent", agent},
	{"switchover", switchover},
	{"binary", binary},
	{"core", coreSize},
}

func figureNames() (names []string) {
	for _, f := range figures {
		names = append(names, f.name)
	}
	return names
}

const (
	writers      = 4
	roundTimeout = 2 * time.Minute
	calm         = 2 * time.Second // of writing, before each fault
	powerOff     = 2 * time.Second // after another leads
	agentAway    = 2 * time.Second
)

// round is one fault: what it is done to, when, and what it gave.
type round struct {
	load    *demo.Load
	primary string
	term    uint64
	began   time.Time
}

// rounds repeats one fault under load, each time from a healthy cluster, and counts the rows at the end: a
// figure from a cluster that lost something is none.
func (b *bench) rounds(ctx context.Context, do func(context.Context, round) error) error {
	load, err := b.c.StartLoad(ctx, writers)
	if err != nil {
		return err
	}
	for i := range b.o.n {
		if err = b.round(ctx, load, do); err != nil {
			err = fmt.Errorf("round %d: %w", i+1, err)
			break
		}
	}
	load.Stop()
	if err != nil {
		return err
	}
	s, err := b.c.WaitHealthy(ctx, func(demo.Status) {})
	if err != nil {
		return err
	}
	verdicts, err := load.Check(ctx, b.c, s.Primary())
	for _, v := range verdicts {
		if !v.OK() {
			err = errors.Join(err, errors.New(v.String()))
		}
	}
	return err
}

func (b *bench) round(ctx context.Context, load *demo.Load, do func(context.Context, round) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, roundTimeout, errors.New("not well again after "+roundTimeout.String()))
	defer cancel()
	s, err := b.c.WaitHealthy(ctx, func(demo.Status) {})
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(calm):
	}
	return do(ctx, round{load, s.Primary(), s.Term, time.Now()})
}

// gap is the longest time without an acknowledged write since the round began.
func (r round) gap(ctx context.Context) (demo.Gap, error) {
	if err := r.load.WaitAcked(ctx, time.Now(), 1); err != nil {
		return demo.Gap{}, err
	}
	return r.load.LongestGap(r.began, time.Now()), nil
}

func postmaster(ctx context.Context, b *bench, out *result) error {
	gaps := report.NewFigure("kill -9 of the primary's postmaster: writes stopped", "s", report.AtMost(0.6).Median())
	var w where
	err := b.rounds(ctx, func(ctx context.Context, r round) error {
		pid, err := b.c.KillPostmaster(r.primary)
		if err != nil {
			return err
		}
		if _, err := b.c.WaitBack(ctx, r.primary, pid); err != nil {
			return err
		}
		gap, err := r.gap(ctx)
		gaps.Add(gap.Length().Seconds())
		b.say("  %s: writes stopped for %.3f s", r.primary, gap.Length().Seconds())
		return errors.Join(err, w.add(b.c, r, gap))
	})
	out.Add(gaps)
	out.Where = append(out.Where, w.phases("kill -9 of the primary's postmaster"))
	return err
}

func power(ctx context.Context, b *bench, out *result) error {
	gaps := report.NewFigure("power cut of the primary's member: writes stopped", "s", report.AtMost(6).Worst())
	back := report.NewFigure("old primary streams again, from its return", "s", report.AtMost(10).Worst())
	var w where
	err := b.rounds(ctx, func(ctx context.Context, r round) error {
		if _, err := b.c.KillMember(ctx, r.primary); err != nil {
			return err
		}
		if _, err := b.c.WaitLeader(ctx, r.primary); err != nil {
			return err
		}
		gap, err := r.gap(ctx)
		if err != nil {
			return err
		}
		time.Sleep(powerOff)
		returned := time.Now()
		if err := b.c.StartMember(r.primary); err != nil {
			return err
		}
		_, err = b.c.WaitBack(ctx, r.primary, 0)
		gaps.Add(gap.Length().Seconds())
		back.Add(time.Since(returned).Seconds())
		b.say("  %s: writes stopped for %.3f s, streams again after %.2f s", r.primary, gap.Length().Seconds(), time.Since(returned).Seconds())
		return errors.Join(err, w.add(b.c, r, gap))
	})
	out.Add(gaps, back)
	out.Where = append(out.Where, w.phases("power cut of the primary's member"))
	return err
}

func agent(ctx context.Context, b *bench, out *result) error {
	failed := report.NewFigure("primary's agent killed, back after 2 s: failed statements", "", report.AtMost(0).Worst())
	err := b.rounds(ctx, func(ctx context.Context, r round) error {
		if _, err := b.c.KillAgent(r.primary); err != nil {
			return err
		}
		time.Sleep(agentAway)
		if err := b.c.StartMember(r.primary); err != nil {
			return err
		}
		s, err := b.c.WaitHealthy(ctx, func(demo.Status) {})
		if err != nil {
			return err
		}
		time.Sleep(calm) // whatever the return does to clients, it does soon
		list := r.load.Failures(r.began, time.Now())
		failed.Add(float64(len(list)))
		for _, f := range list {
			b.say("  %s: a client saw: %s", r.primary, f.Text)
		}
		if s.Primary() != r.primary {
			b.say("  %s does not lead any more", r.primary)
		}
		return nil
	})
	out.Add(failed)
	return err
}

func switchover(ctx context.Context, b *bench, out *result) error {
	gaps := report.NewFigure("planned switchover, no pooler: writes stopped", "s", report.AtMost(0.6).Median())
	var w where
	err := b.rounds(ctx, func(ctx context.Context, r round) error {
		if _, err := b.c.Switchover(ctx); err != nil {
			return err
		}
		if _, err := b.c.WaitLeader(ctx, r.primary); err != nil {
			return err
		}
		if _, err := b.c.WaitHealthy(ctx, func(demo.Status) {}); err != nil {
			return err
		}
		gap, err := r.gap(ctx)
		gaps.Add(gap.Length().Seconds())
		b.say("  %s: writes stopped for %.3f s", r.primary, gap.Length().Seconds())
		return errors.Join(err, w.add(b.c, r, gap))
	})
	out.Add(gaps)
	out.Where = append(out.Where, w.phases("planned switchover, from the command on"))
	return err
}
