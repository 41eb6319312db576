package journal

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/wal"
)

var start = time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)

// entry is a healthy primary's tick: nothing but a renewal.
func entry(at int) Entry {
	lease := core.LeaseRecord{Holder: "n1", Term: 3, Beat: uint64(at)}
	next := lease
	next.Beat++
	return Entry{
		At:     start.Add(time.Duration(at) * time.Second),
		View:   core.View{Self: "n1", Store: core.StoreView{Known: true, Lease: lease}},
		Plan:   core.Plan{Steps: []core.Step{{Kind: core.StepPutLease, Lease: &next}}},
		Report: core.Report{Role: "primary", Term: 3},
	}
}

func open(t *testing.T, dir string) *Journal {
	t.Helper()
	j, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.FieldsFunc(string(data), func(r rune) bool { return r == '\n' })
}

func codes(events []Event) (list []string) {
	for _, e := range events {
		list = append(list, e.Code)
	}
	return list
}

func TestOnlyNewsIsWritten(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for i := range 50 {
		e := entry(i)
		e.Report.Reasons = []core.Reason{{Code: "waits", Text: "n2 is 0/5000" + string(rune('0'+i%10)) + "8 behind for 3." + string(rune('0'+i%10)) + "s"}}
		j.Record(e)
	}
	j.Flush()
	if got := len(lines(t, filepath.Join(dir, "journal.jsonl"))); got != 1 {
		t.Fatalf("50 equal ticks wrote %d lines, want 1", got)
	}
	if !j.Latest().At.Equal(start.Add(49 * time.Second)) {
		t.Fatalf("latest is of %s", j.Latest().At)
	}
	e := entry(50)
	e.Report.Reasons = []core.Reason{{Code: "waits", Text: "n3 is 0/50008 behind for 3s"}} // another member is other news
	j.Record(e)
	j.Flush()
	if got := len(lines(t, filepath.Join(dir, "journal.jsonl"))); got != 2 {
		t.Fatalf("a new reason makes %d lines, want 2", got)
	}
}

func TestStepsAreToldWhenTheirEndIsKnown(t *testing.T) {
	j := open(t, t.TempDir())
	e := entry(1)
	e.Plan.Steps = []core.Step{
		{Kind: core.StepStop, Why: core.Reason{Code: "a", Text: "first"}},
		{Kind: core.StepPromote, Why: core.Reason{Code: "b", Text: "second"}},
	}
	j.Record(e)
	if got := j.Events(0); len(got) != 0 {
		t.Fatalf("steps that are not run yet are told: %v", got)
	}
	failed := e
	failed.Outcome = "promote: refused"
	j.Record(failed)
	j.Record(entry(2))
	if got, want := codes(j.Events(0)), []string{"stop", EventStepFailed}; !slices.Equal(got, want) {
		t.Fatalf("after a failure: %v, want %v", got, want)
	}
	e.At = start.Add(3 * time.Second)
	j.Record(e)
	again := e
	again.At = start.Add(4 * time.Second)
	j.Record(again)
	j.Record(entry(5))
	if got, want := codes(j.Events(0))[2:], []string{"stop", "promote"}; !slices.Equal(got, want) {
		t.Fatalf("two ticks with the same steps: %v, want %v", got, want)
	}
}

