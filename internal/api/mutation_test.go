package api

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

func codeOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func TestOperations(t *testing.T) {
	active := core.Operation{ID: "a", Kind: core.OpSwitchover, Phase: core.PhaseStopping}
	released := core.LeaseRecord{Holder: "n1", Term: 4, Released: true}
	for name, c := range map[string]struct {
		prepare func(*fixture)
		request OperationRequest
		want    string // code
	}{
		"switchover":       {nil, OperationRequest{Kind: "switchover"}, ""},
		"switchover to n2": {nil, OperationRequest{Kind: "switchover", To: "n2"}, ""},
		"to the primary":   {nil, OperationRequest{Kind: "switchover", To: "n1"}, "already_primary"},
		"to nobody known":  {nil, OperationRequest{Kind: "switchover", To: "n9"}, "no_such_member"},
		"to a witness":     {func(f *fixture) { f.put("members/n2", core.MemberRecord{Name: "n2", Witness: true}) }, OperationRequest{Kind: "switchover", To: "n2"}, "is_witness"},
		"to one that must not": {func(f *fixture) {
			f.put("members/n2", core.MemberRecord{Name: "n2", Tags: spec.Tags{NoFailover: true}})
		}, OperationRequest{Kind: "switchover", To: "n2"}, "no_failover"},
		"without a primary":        {func(f *fixture) { f.put("lease", released) }, OperationRequest{Kind: "switchover"}, "no_leader"},
		"one at a time":            {func(f *fixture) { f.put("operation", active) }, OperationRequest{Kind: "switchover"}, "operation_active"},
		"paused":                   {func(f *fixture) { f.put("pause", core.PauseRecord{}) }, OperationRequest{Kind: "switchover"}, "paused"},
		"after an ended one":       {func(f *fixture) { f.put("operation", core.Operation{ID: "a", Phase: core.PhaseDone}) }, OperationRequest{Kind: "switchover"}, ""},
		"unknown kind":             {nil, OperationRequest{Kind: "dance"}, CodeBadRequest},
		"timeout":                  {nil, OperationRequest{Kind: "switchover", TimeoutMS: -1}, CodeBadRequest},
		"failover with a leader":   {nil, OperationRequest{Kind: "failover", To: "n2", Force: true}, "has_leader"},
		"failover to whom":         {nil, OperationRequest{Kind: "failover", Force: true}, CodeBadRequest},
		"failover":                 {func(f *fixture) { delete(f.known, "n1") }, OperationRequest{Kind: "failover", To: "n2", Force: true}, ""},
		"failover without force":   {func(f *fixture) { delete(f.known, "n1") }, OperationRequest{Kind: "failover", To: "n2"}, "force_needed"},
		"failover to a silent one": {func(f *fixture) { f.put("lease", released); delete(f.known, "n2") }, OperationRequest{Kind: "failover", To: "n2", Force: true}, "unreachable"},
		"dry run":                  {nil, OperationRequest{Kind: "switchover", DryRun: true}, ""},
		"planned":                  {nil, OperationRequest{Kind: "switchover", At: time.Now().Add(time.Hour).Format(time.RFC3339)}, ""},
		"planned too far ahead":    {nil, OperationRequest{Kind: "switchover", At: time.Now().Add(999 * time.Hour).Format(time.RFC3339)}, CodeBadRequest},
		"beside a planned one":     {func(f *fixture) { f.put("operation", core.Operation{ID: "a", Phase: core.PhaseScheduled}) }, OperationRequest{Kind: "switchover"}, "operation_scheduled"},
		"waits too long":           {nil, OperationRequest{Kind: "switchover", MaxWaitMS: 60_001}, CodeBadRequest},
		"waits as long as the endpoints do": {func(f *fixture) {
			f.put(records.PoolerPrefix+"n1", core.PoolerRecord{Name: "n1"})
		}, OperationRequest{Kind: "switchover", MaxWaitMS: 25_000}, CodeBadRequest},
		"waits less": {func(f *fixture) {
			f.put(records.PoolerPrefix+"n1", core.PoolerRecord{Name: "n1"})
		}, OperationRequest{Kind: "switchover", MaxWaitMS: 20_000}, ""},
		"waits without endpoints":      {nil, OperationRequest{Kind: "switchover", MaxWaitMS: 25_000}, ""},
		"rolling restart with a wait":  {nil, OperationRequest{Kind: "restart", Pending: true, Rolling: true, MaxWaitMS: 5000, Force: true, Reason: "settings"}, ""},
		"restart in place with a wait": {nil, OperationRequest{Kind: "restart", Pending: true, MaxWaitMS: 5000}, CodeBadRequest},
		"a long reason":                {nil, OperationRequest{Kind: "switchover", Reason: strings.Repeat("x", 201)}, CodeBadRequest},
		"rolling switchover":           {nil, OperationRequest{Kind: "switchover", Rolling: true}, CodeBadRequest},
		"dry run of a restart":         {nil, OperationRequest{Kind: "restart", Pending: true, DryRun: true}, CodeBadRequest},
		"planned failover":             {nil, OperationRequest{Kind: "failover", To: "n2", Force: true, At: "2099-01-01T00:00:00Z"}, CodeBadRequest},
		"rolling restart":              {nil, OperationRequest{Kind: "restart", Pending: true, Rolling: true}, ""},
		"restart pending":              {nil, OperationRequest{Kind: "restart", Pending: true}, ""},
		"restart nobody":               {nil, OperationRequest{Kind: "restart"}, CodeBadRequest},
		"restart both":                 {nil, OperationRequest{Kind: "restart", Pending: true, Queue: []string{"n2"}}, CodeBadRequest},
		"restart unknown":              {nil, OperationRequest{Kind: "restart", Queue: []string{"n9"}}, "no_such_member"},
		"restart twice":                {nil, OperationRequest{Kind: "restart", Queue: []string{"n2", "n2"}}, CodeBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			if c.prepare != nil {
				c.prepare(f)
			}
			before := f.revision(records.KeyOperation)
			op, err := f.local().Begin(context.Background(), c.request)
			if got := codeOf(err); got != c.want {
				t.Fatalf("%v, want code %q", err, c.want)
			}
			if c.want != "" && f.revision(records.KeyOperation) != before {
				t.Fatal("a refusal wrote the operation")
			}
			var written core.Operation
			if c.want == "" && (!f.get(records.KeyOperation, &written) || written.ID != op.ID || written.Phase != phaseOf(c.request) || !strings.HasPrefix(written.By, "uid ")) {
				t.Fatalf("written: %+v", written)
			}
		})
	}
}

