package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/demo"
)

const (
	followMax = 300.0 // ms
	calm      = 3 * time.Second
	roundMax  = 2 * time.Minute
)

type options struct {
	n, nodes, clients int
	exe               string
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 5, "how many switchovers")
	flag.IntVar(&o.nodes, "nodes", 10, "members")
	flag.IntVar(&o.clients, "clients", 1000, "idle clients, spread over all endpoints")
	flag.StringVar(&o.exe, "exe", "bin/pgherd", "the pgherd binary")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	r.Print(os.Stdout)
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func run(ctx context.Context, o options) (r report.Report, err error) {
	if o.n < 1 || o.nodes < 3 || o.clients < 0 {
		return r, errors.New("-n must be 1 or more, -nodes 3 or more, -clients 0 or more")
	}
	exe, err := filepath.Abs(o.exe)
	if err != nil {
		return r, err
	}
	c, err := demo.Open(ctx, demo.Config{Nodes: o.nodes, Exe: exe, Say: say})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.End()) }()
	r.Machine = report.ThisMachine(c.Version())
	if err := c.Start(ctx); err != nil {
		return r, err
	}
	crowd, err := gather(ctx, c, o.clients)
	if err != nil {
		return r, err
	}
	defer crowd.leave()
	say("%d idle clients on %d endpoints", crowd.idle(), o.nodes)
	last := report.NewFigure(fmt.Sprintf("%d members, %d idle clients: until the last endpoint follows", o.nodes, crowd.idle()), "ms", report.AtMost(followMax).Median())
	lost := report.NewFigure("idle clients lost", "", report.AtMost(0).Worst())
	for range o.n {
		took, err := crowd.round(ctx, c)
		if err != nil {
			return r, err
		}
		say("  the last endpoint followed %.0f ms after the new primary accepted writes", took.Seconds()*1000)
		last.Add(took.Seconds() * 1000)
	}
	lost.Add(float64(crowd.lost(ctx)))
	r.Add(last, lost)
	r.Machine.Finished()
	return r, nil
}
