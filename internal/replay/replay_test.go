package replay

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/spec"
)

var begin = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)

const boot = core.Instant(time.Hour)

// leader is a primary with one standby, a second after its last renewal.
func leader() core.View {
	s := spec.DefaultCluster()
	v := core.View{Now: boot, Self: "n1", Ordinal: 1}
	v.Store = core.StoreView{Known: true, ReadAt: boot, Spec: s, SpecRevision: 2, LeaseRevision: 9, RenewedTerm: 3, RenewedAt: boot.Add(-time.Second),
		Cluster: core.ClusterRecord{ID: "c", SystemID: "77"},
		Lease:   core.LeaseRecord{Holder: "n1", Term: 3, Beat: 40, Timeline: 2, TTL: s.Lease.TTL, Margin: s.Lease.Margin},
		Members: []core.MemberRecord{{Name: "n1", Ordinal: 1, Address: "10.0.0.1", PGPort: 5432}, {Name: "n2", Ordinal: 2, Address: "10.0.0.2", PGPort: 5432}}}
	v.Local = core.Local{ReadAt: boot, Warden: core.Warden{Alive: true, Term: 3, Deadline: boot.Add(3 * time.Second)},
		Data:     core.Data{State: core.DataPresent, ClusterID: "c", SystemID: "77"},
		Instance: core.Instance{State: core.StateRunning, Primary: true, SystemID: "77", Timeline: 2, CheckpointTimeline: 2, WriteLSN: 0x5000000, Roles: true}}
	v.Peers = []core.Peer{{Name: "n2", Known: true, Term: 3, Instance: core.Instance{State: core.StateRunning, SystemID: "77", Timeline: 2, ReceivedLSN: 0x5000000, Receiver: true, Streaming: true, Follows: "n1"}}}
	return v
}

// member is an agent that writes its journal.
type member struct {
	t    *testing.T
	j    *journal.Journal
	path string
	mem  core.Memory
	conf string
	n    int
}

func newMember(t *testing.T) *member {
	t.Helper()
	dir := t.TempDir()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return &member{t: t, j: j, path: filepath.Join(dir, "journal.jsonl")}
}

// tick decides on a view, a second after the one before, and writes it down.
func (m *member) tick(v core.View, change ...func(*journal.Entry)) journal.Entry {
	m.n++
	shift := time.Duration(m.n) * time.Second
	v.Now, v.Local.ConfKey = v.Now.Add(shift), m.conf
	v.Store.RenewedAt, v.Local.Warden.Deadline = v.Store.RenewedAt.Add(shift), v.Local.Warden.Deadline.Add(shift)
	e := journal.Entry{At: begin.Add(shift), Began: boot, Memory: m.mem, View: v}
	e.Plan, m.mem, e.Report = core.Decide(m.mem, v)
	for _, s := range e.Plan.Steps {
		if s.Kind == core.StepConfigure {
			m.conf = s.Conf.Key()
		}
	}
	for _, f := range change {
		f(&e)
	}
	m.j.Record(e)
	return e
}

func (m *member) text() string {
	m.t.Helper()
	m.j.Flush()
	text, err := os.ReadFile(m.path)
	if err != nil {
		m.t.Fatal(err)
	}
	return string(text)
}