func phaseOf(r OperationRequest) string {
	if r.At != "" {
		return core.PhaseScheduled
	}
	return core.PhaseRequested
}

// A member that is drained has no role to every rule; the primary hands over, and what would leave nobody is refused.
func TestDrain(t *testing.T) {
	f := newFixture(t)
	ctx, c := context.Background(), f.local()
	a, err := c.Drain(ctx, "n2", DrainRequest{})
	if err != nil || a.Kind != "" {
		t.Fatalf("a standby: %+v %v", a, err)
	}
	s, err := f.store.Snapshot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	v, err := records.Decode(s, "n1")
	if err != nil || !reflect.DeepEqual(v.Drained, []string{"n2"}) {
		t.Fatalf("%v %v", v.Drained, err)
	}
	for _, m := range v.Members {
		if drained := m.Name == "n2"; m.Tags.NoFailover != drained || m.Tags.NoSync != drained {
			t.Errorf("%s has tags %+v", m.Name, m.Tags)
		}
	}
	if _, err := c.Begin(ctx, OperationRequest{Kind: "switchover", To: "n2"}); codeOf(err) != "drained" {
		t.Errorf("switchover to it: %v", err)
	}
	if a, err = c.Drain(ctx, "n1", DrainRequest{MaxWaitMS: 5000}); err != nil || a.Kind != core.OpSwitchover {
		t.Fatalf("the primary: %+v %v", a, err)
	}
	var op core.Operation
	if !f.get(records.KeyOperation, &op) || op.ID != a.ID || op.Kind != core.OpSwitchover || op.From != "n1" || op.MaxWaitMS != 5000 || op.Reason != "n1 is drained" {
		t.Fatalf("written: %+v", op)
	}
	if _, err = c.Drain(ctx, "n3", DrainRequest{}); codeOf(err) != "last_candidate" {
		t.Errorf("the last one that may lead: %v", err)
	}
	if _, err = c.Undrain(ctx, "n2"); err != nil {
		t.Error(err)
	}
	f.put(records.KeySpec, spec.Cluster{Durability: spec.DurabilitySync, SyncStandbys: 2, Strict: true})
	if _, err = c.Drain(ctx, "n3", DrainRequest{}); codeOf(err) != "strict" {
		t.Errorf("of a strict cluster: %v", err)
	}
}

