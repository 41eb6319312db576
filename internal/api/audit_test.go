package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/journal"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// said is the audit since the fixture began.
func (f *fixture) said() (audits []journal.Event) {
	return slices.DeleteFunc(f.b.Journal.Events(0), func(e journal.Event) bool { return e.Code != journal.EventAudit })
}

type level struct{ name string }

func (l *level) Level() string              { return l.name }
func (l *level) SetLevel(name string) error { l.name = name; return nil }

// TestEachChangeIsAudited asks for each change that there is, by a request that is accepted: each has one entry that says who
// asked, and an id by which its outcome is found. Whoever adds a change adds it here.
func TestEachChangeIsAudited(t *testing.T) {
	f := newFixture(t, func(b *Backend) {
		b.LogLevel = &level{"info"}
		b.Retire = func(context.Context, RetireRequest, string) error { return nil }
		b.Forks = func(context.Context) ([]ForkEntry, error) {
			return []ForkEntry{{ID: "n1/x", Kind: ForkData, Member: "n1"}}, nil
		}
	})
	_, csr, err := pki.NewKeyAndCSR("v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	next := spec.DefaultCluster()
	next.Postgres.Parameters = map[string]string{"max_connections": "200"}
	access := f.access(RoleViewer, time.Hour)
	requests := []struct {
		pattern string
		body    any
		state   string
	}{
		{"PUT /v1/spec", SpecChange{f.revision(records.KeySpec), string(next.YAML())}, OutcomeDone},
		{"POST /v1/operations", OperationRequest{Kind: core.OpSwitchover, At: time.Now().Add(time.Hour).Format(time.RFC3339)}, OutcomePlanned},
		{"DELETE /v1/operations/current", nil, OutcomeDone},
		{"PUT /v1/members/{name}/drain", nil, OutcomeDone},
		{"DELETE /v1/members/{name}/drain", nil, OutcomeDone},
		{"POST /v1/members/{name}/requests", MemberRequest{core.RequestRestart}, OutcomeRunning},
		{"DELETE /v1/members/{name}", nil, OutcomeDone},
		{"PUT /v1/poolers/{name}", PoolerAdmission{"10.0.0.9"}, OutcomeDone},
		{"DELETE /v1/poolers/{name}", nil, OutcomeDone},
		{"DELETE /v1/members/{name}/forks/{id}", nil, OutcomeDone},
		{"POST /v1/pause", nil, OutcomeDone},
		{"DELETE /v1/pause", nil, OutcomeDone},
		{"POST /v1/tokens", TokenRequest{Lifetime: spec.Duration(time.Hour)}, OutcomeDone},
		{"POST /v1/viewers", ViewerRequest{"v1", string(csr)}, OutcomeDone},
		{"POST " + AccessPath, AccessRequest{Name: "ada", Role: RoleViewer, Lifetime: spec.Duration(time.Hour)}, OutcomeDone},
		{"DELETE " + AccessPath + "/{id}", nil, OutcomeDone},
		{"PUT " + LogPath, LogLevel{"debug"}, OutcomeDone},
		{"POST " + RetirePath, RetireRequest{Generation: 1, Founder: "n2"}, OutcomeDone},
	}
	for _, pattern := range f.s.router().patterns {
		known := slices.ContainsFunc(requests, func(r struct {
			pattern string
			body    any
			state   string
		}) bool {
			return r.pattern == pattern
		})
		// A pooler host's word on itself is no change that a person asks for; joins are below.
		others := strings.HasPrefix(pattern, "OPTIONS ") || !strings.Contains(pattern, " ") || strings.Contains(pattern, " /v1/pooler/") || pattern == "POST "+JoinPath || pattern == "POST "+PoolerJoinPath
		if isChange(pattern) && !known && !others {
			t.Errorf("%s is a change, and not in this test", pattern)
		}
	}
	for _, q := range requests {
		method, path, _ := strings.Cut(q.pattern, " ")
		name := "n3"
		switch {
		case strings.Contains(path, "/poolers/"):
			name = "p1"
		case strings.Contains(path, "/forks/"):
			name = "n1"
		}
		id := "x"
		if strings.HasPrefix(path, AccessPath) {
			id = access.ID
		}
		before := len(f.said())
		path = strings.NewReplacer("{name}", name, "{id}", id).Replace(path)
		answer, text := f.ask(method, path, q.body)
		said := f.said()[before:]
		at := answer.Header.Get("Location")
		if answer.StatusCode != http.StatusOK || len(said) != 1 || !strings.HasPrefix(at, OutcomePath) {
			t.Errorf("%s: %s, outcome at %q, audit %+v", q.pattern, text, at, said)
			continue
		}
		e := said[0]
		if e.Operation != strings.TrimPrefix(at, OutcomePath) || !strings.HasPrefix(e.Text, "uid 0 on n1: "+method+" "+path) {
			t.Errorf("%s: %+v", q.pattern, e)
		}
		o, err := f.local().Outcome(context.Background(), e.Operation)
		if err != nil || o.State != q.state || len(o.Events) != 1 {
			t.Errorf("%s: %+v %v, want %s", q.pattern, o, err, q.state)
		}
	}
	// The restart of the member that was removed is no more.
	for _, e := range f.said() {
		if strings.Contains(e.Text, "/requests") {
			if o, err := f.local().Outcome(context.Background(), e.Operation); err != nil || o.State != OutcomeFailed || o.Phase != core.PhaseAborted {
				t.Errorf("a request of a member that was removed: %+v %v", o, err)
			}
		}
	}
	_, err = f.local().Outcome(context.Background(), "abc")
	wantProblem(t, err, http.StatusNotFound, "no_such_operation")
}

func (f *fixture) ask(method, path string, in any) (*http.Response, string) {
	f.t.Helper()
	data, _ := json.Marshal(in)
	r, err := http.NewRequest(method, "http://pgherd"+path, bytes.NewReader(data))
	if err != nil {
		f.t.Fatal(err)
	}
	answer, err := f.local().http.Do(r)
	if err != nil {
		f.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	return answer, string(text)
}

// Looking, checking and being refused has no entry, and no secret is in one.
func TestOnlyChangesAreAudited(t *testing.T) {
	f := newFixture(t)
	ctx, c := context.Background(), f.as(f.access(RoleOperator, time.Hour).Token)
	before := len(f.said())
	if _, err := c.Status(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Drain(ctx, "n3", DrainRequest{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Remove(ctx, "n3"); err == nil {
		t.Fatal("an operator removed a member")
	}
	if _, err := f.local().PutSpec(ctx, SpecChange{f.revision(records.KeySpec), string(spec.DefaultCluster().YAML())}, true); err != nil {
		t.Fatal(err)
	}
	token, err := f.local().Token(ctx, time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	// A word that this route does not know hides nothing.
	if err := c.call(ctx, http.MethodPost, "/v1/pause?dry_run=1", nil, &Accepted{}); err != nil {
		t.Fatal(err)
	}
	said := f.said()[before:]
	if len(said) != 3 || !strings.Contains(said[0].Text, "PUT /v1/members/n3/drain") || !strings.Contains(said[0].Text, "(token ") ||
		!strings.Contains(said[1].Text, "join token "+token.ID) || !strings.Contains(said[2].Text, "POST /v1/pause") || strings.Contains(fmt.Sprint(said), token.Token) {
		t.Errorf("%+v", said)
	}
}

// A change that may have taken effect, and one of which a part has, are written down, and the problem says where to look.
func TestChangesThatFailHalfwayAreAudited(t *testing.T) {
	for name, c := range map[string]struct {
		err          error
		state, words string
	}{
		"no answer":         {store.ErrUnavailable, OutcomeUnknown, "may have taken effect"},
		"changed meanwhile": {store.ErrConflict, OutcomeFailed, "when a part of it was written"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t, func(b *Backend) { b.Store = failing{b.Store, records.KeyOperation, c.err} })
			_, err := f.local().Drain(context.Background(), "n1", DrainRequest{}) // the primary: the drain is written, its handover is not
			p := asProblem(err)
			said := f.said()
			if p.Refused() {
				t.Errorf("a part was written, and %v says that nothing was", p)
			}
			if len(said) != 1 || said[0].Severity != core.Warning || !strings.Contains(said[0].Text, c.words) || p.Instance != OutcomePath+said[0].Operation {
				t.Fatalf("%v (%+v), audit %+v", err, p, said)
			}
			if o, err := f.local().Outcome(context.Background(), said[0].Operation); err != nil || o.State != c.state {
				t.Errorf("%+v %v, want %s", o, err, c.state)
			}
		})
	}
	f := newFixture(t, func(b *Backend) { b.Store = failing{b.Store, records.KeyPause, store.ErrConflict} })
	if _, err := f.local().Pause(context.Background()); codeOf(err) != CodeConflict || len(f.said()) != 0 {
		t.Errorf("refused, nothing written: %v, audit %+v", err, f.said())
	}
}

// A join is a change by who holds its token.
func TestJoinsAreAudited(t *testing.T) {
	f := newFixture(t)
	token := f.token(false)
	before := len(f.said())
	if _, err := f.remote(nil).Join(context.Background(), f.joiner("n4", token)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.remote(nil).Join(context.Background(), f.joiner("n5", token)); codeOf(err) != "token_used" {
		t.Fatal(err)
	}
	said := f.said()[before:]
	id, secret, _ := strings.Cut(token, ".")
	if len(said) != 1 || !strings.Contains(said[0].Text, "join token "+id+": member n4") || strings.Contains(said[0].Text, secret) {
		t.Errorf("%+v", said)
	}
}

// What is neither open in the store nor said to have ended is not under way: nobody is to wait for it for ever.
func TestOutcomeThatNobodyWroteDown(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	a, err := f.local().Request(ctx, "n2", core.RequestRestart)
	if err != nil {
		t.Fatal(err)
	}
	if o, err := f.local().Outcome(ctx, a.ID); err != nil || o.State != OutcomeRunning {
		t.Errorf("open: %+v %v", o, err)
	}
	if err := f.store.Delete(ctx, records.RequestPrefix+"n2", f.revision(records.RequestPrefix+"n2")); err != nil {
		t.Fatal(err)
	}
	if o, err := f.local().Outcome(ctx, a.ID); err != nil || o.State != OutcomeUnknown {
		t.Errorf("gone without a word: %+v %v", o, err)
	}
	f.b.Journal.Tell(journal.Event{Member: "n2", Code: journal.EventRequest, Operation: a.ID, Phase: core.PhaseDone})
	if o, err := f.local().Outcome(ctx, a.ID); err != nil || o.State != OutcomeDone {
		t.Errorf("done: %+v %v", o, err)
	}
}
