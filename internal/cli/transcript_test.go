package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/api"
	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/forks"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
	"github.com/pgherd/pgherd/internal/wal"
)

// drive plays the primary's part for one operation: it waits for it in the store and
// moves it through phases.
func (c *cluster) drive(phases ...core.Operation) {
	ctx, cancel := context.WithCancel(context.Background())
	hints := c.store.Watch(ctx, nil)
	done := make(chan struct{})
	c.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		for range hints {
			s, err := c.store.Snapshot(ctx)
			if err != nil {
				return
			}
			v, err := records.Decode(s, "n1")
			if err != nil || v.Operation == nil || v.Operation.Phase != core.PhaseRequested {
				continue
			}
			op, revision := *v.Operation, v.OperationRevision
			for _, p := range phases {
				op.Phase, op.Text, op.Certificate, op.Checks = p.Phase, p.Text, p.Certificate, p.Checks
				if p.To != "" {
					op.To = p.To
				}
				if revision, err = records.Put(ctx, c.store, records.KeyOperation, op, revision); err != nil {
					return
				}
			}
			return
		}
	}()
}

func TestStatusTranscript(t *testing.T) {
	c := newCluster(t)
	c.transcript("status-healthy", "status", "members")
	c.put(records.MemberPrefix+"w1", core.MemberRecord{Name: "w1", Ordinal: 4, Address: "10.0.0.9", Witness: true})
	c.known["w1"] = peer.Status{Name: "w1", Witness: true}
	delete(c.known, "n2")
	n3 := c.known["n3"]
	n3.Job = core.Job{Kind: "clone", Running: true, Percent: 45, Text: "of 1.2 GB"}
	n3.Decision.Conditions = []peer.Condition{{Code: core.CondPending, Severity: core.Info, Text: "a restart is needed for max_connections", Hint: "`pgherd restart`", Since: "2026-11-18T03:00:00Z"}}
	c.known["n3"] = n3
	n1 := c.known["n1"]
	n1.Decision.Conditions = []peer.Condition{{Code: core.CondDegraded, Severity: core.Warning, Text: "commits are kept on nobody besides the primary", Hint: "bring the missing standbys back", Since: "2026-11-20T02:57:50Z"}}
	c.known["n1"] = n1
	c.put(records.KeyOperation, core.Operation{ID: "x", Kind: core.OpRestart, Phase: core.PhaseRequested})
	c.transcript("status-trouble", "status", "members")
	var s api.ClusterStatus
	out, _, code := c.run("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || len(s.Members) != 4 {
		t.Fatalf("%d %v %s", code, err, out)
	}
}

// The endpoints of each host, where they lead, and what is wrong with them.
func TestStatusOfEndpointsTranscript(t *testing.T) {
	c := newCluster(t)
	for i, name := range []string{"n1", "n2", "n3"} {
		r := core.PoolerRecord{Name: name, Address: fmt.Sprintf("10.0.0.%d", i+1), RWPort: 6432, ROPort: 6433, Version: "1.25.2", Target: "n1", Readers: []string{"n2", "n3"}, Clients: 12 * i}
		if name == "n2" {
			r.Target, r.Text = "", "n1 holds the lease of term 4 and lets nobody in (connection refused): clients wait"
		}
		c.put(records.PoolerPrefix+name, r)
	}
	c.put(records.PoolerPrefix+"app1", core.PoolerRecord{Name: "app1", Address: "10.0.1.1", RWPort: 6432, ROPort: 6433, Target: "n1"})
	delete(c.known, "n3")
	c.transcript("status-endpoints", "status")
	var s api.ClusterStatus
	out, _, code := c.run("status", "--json")
	if err := json.Unmarshal([]byte(out), &s); err != nil || code != 0 || len(s.Endpoints) != 4 || s.Endpoints[1].RWPort != 6432 || s.Endpoints[1].PgBouncer != "1.25.2" {
		t.Fatalf("%d %v %s", code, err, out)
	}
}

