//go:build lab

package lab

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/rig"
)

var (
	exe    string // pgherd
	binDir string // of this test process: where scenarios build what they need
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	flag.Parse()
	rig.Sweep()
	dir, err := os.MkdirTemp("", "pgherd-lab-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		binDir = dir
		exe, err = cluster.Prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		return 1
	}
	defer rig.CloseAll()
	go endEarly(dir)
	code := m.Run()
	printTable(os.Stdout)
	return code
}

// endEarly takes everything down when the test process is told to end, or when go test's own
// deadline comes near: its panic would leave namespaces, mounts and servers behind.
func endEarly(dir string) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	why := ""
	select {
	case s := <-signals:
		why = s.String()
	case <-time.After(timeLeft()):
		why = "the time limit (-timeout) is near"
	}
	fmt.Printf("lab: ended early: %s\n", why)
	printTable(os.Stdout)
	rig.CloseAll()
	_ = os.RemoveAll(dir)
	os.Exit(1)
}

func timeLeft() time.Duration {
	limit, err := time.ParseDuration(flag.Lookup("test.timeout").Value.String())
	if err != nil || limit == 0 {
		return 1000 * time.Hour
	}
	return max(limit-20*time.Second, limit/2)
}

// keep copies what is needed to understand a failure, and gives the directory.
func keep(c *cluster.Cluster, name string) string {
	to := filepath.Join(keptDir(), name)
	for _, m := range c.Members {
		dir := filepath.Join(to, m.Name)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err.Error()
		}
		copyFile(m.LogFile(), filepath.Join(dir, "agent.log"))
		for _, f := range []string{"postgres.log", "warden.log"} {
			copyFile(filepath.Join(m.StateDir, f), filepath.Join(dir, f))
		}
		journals, _ := filepath.Glob(filepath.Join(m.StateDir, "journal*"))
		for _, j := range journals {
			copyTree(j, filepath.Join(dir, filepath.Base(j)))
		}
		for _, args := range [][]string{{"explain"}, {"status"}, {"events", "--limit", "500"}} {
			_ = os.WriteFile(filepath.Join(dir, args[0]+".txt"), []byte(m.Run(args...).String()), 0o644)
		}
	}
	return to
}

// keptDir is beside the rigs' own directories, which are removed.
func keptDir() string {
	if dir := os.Getenv("LAB_OUT"); dir != "" {
		return dir
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("pgherd-lab-failed-%d", os.Getpid()))
}

func copyFile(from, to string) {
	if data, err := os.ReadFile(from); err == nil {
		_ = os.WriteFile(to, data, 0o644)
	}
}

func copyTree(from, to string) {
	info, err := os.Stat(from)
	if err != nil {
		return
	}
	if !info.IsDir() {
		copyFile(from, to)
		return
	}
	_ = os.CopyFS(to, os.DirFS(from))
}

// loadAverage is this machine's, for the table: bounds in time assume an idle one.
func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	return first
}
