//go:build lab

package lab

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/lab/cluster"
	"github.com/pgherd/pgherd/lab/history"
)

var _ = add(
	scenario{name: "kill-at-every-step", bounds: history.Bounds{OutageMax: 15 * time.Second, ChangesMax: history.NoBoundOnChanges}, run: killAtEveryStep},
)

// tail reads what a member's journal gains. Each entry is written before its steps are run.
type tail struct {
	file *os.File
	read *bufio.Reader
	rest []byte
}

func (l *Lab) tail(m *cluster.Member) *tail {
	l.T.Helper()
	f, err := os.Open(filepath.Join(m.StateDir, "journal", "journal.jsonl"))
	if err != nil {
		l.T.Fatal(err)
	}
	l.T.Cleanup(func() { f.Close() })
	if _, err := f.Seek(0, io.SeekEnd); err != nil {
		l.T.Fatal(err)
	}
	return &tail{file: f, read: bufio.NewReader(f)}
}

// steps are those that were journalled since the last call.
func (t *tail) steps() (kinds []string) {
	for _, e := range t.entries() {
		if e.Outcome == "" {
			for _, s := range e.Plan.Steps {
				kinds = append(kinds, stepName(s))
			}
		}
	}
	return kinds
}

// stepName tells writes of records apart by their reason: a hand-over is no renewal.
func stepName(s core.Step) string {
	if s.Kind == core.StepPutLease || s.Kind == core.StepPutOperation {
		return string(s.Kind) + " " + string(s.Why.Code)
	}
	return string(s.Kind)
}

// work is something that takes several steps on the members that it names.
type work struct {
	name  string
	who   func(l *Lab) []*cluster.Member // those whose steps count, the same roles each time
	begin func(l *Lab, who []*cluster.Member) (done chan struct{})
}

var works = []work{
	{"switchover", primaryAndAStandby, func(_ *Lab, who []*cluster.Member) chan struct{} {
		return inBackground(func() { who[0].Run("switchover", who[1].Name) })
	}},
	{"failover and rejoin", primaryAndAStandby, func(_ *Lab, who []*cluster.Member) chan struct{} {
		who[0].Kill(cluster.Postmaster)
		return inBackground(func() {})
	}},
	{"reinit", func(l *Lab) []*cluster.Member { return primaryAndAStandby(l)[1:] }, func(_ *Lab, who []*cluster.Member) chan struct{} {
		return inBackground(func() { who[0].Run("reinit", who[0].Name) })
	}},
}

func primaryAndAStandby(l *Lab) []*cluster.Member {
	p := l.primary()
	return []*cluster.Member{p, l.Cluster.Standbys(p)[0]}
}

func inBackground(f func()) chan struct{} {
	done := make(chan struct{})
	go func() { f(); close(done) }()
	return done
}

// killAtEveryStep first sees which steps a work takes, then does the work once for each of them and kills the agent
// that journalled it right there.
func killAtEveryStep(l *Lab) {
	killed := 0
	for _, w := range works {
		taken := l.watch(w)
		l.T.Logf("%s takes %v", w.name, taken)
		for role, kinds := range taken {
			for _, kind := range kinds {
				if l.killAt(w, role, kind) {
					killed++
				}
			}
		}
	}
	if killed < 8 {
		l.T.Errorf("only %d steps were met: the scenario does not show what it is for", killed)
	}
	l.Mark("%d agents were killed", killed)
}

// watch does a work undisturbed and lists each role's kinds of steps.
func (l *Lab) watch(w work) [][]string {
	l.T.Helper()
	who := w.who(l)
	taken := make([][]string, len(who))
	tails := make([]*tail, len(who))
	for i, m := range who {
		tails[i] = l.tail(m)
	}
	l.Mark("%s, undisturbed", w.name)
	<-w.begin(l, who)
	l.last(time.Second) // the journals' writers are a moment behind
	l.Cluster.WaitReady(60 * time.Second)
	for i, t := range tails {
		for _, kind := range t.steps() {
			if !slices.Contains(taken[i], kind) {
				taken[i] = append(taken[i], kind)
			}
		}
	}
	return taken
}

// killAt does the work again and kills the agent at its first step of that kind; it is
// started again as systemd would. It gives false when the step was not taken this time.
func (l *Lab) killAt(w work, role int, kind string) bool {
	l.T.Helper()
	who := w.who(l)
	m := who[role]
	t := l.tail(m)
	l.Mark("%s, SIGKILL to the agent of %s at %s", w.name, m.Name, kind)
	done := w.begin(l, who)
	met := false
	for began := time.Now(); !met && time.Since(began) < 8*time.Second; time.Sleep(2 * time.Millisecond) {
		met = slices.Contains(t.steps(), kind)
	}
	if met {
		m.Kill(cluster.Agent)
		m.WaitAgentEnd(5 * time.Second)
		l.last(500 * time.Millisecond) // RestartSec of deploy's unit
		m.StartAgent()
	}
	<-done
	l.Cluster.WaitReady(90 * time.Second)
	l.Load.WaitAcked(20)
	return met
}