func TestExplainTranscript(t *testing.T) {
	c := newCluster(t)
	n1, n2 := c.known["n1"], c.known["n2"]
	n1.Decision = peer.Decision{At: "2026-11-20T02:59:59.2Z", Steps: []peer.StepText{
		{Step: "put_lease", Why: core.Reason{Code: "renew", Text: "renewed for term 4"}},
		{Step: "create_slot", Why: core.Reason{Code: "slot_missing", Text: "n2 needs a slot"}},
	}, Failed: "create_slot: all replication slots are in use"}
	n2.Decision = peer.Decision{At: "2026-11-20T02:59:59.9Z",
		Reasons:    []core.Reason{{Code: "lease_held", Text: "n1 leads term 4"}},
		Conditions: []peer.Condition{{Code: core.CondNotStreaming, Severity: core.Warning, Text: "no WAL comes from n1"}}}
	c.known["n1"], c.known["n2"] = n1, n2
	delete(c.known, "n3")
	c.transcript("explain", "explain", "explain n2", "explain n9")
	c.transcript("explain-if-away", "explain --if n1=down", "explain --if n1=postgres")
	healthy := newCluster(t)
	healthy.put(records.KeyCluster, core.ClusterRecord{ID: clusterID, Name: "main", BootstrapBy: "n1", SystemID: "7"})
	healthy.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 4, Beat: 9, LSN: 0x5000000, Timeline: 2, Written: true, TTL: spec.Duration(5 * time.Second), Margin: spec.Duration(time.Second),
		Sync: core.SyncSet{Members: []string{"n2", "n3"}, K: 1}})
	for name, p := range healthy.known {
		p.Instance.SystemID, p.Instance.Control = "7", "in production"
		healthy.known[name] = p
	}
	healthy.transcript("explain-if", "explain --if n1=down", "explain --if n1=postgres", "explain --if store=down", "explain --if n2=cut,n1=down", "explain --if each",
		"explain --if n9=down", "explain --if n1", "explain n2 --if n1=down")
}

func TestEventsTranscript(t *testing.T) {
	c := newCluster(t)
	c.transcript("events-none", "events")
	e := journal.Entry{At: now, View: core.View{Self: "n1", Store: core.StoreView{Known: true, Lease: core.LeaseRecord{Holder: "n2", Term: 3}}}}
	c.journal.Record(e)
	e.At = now.Add(1234 * time.Millisecond)
	e.View.Store.Lease = core.LeaseRecord{Holder: "n1", Term: 4}
	e.Plan.Steps = []core.Step{{Kind: core.StepPromote, Why: core.Reason{Code: "took", Text: "holds the lease\nand all WAL"}}}
	c.journal.Record(e)
	e.At, e.Plan.Steps = e.At.Add(time.Second), nil
	e.View.Local.Instance.Primary = true
	c.journal.Record(e)
	c.transcript("events", "events", "events --limit 1", "events --limit 0")
}

