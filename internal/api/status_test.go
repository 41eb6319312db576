package api

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store/mem"
	"github.com/pgherd/pgherd/internal/store/records"
)

// TestVotesAreThoseThatAreCast: who is to vote in the store and does not yet is shown as that, counts for nothing in what if, and
// is named where it is waited for.
func TestVotesAreThoseThatAreCast(t *testing.T) {
	names, known := []string{"n1", "n2"}, true
	f := newFixture(t, func(b *Backend) { b.Voting = func() ([]string, bool) { return names, known } })
	ctx, c := context.Background(), f.local()
	s, err := c.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range s.Members {
		if m.Voter != (m.Name != "n3") {
			t.Errorf("%s: voter %v", m.Name, m.Voter)
		}
	}
	if e, err := c.Endpoints(ctx); err != nil || !slices.Equal(e.NotVoting, []string{"n3"}) {
		t.Errorf("not voting: %v %v", e.NotVoting, err)
	}
	if a, err := c.WhatIf(ctx, "n1=down"); err != nil || a[0].Leader != "" {
		t.Errorf("one of two votes is gone, and %+v leads: %v", a, err)
	}
	names = nil
	known = false // not asked yet
	if e, err := c.Endpoints(ctx); err != nil || len(e.NotVoting) != 3 {
		t.Errorf("not known: %v %v", e.NotVoting, err)
	}
}

