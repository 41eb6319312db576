package api

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/core"
	"github.com/pgherd/pgherd/internal/peer"
	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/store/records"
)

// joiner makes a request that is fine, with its probe listener.
func (f *fixture) joiner(name, token string) JoinRequest {
	f.t.Helper()
	p, err := peer.ListenProbe("127.0.0.1:0")
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { p.Close() })
	_, csr, err := pki.NewKeyAndCSR("n4", []string{"127.0.0.1"})
	if err != nil {
		f.t.Fatal(err)
	}
	return JoinRequest{
		Token: token, Name: name, Address: "127.0.0.1", APIPort: portOf(f.t, p.Addr()), PeerPort: 7433, StorePort: 7434, PGPort: 5440,
		CSR: string(csr), PGMajor: 15, Nonce: p.Nonce(),
	}
}

func (f *fixture) token(witness bool) string {
	f.t.Helper()
	a, err := f.local().Token(context.Background(), time.Hour, witness)
	if err != nil {
		f.t.Fatal(err)
	}
	return a.Token
}

func TestJoin(t *testing.T) {
	f := newFixture(t)
	f.put(KeyPGMajor, 15)
	request := f.joiner("n4", f.token(false))
	a, err := f.remote(nil).Join(context.Background(), request)
	if err != nil {
		t.Fatal(err)
	}
	if a.ClusterID != clusterID || a.Cluster != "main" || a.Ordinal != 4 || len(a.Members) != 4 || a.Spec.SyncStandbys != 1 {
		t.Errorf("answer: %+v", a)
	}
	ca, err := pki.ParseCA([]byte(a.CACert), []byte(a.CAKey))
	if err != nil || ca.Fingerprint() != f.ca.Fingerprint() {
		t.Errorf("CA: %v", err)
	}
	var m core.MemberRecord
	if !f.get(records.MemberPrefix+"n4", &m) || m.Ordinal != 4 || m.PGPort != 5440 || m.APIPort != request.APIPort {
		t.Errorf("record: %+v", m)
	}
	// The certificate makes a member: it is let in.
	if _, err := f.remote(pair(t, ca, "n4")).Status(context.Background()); err != nil {
		t.Errorf("the new member is refused: %v", err)
	}
	again := f.joiner("n5", request.Token)
	if _, err := f.remote(nil).Join(context.Background(), again); codeOf(err) != "token_used" {
		t.Errorf("the same token again: %v", err)
	}
}