func TestOperationTranscripts(t *testing.T) {
	c := newCluster(t)
	c.transcript("switchover-refused", "switchover n1", "switchover n9", "switchover --timeout -1s", "switchover --at 2020-01-01T00:00:00Z", "switchover --at tomorrow", "switchover --max-wait 2m", "restart n2 --max-wait 5s", "restart n2 --force", "switchover --dry-run --at 2099-01-01T00:00:00Z", "drain n9", "cancel", "failover n2", "failover", "restart n2 --pending", "remove n1", "reinit n1")
	// The phases in between may be too quick to be seen; their ends are not.
	hold := core.PoolerHold{Clients: 16, HeldMS: 118.2, DrainMS: 6.4}
	certificate := core.Certificate{Shutdown: 0x5000028, Received: wal.Position{Timeline: 1, LSN: 0x50000A0}, AheadMS: 640, HoldMS: 6.2, StopMS: 42, PromoteMS: 38, Poolers: []core.PoolerPart{{Name: "n3", PoolerHold: hold}}, Whole: true}
	c.drive(core.Operation{Phase: core.PhaseDone, To: "n2", Text: "n2 leads term 5", Certificate: certificate})
	stdout, stderr, code := c.run("switchover", "n2", "--reason", "a new kernel")
	want := "  n1 stopped at 0/5000028 (shutdown checkpoint); n2 had received 1:0/50000A0\n" +
		"  ahead of it 640 ms; hold 6 ms, stop and proof 42 ms, promotion 38 ms\n" +
		"  endpoint n3: 16 clients held for 118 ms (6 ms until no transaction was open), 0 dropped\n" +
		"  commits lost: 0\n"
	if code != ExitDone || !strings.HasPrefix(stdout, "switchover done in ") || !strings.Contains(stdout, ": n2 leads term 5\ncertificate of ") || !strings.Contains(stdout, " on n1: a new kernel\n") || !strings.HasSuffix(stdout, want) || !strings.Contains(stderr, "requested") {
		t.Errorf("done: %d %q %q", code, stdout, stderr)
	}
	checks := []core.Check{{Member: "n2", Name: "streaming", OK: true, Text: "streams"}, {Member: "n3", Name: "allowed", Text: "is tagged no_failover, or drained"}}
	c.drive(core.Operation{Phase: core.PhaseDone, To: "n2", Text: "n2 would take over from n1", Checks: checks, DryRun: true})
	stdout, _, code = c.run("switchover", "--dry-run")
	if code != ExitDone || !strings.Contains(stdout, "n3      allowed    no      is tagged no_failover, or drained\n") || !strings.HasSuffix(stdout, "n2 would take over from n1\n") {
		t.Errorf("dry run: %d %q", code, stdout)
	}
	c.drive(core.Operation{Phase: core.PhaseAborted, Text: "n2 is 99 bytes behind"})
	stdout, stderr, code = c.run("switchover", "n2", "--json")
	var r OperationResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != ExitFailed || r.Phase != core.PhaseAborted || !strings.Contains(stderr, "error: switchover was taken back: n2 is 99 bytes behind\nhint: ") {
		t.Errorf("aborted: %d %q %q", code, stdout, stderr)
	}
	c.transcript("mutations", "pause", "switchover", "resume", "reinit n2", "reinit n2", "drain n3", "drain n3", "drain n2", "undrain n3", "undrain n3", "remove n3")
}

// TestOutcomeTranscripts: what became of a change, with the exit code of its own command.
func TestOutcomeTranscripts(t *testing.T) {
	c := newCluster(t, func(b *api.Backend) { b.Now = func() time.Time { return now } })
	id := func(args ...string) string {
		stdout, stderr, code := c.run(append(args, "--json")...)
		var a api.Accepted
		if err := json.Unmarshal([]byte(stdout), &a); err != nil || code != 0 || a.ID == "" {
			t.Fatalf("%v: %d %v %s%s", args, code, err, stdout, stderr)
		}
		return a.ID
	}
	ctx := context.Background()
	c.drive(core.Operation{Phase: core.PhaseAborted, Text: "n2 is 99 bytes behind"})
	client := api.Local(api.SocketPath(c.m.StateDir))
	defer client.Close()
	op, err := client.Begin(ctx, api.OperationRequest{Kind: core.OpSwitchover})
	c.must(err)
	for op.Active() {
		op, err = client.Operation(ctx)
		c.must(err)
	}
	c.transcript("outcome", "outcome "+id("drain", "n3"), "outcome "+id("reinit", "n2"), "outcome "+op.ID, "outcome nothing", "outcome")
}

// TestOperationOutcomeUnknown: nobody drives it, and time is up.
func TestOperationOutcomeUnknown(t *testing.T) {
	c := newCluster(t)
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	a := &app{stdout: os.Stdout, stderr: &strings.Builder{}, now: time.Now, config: c.config}
	client, err := a.client()
	c.must(err)
	op, err := client.Begin(context.Background(), api.OperationRequest{Kind: core.OpSwitchover})
	c.must(err)
	_, err = a.follow(ctx, client, op, 0)
	if got := codeOf(err, 0); got != ExitUnknown || hintOf(err) != findOut {
		t.Fatalf("%d %v", got, err)
	}
}

