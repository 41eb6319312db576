// Command failover measures on a demo cluster what pgherd promises: how long writes stop when
// things break, how soon what fell out is back, and what an idle member costs.
//
// It must not look into the cluster by another way than a user or an operator could: it
// kills real processes, writes through the public connection string and reads the
// members' journals afterwards.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/demo"
)

type options struct {
	n     int
	exe   string
	json  bool
	idle  time.Duration
	nodes int
	only  string

	strict bool
}

func main() {
	var o options
	flag.IntVar(&o.n, "n", 10, "how often each fault is repeated")
	flag.StringVar(&o.exe, "exe", "bin/pgherd", "the pgherd binary")
	flag.BoolVar(&o.json, "json", false, "answer in JSON")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long the idle cluster is watched")
	flag.IntVar(&o.nodes, "nodes", 3, "members")
	flag.StringVar(&o.only, "only", "", "only these, separated by commas: "+strings.Join(figureNames(), ", "))
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 when a target is missed")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	result, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	report.Answer(os.Stdout, o.json, result, result.print)
	if o.strict && !result.Met() {
		os.Exit(1)
	}
}

// run starts a cluster, measures each figure and stops the cluster whatever happened.
func run(ctx context.Context, o options) (r result, err error) {
	if o.n < 1 || o.nodes < 3 {
		return r, errors.New("-n must be 1 or more, --nodes 3 or more")
	}
	exe, err := filepath.Abs(o.exe)
	if err != nil {
		return r, err
	}
	say := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	c, err := demo.Open(ctx, demo.Config{Nodes: o.nodes, Exe: exe, Say: say})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.End()) }()
	r.Machine = report.ThisMachine(c.Version())
	if err := c.Start(ctx); err != nil {
		return r, err
	}
	b := &bench{c: c, o: o, exe: exe, say: say}
	for _, f := range figures {
		if o.only != "" && !strings.Contains(","+o.only+",", ","+f.name+",") {
			continue
		}
		say("measuring: %s", f.name)
		if err := f.measure(ctx, b, &r); err != nil {
			return r, fmt.Errorf("%s: %w", f.name, err)
		}
	}
	r.Machine.Finished()
	return r, nil
}
