// Command calm counts what pgherd does when nothing is wrong: a demo cluster, whose stores share one disk with
// its data, under pgbench at full load. Every change of leadership is a false failover.
//
// It must not disturb the cluster, nor judge by what pgherd says alone: pgbench tells whether its
// connections lived.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
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

type options struct {
	exe    string
	length time.Duration
	load   pgbench.Load
}

func main() {
	var o options
	flag.StringVar(&o.exe, "exe", "bin/pgherd", "the pgherd binary")
	flag.DurationVar(&o.length, "length", 30*time.Minute, "how long the load lasts")
	flag.IntVar(&o.load.Clients, "clients", 16, "pgbench's connections")
	flag.IntVar(&o.load.Scale, "scale", 10, "pgbench's scale")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	calm, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
	}
	if err != nil || !calm {
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func run(ctx context.Context, o options) (calm bool, err error) {
	exe, err := filepath.Abs(o.exe)
	if err != nil {
		return false, err
	}
	if o.load.BinDir, _, err = postgres.FindBinDir(""); err != nil {
		return false, err
	}
	fmt.Println(pgbench.Machine())
	c, err := demo.Open(ctx, demo.Config{Nodes: 3, Exe: exe, Say: say})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, c.End()) }()
	if err := c.Start(ctx); err != nil {
		return false, err
	}
	if err := o.load.Init(ctx, c.WriteDSN()); err != nil {
		return false, err
	}
	w, err := newWatch(ctx, c)
	if err != nil {
		return false, err
	}
	say("%s begins", o.load.Command(o.length))
	result, broken := w.during(ctx, func() (pgbench.Result, error) { return o.load.Run(ctx, c.WriteDSN(), o.length) })
	events, err := eventsSince(ctx, exe, c, w.began)
	return w.report(o, result, broken, events), err
}

// watch looks at the cluster's status while the load lasts.
type watch struct {
	c          *demo.Cluster
	began      time.Time
	term       uint64
	last       demo.Status
	looks      int
	unanswered int
	worstLook  time.Duration
	conditions map[string]int // looks in which it was there, by "member code"
}

func newWatch(ctx context.Context, c *demo.Cluster) (*watch, error) {
	s, err := c.WaitHealthy(ctx, func(demo.Status) {})
	return &watch{c: c, began: time.Now(), term: s.Term, last: s, conditions: map[string]int{}}, err
}

const lookEvery = time.Second

func (w *watch) during(ctx context.Context, load func() (pgbench.Result, error)) (r pgbench.Result, err error) {
	done := make(chan struct{})
	go func() { r, err = load(); close(done) }()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			w.look(ctx)
			return r, err
		case <-ticker.C:
			w.look(ctx)
		}
	}
}

func (w *watch) look(ctx context.Context) {
	began := time.Now()
	s, err := w.c.Status(ctx)
	w.looks, w.worstLook = w.looks+1, max(w.worstLook, time.Since(began))
	if err != nil {
		w.unanswered++
		return
	}
	w.last = s
	for _, c := range s.Conditions {
		w.conditions["cluster "+c.Code]++
	}
	for _, m := range s.Members {
		for _, c := range m.Conditions {
			w.conditions[m.Name+" "+c.Code]++
		}
	}
}

// event is what is read of `pgherd events --json`.
type event struct {
	At     time.Time `json:"at"`
	Member string    `json:"member"`
	Code   string    `json:"code"`
	Text   string    `json:"text"`
}

func eventsSince(ctx context.Context, exe string, c *demo.Cluster, since time.Time) (list []event, err error) {
	config := filepath.Join(c.Dir(), c.Names()[0], "pgherd.yaml")
	out, err := exec.CommandContext(ctx, exe, "events", "--config", config, "--limit", "2000", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("pgherd events: %w", err)
	}
	var answer struct {
		Events []event `json:"events"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(answer.Events, func(e event) bool { return e.At.Before(since) }), nil
}

// report prints what happened and says whether it was nothing that a client could feel.
func (w *watch) report(o options, r pgbench.Result, broken error, events []event) bool {
	counts := map[string]int{}
	for _, e := range events {
		counts[e.Code]++
		if strings.HasPrefix(e.Code, "fence") {
			counts["fences"]++
		}
	}
	fmt.Printf("%s, 3 members on this machine, stores and data on one disk (%s)\n\n", o.load.Command(o.length), w.c.Dir())
	fmt.Printf("%-44s %d (target 0; term %d then, %d now)\n", "false failovers: changes of leadership", w.last.Term-w.term, w.term, w.last.Term)
	fmt.Printf("%-44s %d\n", "fences", counts["fences"])
	fmt.Printf("%-44s %d\n", "ends of a PostgreSQL", counts["postgres_ended"])
	fmt.Printf("%-44s %.1f tps, %.2f ms mean latency, %d failed\n", "pgbench", r.TPS, r.LatencyMS, r.Failed+r.Aborted)
	fmt.Printf("%-44s %d, %d without an answer, the slowest %s\n", "looks at the status", w.looks, w.unanswered, w.worstLook.Round(time.Millisecond))
	printCounts("conditions, in how many looks", w.conditions)
	printCounts("events", counts)
	fmt.Printf("\n%s\ncommand: %s\n", pgbench.Machine(), strings.Join(os.Args, " "))
	if broken != nil {
		fmt.Printf("pgbench ended before its time: %v\n", broken)
	}
	return broken == nil && w.last.Term == w.term && counts["fences"] == 0
}

func printCounts(title string, counts map[string]int) {
	fmt.Printf("%s:\n", title)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf("  %-42s %d\n", name, counts[name])
	}
	if len(counts) == 0 {
		fmt.Println("  none")
	}
}
