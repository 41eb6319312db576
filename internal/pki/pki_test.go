package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

const clusterA, clusterB = "0e6b1a52-7f0c-4c55-9d2e-6d3a5f6f2a11", "9c1d0000-0000-4000-8000-00000000000b"

func newCA(t *testing.T, clusterID string) *CA {
	t.Helper()
	ca, err := NewCA(clusterID, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

// newDir saves the CA and a member's certificate made at the given time.
func newDir(t *testing.T, ca *CA, name string, made time.Time) Dir {
	t.Helper()
	d := Dir(filepath.Join(t.TempDir(), "pki"))
	if err := ca.Save(d); err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue(name, []string{"10.0.0.1", "db1.example.org"}, made, NodeLifetime)
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveNode(d, cert, key); err != nil {
		t.Fatal(err)
	}
	return d
}

func mustParse(t *testing.T, certPEM []byte) *x509.Certificate {
	t.Helper()
	cert, err := parseCert(certPEM)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestCARoundTrip(t *testing.T) {
	ca := newCA(t, clusterA)
	d := Dir(filepath.Join(t.TempDir(), "pki"))
	if _, err := LoadCA(d); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("LoadCA without files: %v", err)
	}
	if err := ca.Save(d); err != nil {
		t.Fatal(err)
	}
	if err := ca.Save(d); err != nil {
		t.Fatalf("saving the same CA again: %v", err)
	}
	got, err := LoadCA(d)
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint() != ca.Fingerprint() || got.ClusterID() != clusterA {
		t.Fatalf("loaded %s of %s", got.FingerprintText(), got.ClusterID())
	}
	if years := ca.cert.NotAfter.Sub(time.Now()).Hours() / 24 / 365; years < 19.9 || years > 20.1 {
		t.Errorf("CA valid for %.1f years", years)
	}
	if text := ca.FingerprintText(); len(text) != 32*3-1 || text[2] != ':' {
		t.Errorf("fingerprint text %q", text)
	}
	if err := newCA(t, clusterB).Save(d); !errors.Is(err, ErrOtherCA) {
		t.Errorf("saving another CA over it: %v", err)
	}
}

func TestParseCARefuses(t *testing.T) {
	a, b := newCA(t, clusterA), newCA(t, clusterB)
	node, nodeKey, err := a.Issue("n1", nil, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	for name, in := range map[string][2][]byte{
		"another CA's key":        {a.CertPEM(), b.KeyPEM()},
		"a member's certificate":  {node, nodeKey},
		"key and cert exchanged":  {a.KeyPEM(), a.CertPEM()},
		"empty":                   {nil, nil},
		"garbage inside the PEM":  {pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}), a.KeyPEM()},
		"the key is missing":      {a.CertPEM(), nil},
		"the key block is broken": {a.CertPEM(), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})},
	} {
		if _, err := ParseCA(in[0], in[1]); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, id := range []string{"", "A", "a/b", "a.b", "-a", "a b"} {
		if _, err := NewCA(id, time.Now()); err == nil {
			t.Errorf("cluster ID %q accepted", id)
		}
	}
}