func play(t *testing.T, texts ...string) (results []Result, sum Summary, unreadable int) {
	t.Helper()
	p := New(func(r Result) { results = append(results, r) })
	for _, text := range texts {
		c, err := p.Read(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		unreadable += c.Unreadable
	}
	list := p.End()
	if len(list) != 1 {
		t.Fatalf("%d members: %+v", len(list), list)
	}
	return results, list[0], unreadable
}

// life is what a leader goes through: configuring, a request, a crash, losing the lease.
func (m *member) life() {
	m.tick(leader()) // configures, makes the slot
	v := leader()
	v.Local.Instance.Slots = []core.Slot{{Name: spec.SlotName("n2"), Active: true}}
	v.Local.Instance.Senders = []core.Sender{{Member: "n2", Streaming: true, FlushLSN: 0x5000000, ReplayLSN: 0x5000000}}
	m.tick(v) // only renews, and looks at its sync set
	v.Store.Request = &core.Request{ID: "r1", Kind: core.RequestReinit, Phase: core.PhaseRequested, Revision: 12}
	m.tick(v) // refuses it, by compare-and-swap on revision 12
	v.Store.Request = nil
	v.Local.Instance = core.Instance{State: core.StateStopped, Control: "in production", Timeline: 2}
	v.Local.Warden.Empty, v.Local.Warden.ExitText, v.Local.Warden.ExitedAt = true, "signal: killed", boot
	v.Peers = nil
	m.tick(v) // starts in place
	v.Store.Lease.Holder, v.Store.Lease.Term, v.Store.RenewedTerm = "n2", 4, 3
	m.tick(v) // waits for the new primary
}

func TestJournalReplaysAsTheSame(t *testing.T) {
	m := newMember(t)
	m.life()
	text := m.text()
	results, sum, unreadable := play(t, text)
	if sum.Decisions != 5 || sum.Same != 5 || sum.Violations != 0 || unreadable != 0 || sum.NoMemory != 0 {
		t.Errorf("%+v, %d unreadable", sum, unreadable)
	}
	kinds := map[core.StepKind]bool{}
	for _, r := range results {
		for _, s := range r.Decided.Steps {
			kinds[s.Kind] = true
		}
		if a, b := r.Texts(); !r.Same {
			t.Errorf("%s: recorded %s, decided %s", r.At, a, b)
		}
	}
	for _, k := range []core.StepKind{core.StepConfigure, core.StepCreateSlot, core.StepEndRequest, core.StepPutLease, core.StepStart} {
		if !kinds[k] {
			t.Errorf("the script never comes to %s, and so shows nothing of it", k)
		}
	}
	if sum.Member != "n1" || !sum.From.Equal(begin.Add(time.Second)) || !sum.To.Equal(begin.Add(5*time.Second)) {
		t.Errorf("%+v", sum)
	}
	half := strings.Index(text, "\n") + 1
	if _, again, _ := play(t, text[:half], text[half:]); again != sum {
		t.Errorf("in two files: %+v, in one %+v", again, sum)
	}
}

func TestTamperedPlanIsAnother(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*journal.Entry)
		want   string // in the texts
	}{
		"a step more":        {func(e *journal.Entry) { e.Plan.Steps = append(e.Plan.Steps, core.Step{Kind: core.StepCheckpoint}) }, "checkpoint"},
		"another revision":   {func(e *journal.Entry) { e.Plan.Steps[0].Expect = 8 }, `"expect":8`},
		"a promise to peers": {func(e *journal.Entry) { e.Report.Vacant = true }, "vacant"},
		"trusted for longer": {func(e *journal.Entry) { e.Report.Trusted++ }, "trusted"},
		"a parameter":        {func(e *journal.Entry) { setParameter(e, "max_connections", "7") }, `"max_connections":"7"`},
	} {
		m := newMember(t)
		m.tick(leader(), c.change)
		results, sum, _ := play(t, m.text())
		recorded, decided := results[0].Texts()
		if sum.Other != 1 || sum.Violations != 0 || recorded == decided || !strings.Contains(recorded, c.want) {
			t.Errorf("%s: %+v; recorded %s, decided %s", name, sum, recorded, decided)
		}
	}
}

func setParameter(e *journal.Entry, name, value string) {
	for i, s := range e.Plan.Steps {
		if s.Kind == core.StepConfigure {
			conf := *s.Conf
			conf.Params = map[string]string{}
			for k, v := range s.Conf.Params {
				conf.Params[k] = v
			}
			conf.Params[name] = value
			e.Plan.Steps[i].Conf = &conf
		}
	}
}

func TestWordsAreNoDifference(t *testing.T) {
	m := newMember(t)
	m.tick(leader(), func(e *journal.Entry) { e.Plan.Steps[0].Why.Text = "put otherwise" })
	if _, sum, _ := play(t, m.text()); sum.Same != 1 {
		t.Errorf("%+v", sum)
	}
}

func TestBrokenInvariants(t *testing.T) {
	m := newMember(t)
	m.tick(leader(), func(e *journal.Entry) {
		e.Plan.Steps = []core.Step{{Kind: core.StepPromote, Why: core.Reason{Code: "promote"}}}
	})
	results, _, _ := play(t, m.text())
	if len(results[0].Broken) != 1 || results[0].Broken[0].ID != "I6" || results[0].Broken[0].Of != OfRecorded {
		t.Errorf("a promotion without a guard: %+v", results[0].Broken)
	}
	m = newMember(t)
	m.tick(leader())
	v := leader()
	v.Store.Lease.Term, v.Store.RenewedTerm, v.Local.Warden.Term = 2, 2, 2
	m.tick(v)
	results, sum, _ := play(t, m.text())
	if sum.Violations != 1 || results[1].Broken[0].ID != "I4" || results[1].Broken[0].Of != OfBoth {
		t.Errorf("the term goes back: %+v", results)
	}
}

// A new process may find a store that was put back from a copy, an entry out of order says
// nothing, and an old journal does not name the process: none of that breaks an invariant.
func TestOnlyOneProcessOnlyLearns(t *testing.T) {
	back := leader()
	back.Store.Lease.Term, back.Store.RenewedTerm, back.Local.Warden.Term = 2, 2, 2
	for name, change := range map[string]func(*journal.Entry){
		"another process": func(e *journal.Entry) { e.Began++ },
		"an old journal":  func(e *journal.Entry) { e.Began = 0 },
		"out of order":    func(e *journal.Entry) { e.View.Now = boot.Add(-time.Minute) },
		"another member":  func(e *journal.Entry) { e.View.Self = "n2" },
	} {
		m := newMember(t)
		m.tick(leader())
		m.tick(back, change)
		p := New(func(r Result) {
			for _, b := range r.Broken {
				if b.ID == "I4" {
					t.Errorf("%s: %s", name, b)
				}
			}
		})
		if _, err := p.Read(strings.NewReader(m.text())); err != nil {
			t.Error(err)
		}
		p.End()
	}
}

