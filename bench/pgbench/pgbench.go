package pgbench

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Load is one way to run pgbench: simple updates (-N) over so many connections.
type Load struct {
	BinDir  string // of PostgreSQL's programs
	Clients int
	Scale   int
}

// Result is what a run said.
type Result struct {
	TPS       float64
	LatencyMS float64 // mean
	Failed    int     // transactions, and 1 when pgbench itself gave up
	Output    string
}

// Init makes pgbench's tables.
func (l Load) Init(ctx context.Context, dsn string) error {
	_, err := l.run(ctx, "-i", "-q", "-s", strconv.Itoa(l.Scale), dsn)
	return err
}

// Args are those of a run, without the connection: they are printed with every figure.
func (l Load) Args(d time.Duration) []string {
	return []string{"-N", "-n", "-c", strconv.Itoa(l.Clients), "-j", strconv.Itoa(min(2, l.Clients)), "-T", strconv.Itoa(int(d.Seconds()))}
}

// Command is how a person would run the same.
func (l Load) Command(d time.Duration) string { return "pgbench " + strings.Join(l.Args(d), " ") }

// Run runs it for so long. A pgbench that ends early, because its connections broke, gives an error
// and what it had counted until then.
func (l Load) Run(ctx context.Context, dsn string, d time.Duration) (Result, error) {
	out, err := l.run(ctx, append(l.Args(d), dsn)...)
	r := parse(out)
	if err == nil && r.TPS == 0 {
		err = fmt.Errorf("pgbench said no tps:\n%s", out)
	}
	if err != nil {
		r.Failed++
	}
	return r, err
}

func (l Load) run(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, l.BinDir+"/pgbench", args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("pgbench: %w\n%s", err, strings.TrimSpace(out.String()))
	}
	return out.String(), nil
}

var (
	tpsLine     = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	latencyLine = regexp.MustCompile(`(?m)^latency average = ([0-9.]+) ms`)
	failedLine  = regexp.MustCompile(`(?m)^number of failed transactions: ([0-9]+)`)
)

func parse(out string) Result {
	r := Result{Output: out, TPS: number(tpsLine, out), LatencyMS: number(latencyLine, out)}
	r.Failed = int(number(failedLine, out))
	return r
}

func number(line *regexp.Regexp, out string) float64 {
	m := line.FindStringSubmatch(out)
	if m == nil {
		return 0
	}
	v, _ := strconv.ParseFloat(m[1], 64)
	return v
}

// Machine is what a figure depends on besides what is measured, with the load of now.
func Machine() string {
	data, _ := os.ReadFile("/proc/loadavg")
	load := strings.Fields(string(data))
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%d cores, Linux %s, load average %s", runtime.NumCPU(), strings.TrimSpace(string(kernel)), strings.Join(load[:min(3, len(load))], " "))
}
