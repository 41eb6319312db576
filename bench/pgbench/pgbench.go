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

	Select    bool   // only reads (-S) instead
	Mode      string // -M: simple, extended, prepared; empty: pgbench's own choice
	PerSecond int    // -R: so many transactions a second; 0: as many as there can be
	LogPrefix string // -l: each transaction into files whose names begin so; see ReadLogs
}

// Result is what a run said.
type Result struct {
	TPS          float64
	LatencyMS    float64 // mean
	Transactions int
	Failed       int // transactions, and 1 when pgbench itself gave up without a client that did
	Aborted      int // clients: those whose connection broke, or who met an error that cannot be tried again
	Output       string
}

// Init makes pgbench's tables.
func (l Load) Init(ctx context.Context, dsn string) error {
	_, err := l.run(ctx, "-i", "-q", "-s", strconv.Itoa(l.Scale), dsn)
	return err
}

// Args are those of a run, without the connection: they are printed with every figure.
func (l Load) Args(d time.Duration) []string {
	args := []string{"-N", "-n", "-c", strconv.Itoa(l.Clients), "-j", strconv.Itoa(min(2, l.Clients)), "-T", strconv.Itoa(int(d.Seconds()))}
	if l.Select {
		args[0] = "-S"
	}
	if l.Mode != "" {
		args = append(args, "-M", l.Mode)
	}
	if l.PerSecond > 0 {
		args = append(args, "-R", strconv.Itoa(l.PerSecond))
	}
	return args
}

// Command is how a person would run the same.
func (l Load) Command(d time.Duration) string { return "pgbench " + strings.Join(l.Args(d), " ") }

// Run runs it for so long. A pgbench that ends early, because its connections broke, gives an error
// and what it had counted until then.
func (l Load) Run(ctx context.Context, dsn string, d time.Duration) (Result, error) {
	args := l.Args(d)
	if l.LogPrefix != "" {
		args = append(args, "-l", "--log-prefix="+l.LogPrefix)
	}
	out, err := l.run(ctx, append(args, dsn)...)
	r := parse(out)
	if err == nil && r.TPS == 0 {
		err = fmt.Errorf("pgbench said no tps:\n%s", out)
	}
	if err != nil && r.Aborted == 0 {
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
	doneLine    = regexp.MustCompile(`(?m)^number of transactions actually processed: ([0-9]+)`)
	abortedLine = regexp.MustCompile(`(?m)^pgbench: error: client [0-9]+ .*abort`)
)

func parse(out string) Result {
	r := Result{Output: out, TPS: number(tpsLine, out), LatencyMS: number(latencyLine, out)}
	r.Failed, r.Transactions = int(number(failedLine, out)), int(number(doneLine, out))
	r.Aborted = len(abortedLine.FindAllString(out, -1))
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
