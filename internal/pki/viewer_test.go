package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"
)

// TestViewer: a viewer's certificate is a viewer's and nobody else's, and nobody else's is a viewer's.
func TestViewer(t *testing.T) {
	now := time.Now()
	ca := newCA(t, clusterA)
	_, csr, err := NewKeyAndCSR("n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	viewer, err := ca.SignViewer(csr, "n1", now, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if end, err := Expires(viewer); err != nil || end.Sub(now).Round(time.Minute) != time.Hour {
		t.Errorf("it ends at %v, %v", end, err)
	}
	cs := verified(t, ca, viewer)
	if name, err := ViewerName(cs, ca.ClusterID()); err != nil || name != "n1" {
		t.Errorf("%q, %v", name, err)
	}
	if _, err := MemberName(cs, ca.ClusterID()); !errors.Is(err, ErrNotMember) {
		t.Errorf("it passes as a member: %v", err)
	}
	if _, err := PoolerName(cs, ca.ClusterID()); !errors.Is(err, ErrNotPooler) {
		t.Errorf("it passes as a pooler: %v", err)
	}
	if _, err := ViewerName(cs, clusterB); !errors.Is(err, ErrNotViewer) {
		t.Errorf("it passes in another cluster: %v", err)
	}
	if _, err := ViewerName(nil, ca.ClusterID()); !errors.Is(err, ErrNotViewer) {
		t.Errorf("nobody passes: %v", err)
	}
	for what, sign := range map[string]func() ([]byte, error){
		"member": func() ([]byte, error) { return ca.SignNode(csr, "n1", nil, now, time.Hour) },
		"client": func() ([]byte, error) { return ca.SignClient(csr, "n1", now, time.Hour) },
		"pooler": func() ([]byte, error) { return ca.SignPooler(csr, "n1", nil, now, time.Hour) },
	} {
		cert, err := sign()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ViewerName(verified(t, ca, cert), ca.ClusterID()); !errors.Is(err, ErrNotViewer) {
			t.Errorf("a %s passes as a viewer: %v", what, err)
		}
	}
	for _, name := range []string{"", "Prom", "a/b", "a b"} {
		if _, err := ca.SignViewer(csr, name, now, time.Hour); err == nil {
			t.Errorf("a viewer called %q", name)
		}
	}
}

// verified is a connection whose other end showed the certificate.
func verified(t *testing.T, ca *CA, certPEM []byte) *tls.ConnectionState {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	chains, err := mustParse(t, certPEM).Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	if err != nil {
		t.Fatal(err)
	}
	return &tls.ConnectionState{VerifiedChains: chains}
}
