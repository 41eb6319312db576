package api

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/health"
	"github.com/pgherd/pgherd/internal/snapshot"
	"github.com/pgherd/pgherd/internal/spec"
)

// TestHealth: as a load balancer asks, without a certificate, and by each of the methods that they use.
func TestHealth(t *testing.T) {
	f := newFixture(t, func(b *Backend) {
		b.Health = func() health.Facts {
			v := health.Facts{Now: core.Instant(time.Hour), Decided: core.Instant(time.Hour)}
			v.View.Self, v.View.Store.Lease = "n1", core.LeaseRecord{Holder: "n1", TTL: spec.Duration(time.Second)}
			v.View.Local.Instance = core.Instance{State: core.StateRunning, Primary: true}
			v.Report.Trusted = v.Now.Add(time.Second)
			return v
		}
	})
	client := f.remote(nil)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/", http.StatusOK}, {http.MethodGet, "/primary", http.StatusOK}, {http.MethodHead, "/primary", http.StatusOK},
		{http.MethodOptions, "/primary", http.StatusOK}, {http.MethodGet, "/replica?lag=1MB", http.StatusServiceUnavailable},
		{http.MethodHead, "/replica", http.StatusServiceUnavailable}, {http.MethodOptions, "/replica", http.StatusServiceUnavailable},
		{http.MethodGet, "/replica?lag=some", http.StatusBadRequest}, {http.MethodGet, "/primary/", http.StatusNotFound}, {http.MethodGet, "/primaryx", http.StatusNotFound},
	} {
		r, err := http.NewRequestWithContext(context.Background(), c.method, client.base+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != c.status || err != nil {
			t.Errorf("%s %s: %s, %v", c.method, c.path, answer.Status, err)
		}
		if c.status == http.StatusOK || c.status == http.StatusServiceUnavailable {
			if len(body) > 0 {
				t.Errorf("%s %s says more than yes or no: %s", c.method, c.path, body)
			}
		}
	}
}

// TestHealthBeforeTheFirstDecision: nobody is promised anything.
func TestHealthBeforeTheFirstDecision(t *testing.T) {
	f := newFixture(t)
	client := f.remote(nil)
	for _, path := range health.Paths() {
		answer, err := client.http.Get(client.base + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusServiceUnavailable {
			t.Errorf("%s: %s", path, answer.Status)
		}
	}
}

// TestHealthTellsViewersMore: Patroni's document comes with the answer, to nobody but who is known, and a wrong token
// makes no load balancer take a member out.
func TestHealthTellsViewersMore(t *testing.T) {
	f := newFixture(t, func(b *Backend) {
		b.Snapshot = func() snapshot.Snapshot { return snapshot.Snapshot{Cluster: "main", Version: "9.9.9"} }
	})
	viewer := f.bearer(RoleViewer)
	for _, c := range []struct {
		client       *Client
		method, path string
		body         bool
	}{
		{viewer, http.MethodGet, "/replica", true}, {viewer, http.MethodGet, "/health", true}, {viewer, http.MethodGet, "/liveness", false},
		{viewer, http.MethodHead, "/replica", false}, {viewer, http.MethodOptions, "/replica", false},
		{f.as("wrong"), http.MethodGet, "/replica", false}, {f.remote(nil), http.MethodGet, "/replica", false},
	} {
		r, err := http.NewRequestWithContext(context.Background(), c.method, c.client.base+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.client.http.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusServiceUnavailable || err != nil {
			t.Errorf("%s %s: %s, %v", c.method, c.path, answer.Status, err)
		}
		if c.body != strings.Contains(string(body), `"9.9.9"`) || !c.body && len(body) > 0 {
			t.Errorf("%s %s: %q", c.method, c.path, body)
		}
	}
}
