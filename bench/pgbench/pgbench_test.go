package pgbench

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	r := parse(`pgbench (15.15)
transaction type: <builtin: simple update>
number of transactions actually processed: 4711
number of failed transactions: 3 (0.064%)
latency average = 12.345 ms
initial connection time = 80.1 ms
tps = 1296.078 (without initial connection time)
pgbench: error: client 3 script 0 aborted in command 5 query 0: ERROR:  cannot execute UPDATE in a read-only transaction
pgbench: error: client 7 aborted in command 4 (SQL) of script 0; perhaps the backend died while processing
pgbench: error: Run was aborted; the above results are incomplete.
`)
	if r.TPS != 1296.078 || r.LatencyMS != 12.345 || r.Failed != 3 || r.Transactions != 4711 || r.Aborted != 2 {
		t.Errorf("%+v", r)
	}
	if r := parse("pgbench: error: could not connect"); r.TPS != 0 {
		t.Errorf("%+v", r)
	}
}

func TestArgs(t *testing.T) {
	l := Load{Clients: 16, Mode: "prepared", PerSecond: 200}
	want := []string{"-N", "-n", "-c", "16", "-j", "2", "-T", "30", "-M", "prepared", "-R", "200"}
	if got := l.Args(30 * time.Second); !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// TestLogs: two threads' files; the stall is the longest in the window, wherever it began.
func TestLogs(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "run")
	for name, text := range map[string]string{
		"run.7":   "0 1 2500 0 1000 500000 300\n1 1 90000 0 1002 0 80000\n",
		"run.7.1": "2 1 failed 0 1002 100000 0\n2 2 140000 0 1003 0 0\n",
	} {
		if err := os.WriteFile(filepath.Join(filepath.Dir(prefix), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list, err := ReadLogs(prefix)
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	if failed := slices.IndexFunc(list, func(t Transaction) bool { return t.Failed }); failed < 0 || list[failed].Done != time.Unix(1002, 100e6) {
		t.Errorf("%+v", list)
	}
	if d := LongestStall(list, time.Unix(1001, 0), time.Unix(1002, 500e6)); d != 90*time.Millisecond {
		t.Errorf("stall %v", d)
	}
	if d := LongestStall(list, time.Unix(1004, 0), time.Unix(1005, 0)); d != 0 {
		t.Errorf("stall %v where nothing ended", d)
	}
	if _, err := ReadLogs(prefix + "-other"); err == nil {
		t.Error("no log is no error")
	}
}
