package main

import (
	"context"
	"errors"
	"time"

	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/demo"
)

const (
	killCalm = 3 * time.Second // of work before each kill, and after all is well again
	killMax  = 2 * time.Minute
)

// unplanned kills the primary's postmaster while sessions work through the endpoint.
func unplanned(ctx context.Context, b *bench, out *result) error {
	gaps := report.NewFigure("postmaster killed: longest gap of a client", "s", report.AtMost(unplannedMax).Worst())
	all := report.NewFigure("postmaster killed: until the first client went on", "s", report.Target{})
	open := report.NewFigure("postmaster killed: connections lost in a transaction", "", report.Target{})
	idle := report.NewFigure("postmaster killed: connections lost outside of one", "", report.AtMost(0).Worst())
	fresh := report.NewFigure("postmaster killed: connections dropped before their statement reached a server", "", report.AtMost(0).Worst())
	refused := report.NewFigure("postmaster killed: statements failed, connection kept", "", report.Target{})
	g, err := startSessions(ctx, b.herd.dsn(), b.o.load.Clients, b.o.think)
	if err != nil {
		return err
	}
	defer g.stop()
	for range b.o.kills {
		from, to, err := b.killOnce(ctx)
		if err != nil {
			return err
		}
		s := g.between(from, to)
		gaps.Add(s.gap.Seconds())
		all.Add(s.gapOfAll.Seconds())
		open.Add(float64(s.lostOpen))
		idle.Add(float64(s.lostIdle))
		fresh.Add(float64(s.lostNew))
		refused.Add(float64(s.failed))
		say("  a client waited %.3f s at most; connections lost: %d in a transaction, %d outside, %d before their statement reached a server; %d statements failed%s",
			s.gap.Seconds(), s.lostOpen, s.lostIdle, s.lostNew, s.failed, s.sample())
	}
	out.Add(gaps, all, open, idle, fresh, refused)
	return nil
}

// killOnce kills from a healthy cluster, and gives the window in which what clients saw was the kill's doing.
func (b *bench) killOnce(ctx context.Context) (from, to time.Time, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, killMax, errors.New("not well again after "+killMax.String()))
	defer cancel()
	status, err := b.herd.c.WaitHealthy(ctx, func(demo.Status) {})
	if err != nil {
		return from, to, err
	}
	if err := sleep(ctx, killCalm); err != nil {
		return from, to, err
	}
	from = time.Now()
	pid, err := b.herd.c.KillPostmaster(status.Primary())
	if err != nil {
		return from, to, err
	}
	if _, err := b.herd.c.WaitBack(ctx, status.Primary(), pid); err != nil {
		return from, to, err
	}
	err = sleep(ctx, killCalm)
	return from, time.Now(), err
}
