package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/internal/sim"
	"github.com/pgherd/pgherd/internal/spec"
)

// batch runs many seeds side by side: each run is single-threaded, runs share nothing.
type batch struct {
	from, count uint64
	cpuSeconds  float64
	workers     int
	quiet       bool
	first       bool
	record      string
	regressions string
	pinned      sim.Pinned
	with        string // only seeds in whose run these faults come, with commas

	mu     sync.Mutex
	sums   sums
	broken map[uint64]sim.Result
	last   time.Time
}

type sums struct {
	runs, sync, events, decisions, acked, lost, terms uint64
	faults                                            map[sim.FaultKind]int
}

func (b *batch) run(ctx context.Context) error {
	b.broken, b.sums.faults, b.last = map[uint64]sim.Result{}, map[sim.FaultKind]int{}, time.Now()
	began := cpu()
	var next atomic.Uint64
	next.Store(b.from)
	var workers sync.WaitGroup
	for range b.workers {
		workers.Go(func() {
			for ctx.Err() == nil {
				seed := next.Add(1) - 1
				if b.count > 0 && seed >= b.from+b.count || b.count == 0 && cpu()-began > b.cpuSeconds {
					return
				}
				if b.with != "" && !come(seed, b.pinned, strings.Split(b.with, ",")) {
					continue
				}
				if b.add(sim.Run(seed, b.pinned), cpu()-began) && b.first {
					return
				}
			}
		})
	}
	workers.Wait()
	return b.report(cpu() - began)
}

// come: the faults are in the schedule that the seed draws. After a change of how a fault is modelled these are the seeds to run again.
func come(seed uint64, p sim.Pinned, kinds []string) bool {
	_, faults := sim.Draw(seed, p)
	for _, kind := range kinds {
		if !slices.ContainsFunc(faults, func(f sim.Fault) bool { return f.Kind == sim.FaultKind(kind) }) {
			return false
		}
	}
	return true
}

// add counts a run; true when it broke an invariant.
func (b *batch) add(r sim.Result, used float64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := &b.sums
	s.runs++
	if r.Options.Durability == spec.DurabilitySync {
		s.sync++
	}
	s.events += uint64(r.Events)
	s.decisions += uint64(r.Decision)
	s.acked += uint64(r.Acked)
	s.lost += uint64(r.Lost)
	s.terms += r.Terms - 1
	for _, f := range r.Faults {
		s.faults[f.Kind]++
	}
	if len(r.Broken) > 0 {
		b.broken[r.Seed] = r
		if !b.quiet && len(b.broken) <= 20 {
			fmt.Printf("seed %d at %.3f s: %s\n", r.Seed, r.At.Seconds(), r.Broken[0])
		}
	}
	if !b.quiet && time.Since(b.last) > 20*time.Second {
		b.last = time.Now()
		fmt.Fprintf(os.Stderr, "%d runs, %d broken, %.0f a CPU second\n", s.runs, len(b.broken), float64(s.runs)/used)
	}
	return len(r.Broken) > 0
}

func (b *batch) report(used float64) error {
	s := b.sums
	text := fmt.Sprintf("%d runs (%d sync, %d async) from seed %d in %.1f CPU seconds: %.0f a CPU second; %d events, %d decisions, %d acknowledged commits, %d lost within async's bound, %d changes of leadership, %d kinds of faults\n",
		s.runs, s.sync, s.runs-s.sync, b.from, used, float64(s.runs)/used, s.events, s.decisions, s.acked, s.lost, s.terms, len(s.faults))
	text += fmt.Sprintf("%d violations\n", len(b.broken))
	seeds := slices.Sorted(maps.Keys(b.broken))
	for _, seed := range seeds[:min(len(seeds), 5)] {
		text += fmt.Sprintf("  make sim SEED=%d  # %s\n", seed, b.broken[seed].Broken[0])
	}
	fmt.Print(text)
	if b.record != "" {
		f, err := os.OpenFile(b.record, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return err
		}
		defer f.Close()
		fmt.Fprintf(f, "%s, commit %s, members=%d durability=%q\n%s\n", time.Now().UTC().Format("2006-01-02"), revision(), b.pinned.Members, b.pinned.Durability, text)
	}
	if len(b.broken) > 0 {
		if err := b.keep(seeds[:min(len(seeds), 5)]); err != nil {
			return err
		}
		return fmt.Errorf("%d of %d runs break an invariant", len(b.broken), s.runs)
	}
	return nil
}

// keep appends broken seeds to the file of those that run first from now on. A seed with pinned
// options stands for another run there.
func (b *batch) keep(seeds []uint64) error {
	if b.regressions == "" || b.pinned != (sim.Pinned{}) {
		return nil
	}
	f, err := os.OpenFile(b.regressions, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("the regressions: %w", err)
	}
	defer f.Close()
	for _, seed := range seeds {
		if _, err := fmt.Fprintf(f, "%d %s\n", seed, b.broken[seed].Broken[0]); err != nil {
			return err
		}
	}
	fmt.Printf("appended to %s\n", b.regressions)
	return nil
}

// revision is the commit that this binary was built of, with a + when the tree had changes.
func revision() (text string) {
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			text = s.Value[:min(12, len(s.Value))] + text
		}
		if s.Key == "vcs.modified" && s.Value == "true" {
			text += "+"
		}
	}
	return cmp.Or(text, "unknown")
}

// cpu gives the user and system time of this process in seconds.
func cpu() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