func TestSignNodeContents(t *testing.T) {
	ca, now := newCA(t, clusterA), time.Now()
	// The request lies about its name and hosts.
	_, csr, err := NewKeyAndCSR("evil", []string{"evil.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	data, err := ca.SignNode(csr, "n1", []string{"10.0.0.1", "db1.example.org", "10.0.0.1"}, now, NodeLifetime)
	if err != nil {
		t.Fatal(err)
	}
	cert := mustParse(t, data)
	if cert.Subject.String() != "CN=n1,O=pgherd node" {
		t.Errorf("subject %s", cert.Subject)
	}
	if got, want := cert.DNSNames, []string{"n1", "localhost", MemberHost(clusterA), "db1.example.org"}; !slices.Equal(got, want) {
		t.Errorf("DNS names %v, want %v", got, want)
	}
	want := []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("::1"), net.ParseIP("10.0.0.1")}
	if !slices.EqualFunc(cert.IPAddresses, want, net.IP.Equal) {
		t.Errorf("IP addresses %v, want %v", cert.IPAddresses, want)
	}
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "pgherd://"+clusterA+"/member/n1" {
		t.Errorf("URIs %v", cert.URIs)
	}
	if cert.IsCA || cert.NotBefore.After(now.Add(-time.Hour)) || cert.NotAfter.Before(now.Add(NodeLifetime-time.Second)) {
		t.Errorf("CA %v, valid %s to %s", cert.IsCA, cert.NotBefore, cert.NotAfter)
	}
}

func TestSignRefuses(t *testing.T) {
	ca, now := newCA(t, clusterA), time.Now()
	_, good, err := NewKeyAndCSR("n1", nil)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(good)
	bad := slices.Clone(block.Bytes)
	bad[len(bad)-1] ^= 1 // the signature's last byte
	tampered := pem.EncodeToMemory(&pem.Block{Type: block.Type, Bytes: bad})

	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "n1"}}, p384)
	if err != nil {
		t.Fatal(err)
	}
	otherKey := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})

	for name, try := range map[string]func() error{
		"tampered":      func() error { _, err := ca.SignNode(tampered, "n1", nil, now, time.Hour); return err },
		"other curve":   func() error { _, err := ca.SignNode(otherKey, "n1", nil, now, time.Hour); return err },
		"no request":    func() error { _, err := ca.SignNode(ca.CertPEM(), "n1", nil, now, time.Hour); return err },
		"bad name":      func() error { _, err := ca.SignNode(good, "N_1", nil, now, time.Hour); return err },
		"wildcard host": func() error { _, err := ca.SignNode(good, "n1", []string{"*.example.org"}, now, time.Hour); return err },
		"no lifetime":   func() error { _, err := ca.SignNode(good, "n1", nil, now, 0); return err },
		"CA ended":      func() error { _, err := ca.SignNode(good, "n1", nil, now.Add(2*CALifetime), time.Hour); return err },
		"client NUL":    func() error { _, err := ca.SignClient(good, "a\x00b", now, time.Hour); return err },
		"client empty":  func() error { _, err := ca.SignClient(good, "", now, time.Hour); return err },
	} {
		if try() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := ca.SignNode(good, "n1", nil, now, time.Hour); err != nil {
		t.Errorf("the good request: %v", err)
	}
	data, err := ca.SignNode(good, "n1", nil, now, 2*CALifetime)
	if err != nil {
		t.Fatal(err)
	}
	if cert := mustParse(t, data); cert.NotAfter.After(ca.cert.NotAfter) {
		t.Error("a certificate outlives its CA")
	}
}

func TestFileModes(t *testing.T) {
	d := newDir(t, newCA(t, clusterA), "n1", time.Now())
	err := filepath.WalkDir(string(d), func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		switch mode := info.Mode(); {
		case mode.IsDir() && mode.Perm() != 0o700:
			t.Errorf("%s: directory %v", path, mode)
		case mode.IsRegular() && mode.Perm() != 0o600:
			t.Errorf("%s: file %v", path, mode)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{d.CACert(), d.CAKey(), d.NodeCert(), d.NodeKey()} {
		if _, err := os.ReadFile(path); err != nil {
			t.Error(err)
		}
	}
	// A directory that somebody opened is closed again.
	if err := os.Chmod(string(d), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := newDirPair(t, d); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(string(d)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("after saving: %v, %v", info.Mode(), err)
	}
}

func newDirPair(t *testing.T, d Dir) error {
	t.Helper()
	ca, err := LoadCA(d)
	if err != nil {
		return err
	}
	cert, key, err := ca.Issue("n1", nil, time.Now(), time.Hour)
	if err != nil {
		return err
	}
	return SaveNode(d, cert, key)
}

func TestSaveNodeRefusesForeignKey(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	before := sha256.Sum256(mustRead(t, d.NodeCert()))
	cert, _, err := ca.Issue("n1", nil, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if SaveNode(d, cert, mustRead(t, d.NodeKey())) == nil {
		t.Error("a key of another certificate was saved")
	}
	if sha256.Sum256(mustRead(t, d.NodeCert())) != before {
		t.Error("a refused pair replaced the old one")
	}
}

func mustRead(t *testing.T, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}