// TestEndedStepsAreToldAtOnce: and once, whatever tick comes next.
func TestEndedStepsAreToldAtOnce(t *testing.T) {
	j := open(t, t.TempDir())
	j.Ended() // nothing was recorded yet
	e := entry(1)
	e.Plan.Steps = []core.Step{{Kind: core.StepPromote, Why: core.Reason{Code: "b", Text: "second"}}}
	j.Record(e)
	changed := j.Changed()
	j.Ended()
	j.Ended()
	select {
	case <-changed:
	default:
		t.Error("nobody is told")
	}
	again := e
	again.At = start.Add(2 * time.Second)
	j.Record(again)
	j.Ended()
	j.Record(entry(3))
	if got, want := codes(j.Events(0)), []string{"promote"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestEventsOfChanges(t *testing.T) {
	members := []core.MemberRecord{{Name: "n1"}, {Name: "n2"}}
	base := entry(1)
	base.View.Store.Members = members
	for want, change := range map[string]func(*Entry){
		EventLeader:       func(e *Entry) { e.View.Store.Lease.Holder, e.View.Store.Lease.Term = "n2", 4 },
		EventReleased:     func(e *Entry) { e.View.Store.Lease.Released = true },
		EventSync:         func(e *Entry) { e.View.Store.Lease.Sync = core.SyncSet{Members: []string{"n2"}, K: 1} },
		EventOperation:    func(e *Entry) { e.View.Store.Operation = &core.Operation{ID: "x", Phase: core.PhaseRequested} },
		EventPaused:       func(e *Entry) { e.View.Store.Paused = true },
		EventMemberJoined: func(e *Entry) { e.View.Store.Members = append(slices.Clone(members), core.MemberRecord{Name: "n3"}) },
		EventMemberGone:   func(e *Entry) { e.View.Store.Members = members[:1] },
		EventOpen:         func(e *Entry) { e.View.Local.Instance.Primary = true },
		EventStreaming:    func(e *Entry) { e.View.Local.Instance.Streaming = true },
		EventExited:       func(e *Entry) { e.View.Local.Warden.ExitedAt = 7 },
		EventJobDone:      func(e *Entry) { e.View.Local.Job = core.Job{Kind: "clone", EndedAt: 7} },
		EventJobFailed:    func(e *Entry) { e.View.Local.Job = core.Job{Kind: "clone", EndedAt: 7, Err: "no space"} },
		EventRaised:       func(e *Entry) { e.Report.Conditions = []core.Condition{{Code: core.CondPaused}} },
	} {
		e := base
		change(&e)
		if got := codes(derive(base, e)); !slices.Equal(got, []string{want}) {
			t.Errorf("%s: got %v", want, got)
		}
		if got := codes(derive(e, e)); len(got) != 0 {
			t.Errorf("%s: no change gives %v", want, got)
		}
	}
	unread := base
	unread.View.Store = core.StoreView{}
	if got := derive(base, unread); len(got) != 0 {
		t.Errorf("a store that was not read is no change, got %v", got)
	}
}

// What one member was asked for can be followed by its id: begun, then done, or refused with the reason.
func TestRequestsAreEvents(t *testing.T) {
	for why, want := range map[core.Code]string{core.RequestDone: core.PhaseDone, "reinit_refused": core.PhaseAborted} {
		j := open(t, t.TempDir())
		j.Record(entry(1))
		asked := core.Request{ID: "r1", Kind: core.RequestReinit, Phase: core.PhaseRequested}
		begun := asked
		begun.Phase = core.PhaseStopping
		e := entry(2)
		e.View.Store.Request = &asked
		e.Plan.Steps = []core.Step{
			{Kind: core.StepPutRequest, Member: "n9", Request: &core.Request{ID: "r2"}}, // another's
			{Kind: core.StepPutRequest, Member: e.View.Self, Request: &begun},
		}
		j.Record(e)
		e = entry(3)
		e.View.Store.Request = &begun
		e.Plan.Steps = []core.Step{{Kind: core.StepEndRequest, Why: core.Reason{Code: why, Text: "because"}}}
		j.Record(e)
		j.Ended()
		var told []string
		for _, ev := range j.Events(0) {
			if ev.Code == EventRequest {
				told = append(told, ev.Operation+" "+ev.Phase)
			}
		}
		if !slices.Equal(told, []string{"r1 " + core.PhaseStopping, "r1 " + want}) {
			t.Errorf("%s: told %v", why, told)
		}
	}
}

func TestRestartContinues(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	j.Record(entry(1))
	taken := entry(2)
	taken.View.Store.Lease = core.LeaseRecord{Holder: "n2", Term: 4}
	j.Record(taken)
	j.Close()
	for _, name := range []string{"journal.jsonl", "events.jsonl"} { // the last line of a crash
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.WriteString(`{"at":"2026-`)
		f.Close()
	}
	j = open(t, dir)
	if got := codes(j.Events(0)); !slices.Contains(got, EventLeader) {
		t.Fatalf("after a restart: %v", got)
	}
	if j.Latest().View.Store.Lease.Term != 4 {
		t.Fatalf("latest after a restart: %+v", j.Latest().View.Store.Lease)
	}
	before := len(j.Events(0))
	taken.At = taken.At.Add(time.Second)
	j.Record(taken)
	if got := j.Events(0); len(got) != before {
		t.Fatalf("the same state after a restart is told again: %v", got[before:])
	}
	third := taken
	third.View.Store.Lease = core.LeaseRecord{Holder: "n1", Term: 5}
	third.At = third.At.Add(time.Second)
	j.Record(third)
	j.Close()
	if got := open(t, dir); len(got.Events(0)) <= before || got.Latest().View.Store.Lease.Term != 5 {
		t.Fatal("what is written after a cut line is lost")
	}
}

func TestNoSecrets(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	const secret = "AKIA-very-secret"
	parameters := map[string]string{"archive_command": "AWS_KEY=" + secret + " wal-g push", "custom.password": secret, "work_mem": "4MB"}
	e := entry(1)
	e.View.Local.Good = parameters
	e.View.Local.ConfKey = secret
	e.View.Store.Spec.Postgres.Parameters = parameters
	e.Plan.Steps = []core.Step{{Kind: core.StepConfigure, Conf: &core.Conf{Params: parameters}}}
	j.Record(e)
	j.Flush()
	text := strings.Join(lines(t, filepath.Join(dir, "journal.jsonl")), "")
	if strings.Contains(text, secret) || !strings.Contains(text, "4MB") {
		t.Fatalf("journal: %s", text)
	}
	if e.Plan.Steps[0].Conf.Params["archive_command"] != parameters["archive_command"] || !strings.Contains(parameters["archive_command"], secret) {
		t.Fatal("redaction changed what the agent goes on with")
	}
	for _, name := range []string{"journal.jsonl"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Fatalf("%s: %v %v", name, info.Mode(), err)
		}
	}
}

func TestRotation(t *testing.T) {
	f := &file{path: filepath.Join(t.TempDir(), "x.jsonl"), bytesMax: 1000, files: 3}
	defer f.close()
	for i := range 100 {
		if err := f.append(marshal(map[string]int{"number": i, "padding": 1000000000})); err != nil {
			t.Fatal(err)
		}
	}
	found, _ := filepath.Glob(f.path + "*")
	if len(found) != 3 {
		t.Fatalf("files: %v", found)
	}
	for _, name := range found {
		if info, _ := os.Stat(name); info.Size() > 1000 {
			t.Errorf("%s has %d bytes", name, info.Size())
		}
	}
	last := lines(t, f.path)
	var got struct{ Number int }
	if err := json.Unmarshal([]byte(last[len(last)-1]), &got); err != nil || got.Number != 99 {
		t.Fatalf("last line %s", last[len(last)-1])
	}
}

func TestBrokenDiskNeverStopsTheLoop(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	for _, f := range []*file{j.decisions, j.events} {
		f.path = filepath.Join(dir, "gone", "x.jsonl")
	}
	j.Record(entry(1))
	j.Flush()
	if dropped, err := j.Trouble(); dropped == 0 || err == nil {
		t.Fatalf("dropped %d, %v", dropped, err)
	}
	os.Mkdir(filepath.Join(dir, "gone"), 0o700)
	e := entry(2)
	e.Report.Role = "standby"
	j.Record(e)
	j.Flush()
	if len(lines(t, filepath.Join(dir, "gone", "x.jsonl"))) == 0 {
		t.Fatal("nothing is written when the disk is back")
	}
}

func TestHangingDiskNeverStopsTheLoop(t *testing.T) {
	j := &Journal{work: make(chan line, 2), done: make(chan struct{}), decisions: &file{}, events: &file{}} // nobody reads work
	for i := range 10 {
		e := entry(i)
		e.Report.Term = uint64(i)
		j.Record(e)
	}
	if dropped, _ := j.Trouble(); dropped != 8 {
		t.Fatalf("dropped %d of 10 with room for 2", dropped)
	}
}

func TestEntryRoundTrip(t *testing.T) {
	e := entry(1)
	data := marshal(e)
	var back Entry
	if err := json.Unmarshal(data, &back); err != nil || !bytes.Equal(marshal(back), data) {
		t.Fatalf("%v\n%s\n%s", err, data, marshal(back))
	}
}

// A fork is told when it is saved and when its tables have names, once each, also over a restart of
// the agent; a possible loss when the lease says it, and its end.
func TestForksAndLossesAreEvents(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	at := 0
	tick := func(kept core.Kept, lost ...core.Loss) {
		at++
		e := entry(at)
		e.View.Local.Kept, e.View.Store.Lease.Lost, e.Plan.Steps[0].Lease.Lost = kept, lost, lost
		j.Record(e)
	}
	loss := core.Loss{Member: "n2", Term: 2, From: e0, To: 0x6000}
	saved := core.Kept{Newest: "B", Text: "fork B"}
	named := core.Kept{Newest: "B", Text: "fork B; tables: t", Named: true}
	tick(core.Kept{Newest: "A", Text: "fork A"})
	tick(core.Kept{Newest: "A", Text: "fork A"}, loss)
	tick(saved, loss)
	tick(saved)
	tick(named)
	j.Close()
	j = open(t, dir)
	tick(named)
	tick(core.Kept{Newest: "A", Text: "fork A"})           // B was dropped
	tick(core.Kept{Newest: "0", Text: "fork 0", Count: 2}) // the clock was set back
	want := []string{EventLoss, EventForkSaved, EventLossSettled, EventForkNamed, EventForkSaved}
	events := j.Events(0)
	if got := codes(events); !slices.Equal(got, want) {
		t.Fatalf("events: %v", got)
	}
	if !events[0].Shared || !strings.Contains(events[0].Text, "n1 took over at 1:0/5000 from n2") || events[1].Text != "fork B" || !strings.Contains(events[3].Text, "tables: t") {
		t.Errorf("events: %+v", events)
	}
}

var e0 = wal.Position{Timeline: 1, LSN: 0x5000}

func TestDroppedForksAreEvents(t *testing.T) {
	j := open(t, t.TempDir())
	for i, id := range []string{"A", "B", "B"} {
		e := entry(i)
		e.Plan.Steps = []core.Step{{Kind: core.StepDropFork, ID: id, Why: core.Reason{Code: "removal", Text: "asked for by ada"}}}
		j.Record(e)
	}
	j.Record(entry(9))
	var texts []string
	for _, e := range j.Events(0) {
		texts = append(texts, e.Text)
	}
	if want := []string{"drop A: asked for by ada", "drop B: asked for by ada"}; !slices.Equal(texts, want) {
		t.Errorf("events: %v", texts)
	}
}
