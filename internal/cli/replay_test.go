package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
)

// decided is a decision as the agent writes it down: a member without records waits to be
// founded, then finds itself removed.
func decided(at int, term uint64, steps ...core.Step) journal.Entry {
	t := core.Instant(at) * core.Instant(time.Second)
	e := journal.Entry{At: now.Add(time.Duration(at) * time.Second), Began: 1, View: core.View{Now: t, Self: "n1", Store: core.StoreView{Known: true, ReadAt: t, Lease: core.LeaseRecord{Holder: "n1", Term: term}, LeaseRevision: int64(term)}}}
	e.Plan, _, e.Report = core.Decide(e.Memory, e.View)
	e.Plan.Steps = append(e.Plan.Steps, steps...)
	return e
}

func (c *cluster) journalFile(name string, entries ...journal.Entry) string {
	c.t.Helper()
	dir := filepath.Join(c.dir, name)
	j, err := journal.Open(dir)
	c.must(err)
	for _, e := range entries {
		j.Record(e)
	}
	j.Close()
	return filepath.Join(dir, "journal.jsonl")
}

func TestReplayTranscript(t *testing.T) {
	c := newCluster(t)
	slot := core.Step{Kind: core.StepCreateSlot, Slot: "x", Why: core.Reason{Code: "slot", Text: "n2 needs one"}}
	promote := core.Step{Kind: core.StepPromote, Why: core.Reason{Code: "promote"}}
	same := c.journalFile("same", decided(1, 3), decided(2, 4))
	other := c.journalFile("other", decided(1, 3), decided(2, 3, slot))
	broken := c.journalFile("broken", decided(1, 3, promote), decided(2, 2))
	text, err := os.ReadFile(same)
	c.must(err)
	cut, empty, events := filepath.Join(c.dir, "cut.jsonl"), filepath.Join(c.dir, "empty"), filepath.Join(c.dir, "events.jsonl")
	c.must(os.WriteFile(cut, text[:len(text)-9], 0o600))
	c.must(os.WriteFile(empty, nil, 0o600))
	c.must(os.WriteFile(events, []byte(`{"at":"2026-11-20T03:00:00Z","member":"n1","code":"promote"}`+"\n"), 0o600))
	c.transcript("replay", "replay "+same, "replay --all "+same, "replay "+other, "replay --strict "+other, "replay "+broken,
		"replay "+cut, "replay "+empty, "replay "+events, "replay "+c.dir+"/none", "replay "+c.dir, "replay")
}

// It is for the file of a bug report, on any machine: no configuration, no agent.
func TestReplayNeedsNothing(t *testing.T) {
	c := newCluster(t)
	text, err := os.ReadFile(c.journalFile("x", decided(1, 3), decided(2, 2)))
	c.must(err)
	stdout, stderr, code := run(string(text), "replay", "-", "--json", "--config", "/nowhere")
	var a ReplayAnswer
	if err := json.Unmarshal([]byte(stdout), &a); err != nil || code != ExitFailed || stderr != "" {
		t.Fatalf("%d %v %s%s", code, err, stdout, stderr)
	}
	if len(a.Decisions) != 1 || len(a.Decisions[0].Broken) != 1 || a.Decisions[0].Broken[0].ID != "I4" || a.Members[0].Violations != 1 || a.Files[0].Decisions != 2 {
		t.Errorf("%s", stdout)
	}
	if !strings.Contains(stdout, `"of": "both"`) {
		t.Errorf("%s", stdout)
	}
}

func TestRotatedFilesComeFirst(t *testing.T) {
	for given, want := range map[string]string{
		"journal.jsonl journal.jsonl.1 journal.jsonl.2":     "journal.jsonl.2 journal.jsonl.1 journal.jsonl",
		"n2/journal.jsonl n2/journal.jsonl.1 journal.jsonl": "n2/journal.jsonl.1 n2/journal.jsonl journal.jsonl",
		"b a - c.2":                        "b a - c.2",
		"x.jsonl.10 x.jsonl.9 x.jsonl.old": "x.jsonl.10 x.jsonl.9 x.jsonl.old",
	} {
		names := strings.Fields(given)
		if got := strings.Join(oldestFirst(names), " "); got != want || !slices.Equal(names, strings.Fields(given)) {
			t.Errorf("%s: %s, want %s", given, got, want)
		}
	}
}