// TestOperationWaitsForItsCheckpoint: a large one takes longer than a phase may. It is told, and nothing is given up for it.
func TestOperationWaitsForItsCheckpoint(t *testing.T) {
	c := newCluster(t)
	a := &app{stdout: os.Stdout, stderr: &strings.Builder{}, now: time.Now, config: c.config}
	client, err := a.client()
	c.must(err)
	op, err := client.Begin(context.Background(), api.OperationRequest{Kind: core.OpSwitchover})
	c.must(err)
	if flushing(context.Background(), client, op) {
		t.Error("nobody has begun a checkpoint")
	}
	n1 := c.known["n1"]
	n1.Decision.Reasons = []core.Reason{{Code: "checkpoint_running", Text: "checkpoint ahead of the stop"}}
	c.known["n1"] = n1
	if !flushing(context.Background(), client, op) {
		t.Error("the primary's checkpoint is not seen")
	}
	if op.Phase = core.PhaseHolding; flushing(context.Background(), client, op) {
		t.Error("clients are held, and a checkpoint is waited for")
	}
}

func TestConfigTranscripts(t *testing.T) {
	c := newCluster(t)
	c.transcript("config", "config show",
		"config set postgres.parameters.max_connections=200 --dry-run",
		"config set postgres.parameters.max_connections=200 durability=async",
		"config set postgres.parameters.max_connections=200",
		"config set postgres.parameters.archive_command=true",
		"config set leese.ttl=3s", "config set lease.ttl=1s", "config set x", "config set", "config")
}

func TestConfigEdit(t *testing.T) {
	c := newCluster(t)
	script := filepath.Join(c.dir, "editor")
	write := func(text string) { c.must(os.WriteFile(script, []byte("#!/bin/sh\n"+text), 0o755)) }
	t.Setenv("VISUAL", "")
	t.Setenv("EDITOR", script)
	write(`sed -i 's/max_connections: 100/max_connections: 300/' "$1"`)
	edit := func(answer string) (string, string, int) {
		return runWith(stdin(t, answer), "config", "edit", "--config", c.config)
	}
	if stdout, stderr, code := edit("n\n"); code != ExitRefused || stdout != "" || !strings.Contains(stderr, "restart: ") {
		t.Errorf("no: %d %q %q", code, stdout, stderr)
	}
	if stdout, stderr, code := edit("y\n"); code != ExitDone || !strings.HasPrefix(stdout, "changed; `pgherd restart`") {
		t.Errorf("yes: %d %q %q", code, stdout, stderr)
	}
	if stdout, _, code := edit(""); code != ExitDone || stdout != "no change\n" {
		t.Errorf("nothing edited: %d %q", code, stdout)
	}
	write(`echo 'leese: {}' > "$1"`)
	if _, stderr, code := edit(""); code != ExitRefused || !strings.Contains(stderr, `unknown key "leese"`) {
		t.Errorf("wrong: %d %q", code, stderr)
	}
	write("exit 1")
	if _, stderr, code := edit(""); code != ExitFailed || !strings.Contains(stderr, "the editor failed") {
		t.Errorf("editor failed: %d %q", code, stderr)
	}
}

// stdin is a real file, as a terminal is: the editor gets it too, and reads none of it.
func stdin(t *testing.T, text string) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	_, _ = w.WriteString(text)
	w.Close()
	return r
}

func TestUsageTranscript(t *testing.T) {
	c := newCluster(t)
	c.transcript("usage", "dance", "statu", "token dance", "status now", "status --fast", "token", "remove", "version")
}

