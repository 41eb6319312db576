//go:build lab

package lab

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/pgherd/pgherd/lab/catalogue"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
	"github.com/pgherd/pgherd/lab/load"
	"github.com/pgherd/pgherd/lab/rig"
)

// scenario is one named fault. Its run makes the fault and checks what only it can check; the runner
// does what all have in common.
type scenario struct {
	name   string
	hosts  int                   // default 3
	three  bool                  // three data members are needed: LAB_WITNESS leaves it out
	disks  rig.Disks             // sizes; 0: plain directories
	spec   string                // YAML; empty: pgherd's defaults
	config func(*cluster.Config) // environment, flags
	rig    func(*rig.Rig)        // what the hosts are before anything runs on them
	load   load.Config           // members and password are filled in
	bounds history.Bounds        // see crash and calm; run may change Lab.Bounds
	whole  time.Duration         // N7's limit; default 120 s
	run    func(*Lab)
}

// Lab is what a scenario works with. Faults, marks and waits go through it.
type Lab struct {
	T       testing.TB
	Rig     *rig.Rig
	Cluster *cluster.Cluster
	Load    *load.Load
	Bounds  history.Bounds
	Began   time.Time // the end of the set-up
	// Judge, when a run sets it, looks at the history after the checkers did.
	Judge func(history.History, history.Report)
}

var (
	// crash is N5 and N8 for the loss of a primary: ttl 5 s, two ticks, promotion, routing.
	crash = history.Bounds{OutageMax: 10 * time.Second, ChangesMax: 1}
	// calm is for what must cost nothing; a second is what this machine needs to itself at times.
	calm = history.Bounds{OutageMax: time.Second}
)

// clientsStop is the last mark: what is under way then, the clients cut off themselves.
const clientsStop = "the clients stop"

const wholeMax = 120 * time.Second

var scenarios = map[string]scenario{}

// add registers scenarios; each file has a `var _ = add(…)` of its own.
func add(list ...scenario) bool {
	for _, s := range list {
		if _, twice := scenarios[s.name]; twice {
			panic("lab: two scenarios named " + s.name)
		}
		scenarios[s.name] = s
	}
	return true
}

// TestLab runs all scenarios in the catalogue's order, or those that LAB_SCENARIO names: a list
// with commas, or "ci".
func TestLab(t *testing.T) {
	for _, name := range wanted(t) {
		s := scenarios[name]
		t.Run(name, func(t *testing.T) { runScenario(t, s) })
	}
}

func wanted(t *testing.T) (names []string) {
	text := os.Getenv("LAB_SCENARIO")
	if text != "" && text != "ci" {
		names = strings.Split(text, ",")
	} else {
		names = catalogue.Names(text == "ci")
	}
	for _, name := range names {
		if _, ok := scenarios[name]; !ok {
			t.Errorf("there is no scenario %q; there are %s", name, strings.Join(catalogue.Names(false), " "))
		}
	}
	return slices.DeleteFunc(names, func(name string) bool {
		s, ok := scenarios[name]
		if out := ok && withWitness && (s.hosts > 3 || s.three); out {
			t.Logf("%s: has witnesses of its own, or needs three data members", name)
			return true
		}
		return !ok
	})
}

// withWitness: LAB_WITNESS=1 has the third host of each scenario vote and run no PostgreSQL.
var withWitness = os.Getenv("LAB_WITNESS") == "1"

// loneStandby is what commits may wait with two data members when the fault hits the only standby: until it is
// counted no more: PostgreSQL notices a silent one after 5 s (wal_sender_timeout), a ttl without it is another 5 s, and then the
// set changes. With a third they go on. As cut-replication-only, which hits all standbys.
const loneStandby = 15 * time.Second

func runScenario(t *testing.T, s scenario) {
	row := &result{name: s.name, verdict: "FAIL"}
	results.add(row)
	began := time.Now()
	defer func() {
		row.took, row.machine = time.Since(began), loadAverage()
		if !t.Failed() {
			row.verdict = "pass"
		}
	}()
	lab := s.place(t)
	defer func() {
		if t.Failed() {
			t.Logf("journals and logs are kept in %s", keep(lab.Cluster, s.name))
		}
	}()
	s.start(lab)
	defer lab.judgeUnfinished(s, row)
	defer lab.checkDecisions()
	s.run(lab)
	lab.finish(s, row)
}

