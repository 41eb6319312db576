package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pgherd/pgherd/bench/proc"
	"github.com/pgherd/pgherd/bench/report"
)

const (
	cpuWarmUp = 3 * time.Second
	cpuSettle = 5 * time.Second // after handovers, before the idle agent is watched
)

// endpointCPU measures what a transaction costs in PgBouncer on both sides, in turns, each pair in the other order
// than the one before. On pgherd's side the agent counts, too: by what it uses more than when idle.
func endpointCPU(ctx context.Context, b *bench, out *result) error {
	for _, s := range []side{b.herd, b.hand} {
		if err := s.ready(ctx); err != nil {
			return err
		}
	}
	agentIdle, err := b.agentIdle(ctx)
	if err != nil {
		return err
	}
	ours := report.NewFigure("CPU a transaction in the endpoint, and its agent", unitMicroseconds, report.Target{})
	hand := report.NewFigure("CPU a transaction in PgBouncer by hand", unitMicroseconds, report.Target{})
	ratio := report.NewFigure("CPU a transaction against PgBouncer by hand", unitRatio, report.AtMost(pooledRatioMax).Median())
	for i := range b.o.cpuRounds {
		runs := []func() error{
			func() error { return b.cpuRun(ctx, b.herd, b.herd.agentCPU, agentIdle, ours) },
			func() error { return b.cpuRun(ctx, b.hand, func() time.Duration { return 0 }, 0, hand) },
		}
		if i%2 == 1 {
			slices.Reverse(runs)
		}
		for _, run := range runs {
			if err := run(); err != nil {
				return err
			}
		}
	}
	if by := hand.Values.Median(); by > 0 {
		ratio.Add(ours.Values.Median() / by)
	}
	out.Add(ours, hand, ratio)
	return nil
}

// agentIdle is which part of a core the agent uses while nobody does anything.
func (b *bench) agentIdle(ctx context.Context) (cores float64, err error) {
	if err := sleep(ctx, cpuSettle); err != nil {
		return 0, err
	}
	began, before := time.Now(), b.herd.agentCPU()
	if err := sleep(ctx, b.o.idle); err != nil {
		return 0, err
	}
	cores = (b.herd.agentCPU() - before).Seconds() / time.Since(began).Seconds()
	say("  the agent idle: %.2f %% of a core", 100*cores)
	return cores, nil
}

func (h *herd) agentCPU() time.Duration {
	agent, _ := h.c.PIDs(h.member)
	return proc.CPU(agent)
}

// cpuRun reads as fast as 16 clients can, and adds the microseconds that each transaction cost.
func (b *bench) cpuRun(ctx context.Context, s side, agent func() time.Duration, agentIdle float64, f *report.Figure) error {
	load := b.o.load
	load.Select, load.PerSecond = true, 0
	if _, err := load.Run(ctx, s.dsn(), cpuWarmUp); err != nil {
		return fmt.Errorf("%s: %w", s.name(), err)
	}
	pid, err := s.poolerPID()
	if err != nil {
		return err
	}
	began, pooled, agentBefore := time.Now(), proc.CPU(pid), agent()
	r, err := load.Run(ctx, s.dsn(), b.o.cpuLength)
	if err == nil && (r.Failed > 0 || r.Transactions == 0) {
		err = fmt.Errorf("%d transactions, %d failed", r.Transactions, r.Failed)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.name(), err)
	}
	elapsed := time.Since(began).Seconds()
	used := (proc.CPU(pid) - pooled).Seconds()
	more := max(0, (agent()-agentBefore).Seconds()-agentIdle*elapsed)
	f.Add(1e6 * (used + more) / float64(r.Transactions))
	say("  %s: %.0f tps, PgBouncer %.2f s, agent %.2f s more than idle", s.name(), r.TPS, used, more)
	return nil
}
