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
	"github.com/pgherd/pgherd/bench/report"
	"github.com/pgherd/pgherd/internal/postgres"
)

// options are the flags.
type options struct {
	n, kills  int
	exe       string
	spacing   time.Duration
	think     time.Duration
	load      pgbench.Load
	idle      time.Duration
	cpuLength time.Duration
	cpuRounds int
	only      string
	json      bool
	strict    bool
}

func parseFlags() (o options) {
	flag.IntVar(&o.n, "n", 10, "handovers of each side in each of pgbench's modes")
	flag.DurationVar(&o.spacing, "spacing", 5*time.Second, "from one handover to the next")
	flag.IntVar(&o.kills, "kills", 5, "how often the primary's postmaster is killed")
	flag.DurationVar(&o.think, "think", 50*time.Millisecond, "how long a client waits between two writes on average, while postmasters are killed")
	flag.StringVar(&o.exe, "exe", "bin/pgherd", "the pgherd binary")
	flag.IntVar(&o.load.PerSecond, "rate", 200, "transactions a second during handovers")
	flag.IntVar(&o.load.Clients, "clients", 16, "pgbench's connections, and the clients while postmasters are killed")
	flag.IntVar(&o.load.Scale, "scale", 10, "pgbench's scale")
	flag.DurationVar(&o.cpuLength, "cpu-length", 20*time.Second, "of each run that measures the endpoint's CPU")
	flag.IntVar(&o.cpuRounds, "cpu-rounds", 3, "how many of those on each side")
	flag.DurationVar(&o.idle, "idle", time.Minute, "how long the idle agent is watched, which the loaded one is compared with")
	flag.StringVar(&o.only, "only", "", "only these, separated by commas: "+strings.Join(partNames(), ", "))
	flag.BoolVar(&o.json, "json", false, "answer in JSON")
	flag.BoolVar(&o.strict, "strict", false, "exit with 1 when a target is missed")
	flag.Parse()
	return o
}

func main() {
	o := parseFlags()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	r, err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	report.Answer(os.Stdout, o.json, r, r.print)
	if o.strict && !r.Met() {
		os.Exit(1)
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// bench is the two sides under measurement.
type bench struct {
	o    options
	dir  string // for pgbench's logs
	herd *herd
	hand *byHand
}

// parts are measured in this order; a part that kills comes last.
var parts = []struct {
	name    string
	measure func(context.Context, *bench, *result) error
}{
	{"handover", handovers},
	{"cpu", endpointCPU},
	{"unplanned", unplanned},
}

func partNames() (names []string) {
	for _, p := range parts {
		names = append(names, p.name)
	}
	return names
}

func (o options) wants(part string) bool {
	return o.only == "" || slices.Contains(strings.Split(o.only, ","), part)
}

func (o options) check() error {
	if o.n < 1 || o.kills < 1 || o.cpuRounds < 1 || o.load.Clients < 1 || o.load.PerSecond < 1 {
		return errors.New("-n, -kills, -cpu-rounds, -clients and -rate must be 1 or more")
	}
	if o.think < time.Millisecond {
		return errors.New("-think must be 1ms or more")
	}
	if o.spacing < stallAfter || o.cpuLength < time.Second {
		return fmt.Errorf("-spacing must be %s or more, -cpu-length 1s or more", stallAfter)
	}
	for _, name := range strings.Split(o.only, ",") {
		if o.only != "" && !slices.Contains(partNames(), name) {
			return fmt.Errorf("-only: there is no %q", name)
		}
	}
	return nil
}

// run starts both sides, measures each part and stops them whatever happened.
func run(ctx context.Context, o options) (r result, err error) {
	if err := o.check(); err != nil {
		return r, err
	}
	exe, err := filepath.Abs(o.exe)
	if err != nil {
		return r, err
	}
	if err := becomeOwner(); err != nil {
		return r, err
	}
	binDir, version, err := postgres.FindBinDir("")
	if err != nil {
		return r, err
	}
	o.load.BinDir = binDir
	b := &bench{o: o}
	if b.dir, err = os.MkdirTemp("", "bench-handover-"); err != nil {
		return r, err
	}
	r.Machine, r.Load = report.ThisMachine(version.String()), o.load.Command(o.blockLength())
	defer func() { err = errors.Join(err, b.end(), os.RemoveAll(b.dir)) }()
	if err := b.begin(ctx, exe); err != nil {
		return r, err
	}
	for _, p := range parts {
		if !o.wants(p.name) {
			continue
		}
		say("measuring: %s", p.name)
		if err := p.measure(ctx, b, &r); err != nil {
			return r, fmt.Errorf("%s: %w", p.name, err)
		}
	}
	r.Machine.Finished()
	return r, nil
}

// begin makes both sides, one after the other: two clusters that start at once take each other's time.
func (b *bench) begin(ctx context.Context, exe string) (err error) {
	if b.hand, err = newByHand(ctx, exe, b.o.load); err != nil {
		return fmt.Errorf("the side by hand: %w", err)
	}
	b.herd, err = newHerd(ctx, exe, b.o.load)
	return err
}

func (b *bench) end() (err error) {
	if b.herd != nil {
		err = b.herd.c.End()
	}
	if b.hand != nil {
		err = errors.Join(err, b.hand.stop())
	}
	return err
}
