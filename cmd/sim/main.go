// Command sim runs the simulator. It is a tool for those who work on pgherd and is not
// shipped: see `make sim`, `make sim-mutants`.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/pgherd/pgherd/internal/sim"
	"github.com/pgherd/pgherd/internal/spec"
)

func main() {
	sim.Footprint()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	f := flag.NewFlagSet("sim", flag.ContinueOnError)
	seed := f.Uint64("seed", 0, "tell the story of this seed (from 1), and minimise its faults when it breaks an invariant")
	small := f.Bool("small", false, "with -seed: tell the story of the minimised schedule")
	var b batch
	f.Uint64Var(&b.from, "from", 1, "first seed")
	f.Uint64Var(&b.count, "n", 0, "how many seeds; 0: until -cpu is used up")
	f.Float64Var(&b.cpuSeconds, "cpu", 60, "stop after so many CPU seconds, when -n is not given")
	f.IntVar(&b.workers, "workers", 2, "how many side by side")
	f.BoolVar(&b.quiet, "quiet", false, "only the last lines")
	f.StringVar(&b.record, "record", "", "append the result to this file")
	f.StringVar(&b.regressions, "regressions", "", "append seeds that break an invariant to this file")
	f.StringVar(&b.with, "with", "", "only the seeds of -n in whose run these faults come, such as hide_node,kill_agent")
	f.BoolVar(&b.first, "first", false, "stop at the first seed that breaks an invariant")
	only := f.String("mutants", "", "score the simulator by its mutants: all, or the name of one; -n is how many seeds each gets (default 100000)")
	durability := f.String("durability", "", "sync or async; empty: as the seed draws")
	f.IntVar(&b.pinned.Members, "members", 0, "how many members; 0: as the seed draws")
	if err := f.Parse(args); err != nil {
		return err
	}
	b.pinned.Durability = spec.Durability(*durability)
	if *only != "" {
		if b.count == 0 {
			b.count = 100_000
		}
		return score(ctx, *only, b.count)
	}
	if *seed != 0 {
		return tell(*seed, b.pinned, *small)
	}
	return b.run(ctx)
}

// tell prints a run, and the shortest schedule that still breaks it.
func tell(seed uint64, p sim.Pinned, smallOnly bool) error {
	var out io.Writer = os.Stdout
	if smallOnly {
		out = io.Discard
	}
	r := sim.Tell(out, seed, p)
	if len(r.Broken) == 0 {
		return nil
	}
	small := sim.Minimise(r)
	if smallOnly {
		sim.TellOf(os.Stdout, seed, small.Options, small.Faults)
		return fmt.Errorf("seed %d breaks %s", seed, r.Broken[0].ID)
	}
	fmt.Printf("\nminimised to %d of %d faults (-small tells this story):\n", len(small.Faults), len(r.Faults))
	for _, fault := range small.Faults {
		fmt.Println("  ", fault)
	}
	for _, v := range small.Broken {
		fmt.Printf("%11.6f  broken: %s\n", small.At.Seconds(), v)
	}
	return fmt.Errorf("seed %d breaks %s", seed, r.Broken[0].ID)
}
