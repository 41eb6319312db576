package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// These tests run the real binary: real etcd, PostgreSQL, TLS and processes.

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("/tmp", "pgherd-test-bin-")
	if err != nil {
		return "", err
	}
	exe := filepath.Join(dir, "pgherd-under-test")
	build := exec.Command("go", "build", "-o", exe, "github.com/pgherd/pgherd/cmd/pgherd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return exe, os.Chmod(dir, 0o755)
})

func buildPgherd(t *testing.T) string {
	t.Helper()
	exe, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return exe
}

// running is `pgherd demo` as a process.
type running struct {
	*exec.Cmd
	dir string
	out lockedBuffer
}

// startDemo starts the command; whatever the test does, nothing of it outlives the test.
func startDemo(t *testing.T, dir string, args ...string) *running {
	t.Helper()
	exe := buildPgherd(t)
	r := &running{Cmd: exec.Command(exe, append([]string{"demo", "--dir", dir}, args...)...), dir: dir}
	r.Stdout, r.Stderr = &r.out, &r.out
	r.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.Process.Kill()
		_ = r.Wait()
		for len(processes(dir, filepath.Base(exe))) > 0 {
			send(processes(dir, filepath.Base(exe)), syscall.SIGKILL, "")
		}
		if t.Failed() {
			t.Logf("the demo said:\n%s", r.out.String())
			logs, _ := filepath.Glob(filepath.Join(dir, "*", "agent.log"))
			for _, log := range logs {
				t.Logf("%s ends with: %s", log, lastLine(log))
			}
		}
		_ = os.RemoveAll(dir)
	})
	return r
}

func (r *running) waitSaid(t *testing.T, words string) {
	t.Helper()
	if !poll(timeout(t, 100*time.Second), 20*time.Millisecond, func() bool { return strings.Contains(r.out.String(), words) }) {
		t.Fatalf("it did not say %q", words)
	}
}

func (r *running) record(t *testing.T) (record Record) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(r.dir, recordName))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &record); err != nil {
		t.Fatal(err)
	}
	return record
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestDemo(t *testing.T) {
	r := startDemo(t, filepath.Join(publicDir(t), "d"))
	if err := r.Wait(); err != nil {
		t.Fatalf("the verdict is %v", err)
	}
	said := r.out.String()
	for _, want := range []string{"kill -9 of the postmaster", "power cut of the member", "pgherd switchover", "Every acknowledged row is there, once, on every member."} {
		if !strings.Contains(said, want) {
			t.Errorf("it did not say %q:\n%s", want, said)
		}
	}
	if _, err := os.Stat(r.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", r.dir, err)
	}
	if left := processes(r.dir, filepath.Base(r.Path)); len(left) > 0 {
		t.Errorf("left: %s", describe(left))
	}
}

// TestKeptDemoContinues kills the demo itself, which leaves its members running alone, starts it
// again on the same directory and stops it with Ctrl-C.
func TestKeptDemoContinues(t *testing.T) {
	dir := filepath.Join(publicDir(t), "d")
	first := startDemo(t, dir, "--no-tour", "--keep", "--nodes", "2")
	first.waitSaid(t, "For reading:")
	checkRecord(t, first)
	query(t, first.record(t).WriteDSN, "CREATE TABLE kept AS SELECT 7 AS seven")
	if err := first.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = first.Wait()

	second := startDemo(t, dir, "--no-tour", "--keep", "--nodes", "2")
	second.waitSaid(t, "processes of an earlier run are left")
	second.waitSaid(t, "For reading:")
	record := second.record(t)
	for _, dsn := range []string{record.WriteDSN, record.ReadDSN} {
		if got := query(t, dsn, "SELECT seven FROM kept"); got != "7" {
			t.Errorf("%s gave %q", dsn, got)
		}
	}
	if err := second.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := second.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}
	if left := processes(dir, filepath.Base(second.Path)); len(left) > 0 {
		t.Errorf("left: %s", describe(left))
	}
	for _, m := range second.record(t).Members {
		if m.AgentPID != 0 || m.WardenPID != 0 || m.PostgresPID != 0 {
			t.Errorf("all is stopped, and demo.json says %+v", m)
		}
	}
}

// checkRecord compares demo.json with what the kernel says.
func checkRecord(t *testing.T, r *running) {
	t.Helper()
	eventually(t, "demo.json names three living processes for each member", func() bool {
		record := r.record(t)
		for _, m := range record.Members {
			want := map[string]int{kindAgent: m.AgentPID, kindWarden: m.WardenPID, kindPostmaster: m.PostgresPID}
			for _, p := range processes(r.dir, filepath.Base(r.Path)) {
				if p.member == m.Name && want[p.kind] == p.pid {
					delete(want, p.kind)
				}
			}
			if len(want) > 0 {
				return false
			}
		}
		return len(record.Members) == 2
	})
}

func query(t *testing.T, dsn, sql string) string {
	t.Helper()
	ctx := timeout(t, 30*time.Second)
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		t.Fatal(err)
	}
	text := ""
	for rows.Next() {
		text = string(rows.RawValues()[0])
	}
	if rows.Err() != nil {
		t.Fatal(rows.Err())
	}
	return text
}
