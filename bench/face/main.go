// Command face measures what people and programs ask of a member: health answers at 200 requests a second, and the agent's memory
// with everything on. It prints one report; each figure names its target.
//
// It must not ask for anything that needs a right it was not given, nor measure a member that is busy with its cluster.
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

	"github.com/pgherd/pgherd/bench/proc"
	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/demo"
)

// Targets of issue 6.
const (
	answerMax = 5.0  // ms, the 99th of 100
	memoryMax = 70.0 // MB, of an agent
)

type options struct {
	exe    string
	rate   int
	length time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.exe, "exe", "bin/pgherd", "the pgherd binary")
	flag.IntVar(&o.rate, "rate", 200, "health requests a second")
	flag.DurationVar(&o.length, "length", 30*time.Second, "of each measurement")
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
	if o.rate < 1 || o.length < 2*time.Second {
		return r, errors.New("-rate must be 1 or more, -length 2s or more")
	}
	exe, err := filepath.Abs(o.exe)
	if err != nil {
		return r, err
	}
	c, err := demo.Open(ctx, demo.Config{Nodes: 3, Exe: exe, Say: say})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.End()) }()
	r.Machine = report.ThisMachine(c.Version())
	if err := c.Start(ctx); err != nil {
		return r, err
	}
	s, err := c.WaitHealthy(ctx, func(demo.Status) {})
	if err != nil {
		return r, err
	}
	v, err := newViewer(ctx, c)
	if err != nil {
		return r, err
	}
	for _, m := range s.Members {
		if m.Role == "witness" {
			continue
		}
		if err := answers(ctx, v, o, m.Name, m.Role, &r); err != nil {
			return r, err
		}
		if m.Role == "standby" {
			break // the other is the same
		}
	}
	return r, everything(ctx, c, v, o, &r)
}

// answers measures one member, on connections that are kept and on a new one for each, as HAProxy asks.
func answers(ctx context.Context, v *viewer, o options, name, role string, r *report.Report) error {
	path := map[string]string{"primary": "/primary", "standby": "/replica"}[role]
	before, err := v.tick(ctx, name, o.length)
	if err != nil {
		return err
	}
	for _, fresh := range []bool{false, true} {
		how := "kept connections"
		if fresh {
			how = "a new TLS connection each"
		}
		say("%s: %d %s a second, %s", name, o.rate, path, how)
		done := make(chan struct{})
		var during float64
		var tickErr error
		go func() { defer close(done); during, tickErr = v.tick(ctx, name, o.length) }()
		took, err := v.load(ctx, name, path, o.rate, o.length, fresh)
		<-done
		if err = errors.Join(err, tickErr); err != nil {
			return err
		}
		target := report.AtMost(answerMax).Worst()
		if fresh {
			target = report.Target{} // to compare with: the handshake is most of it
		}
		p99 := report.NewFigure(fmt.Sprintf("%s of the %s, %d a second, %s: p99", path, role, o.rate, how), "ms", target)
		p99.Add(percentile(took, 99))
		tick := report.NewFigure("  a tick of its loop meanwhile, against one before", "x", report.Target{})
		tick.Add(during / before)
		r.Add(p99, tick)
	}
	return nil
}

// everything: dashboards look, Prometheus scrapes and clients are at the endpoints of each member.
func everything(ctx context.Context, c *demo.Cluster, v *viewer, o options, r *report.Report) error {
	stop, err := v.lookAt(ctx, c)
	if err != nil {
		return err
	}
	defer stop()
	say("everything on: 5 dashboards and a scrape each 5 s at each member, 30 clients behind each endpoint, writers")
	select {
	case <-time.After(2 * o.length):
	case <-ctx.Done():
		return ctx.Err()
	}
	memory := report.NewFigure("memory (RSS) of an agent with everything on", "MB", report.AtMost(memoryMax).Worst())
	for _, name := range c.Names() {
		agent, _ := c.PIDs(name)
		memory.Add(proc.RSS(agent))
	}
	r.Add(memory)
	return nil
}
