package pki

import (
	"crypto/tls"
	"errors"
	"strings"
	"testing"
	"time"
)

func poolerPair(t *testing.T, ca *CA, name string) *tls.Certificate {
	t.Helper()
	key, csr, err := NewKeyAndCSR(name, nil) // the request names a member; that must not matter
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.SignPooler(csr, name, []string{"db.example", "10.0.0.9"}, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

// A pooler is known by its name, to servers of its own cluster, and passes as no member, also under a member's name.
func TestPoolerIsNoMember(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	for name, pair := range map[string]*tls.Certificate{"app1": poolerPair(t, ca, "app1"), "n1": poolerPair(t, ca, "n1")} {
		addr, seen := serve(t, mustTLS(t)(ServerTLS(d, ClientRequired)))
		cfg := mustTLS(t)(ClientTLS(d))
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return pair, nil }
		if _, err := call(addr, cfg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		side := <-seen
		if member, err := MemberName(&side.cs, clusterA); !errors.Is(err, ErrNotMember) {
			t.Errorf("pooler %s passes as member %q (%v)", name, member, err)
		}
		if got, err := PoolerName(&side.cs, clusterA); err != nil || got != name {
			t.Errorf("pooler %s is known as %q (%v)", name, got, err)
		}
		if got, err := PoolerName(&side.cs, clusterB); !errors.Is(err, ErrNotPooler) {
			t.Errorf("pooler %s passes in another cluster as %q (%v)", name, got, err)
		}
		leaf := side.cs.PeerCertificates[0]
		if leaf.VerifyHostname(MemberHost(clusterA)) == nil || leaf.VerifyHostname("db.example") != nil || leaf.VerifyHostname("10.0.0.9") != nil {
			t.Errorf("pooler %s: hosts %v %v", name, leaf.DNSNames, leaf.IPAddresses)
		}
	}
}

// Nor does anything else pass as a pooler.
func TestOthersAreNoPoolers(t *testing.T) {
	ca := newCA(t, clusterA)
	member, err := newKeyPair(ca, "n2")
	if err != nil {
		t.Fatal(err)
	}
	for who, pair := range map[string]*tls.Certificate{"member": &member, "client": clientPair(t, ca, "x/pooler/n2")} {
		leaf, err := parseCert(certPEM(pair.Certificate[0]))
		if err != nil {
			t.Fatal(err)
		}
		if name, err := certPooler(leaf, clusterA); !errors.Is(err, ErrNotPooler) {
			t.Errorf("a %s passes as pooler %q (%v)", who, name, err)
		}
	}
	if _, err := PoolerName(nil, clusterA); !errors.Is(err, ErrNotPooler) {
		t.Errorf("no connection: %v", err)
	}
}

// A pooler that serves with its certificate deceives neither a member nor a joining one.
func TestPoolerIsNoMembersServer(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	pair := poolerPair(t, ca, "n1")
	pair.Certificate = append(pair.Certificate, ca.cert.Raw)
	addr, _ := serve(t, &tls.Config{Certificates: []tls.Certificate{*pair}})
	cfg := mustTLS(t)(ClientTLS(d))
	cfg.ServerName = "n1"
	if _, err := call(addr, cfg); !errors.Is(err, ErrNotMember) {
		t.Errorf("ClientTLS: %v", err)
	}
	if _, err := call(addr, PinnedTLS(ca.Fingerprint())); !errors.Is(err, ErrNotMember) {
		t.Errorf("PinnedTLS: %v", err)
	}
}

// The host name that opens the store is not to be had by asking for it.
func TestPoolerGetsNoMembersHost(t *testing.T) {
	ca := newCA(t, clusterA)
	_, csr, err := NewKeyAndCSR("app1", nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{MemberHost(clusterA), strings.ToUpper(MemberHost(clusterA)), MemberHost(clusterA) + "."} {
		if _, err := ca.SignPooler(csr, "app1", []string{host}, time.Now(), time.Hour); err == nil {
			t.Errorf("%s was signed", host)
		}
	}
	if _, err := ca.SignPooler(csr, "../member/n1", nil, time.Now(), time.Hour); err == nil {
		t.Error("a name with a path in it was signed")
	}
}
