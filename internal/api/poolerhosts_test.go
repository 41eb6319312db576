package api

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store"
	"github.com/pgherd/pgherd/internal/store/records"
)

// The name of a removed host is in a certificate that may be good for 90 days. Until then nobody gets it.
func TestNameOfARemovedHost(t *testing.T) {
	now := time.Now()
	f := newFixture(t, func(b *Backend) { b.Now = func() time.Time { return now } })
	ctx := context.Background()
	_, csr, err := pki.NewKeyAndCSR("x", nil)
	if err != nil {
		t.Fatal(err)
	}
	join := func(name string) error {
		token, err := f.local().PoolerToken(ctx, time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.remote(nil).PoolerJoin(ctx, PoolerJoinRequest{token.Token, name, "10.0.0.9", string(csr)})
		return err
	}
	for _, name := range []string{"app1", "app2"} {
		if err := join(name); err != nil {
			t.Fatal(err)
		}
		if _, err := f.local().RemovePooler(ctx, name); err != nil {
			t.Fatal(err)
		}
	}
	var p *Problem
	if err := join("app1"); !errors.As(err, &p) || p.Code != "name_removed" || p.Hint == "" {
		t.Errorf("the name is given again at once: %v", err)
	}
	if _, err := f.remote(nil).Join(ctx, f.joiner("app1", f.token(false))); codeOf(err) != "name_removed" {
		t.Errorf("a member gets it: %v", err)
	}
	if _, err := f.local().AdmitPooler(ctx, "app1", "10.0.0.9"); codeOf(err) != "name_removed" {
		t.Errorf("a removed host is taken in again: %v", err)
	}
	now = now.Add(pki.NodeLifetime) // the last moment of a certificate that was made before the removal
	if err := join("app1"); codeOf(err) != "name_removed" {
		t.Errorf("after 90 days: %v", err)
	}
	now = now.Add(2 * time.Hour)
	if err := join("app1"); err != nil {
		t.Errorf("later: %v", err)
	}
	if f.get(records.PoolerRemovalPrefix+"app1", &PoolerRemoval{}) || f.get(records.PoolerRemovalPrefix+"app2", &PoolerRemoval{}) {
		t.Error("removals are kept for ever")
	}
	if _, err := f.remote(poolerPair(t, f.ca, "app1")).PoolerState(ctx); err != nil {
		t.Errorf("then it may not ask: %v", err)
	}
}

// A store that was rebuilt from records older than the join does not know the host. It is taken in again by an administrator's
// word, and by nobody else's.
func TestAdmitPooler(t *testing.T) {
	f := newFixture(t)
	ctx := context.Background()
	app, member := f.remote(poolerPair(t, f.ca, "app1")), f.remote(pair(t, f.ca, "n2"))
	var p *Problem
	if _, err := app.PoolerState(ctx); !errors.As(err, &p) || p.Code != CodePoolerUnknown || p.Hint == "" {
		t.Errorf("before: %v", err)
	}
	if _, err := app.AdmitPooler(ctx, "app1", "10.0.0.9"); codeOf(err) != CodeForbidden {
		t.Errorf("by itself: %v", err)
	}
	for what, c := range map[string]struct{ name, address, code string }{
		"a member": {"n2", "10.0.0.9", "name_taken"}, "a member's address": {"app1", "N2", "address_taken"}, "no name": {"-", "10.0.0.9", "name_invalid"}, "no address": {"app1", "", "address_invalid"},
	} {
		if _, err := member.AdmitPooler(ctx, c.name, c.address); codeOf(err) != c.code {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := member.AdmitPooler(ctx, "app1", "10.0.0.9"); err != nil {
		t.Fatal(err)
	}
	if _, err := app.PoolerState(ctx); err != nil {
		t.Errorf("after: %v", err)
	}
	if _, err := member.AdmitPooler(ctx, "app1", "10.0.0.9"); codeOf(err) != "name_taken" {
		t.Errorf("twice: %v", err)
	}
}

// A store that this member's was given up for, or that was given up, has no say: that it knows no host is no removal.
func TestOnlyABelievedStoreAnswers(t *testing.T) {
	f := newFixture(t, func(b *Backend) {
		b.Believed = func(_ store.Snapshot, v core.StoreView) error {
			if v.Cluster.Generation != 0 {
				return errors.New("another store's")
			}
			return nil
		}
	})
	ctx := context.Background()
	app, member := f.remote(poolerPair(t, f.ca, "app1")), f.remote(pair(t, f.ca, "n2"))
	if _, err := app.PoolerState(ctx); codeOf(err) != CodePoolerUnknown {
		t.Errorf("of this member's store: %v", err)
	}
	f.put(records.KeyCluster, core.ClusterRecord{ID: clusterID, Name: "main", Generation: 1}) // as a rebuilt store marks the keys of the one before
	if _, err := app.PoolerState(ctx); codeOf(err) != CodeUnavailable {
		t.Errorf("a host: %v", err)
	}
	var a Accepted
	if err := member.call(ctx, http.MethodPut, "/v1/poolers/app1", PoolerAdmission{"10.0.0.9"}, &a); codeOf(err) != CodeUnavailable {
		t.Errorf("a mutation: %v", err)
	}
}
