package agent

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/pgherd/pgherd/internal/pki"
	"github.com/pgherd/pgherd/internal/spec"
	"github.com/pgherd/pgherd/internal/store/etcd"
	"github.com/pgherd/pgherd/test/ports"
)

// An application may hold a certificate of the cluster's CA, and a host that only pools does. Who writes the
// store owns every database, so those certificates must open neither of its ports.
func TestStoreIsClosedToOthersCertificates(t *testing.T) {
	const id = "6f0d4d0e-0000-4000-8000-000000000001"
	ca, err := pki.NewCA(id, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	keys := pki.Dir(filepath.Join(dir, "pki"))
	cert, key, err := ca.Issue("n1", []string{"127.0.0.1"}, time.Now(), pki.NodeLifetime)
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{ca.Save(keys), pki.SaveNode(keys, cert, key)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	config := spec.Member{Name: "n1", Address: "127.0.0.1", StateDir: dir, Listen: spec.Listen{
		API: ports.Addr(t), Peer: ports.Addr(t), Store: ports.Addr(t)}}
	a := &Agent{o: Options{Config: config}, id: Identity{ClusterID: id}, pki: keys}
	v := &voter{config: a.embedConfig(), stateDir: dir}
	if err := v.begin(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(v.close)

	member, err := pki.ClientTLS(keys)
	if err != nil {
		t.Fatal(err)
	}
	if err := snapshotOf(t, v, member); err != nil {
		t.Fatalf("a member is refused: %v", err)
	}
	for who, stranger := range map[string]*tls.Config{"an application": applicationTLS(t, ca), "a pooler": poolerTLS(t, ca)} {
		if err := snapshotOf(t, v, stranger); err == nil {
			t.Errorf("the certificate of %s reads the store", who)
		}
		if err := handshake(config.Listen.Peer, stranger); err == nil {
			t.Errorf("the certificate of %s opens the peer port", who)
		}
	}
	if err := handshake(config.Listen.Peer, member); err != nil {
		t.Errorf("a member is refused at the peer port: %v", err)
	}
}

func applicationTLS(t *testing.T, ca *pki.CA) *tls.Config {
	return strangerTLS(t, ca, func(csr []byte) ([]byte, error) { return ca.SignClient(csr, "app", time.Now(), time.Hour) })
}

// poolerTLS is of a host that only pools, at the address of a member.
func poolerTLS(t *testing.T, ca *pki.CA) *tls.Config {
	return strangerTLS(t, ca, func(csr []byte) ([]byte, error) {
		return ca.SignPooler(csr, "app1", []string{"127.0.0.1"}, time.Now(), time.Hour)
	})
}

func strangerTLS(t *testing.T, ca *pki.CA, sign func(csr []byte) ([]byte, error)) *tls.Config {
	key, csr, err := pki.NewKeyAndCSR("app", nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := sign(csr)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.CertPEM())
	return &tls.Config{RootCAs: roots, Certificates: []tls.Certificate{pair}}
}

func snapshotOf(t *testing.T, v *voter, config *tls.Config) error {
	s, err := etcd.Dial(t.Context(), etcd.Config{Endpoints: []string{v.config.ClientAdvertise}, TLS: config})
	if err != nil {
		return err
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	_, err = s.Snapshot(ctx)
	return err
}

// handshake also reads: in TLS 1.3 a server's refusal comes after the client is done.
func handshake(addr string, config *tls.Config) error {
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: time.Second}, "tcp", addr, config)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Write([]byte("GET /version HTTP/1.0\r\n\r\n")); err != nil {
		return err
	}
	_ = c.SetReadDeadline(time.Now().Add(2 * time.Second))
	_, err = c.Read(make([]byte, 1))
	return err
}