// What the agent adds to a report is no reason for this tick.
func TestWatchedConditionsExcuseNothing(t *testing.T) {
	m := newMember(t)
	v := leader()
	v.Local.Instance = core.Instance{State: core.StateUnknown}
	m.tick(v, func(e *journal.Entry) {
		e.Plan, e.Report = core.Plan{}, core.Report{Conditions: []core.Condition{{Code: core.CondInvariant}, {Code: core.CondTwoPrimaries}}}
	})
	if results, _, _ := play(t, m.text()); len(results[0].Broken) != 1 || results[0].Broken[0].ID != "I12" {
		t.Errorf("%+v", results)
	}
}

// A failed tick is written twice, and was decided once.
func TestOutcomeIsNoSecondDecision(t *testing.T) {
	m := newMember(t)
	e := m.tick(leader())
	e.Outcome = "configure: disk full"
	m.j.Record(e)
	if strings.Count(m.text(), "\n") != 2 {
		t.Fatal("the journal does not write the outcome")
	}
	results, sum, _ := play(t, m.text())
	if sum.Decisions != 1 || sum.Same != 1 || results[0].Outcome != e.Outcome {
		t.Errorf("%+v %+v", sum, results)
	}
}

func TestUnreadableLinesAreCounted(t *testing.T) {
	m := newMember(t)
	m.life()
	text := m.text()
	cut := text[:len(text)-100]
	if _, sum, unreadable := play(t, "nonsense\n\n"+cut); unreadable != 2 || sum.Decisions != 4 || sum.Same != 4 {
		t.Errorf("%+v, %d unreadable", sum, unreadable)
	}
	long := strings.Repeat("x", lineBytesMax+5000) + "\n"
	if _, sum, unreadable := play(t, long+text); unreadable != 1 || sum.Decisions != 5 {
		t.Errorf("after a line that is too long: %+v, %d unreadable", sum, unreadable)
	}
	for name, other := range map[string]string{"empty": "", "events": `{"at":"2026-11-20T03:00:00Z","member":"n1","code":"promote"}` + "\n", "binary": "\x00\x01\xff"} {
		p := New(func(Result) { t.Errorf("%s: a decision", name) })
		if c, err := p.Read(strings.NewReader(other)); c.Decisions != 0 || err != nil || len(p.End()) != 0 {
			t.Errorf("%s: %+v %v", name, c, err)
		}
	}
}

// The journal keeps no secret: neither the values nor what is made of them may make a
// difference.
func TestRedactedIsNoDifference(t *testing.T) {
	m := newMember(t)
	v := leader()
	v.Store.Spec.Postgres.Parameters = map[string]string{"archive_command": "KEY=secret push", "work_mem": "4MB", "max_connections": "100"}
	m.tick(v)
	v.Local.Instance.Slots = []core.Slot{{Name: spec.SlotName("n2"), Active: true}}
	v.Store.Operation = &core.Operation{ID: "old", Kind: core.OpSwitchover, Phase: core.PhaseDone} // something to write about
	m.tick(v)
	text := m.text()
	if strings.Contains(text, "secret") || strings.Contains(text, "conf_key") {
		t.Fatalf("not redacted: %s", text)
	}
	results, sum, _ := play(t, text)
	if sum.Decisions != 2 || sum.Same != 2 {
		for _, r := range results {
			a, b := r.Texts()
			t.Errorf("recorded %s\ndecided %s", a, b)
		}
	}
	// A recorded value that is redacted is equal to whatever is decided now.
	bare := strings.Replace(text, `"archive_command":"`+journal.Redacted+`"`, `"archive_command":"known"`, 1) // the view's, which comes first
	if _, sum, _ := play(t, bare); sum.Same != 2 {
		t.Errorf("%+v", sum)
	}
}

func TestOldJournalWithoutMemory(t *testing.T) {
	m := newMember(t)
	m.tick(leader())
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimSpace([]byte(m.text())), &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "memory")
	delete(fields, "began")
	old, _ := json.Marshal(fields)
	if _, sum, unreadable := play(t, string(old)); sum.NoMemory != 1 || sum.Same != 1 || unreadable != 0 {
		t.Errorf("%+v, %d unreadable", sum, unreadable)
	}
}

// The memory that went in is part of the question: with another one the answer is another.
func TestMemoryCounts(t *testing.T) {
	v := leader()
	v.Local.Instance = core.Instance{State: core.StateStopped, Control: "in production", Timeline: 2}
	v.Local.Warden.Empty = true
	v.Peers = nil
	m := newMember(t)
	m.mem.Failures = map[string]core.Failure{"start": {Count: 3, At: boot}} // waits before the next attempt
	e := m.tick(v)
	if len(e.Plan.Steps) > 1 {
		t.Fatalf("%+v", e.Plan)
	}
	if _, sum, _ := play(t, m.text()); sum.Same != 1 {
		t.Errorf("%+v", sum)
	}
	if _, sum, _ := play(t, strings.Replace(m.text(), `"count":3`, `"count":0`, 1)); sum.Other != 1 {
		t.Errorf("without the failures: %+v", sum)
	}
}
