package sim

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

var update = flag.Bool("update", false, "write the hash of the fixed seeds anew")

const (
	regressionsFile = "testdata/regressions.txt"
	hashFile        = "testdata/hash-1000.txt"
)

func TestMain(m *testing.M) {
	flag.Parse()
	Footprint()
	os.Exit(m.Run())
}

func mustHold(t *testing.T, r Result) {
	t.Helper()
	if len(r.Broken) > 0 {
		t.Errorf("seed %d at %s: %s\n\tmake sim SEED=%d tells the story", r.Seed, r.At, r.Broken[0], r.Seed)
	}
}

// Seeds that were broken once run first, and in every run of the tests.
func TestRegressions(t *testing.T) {
	text, err := os.ReadFile(regressionsFile)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		seed, err := strconv.ParseUint(strings.Fields(line)[0], 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		mustHold(t, Run(seed, Pinned{}))
		n++
	}
	if n == 0 {
		t.Error("no regressions are listed")
	}
}

// The hash of 1,000 fixed seeds is committed: a change of behaviour, wanted or not, shows in
// review. `go test ./internal/sim -run Hash -update` writes it anew.
func TestHashOfFixedSeeds(t *testing.T) {
	hash, faults := uint64(0), map[FaultKind]int{}
	for seed := uint64(1); seed <= 1000; seed++ {
		r := Run(seed, Pinned{})
		mustHold(t, r)
		hash = hash*1099511628211 ^ r.Digest
		for _, f := range r.Faults {
			faults[f.Kind]++
		}
	}
	text := fmt.Sprintf("%016x\n", hash)
	if *update {
		if err := os.WriteFile(hashFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(hashFile)
	if err != nil || string(want) != text {
		t.Errorf("the runs of seeds 1 to 1000 are not those of the last commit: %q, want %q (%v)", text, want, err)
	}
	all := Options{Members: 3, Durability: spec.DurabilitySync, External: true, Watchdog: []spec.WatchdogMode{spec.WatchdogAutomatic}}
	for _, kind := range allowedFaults(&all) {
		if faults[kind] == 0 {
			t.Errorf("no fixed seed has the fault %s", kind)
		}
	}
}

// TestSwarm is `make sim` for the time that a change is worth: PGHERD_SIM_CPU seconds, 5 unless
// said otherwise. Its seeds are fixed, and the correct core has passed them (docs/simulator.md):
// what fails here, the change did. `make sim` looks elsewhere each day.
func TestSwarm(t *testing.T) {
	budget := 5 * time.Second
	if text := os.Getenv("PGHERD_SIM_CPU"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("PGHERD_SIM_CPU: %v", err)
		}
		budget = time.Duration(n) * time.Second
	}
	const first = uint64(1001)
	began, seed := cpu(), first
	for ; cpu()-began < budget && !t.Failed(); seed++ {
		mustHold(t, Run(seed, Pinned{}))
	}
	used := (cpu() - began).Seconds()
	t.Logf("%d runs from seed %d in %.0f CPU seconds", seed-first, first, used)
}

func cpu() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// One seed, one run: to the last event, and told or not.
func TestSameSeedSameRun(t *testing.T) {
	for seed := uint64(1); seed < 40; seed++ {
		var told bytes.Buffer
		a, b := Run(seed, Pinned{}), Tell(&told, seed, Pinned{})
		if a.Digest != b.Digest || a.Events != b.Events || a.Acked != b.Acked {
			t.Fatalf("seed %d: %d events and %016x, then %d and %016x", seed, a.Events, a.Digest, b.Events, b.Digest)
		}
		if told.Len() == 0 {
			t.Fatal("no story")
		}
	}
}

// Without faults nothing is lost, nobody but the first leader leads, and clients are served.
func TestQuietClusterIsLeftAlone(t *testing.T) {
	for seed := uint64(1); seed < 200; seed++ {
		r := Run(seed, Pinned{NoFaults: true, Members: 3})
		mustHold(t, r)
		if r.Acked < 50 {
			t.Errorf("seed %d: only %d acknowledged", seed, r.Acked)
		}
		if r.Options.TailOneIn == 0 && !r.Options.Fresh && (r.Terms > 2 || r.Lost > 0) { // no message is late
			t.Errorf("seed %d: term %d, %d lost", seed, r.Terms, r.Lost)
		}
	}
}

// broken finds a run that breaks an invariant, by a fault that the promises leave out: async
// replication and a pause that no clock shows.
func broken(t *testing.T) Result {
	t.Helper()
	for seed := uint64(1); seed < 5000; seed++ {
		o, _ := Draw(seed, Pinned{Members: 3, Durability: spec.DurabilityAsync})
		o.Faults, o.Gap, o.Length = []FaultKind{HideNode, KillPostgres, CutPair}, 4*time.Second, 20*time.Second
		_, faults := Draw(seed, Pinned{Members: 3})
		for i := range faults {
			faults[i].Kind = o.Faults[i%3]
			faults[i].Dur = 12 * time.Second
		}
		if r := RunWith(seed, o, faults, nil); len(r.Broken) > 0 {
			return r
		}
	}
	t.Fatal("no run breaks: the checks see nothing")
	return Result{}
}

func TestMinimiseKeepsWhatBreaks(t *testing.T) {
	r := broken(t)
	small := Minimise(r)
	if len(small.Broken) == 0 || small.Broken[0].ID != r.Broken[0].ID {
		t.Fatalf("%v became %v", r.Broken, small.Broken)
	}
	if len(small.Faults) >= len(r.Faults) {
		t.Errorf("%d faults are still %d", len(r.Faults), len(small.Faults))
	}
	var story bytes.Buffer
	TellOf(&story, small.Seed, small.Options, small.Faults)
	if !strings.Contains(story.String(), "broken: "+small.Broken[0].ID) {
		t.Errorf("the story does not end with the invariant:\n%s", story.String())
	}
}
