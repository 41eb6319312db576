package api

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/records"
)

// withToken sends the token with each request, as the dashboard does.
type withToken struct {
	text string
	next http.RoundTripper
}

func (w withToken) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+w.text)
	return w.next.RoundTrip(r)
}

func (f *fixture) access(role Role, lifetime time.Duration) AccessAnswer {
	f.t.Helper()
	a, err := f.local().CreateAccess(context.Background(), AccessRequest{Name: "maria", Role: role, Lifetime: spec.Duration(lifetime)})
	if err != nil {
		f.t.Fatal(err)
	}
	return a
}

func (f *fixture) bearer(role Role) *Client { return f.as(f.access(role, time.Hour).Token) }

func (f *fixture) as(token string) *Client {
	c := f.remote(nil)
	c.http.Transport = withToken{token, c.http.Transport}
	return c
}

func wantProblem(t *testing.T, err error, status int, code string) {
	t.Helper()
	var p *Problem
	if !errors.As(err, &p) || p.Status != status || p.Code != code {
		t.Errorf("%v, want %d %s", err, status, code)
	}
}

// TestRoutesAreLocked: a route that nobody gave a role is for members, and no role is given to what is no route.
func TestRoutesAreLocked(t *testing.T) {
	if roleFor("GET /v1/new") != roleMember {
		t.Error("a new route is open")
	}
	mux := newFixture(t).s.routes()
	for pattern := range needed {
		method, path, _ := strings.Cut(pattern, " ")
		r, _ := http.NewRequest(method, strings.NewReplacer("{name}", "n9", "{id}", "x").Replace(path), nil)
		w := &recorded{header: http.Header{}}
		mux.ServeHTTP(w, r)
		if w.status != http.StatusForbidden {
			t.Errorf("%s: %d", pattern, w.status)
		}
	}
}

type recorded struct {
	header http.Header
	status int
}

func (r *recorded) Header() http.Header         { return r.header }
func (r *recorded) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorded) WriteHeader(status int)      { r.status = status }

// TestAccessTokens: what is wrong with one, and that it says so to its owner only.
func TestAccessTokens(t *testing.T) {
	now := time.Now()
	f := newFixture(t, func(b *Backend) { b.Now = func() time.Time { return now } })
	ctx := context.Background()
	good := f.access(RoleViewer, time.Hour)
	if _, err := f.as(good.Token).Status(ctx); err != nil {
		t.Fatal(err)
	}
	join, err := f.local().Token(ctx, time.Hour, false)
	if err != nil {
		t.Fatal(err)
	}
	id, secret, _ := strings.Cut(good.Token, ".")
	for _, text := range map[string]string{"no token": "x", "a join token": join.Token, "another secret": id + "." + strings.Repeat("A", len(secret)), "cut": good.Token[:40]} {
		_, err := f.as(text).Status(ctx)
		wantProblem(t, err, http.StatusUnauthorized, "token_refused")
	}
	list, err := f.local().ListAccess(ctx)
	if err != nil || len(list) != 1 || list[0].Name != "maria" || list[0].ID != id {
		t.Errorf("%+v, %v", list, err)
	}
	now = now.Add(2 * time.Hour)
	_, err = f.as(good.Token).Status(ctx)
	wantProblem(t, err, http.StatusUnauthorized, "token_expired")
}

// TestTokenOfThisMoment: a token that was made a moment after a look at all of them is good at once, on every member.
func TestTokenOfThisMoment(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	if _, err := f.bearer(RoleViewer).Status(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.bearer(RoleOperator).Status(ctx); err != nil {
		t.Errorf("made just now: %v", err)
	}
	late := f.bearer(RoleViewer)
	_ = f.store.Close()
	f.s.access.mu.Lock()
	f.s.access.readAt = time.Now().Add(-time.Hour)
	f.s.access.mu.Unlock()
	_, err := late.Status(ctx)
	wantProblem(t, err, http.StatusServiceUnavailable, CodeUnavailable) // it is not known to be bad
}

// TestRevokedToken is refused once the book is old, and its stream is not served again.
func TestRevokedToken(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	a := f.access(RoleOperator, time.Hour)
	c := f.as(a.Token)
	if _, err := c.Status(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := f.local().RevokeAccess(ctx, a.ID); err != nil {
		t.Fatal(err)
	}
	f.s.access.mu.Lock()
	f.s.access.readAt = time.Now().Add(-accessFresh)
	f.s.access.mu.Unlock()
	_, err := c.Status(ctx)
	wantProblem(t, err, http.StatusUnauthorized, "token_refused")
	if _, err := f.local().RevokeAccess(ctx, a.ID); err == nil {
		t.Error("revoked twice")
	}
}

// TestTokensOutliveTheStore: who could look goes on looking while the store is silent.
func TestTokensOutliveTheStore(t *testing.T) {
	f := newFixture(t)
	c := f.bearer(RoleViewer)
	if _, err := c.Status(context.Background()); err != nil {
		t.Fatal(err)
	}
	_ = f.store.Close()
	f.s.access.mu.Lock()
	f.s.access.readAt = time.Now().Add(-time.Hour)
	f.s.access.mu.Unlock()
	s, err := c.Status(context.Background())
	if err != nil || len(s.Members) != 3 {
		t.Errorf("%+v, %v", s, err)
	}
}

// TestOperatorTakesNoLoss: what may cost commits is for admins, whatever the route lets in.
func TestOperatorTakesNoLoss(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	c := f.bearer(RoleOperator)
	for _, r := range []OperationRequest{{Kind: core.OpFailover, To: "n2"}, {Kind: core.OpSwitchover, To: "n2", Force: true}} {
		_, err := c.Begin(ctx, r)
		wantProblem(t, err, http.StatusForbidden, CodeForbidden)
	}
	op, err := c.Begin(ctx, OperationRequest{Kind: core.OpSwitchover, To: "n2"})
	if err != nil || !strings.HasPrefix(op.By, "maria (token ") {
		t.Errorf("%+v, %v", op, err)
	}
	var stored core.Operation
	if !f.get(records.KeyOperation, &stored) || stored.By != op.By {
		t.Errorf("stored: %+v", stored)
	}
}

// TestCrossSiteIsRefused: a page of somebody else's may not use what a browser knows.
func TestCrossSiteIsRefused(t *testing.T) {
	f := newFixture(t)
	host := f.s.Addr().String()
	for name, c := range map[string]struct {
		header map[string]string
		ok     bool
	}{
		"a program":               {nil, true},
		"the dashboard":           {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://" + host}, true},
		"typed by a person":       {map[string]string{"Sec-Fetch-Site": "none"}, true},
		"another site":            {map[string]string{"Sec-Fetch-Site": "cross-site"}, false},
		"another port":            {map[string]string{"Sec-Fetch-Site": "same-site"}, false},
		"an old browser":          {map[string]string{"Origin": "https://evil.example"}, false},
		"a sandboxed frame":       {map[string]string{"Origin": "null"}, false},
		"same, from an old one":   {map[string]string{"Origin": "https://" + host}, true},
		"a lie about the browser": {map[string]string{"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"}, false},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			path := map[string]string{http.MethodGet: "/v1/status", http.MethodPost: "/v1/pause"}[method]
			client := f.remote(pair(t, f.ca, "n2"))
			r, _ := http.NewRequest(method, client.base+path, nil)
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			answer, err := client.http.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if ok := answer.StatusCode == http.StatusOK; ok != c.ok {
				t.Errorf("%s by %s: %d", method, name, answer.StatusCode)
			}
		}
	}
}