// place makes hosts and members; nothing runs on them yet. Cleanups run in the reverse order.
func (s scenario) place(t *testing.T) *Lab {
	t.Helper()
	r, err := rig.New(rig.Spec{Hosts: max(s.hosts, 3), Disks: s.disks, UID: cluster.Owner.UID, GID: cluster.Owner.GID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if s.rig != nil {
		s.rig(r)
	}
	config := cluster.Config{Exe: exe, Spec: s.spec}
	if s.config != nil {
		s.config(&config)
	}
	if withWitness {
		config.Witnesses = 1
		s.bounds.OutageMax = max(s.bounds.OutageMax, loneStandby)
	}
	return &Lab{T: t, Rig: r, Bounds: s.bounds, Cluster: cluster.New(t, r, config)}
}

// start founds the cluster and begins the load.
func (s scenario) start(lab *Lab) {
	lab.T.Helper()
	lab.Cluster.Found()
	cfg := s.load
	cfg.Password = cluster.Password
	for _, m := range lab.Cluster.Data() {
		cfg.Members = append(cfg.Members, load.Member{Name: m.Name, Addr: m.Addr()})
	}
	if lab.Cluster.Config.Endpoints {
		cfg.Clerk = cluster.Clerk
		for _, m := range lab.Cluster.Data() {
			cfg.Endpoints = append(cfg.Endpoints, load.Member{Name: m.Name, Addr: m.Endpoint()})
		}
	}
	lab.Load = load.Start(lab.T, cfg)
	lab.Began = time.Now()
}

// finish is the same for all: heal, whole again, stop, read, judge.
func (l *Lab) finish(s scenario, row *result) {
	l.T.Helper()
	l.Heal()
	limit := s.whole
	if limit == 0 {
		limit = wholeMax
	}
	healed := time.Now()
	l.Cluster.WaitWhole(limit)
	row.whole = time.Since(healed)
	l.Load.Mark("whole again")
	l.Load.WaitAcked(20)
	l.Load.Mark(clientsStop)
	h := l.Load.Stop()
	rows, err := l.Load.Rows(time.Minute)
	if err != nil {
		l.T.Fatal(err)
	}
	row.report, row.judged = history.Check(h, rows, l.Bounds), true
	for _, p := range row.report.Problems {
		l.T.Error(p)
	}
	l.checkLeases()
	if l.Judge != nil {
		l.Judge(h, row.report)
	}
	if l.T.Failed() {
		dumpHistory(h, s.name)
	}
}

// judgeUnfinished judges what the clients saw of a run that ended early: a second primary must
// not go unseen because something else went wrong first.
func (l *Lab) judgeUnfinished(s scenario, row *result) {
	if row.judged || l.Load == nil {
		return
	}
	h := l.Load.Stop()
	row.report, row.judged, row.unread = history.CheckClients(h, l.Bounds), true, true
	for _, p := range row.report.Problems {
		l.T.Error(p)
	}
	dumpHistory(h, s.name)
}

// Heal undoes all faults: the rig's own, and each agent that does not run is started, as a
// supervisor would.
func (l *Lab) Heal() {
	l.T.Helper()
	l.Mark("heal")
	if err := l.Rig.HealAll(); err != nil {
		l.T.Fatal(err)
	}
	for _, m := range l.Cluster.Members {
		if !m.AgentRuns() {
			m.StartAgent()
		}
	}
}

// Mark writes what is being done into the history and into the log.
func (l *Lab) Mark(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.T.Logf("%6.2f s  %s", time.Since(l.Began).Seconds(), text)
	if l.Load != nil {
		l.Load.Mark(text)
	}
}

// Do marks and makes a fault of the rig.
func (l *Lab) Do(text string, err error) {
	l.T.Helper()
	l.Mark("%s", text)
	if err != nil {
		l.T.Fatalf("%s: %v", text, err)
	}
}

// result is one line of the table.
type result struct {
	name, verdict, machine string
	judged                 bool
	unread                 bool // the rows were not read: nothing is known of losses
	report                 history.Report
	whole, took            time.Duration
}

var results resultList

type resultList struct {
	mu   sync.Mutex
	list []*result
}

func (l *resultList) add(r *result) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, r)
}

func printTable(w io.Writer) {
	results.mu.Lock()
	defer results.mu.Unlock()
	if len(results.list) == 0 {
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "\nscenario\tacknowledged\tlost\tdouble primaries\toutage\twhole again\tverdict\ttook\tload")
	failed := 0
	for _, r := range results.list {
		if r.verdict != "pass" {
			failed++
		}
		if !r.judged {
			fmt.Fprintf(t, "%s\t-\t-\t-\t-\t-\t%s\t%.0f s\t%s\n", r.name, r.verdict, r.took.Seconds(), r.machine)
			continue
		}
		lost := fmt.Sprint(r.report.Lost)
		if r.unread {
			lost = "?"
		}
		fmt.Fprintf(t, "%s\t%d\t%s\t%d\t%.2f s\t%.1f s\t%s\t%.0f s\t%s\n", r.name, r.report.Acked, lost, r.report.Overlaps,
			r.report.Outage.Seconds(), r.whole.Seconds(), r.verdict, r.took.Seconds(), r.machine)
	}
	_ = t.Flush()
	fmt.Fprintf(w, "%d scenarios, %d failed\n", len(results.list), failed)
}

// dumpHistory writes what the clients saw beside the journals, one line an operation.
func dumpHistory(h history.History, name string) {
	_ = os.MkdirAll(keptDir()+"/"+name, 0o755)
	f, err := os.Create(keptDir() + "/" + name + "/history.txt")
	if err != nil {
		return
	}
	defer f.Close()
	for _, m := range h.Marks {
		fmt.Fprintf(f, "%12.3f MARK %s\n", m.At.Seconds(), m.Text)
	}
	for _, o := range h.Ops {
		fmt.Fprintf(f, "%12.3f %12.3f %-10s %-7s %-8s %-4s tl %d id %d %s\n", o.Sent.Seconds(), o.Done.Seconds(), o.Worker, o.Kind, o.Outcome, o.Member, o.Timeline, o.ID, o.Text)
	}
}
