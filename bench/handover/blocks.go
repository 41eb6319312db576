package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pgherd/pgherd/bench/pgbench"
	"github.com/pgherd/pgherd/bench/proc"
	"github.com/pgherd/pgherd/bench/report"
)

const (
	loadLead    = 3 * time.Second // of load, before the first handover
	loadTail    = 5 * time.Second // for handovers that took longer than their spacing
	stallBefore = 200 * time.Millisecond
	stallAfter  = 2 * time.Second
	errorsShown = 3
)

// modes are pgbench's: with and without statements that a connection remembers.
var modes = []string{"simple", "prepared"}

// block is one run of pgbench with its handovers.
type block struct {
	stalls  report.Series // of each handover, ms: the longest that a transaction took
	failed  float64       // statements, aborted clients
	undone  float64       // handovers that were taken back, or refused
	idle    float64       // % of the machine's cores
	windows []window
	parts   []phases
}

// window is in which a stall is a handover's: from a moment before it was asked for until well after.
type window struct{ from, to time.Time }

// blockLength is how long pgbench runs.
func (o options) blockLength() time.Duration {
	return loadLead + time.Duration(o.n)*o.spacing + loadTail
}

// handovers measures the blocks in turns. The side that is not measured runs idle: three agents and their
// servers cost about 3 % of a core, two servers next to nothing.
func handovers(ctx context.Context, b *bench, out *result) error {
	idle := report.NewFigure("CPU of the machine that was idle under load", "%", report.AtLeast(40).Worst())
	for _, mode := range modes {
		var blocks [2]*block
		for i, s := range []side{b.herd, b.hand} {
			bl, err := b.block(ctx, s, mode)
			if err != nil {
				return fmt.Errorf("%s, -M %s: %w", s.name(), mode, err)
			}
			blocks[i] = bl
			idle.Add(bl.idle)
		}
		out.addMode(mode, blocks[0], blocks[1])
	}
	out.Add(idle)
	return nil
}

// block runs one side's handovers under one load.
func (b *bench) block(ctx context.Context, s side, mode string) (*block, error) {
	if err := s.ready(ctx); err != nil {
		return nil, err
	}
	load := b.o.load
	load.Mode, load.LogPrefix = mode, filepath.Join(b.dir, strings.ReplaceAll(s.name(), " ", "")+"-"+mode)
	say("%s, -M %s: %d handovers", s.name(), mode, b.o.n)
	var r pgbench.Result
	var loadErr error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r, loadErr = load.Run(ctx, s.dsn(), b.o.blockLength())
	}()
	bl := &block{}
	err := bl.handOver(ctx, s, b.o, ended)
	<-ended // its own -T bounds it, and ctx
	if err != nil {
		return nil, errors.Join(err, loadErr)
	}
	return bl, bl.read(load.LogPrefix, r, loadErr)
}

// handOver does the handovers at their times, for as long as there is load.
func (bl *block) handOver(ctx context.Context, s side, o options, ended <-chan struct{}) error {
	if err := sleep(ctx, loadLead); err != nil {
		return err
	}
	before := proc.Now()
	defer func() { bl.idle = proc.Now().IdleSince(before) }()
	for i := range o.n {
		select {
		case <-ended:
			say("  pgbench had ended after %d of %d handovers", i, o.n) // no client is left: read counts them
			return nil
		default:
		}
		asked := time.Now()
		p, err := s.handover(ctx)
		done := time.Now()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, errUncertified):
			say("  handover %d: %v", i+1, err)
		case err != nil:
			bl.undone++
			say("  handover %d failed: %v", i+1, err)
		default:
			bl.parts = append(bl.parts, p)
		}
		bl.windows = append(bl.windows, window{asked.Add(-stallBefore), done.Add(stallAfter)})
		if err := sleep(ctx, stallAfter); err != nil {
			return err
		}
		if err := s.ready(ctx); err != nil {
			return err
		}
		if err := sleep(ctx, time.Until(asked.Add(o.spacing))); err != nil {
			return err
		}
	}
	return nil
}

// read takes the stalls out of pgbench's log. That clients failed is a result; that there is no log is an error.
func (bl *block) read(prefix string, r pgbench.Result, loadErr error) error {
	list, err := pgbench.ReadLogs(prefix)
	if err == nil && len(list) == 0 {
		err = errors.New("pgbench did nothing")
	}
	if err != nil {
		return errors.Join(err, loadErr)
	}
	bl.failed = float64(r.Failed + r.Aborted)
	for i, w := range bl.windows {
		stall := milliseconds(pgbench.LongestStall(list, w.from, w.to))
		if stall == 0 { // no client was left to see it
			continue
		}
		bl.stalls = append(bl.stalls, stall)
		say("  handover %d: %.0f ms", i+1, stall)
	}
	if bl.failed > 0 {
		said := slices.DeleteFunc(strings.Split(r.Output, "\n"), func(line string) bool { return !strings.Contains(line, "error:") })
		say("  %.0f failures: %s", bl.failed, strings.Join(said[:min(errorsShown, len(said))], "; "))
	}
	return nil
}