func TestNoAgent(t *testing.T) {
	c := newCluster(t)
	gone := filepath.Join(c.dir, "other.yaml")
	m := c.m
	m.StateDir = filepath.Join(c.dir, "gone")
	c.must(os.WriteFile(gone, m.YAML(), 0o644))
	for _, args := range [][]string{{"status"}, {"pause"}} {
		stdout, stderr, code := run("", append(args, "--config", gone)...)
		if code != ExitFailed || stdout != "" || !strings.Contains(stderr, "no agent answers") || !strings.Contains(stderr, "hint: start it with `pgherd run`") {
			t.Errorf("%v: %d %q %q", args, code, stdout, stderr)
		}
	}
	if _, stderr, code := run("", "status", "--config", filepath.Join(c.dir, "none.yaml")); code != ExitFailed || !strings.Contains(stderr, "pgherd init") {
		t.Errorf("no file: %d %q", code, stderr)
	}
	c.must(os.WriteFile(gone, append(m.YAML(), "adress: x\n"...), 0o644))
	if _, stderr, code := run("", "status", "--config", gone); code != ExitFailed || !strings.Contains(stderr, "at line ") || !strings.Contains(stderr, `hint: did you mean "address"?`) {
		t.Errorf("wrong file: %d %q", code, stderr)
	}
}

func TestLostAnswerIsUnknownOutcome(t *testing.T) {
	if got := codeOf(mutation(api.ErrLost), 0); got != ExitUnknown {
		t.Errorf("a mutation without an answer: %d", got)
	}
	if got := report(&strings.Builder{}, &api.Problem{Code: api.CodeUnknownOutcome, Status: 504}); got != ExitUnknown {
		t.Errorf("the agent does not know: %d", got)
	}
	if got := report(&strings.Builder{}, &api.Problem{Code: api.CodeUnavailable, Status: 503}); got != ExitFailed {
		t.Errorf("no store: %d", got)
	}
}

func TestForksTranscript(t *testing.T) {
	at := time.Date(2026, 11, 25, 19, 0, 0, 0, time.UTC)
	s := forks.Summary{
		ID: "20261125T190000Z-tl1", Member: "n1", SavedAt: at, Timeline: 1, From: wal.Position{Timeline: 1, LSN: 0x5000060}, To: wal.Position{Timeline: 1, LSN: 0x5100000}, Bytes: 1048480,
		Committed: 1, Aborted: 1, Acked: true, Complete: true, Named: true, Files: []string{"000000010000000000000005"},
		Transactions: []forks.Transaction{{XID: 742, At: "2026-11-25 18:59:58.123456 UTC"}, {XID: 743, At: "2026-11-25 18:59:59.000000 UTC", Aborted: true}},
		Relations: []forks.Relation{
			{Tablespace: 1663, Database: 16384, Filenode: 16385, Records: 12, Name: "app.public.accounts", Kind: "table"},
			{Tablespace: 1663, Database: 16384, Filenode: 16388, Records: 9, Name: "app.public.accounts_pkey", Kind: "index", Of: "app.public.accounts"},
			{Tablespace: 1663, Database: 16384, Filenode: 16400, Records: 3, Created: true},
		},
	}
	part := s
	part.ID, part.SavedAt, part.From, part.Complete, part.Missing, part.Named, part.Relations = "20261126T190000Z-tl3", at.Add(24*time.Hour), wal.Position{}, false, []string{"the WAL is not there"}, false, nil
	c := newCluster(t, func(b *api.Backend) {
		b.Forks = func(context.Context) ([]api.ForkEntry, error) {
			return []api.ForkEntry{api.EntryOf(s, "/state/forks/"+s.ID, 16<<20), api.EntryOf(part, "/state/forks/"+part.ID, 32<<20),
				{ID: "n1/aside-20261127T190000Z", Kind: api.ForkData, Member: "n1", SavedAt: at.Add(48 * time.Hour), Path: "/data.aside-20261127T190000Z", DiskBytes: 1 << 30}}, nil
		}
		b.Fork = func(string) (forks.Summary, error) { return s, nil }
	})
	c.transcript("forks", "forks", "forks n1", "forks show n1/20261125T190000Z-tl1", "forks show n1/aside-20261127T190000Z", "forks remove n1/20261125T190000Z-tl1",
		"forks show x", "forks show n1/x", "forks remove n9/x", "forks n9")
	var f api.Forks
	out, _, code := c.run("forks", "n1", "--json")
	if err := json.Unmarshal([]byte(out), &f); err != nil || code != 0 || len(f.Forks) != 3 || f.Forks[0].Tables[0] != "app.public.accounts" {
		t.Fatalf("%d %v %s", code, err, out)
	}
}