func TestCancel(t *testing.T) {
	f := newFixture(t)
	ctx, c := context.Background(), f.local()
	if _, err := c.Cancel(ctx); codeOf(err) != "no_operation" {
		t.Errorf("nothing: %v", err)
	}
	op, err := c.Begin(ctx, OperationRequest{Kind: "switchover", At: time.Now().Add(time.Hour).Format(time.RFC3339)})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.Cancel(ctx); err != nil || a.ID == op.ID || !strings.Contains(a.Text, op.ID) {
		t.Errorf("%+v %v", a, err)
	}
	if _, err := c.Begin(ctx, OperationRequest{Kind: "switchover"}); err != nil {
		t.Errorf("after it: %v", err)
	}
	if _, err := c.Cancel(ctx); codeOf(err) != "operation_active" {
		t.Errorf("what has begun: %v", err)
	}
}

func TestOperationDetails(t *testing.T) {
	f := newFixture(t)
	if _, err := f.local().Operation(context.Background()); codeOf(err) != "no_operation" {
		t.Fatalf("before any: %v", err)
	}
	op, err := f.remote(pair(t, f.ca, "n2")).Begin(context.Background(), OperationRequest{Kind: "restart", Queue: []string{"n1", "n3", "n2"}, TimeoutMS: 5000})
	if err != nil || !reflect.DeepEqual(op.Queue, []string{"n3", "n2", "n1"}) || op.By != "n2" || op.TimeoutMS != 5000 {
		t.Fatalf("%+v %v: the primary must come last", op, err)
	}
	now, err := f.local().Operation(context.Background())
	if err != nil || now.ID != op.ID {
		t.Fatalf("%+v %v", now, err)
	}
}

func TestRequests(t *testing.T) {
	f := newFixture(t)
	ctx, c := context.Background(), f.local()
	for _, x := range []struct{ member, kind, want string }{
		{"n1", core.RequestReinit, "is_primary"},
		{"n9", core.RequestReinit, "no_such_member"},
		{"n2", "dance", CodeBadRequest},
		{"n2", core.RequestReinit, ""},
		{"n2", core.RequestRestart, "request_open"},
		{"n1", core.RequestRestart, ""},
	} {
		if _, err := c.Request(ctx, x.member, x.kind); codeOf(err) != x.want {
			t.Errorf("%s of %s: %v, want %q", x.kind, x.member, err, x.want)
		}
	}
	var r core.Request
	if !f.get(records.RequestPrefix+"n2", &r) || r.Kind != core.RequestReinit || r.Phase != core.PhaseRequested || r.ID == "" {
		t.Fatalf("written: %+v", r)
	}
	f.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Term: 4, Released: true})
	if _, err := c.Request(ctx, "n3", core.RequestReinit); codeOf(err) != "no_leader" {
		t.Errorf("reinit without a primary: %v", err)
	}
}

func TestRemove(t *testing.T) {
	var votesOf []string
	f := newFixture(t, func(b *Backend) {
		b.RemoveVoter = func(_ context.Context, name string) error { votesOf = append(votesOf, name); return nil }
	})
	ctx, c := context.Background(), f.local()
	for name, want := range map[string]string{"n1": "is_primary", "n9": "no_such_member"} {
		if _, err := c.Remove(ctx, name); codeOf(err) != want {
			t.Errorf("remove %s: %v, want %q", name, err, want)
		}
	}
	delete(f.known, "n3")
	if _, err := c.Remove(ctx, "n2"); codeOf(err) != "no_majority" {
		t.Errorf("removing the living while n3 is gone: %v", err)
	}
	if _, err := c.Remove(ctx, "n3"); err != nil {
		t.Fatalf("removing the one that is gone: %v", err)
	}
	if f.get(records.MemberPrefix+"n3", &core.MemberRecord{}) || !reflect.DeepEqual(votesOf, []string{"n3"}) {
		t.Fatalf("record or vote is left: %v", votesOf)
	}
	if _, err := c.Remove(ctx, "n2"); err != nil {
		t.Fatal(err)
	}
	f.put(records.KeyLease, core.LeaseRecord{Holder: "n1", Released: true})
	if _, err := c.Remove(ctx, "n1"); codeOf(err) != "last_member" {
		t.Errorf("removing the last member: %v", err)
	}
}

func TestPause(t *testing.T) {
	f := newFixture(t)
	ctx, c := context.Background(), f.local()
	for range 2 { // both are idempotent
		if _, err := c.Pause(ctx); err != nil || !f.get(records.KeyPause, &core.PauseRecord{}) {
			t.Fatalf("pause: %v", err)
		}
	}
	for range 2 {
		if _, err := c.Resume(ctx); err != nil || f.get(records.KeyPause, &core.PauseRecord{}) {
			t.Fatalf("resume: %v", err)
		}
	}
}

