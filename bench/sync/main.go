// Command sync measures what synchronous commits cost under pgherd: pgbench against a demo
// cluster, and against the same PostgreSQL servers, data and configuration with pgherd killed, in turns.
//
// It must not give plain PostgreSQL other settings than pgherd rendered, nor leave a server
// behind: what it starts lies in the demo's directory and is stopped with it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/bench/pgbench"
	"github.com/pgherd/pgherd/internal/demo"
	"github.com/pgherd/pgherd/internal/postgres"
)

// ratioMin is the target of issue 4.
const ratioMin = 0.98

type options struct {
	n              int
	exe            string
	length, warmUp time.Duration
	load           pgbench.Load
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 5, "how many pairs of runs")
	flag.StringVar(&o.exe, "exe", "bin/pgherd", "the pgherd binary")
	flag.DurationVar(&o.length, "length", 30*time.Second, "of each run")
	flag.DurationVar(&o.warmUp, "warm-up", 5*time.Second, "before each run, not counted")
	flag.IntVar(&o.load.Clients, "clients", 16, "pgbench's connections")
	flag.IntVar(&o.load.Scale, "scale", 10, "pgbench's scale")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func run(ctx context.Context, o options) (err error) {
	if o.n < 1 || o.length < time.Second {
		return errors.New("-n must be 1 or more, -length 1s or more")
	}
	exe, err := filepath.Abs(o.exe)
	if err != nil {
		return err
	}
	binDir, _, err := postgres.FindBinDir("")
	if err != nil {
		return err
	}
	o.load.BinDir = binDir
	fmt.Println(pgbench.Machine())
	c, err := demo.Open(ctx, demo.Config{Nodes: 3, Exe: exe, Say: say})
	if err != nil {
		return err
	}
	s := &side{c: c, o: o}
	defer func() { err = errors.Join(err, s.stopPlain(), c.End()) }()
	if err := c.Start(ctx); err != nil {
		return err
	}
	pairs, err := s.measure(ctx)
	report(o, pairs)
	return err
}

// pair is one run of each, right after the other.
type pair struct{ herd, plain pgbench.Result }

func (p pair) ratio() float64 { return p.herd.TPS / p.plain.TPS }

// report prints the runs and the ratio with its spread.
func report(o options, pairs []pair) {
	if len(pairs) == 0 {
		return
	}
	fmt.Printf("%s, 3 members on this machine, %s of warm-up; the same data and configuration, pgherd running or not\n\n", o.load.Command(o.length), o.warmUp)
	fmt.Printf("%-6s %14s %14s %8s %16s %16s\n", "pair", "pgherd tps", "plain tps", "ratio", "pgherd latency", "plain latency")
	var ratios []float64
	for i, p := range pairs {
		ratios = append(ratios, p.ratio())
		fmt.Printf("%-6d %14.1f %14.1f %8.3f %13.2f ms %13.2f ms\n", i+1, p.herd.TPS, p.plain.TPS, p.ratio(), p.herd.LatencyMS, p.plain.LatencyMS)
	}
	slices.Sort(ratios)
	verdict := "met"
	if median(ratios) < ratioMin {
		verdict = "MISSED"
	}
	fmt.Printf("\nratio: median %.3f, min %.3f, max %.3f of %d pairs; target >= %.2f: %s\n%s\n", median(ratios), ratios[0], ratios[len(ratios)-1], len(ratios), ratioMin, verdict, pgbench.Machine())
	fmt.Printf("command: %s\n", strings.Join(os.Args, " "))
}

// median of a sorted list.
func median(list []float64) float64 {
	half := len(list) / 2
	if len(list)%2 == 1 {
		return list[half]
	}
	return (list[half-1] + list[half]) / 2
}