func TestJoinRefusals(t *testing.T) {
	now := time.Now()
	f := newFixture(t, func(b *Backend) { b.Now = func() time.Time { return now } })
	f.put(KeyPGMajor, 16)
	good := f.token(false)
	stranger, err := pki.NewCA(clusterID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	unknown, _, err := pki.NewToken(stranger.Fingerprint(), now, time.Hour, tokenMember)
	if err != nil {
		t.Fatal(err)
	}
	wrongSecret := good[:11] + unknown[11:]
	for _, c := range []struct {
		want   string
		change func(*JoinRequest)
	}{
		{"token_malformed", func(r *JoinRequest) { r.Token = "x" }},
		{"token_unknown", func(r *JoinRequest) { r.Token = unknown }},
		{"token_unknown", func(r *JoinRequest) { r.Token = wrongSecret; r.Name = "n1" }}, // and nothing is said about names
		{"token_witness", func(r *JoinRequest) { r.Token = f.token(true) }},
		{"name_invalid", func(r *JoinRequest) { r.Name = "N 4" }},
		{"name_taken", func(r *JoinRequest) { r.Name = "n2" }},
		{CodeBadRequest, func(r *JoinRequest) { r.PGPort = 0 }},
		{"address_invalid", func(r *JoinRequest) { r.Address = "0.0.0.0" }},
		{"address_taken", func(r *JoinRequest) { r.APIPort = 2 }},
		{"address_unreachable", func(r *JoinRequest) { r.APIPort = portOf(t, f.s.Addr()) }}, // something answers, not the joiner
		{"address_unreachable", func(r *JoinRequest) { r.APIPort = 9 }},
		{"pg_version", func(*JoinRequest) {}},
		{"csr_invalid", func(r *JoinRequest) { r.PGMajor = 16; r.CSR = "none" }},
	} {
		r := f.joiner("n4", good)
		c.change(&r)
		if _, err := f.remote(nil).Join(context.Background(), r); codeOf(err) != c.want {
			t.Errorf("%s: got %v", c.want, err)
		}
	}
	now = now.Add(2 * time.Hour)
	if _, err := f.remote(nil).Join(context.Background(), f.joiner("n4", good)); codeOf(err) != "token_expired" {
		t.Errorf("later: %v", err)
	}
	now = now.Add(-2 * time.Hour)
	r := f.joiner("n4", good)
	r.PGMajor = 16
	if _, err := f.remote(nil).Join(context.Background(), r); err != nil {
		t.Errorf("a refusal spent the token: %v", err)
	}
}

// TestJoinsAtOnce: one token admits one; different tokens give different ordinals.
func TestJoinsAtOnce(t *testing.T) {
	f := newFixture(t)
	shared := f.token(false)
	tokens := []string{shared, shared, f.token(false)}
	names := []string{"n4", "n5", "n6"}
	var requests []JoinRequest
	for i := range names {
		requests = append(requests, f.joiner(names[i], tokens[i]))
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	ordinals, used := map[int]bool{}, 0
	for _, r := range requests {
		all.Go(func() {
			a, err := f.remote(nil).Join(context.Background(), r)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				ordinals[a.Ordinal] = true
			case codeOf(err) == "token_used":
				used++
			default:
				t.Errorf("%s: %v", r.Name, err)
			}
		})
	}
	all.Wait()
	if len(ordinals) != 2 || used != 1 {
		t.Fatalf("ordinals %v, %d refused", ordinals, used)
	}
}

func TestOrdinalsAreNotGivenAgain(t *testing.T) {
	f := newFixture(t)
	if _, err := f.remote(nil).Join(context.Background(), f.joiner("n4", f.token(false))); err != nil {
		t.Fatal(err)
	}
	f.known["n4"] = peer.Status{Name: "n4"}
	if _, err := f.local().Remove(context.Background(), "n4"); err != nil {
		t.Fatal(err)
	}
	a, err := f.remote(nil).Join(context.Background(), f.joiner("n4", f.token(false)))
	if err != nil || a.Ordinal != 5 {
		t.Fatalf("ordinal %d, %v", a.Ordinal, err)
	}
}

func TestWitnessToken(t *testing.T) {
	f := newFixture(t)
	f.put(KeyPGMajor, 16)
	r := f.joiner("w1", f.token(true))
	r.Witness, r.PGPort, r.PGMajor = true, 0, 0
	a, err := f.remote(nil).Join(context.Background(), r)
	if err != nil || !a.Members[3].Witness || a.Members[3].PGPort != 0 {
		t.Fatalf("%+v %v", a.Members, err)
	}
}

func TestPinnedRefusesAnotherCluster(t *testing.T) {
	f, g := newFixture(t), newFixture(t)
	c := Pinned(f.s.Addr().String(), g.ca.Fingerprint())
	_, err := c.Join(context.Background(), f.joiner("n4", g.token(false)))
	if !errors.Is(err, pki.ErrWrongCA) || !errors.Is(err, ErrNoAgent) {
		t.Fatalf("%v", err)
	}
}

func TestTokensAreForgotten(t *testing.T) {
	now := time.Now()
	f := newFixture(t, func(b *Backend) { b.Now = func() time.Time { return now } })
	old, err := f.local().Token(context.Background(), time.Second, false)
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(tokenKept + time.Hour)
	if f.token(false); f.get(records.TokenPrefix+old.ID, &pki.TokenRecord{}) {
		t.Error("the record of a token that ended long ago is still there")
	}
	for _, lifetime := range []time.Duration{-time.Second, 8 * 24 * time.Hour} {
		if _, err := f.local().Token(context.Background(), lifetime, false); codeOf(err) != CodeBadRequest {
			t.Errorf("lifetime %s: %v", lifetime, err)
		}
	}
}
