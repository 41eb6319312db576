package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// serve accepts TLS connections and gives the server's view of each handshake.
func serve(t *testing.T, cfg *tls.Config) (addr string, seen <-chan serverSide) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out, finished := make(chan serverSide, 16), make(chan struct{})
	t.Cleanup(func() { l.Close(); <-finished })
	go func() {
		defer close(finished)
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			raw.SetDeadline(time.Now().Add(10 * time.Second))
			conn := tls.Server(raw, cfg)
			err = conn.Handshake()
			out <- serverSide{conn.ConnectionState(), err}
			if err == nil {
				conn.Write([]byte("!")) // TLS 1.3: the client learns of a refusal only when it reads
			}
			conn.Close()
		}
	}()
	return l.Addr().String(), out
}

type serverSide struct {
	cs  tls.ConnectionState
	err error
}

// call dials and reads one byte, so that a refusal by either side is seen.
func call(addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", addr, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	_, err = conn.Read(make([]byte, 1))
	return conn.ConnectionState(), err
}

func mustTLS(t *testing.T) func(*tls.Config, error) *tls.Config {
	return func(cfg *tls.Config, err error) *tls.Config {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
}

func TestMembersKnowEachOther(t *testing.T) {
	ca := newCA(t, clusterA)
	d1, d2 := newDir(t, ca, "n1", time.Now()), newDir(t, ca, "n2", time.Now())
	addr, seen := serve(t, mustTLS(t)(ServerTLS(d1, ClientRequired)))
	cs, err := call(addr, mustTLS(t)(ClientTLS(d2)))
	if err != nil {
		t.Fatal(err)
	}
	server := <-seen
	if name, err := MemberName(&cs, clusterA); err != nil || name != "n1" {
		t.Errorf("the client sees %q, %v", name, err)
	}
	if name, err := MemberName(&server.cs, clusterA); err != nil || name != "n2" {
		t.Errorf("the server sees %q, %v", name, err)
	}
	if _, err := MemberName(&server.cs, clusterB); !errors.Is(err, ErrNotMember) {
		t.Errorf("as a member of another cluster: %v", err)
	}
	if cs.Version != tls.VersionTLS13 {
		t.Errorf("TLS version %x", cs.Version)
	}
	old := &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if _, err := call(addr, old); err == nil {
		t.Error("TLS 1.2 was accepted")
	}
}

func TestServerRefusesStrangers(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	addr, seen := serve(t, mustTLS(t)(ServerTLS(d, ClientRequired)))
	other := mustTLS(t)(ClientTLS(newDir(t, newCA(t, clusterB), "n2", time.Now())))
	expired := mustTLS(t)(ClientTLS(newDir(t, ca, "n2", time.Now().Add(-2*NodeLifetime))))
	for name, cfg := range map[string]*tls.Config{
		"other cluster's member": {RootCAs: mustTLS(t)(ClientTLS(d)).RootCAs, GetClientCertificate: other.GetClientCertificate},
		"expired":                expired,
		"no certificate":         {RootCAs: mustTLS(t)(ClientTLS(d)).RootCAs},
	} {
		if _, err := call(addr, cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if side := <-seen; side.err == nil {
			t.Errorf("%s: the server's handshake succeeded", name)
		}
	}
}

func TestClientCertificateIsNoMember(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	for _, role := range []string{"n1", "app", "../member/n2", "x/member/n2", "Ünï çode"} {
		client := clientPair(t, ca, role)
		addr, seen := serve(t, mustTLS(t)(ServerTLS(d, ClientRequired)))
		cfg := mustTLS(t)(ClientTLS(d))
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return client, nil }
		if _, err := call(addr, cfg); err != nil {
			t.Fatalf("%s: %v", role, err)
		}
		side := <-seen
		if name, err := MemberName(&side.cs, clusterA); !errors.Is(err, ErrNotMember) {
			t.Errorf("client %q passes as member %q (%v)", role, name, err)
		}
		leaf := side.cs.PeerCertificates[0]
		if leaf.Subject.CommonName != role || leaf.VerifyHostname(MemberHost(clusterA)) == nil {
			t.Errorf("client %q: subject %s, hosts %v", role, leaf.Subject, leaf.DNSNames)
		}
	}
}

// A client that serves with its certificate deceives neither a member nor a joining one.
func TestClientCertificateIsNoServer(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	client := clientPair(t, ca, "n1")
	client.Certificate = append(client.Certificate, ca.cert.Raw)
	addr, _ := serve(t, &tls.Config{Certificates: []tls.Certificate{*client}})
	cfg := mustTLS(t)(ClientTLS(d))
	cfg.ServerName = "n1"
	if _, err := call(addr, cfg); err == nil {
		t.Error("ClientTLS accepted a client as server")
	}
	if _, err := call(addr, PinnedTLS(ca.Fingerprint())); !errors.Is(err, ErrWrongCA) {
		t.Errorf("PinnedTLS: %v", err)
	}
}

func clientPair(t *testing.T, ca *CA, role string) *tls.Certificate {
	t.Helper()
	key, csr, err := NewKeyAndCSR("any", nil)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.SignClient(csr, role, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	return &pair
}

func TestClientTLSChecksServer(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	addr, _ := serve(t, mustTLS(t)(ServerTLS(d, ClientOptional)))
	cfg := mustTLS(t)(ClientTLS(d))
	cfg.ServerName = "elsewhere.example.org"
	var wrongHost x509.HostnameError
	if _, err := call(addr, cfg); !errors.As(err, &wrongHost) {
		t.Errorf("another host name: %v", err)
	}
	other := mustTLS(t)(ClientTLS(newDir(t, newCA(t, clusterB), "n1", time.Now())))
	if _, err := call(addr, other); err == nil {
		t.Error("another cluster's server was accepted")
	}
	cfg = mustTLS(t)(ClientTLS(d))
	cfg.VerifyConnection = func(cs tls.ConnectionState) error { _, err := MemberName(&cs, clusterB); return err }
	if _, err := call(addr, cfg); !errors.Is(err, ErrNotMember) {
		t.Errorf("the URI is not looked at: %v", err)
	}
}

func TestPinnedTLS(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	addr, _ := serve(t, mustTLS(t)(ServerTLS(d, ClientOptional)))
	if _, err := call(addr, PinnedTLS(ca.Fingerprint())); err != nil {
		t.Errorf("the right pin: %v", err)
	}
	if _, err := call(addr, PinnedTLS(newCA(t, clusterB).Fingerprint())); !errors.Is(err, ErrWrongCA) {
		t.Errorf("a wrong pin: %v", err)
	}
	// A stranger who sends the right CA behind a leaf that it did not sign.
	strange, err := newKeyPair(newCA(t, clusterA), "n1")
	if err != nil {
		t.Fatal(err)
	}
	strange.Certificate = append(strange.Certificate, ca.cert.Raw)
	addr, _ = serve(t, &tls.Config{Certificates: []tls.Certificate{strange}})
	if _, err := call(addr, PinnedTLS(ca.Fingerprint())); !errors.Is(err, ErrWrongCA) {
		t.Errorf("a borrowed CA: %v", err)
	}
	// A server whose certificate has ended.
	addr, _ = serve(t, mustTLS(t)(ServerTLS(newDir(t, ca, "n1", time.Now().Add(-2*NodeLifetime)), ClientOptional)))
	if _, err := call(addr, PinnedTLS(ca.Fingerprint())); !errors.Is(err, ErrWrongCA) {
		t.Errorf("an expired server: %v", err)
	}
}

func newKeyPair(ca *CA, name string) (tls.Certificate, error) {
	cert, key, err := ca.Issue(name, nil, time.Now(), time.Hour)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.X509KeyPair(cert, key)
}

func TestRenewalReachesLiveListener(t *testing.T) {
	ca := newCA(t, clusterA)
	made := time.Now().Add(-61 * 24 * time.Hour)
	d1, d2 := newDir(t, ca, "n1", made), newDir(t, ca, "n2", made)
	addr, seen := serve(t, mustTLS(t)(ServerTLS(d1, ClientRequired)))
	client := mustTLS(t)(ClientTLS(d2))
	serials := func() (server, peer string) {
		t.Helper()
		cs, err := call(addr, client)
		if err != nil {
			t.Fatal(err)
		}
		side := <-seen
		return cs.PeerCertificates[0].SerialNumber.String(), side.cs.PeerCertificates[0].SerialNumber.String()
	}
	server, peer := serials()
	for _, d := range []Dir{d1, d2} {
		if renewed, err := RenewIfNeeded(d, time.Now()); err != nil || !renewed {
			t.Fatalf("renewed %v, %v", renewed, err)
		}
	}
	server2, peer2 := serials()
	if server2 == server {
		t.Error("the server still shows its old certificate")
	}
	if peer2 == peer {
		t.Error("the client still shows its old certificate")
	}
	server3, _ := serials()
	if server3 != server2 {
		t.Error("the certificate changed without a renewal")
	}
}

func TestTLSRefusesAtStart(t *testing.T) {
	ca := newCA(t, clusterA)
	d := newDir(t, ca, "n1", time.Now())
	for _, need := range []ClientAuth{tls.RequireAnyClientCert, tls.RequestClientCert} {
		if _, err := ServerTLS(d, need); err == nil {
			t.Errorf("%s accepted", need)
		}
	}
	if _, err := ServerTLS(Dir(filepath.Join(t.TempDir(), "none")), ClientNone); err == nil {
		t.Error("served without files")
	}
	// The member's certificate is another cluster's.
	cert, key, err := newCA(t, clusterB).Issue("n1", nil, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	if err := SaveNode(d, cert, key); err != nil {
		t.Fatal(err)
	}
	if _, err := ClientTLS(d); !errors.Is(err, ErrNotMember) || !strings.Contains(err.Error(), "node.crt") {
		t.Errorf("another cluster's certificate: %v", err)
	}
}