// TestStatusShape holds the JSON against what scripts were promised.
func TestStatusShape(t *testing.T) {
	at := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	f := newFixture(t, func(b *Backend) { b.Now = func() time.Time { return at } })
	delete(f.known, "n3")
	var got json.RawMessage
	if err := f.local().call(context.Background(), http.MethodGet, "/v1/status", nil, &got); err != nil {
		t.Fatal(err)
	}
	const want = `{"cluster":"main","id":"0b6ad7f1-6b1b-4c1e-9d5e-0a4f3c7a9d11","term":4,"members":[` +
		`{"name":"n1","role":"primary","state":"running","timeline":2,"lsn":"0/5000000","lag_bytes":0,"address":"127.0.0.1","port":5432,"postgres_pid":100,"api":"127.0.0.1:1","voter":true,"conditions":[]},` +
		`{"name":"n2","role":"standby","state":"streaming","timeline":2,"lsn":"0/4FFFF00","lag_bytes":256,"address":"127.0.0.1","port":5433,"postgres_pid":101,"api":"127.0.0.1:2","voter":true,"conditions":[]},` +
		`{"name":"n3","role":"standby","state":"unreachable","timeline":0,"lsn":"0/0","lag_bytes":null,"address":"127.0.0.1","port":5434,"postgres_pid":0,"api":"127.0.0.1:3","voter":true,"conditions":[]}],` +
		`"conditions":[{"code":"member_unreachable","severity":"warning","text":"n3 does not answer","hint":"start pgherd on that member, or repair the network to it; ` + "`pgherd remove`" + ` if it is gone for good","since":""}],"at":"2026-11-28T09:00:00Z","sync":{}}`
	if string(got) != want {
		t.Fatalf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStates(t *testing.T) {
	for want, c := range map[string]struct {
		role string
		said peer.Status
	}{
		StateCloning:     {RoleStandby, peer.Status{Job: core.Job{Kind: "clone", Running: true}}},
		StateRewinding:   {RoleStandby, peer.Status{Job: core.Job{Kind: "rewind", Running: true}}},
		StateStarting:    {RolePrimary, peer.Status{Instance: core.Instance{State: core.StateRunning, Streaming: true}}}, // being promoted
		StateStreaming:   {RoleStandby, peer.Status{Instance: core.Instance{State: core.StateRunning, Streaming: true}}},
		StateRunning:     {RoleStandby, peer.Status{Instance: core.Instance{State: core.StateRunning}}},
		StateStopped:     {RoleStandby, peer.Status{Instance: core.Instance{State: core.StateStopped}, Job: core.Job{Kind: "clone", Err: "x"}}},
		StateUnreachable: {RoleStandby, peer.Status{Instance: core.Instance{State: core.StateUnknown}}},
	} {
		if got := state(c.role, c.said); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	if got := state(RoleWitness, peer.Status{}); got != StateRunning {
		t.Errorf("witness: %s", got)
	}
}

func TestConditionsAreSaidOnce(t *testing.T) {
	f := newFixture(t)
	say := func(name string, list ...peer.Condition) {
		s := f.known[name]
		s.Decision.Conditions = list
		f.known[name] = s
	}
	say("n1", peer.Condition{Code: core.CondNoLeader, Since: "2026-11-20T03:00:05Z"}, peer.Condition{Code: core.CondPending, Text: "mine"})
	say("n2", peer.Condition{Code: core.CondNoLeader, Since: "2026-11-20T03:00:01Z"}, peer.Condition{Code: core.CondMemberDown, Text: "n3 does not answer: refused", Since: "2026-11-20T03:00:00Z"})
	delete(f.known, "n3")
	s, err := f.local().Status(context.Background())
	if err != nil || len(s.Conditions) != 2 {
		t.Fatalf("%+v %v", s.Conditions, err)
	}
	if s.Conditions[0].Since != "2026-11-20T03:00:01Z" || s.Conditions[1].Since != "2026-11-20T03:00:00Z" {
		t.Errorf("the earliest start counts: %+v", s.Conditions)
	}
	if len(s.Members[0].Conditions) != 1 || s.Members[0].Conditions[0].Text != "mine" || len(s.Members[1].Conditions) != 0 {
		t.Errorf("members' own conditions: %+v", s.Members)
	}
}

// What the agent's watch raises is shown too: of a member that decided wrongly, and of the
// cluster, once, however many members see two primaries.
func TestBrokenInvariantsAreShown(t *testing.T) {
	f := newFixture(t)
	for _, name := range []string{"n1", "n2"} {
		s := f.known[name]
		s.Decision.Conditions = []peer.Condition{{Code: core.CondInvariant, Text: name}, {Code: core.CondTwoPrimaries, Since: "2026-11-20T03:00:01Z"}}
		f.known[name] = s
	}
	s, err := f.local().Status(context.Background())
	if err != nil || len(s.Conditions) != 1 || s.Conditions[0].Code != core.CondTwoPrimaries {
		t.Fatalf("%+v %v", s.Conditions, err)
	}
	for _, m := range s.Members[:2] {
		if len(m.Conditions) != 1 || m.Conditions[0].Text != m.Name {
			t.Errorf("%s: %+v", m.Name, m.Conditions)
		}
	}
}

func TestExplain(t *testing.T) {
	f := newFixture(t)
	n2 := f.known["n2"]
	n2.Decision = peer.Decision{At: "2026-11-20T03:00:00Z", Reasons: []core.Reason{{Code: "waits", Text: "for n1"}}}
	f.known["n2"] = n2
	delete(f.known, "n3")
	all, err := f.local().Explain(context.Background(), "")
	if err != nil || len(all) != 3 || all[1].Decision.Reasons[0].Code != "waits" || !all[2].Unreachable {
		t.Fatalf("%+v %v", all, err)
	}
	one, err := f.local().Explain(context.Background(), "n2")
	if err != nil || len(one) != 1 || one[0].Member != "n2" {
		t.Fatalf("%+v %v", one, err)
	}
	if _, err := f.local().Explain(context.Background(), "n9"); codeOf(err) != "no_such_member" {
		t.Fatalf("%v", err)
	}
}

// TestExplainWithoutAnyRecord: a member that never read the store still says what it waits for.
func TestExplainWithoutAnyRecord(t *testing.T) {
	f := newFixture(t, func(b *Backend) { b.Store = mem.New() })
	n1 := f.known["n1"]
	n1.Decision = peer.Decision{At: "2026-11-20T03:00:00Z", Reasons: []core.Reason{{Code: "store_unknown", Text: "never read"}}}
	clear(f.known)
	f.known["n1"] = n1
	all, err := f.local().Explain(context.Background(), "")
	if err != nil || len(all) != 1 || all[0].Member != "n1" || all[0].Decision.Reasons[0].Code != "store_unknown" {
		t.Fatalf("%+v %v", all, err)
	}
}

// TestEventsOfAllMembers runs two servers and asks one.
func TestEventsOfAllMembers(t *testing.T) {
	at := time.Date(2026, 11, 20, 3, 0, 0, 0, time.UTC)
	record := func(j *journal.Journal, self string, offset time.Duration) {
		e := journal.Entry{At: at.Add(offset), View: core.View{Self: self, Store: core.StoreView{Known: true, Lease: core.LeaseRecord{Holder: "n1", Term: 1}}}}
		j.Record(e)
		e.At = e.At.Add(time.Second)
		e.View.Store.Lease = core.LeaseRecord{Holder: "n2", Term: 2}
		e.View.Local.Instance.Primary = self == "n2"
		j.Record(e)
	}
	f := newFixture(t)
	config, err := pki.ClientTLS(f.pki("n1"))
	if err != nil {
		t.Fatal(err)
	}
	g := newFixture(t, func(b *Backend) { b.Name, b.PKI, b.Peers = "n2", f.pki("n2"), peer.New(config) })
	g.put(records.MemberPrefix+"n1", core.MemberRecord{Name: "n1", Ordinal: 1, Address: "127.0.0.1", APIPort: portOf(t, f.s.Addr())})
	record(f.b.Journal, "n1", 0)
	record(g.b.Journal, "n2", 10*time.Millisecond)
	e, err := g.local().Events(context.Background(), 100, false)
	if err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, ev := range e.Events {
		codes = append(codes, ev.Member+" "+ev.Code)
	}
	if len(codes) != 2 || codes[0] != "n1 leader_changed" || codes[1] != "n2 primary_open" {
		t.Errorf("events: %v", codes)
	}
	if len(e.Missing) != 1 || e.Missing[0] != "n3" {
		t.Errorf("missing: %v", e.Missing)
	}
}