func TestSpec(t *testing.T) {
	var tried []map[string]string
	f := newFixture(t, func(b *Backend) {
		b.TryParameters = func(_ context.Context, p map[string]string) error {
			tried = append(tried, p)
			if p["work_mem"] == "many" {
				return errors.New(`invalid value for parameter "work_mem"`)
			}
			return nil
		}
	})
	ctx, c := context.Background(), f.local()
	d, err := c.Spec(ctx)
	if err != nil || !reflect.DeepEqual(d.Spec, spec.DefaultCluster()) {
		t.Fatalf("%+v %v", d, err)
	}
	set := func(path, value string) string {
		next := d.Spec
		next.Postgres.Parameters = map[string]string{"max_connections": "100"}
		if name, ok := strings.CutPrefix(path, "postgres.parameters."); ok {
			next.Postgres.Parameters[name] = value
		}
		return string(next.YAML())
	}
	for name, x := range map[string]struct {
		change SpecChange
		want   string
	}{
		"old revision":        {SpecChange{d.Revision - 1, d.YAML}, "spec_changed"},
		"not YAML":            {SpecChange{d.Revision, "lease: ["}, "spec_invalid"},
		"unknown key":         {SpecChange{d.Revision, "leese: {}"}, "spec_invalid"},
		"a command":           {SpecChange{d.Revision, set("postgres.parameters.archive_command", "rm -rf /")}, "spec_invalid"},
		"PostgreSQL dislikes": {SpecChange{d.Revision, set("postgres.parameters.work_mem", "many")}, "parameters_rejected"},
	} {
		if _, err := c.PutSpec(ctx, x.change, false); codeOf(err) != x.want {
			t.Errorf("%s: %v, want %q", name, err, x.want)
		}
	}
	if f.revision(records.KeySpec) != d.Revision {
		t.Fatal("a refusal wrote the spec")
	}
	good := SpecChange{d.Revision, set("postgres.parameters.max_connections", "200")}
	dry, err := c.PutSpec(ctx, good, true)
	if err != nil || len(dry.Changes) == 0 || f.revision(records.KeySpec) != d.Revision {
		t.Fatalf("dry run: %+v %v", dry, err)
	}
	done, err := c.PutSpec(ctx, good, false)
	if err != nil || done.Revision != f.revision(records.KeySpec) || done.Revision == d.Revision || !reflect.DeepEqual(done.Changes, dry.Changes) {
		t.Fatalf("change: %+v %v", done, err)
	}
	if _, err := c.PutSpec(ctx, good, false); codeOf(err) != "spec_changed" {
		t.Errorf("the same change again: %v", err)
	}
	if len(tried) == 0 {
		t.Error("PostgreSQL was never asked")
	}
}

// down is a store that does not answer.
type down struct{ store.Store }

func (down) Snapshot(context.Context) (store.Snapshot, error) {
	return store.Snapshot{}, store.ErrUnavailable
}

// mute reads, but its writes have no answer.
type mute struct{ store.Store }

func (mute) Put(context.Context, string, []byte, int64) (int64, error) {
	return 0, store.ErrUnavailable
}

func TestStoreTrouble(t *testing.T) {
	ctx := context.Background()
	f := newFixture(t, func(b *Backend) { b.Store = mute{b.Store} })
	for name, call := range map[string]func() error{
		"operation": func() error { _, err := f.local().Begin(ctx, OperationRequest{Kind: "switchover"}); return err },
		"pause":     func() error { _, err := f.local().Pause(ctx); return err },
		"token":     func() error { _, err := f.local().Token(ctx, time.Hour, false); return err },
	} {
		if err := call(); codeOf(err) != CodeUnknownOutcome {
			t.Errorf("%s without an answer: %v", name, err)
		}
	}
	g := newFixture(t, func(b *Backend) { b.Store = down{b.Store} })
	if _, err := g.local().Pause(ctx); codeOf(err) != CodeUnavailable {
		t.Errorf("a mutation without the store: %v", err)
	}
	g.known["n1"] = peer.Status{Name: "n1"}
	s, err := g.local().Status(ctx)
	if err != nil || s.ID != clusterID || len(s.Conditions) != 1 || s.Conditions[0].Code != core.CondNoQuorum {
		t.Errorf("status without the store: %+v %v", s, err)
	}
}
