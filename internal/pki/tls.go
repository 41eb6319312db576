package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"
)

// ClientAuth says whether a server asks its clients for a certificate.
type ClientAuth = tls.ClientAuthType

// What ServerTLS accepts. A client that shows a certificate is verified against
// the CA; whether it is a member is for the handler to ask (MemberName).
const (
	ClientNone     ClientAuth = tls.NoClientCert
	ClientOptional ClientAuth = tls.VerifyClientCertIfGiven
	ClientRequired ClientAuth = tls.RequireAndVerifyClientCert
)

// ServerTLS serves with this member's certificate, TLS 1.3 only. A renewed
// certificate is picked up by the next handshake. The CA is sent too, so that a
// joining member can hold it against its token.
func ServerTLS(d Dir, need ClientAuth) (*tls.Config, error) {
	if need != ClientNone && need != ClientOptional && need != ClientRequired {
		return nil, fmt.Errorf("pki: client authentication %s does not verify", need)
	}
	files, err := openKeyFiles(d, certMember)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		ClientAuth:     need,
		ClientCAs:      files.pool,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return files.pair() },
	}, nil
}

// ClientTLS calls other members with this member's certificate, TLS 1.3 only. The
// server must be a member of this cluster (by its URI) and be the host that was
// dialled (by its host names). A renewed certificate is used by the next handshake.
func ClientTLS(d Dir) (*tls.Config, error) { return clientTLS(d, certMember) }

// PoolerTLS is ClientTLS for a host that only pools, whose directory has no CA key.
func PoolerTLS(d Dir) (*tls.Config, error) { return clientTLS(d, certPooler) }

func clientTLS(d Dir, own identity) (*tls.Config, error) {
	files, err := openKeyFiles(d, own)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		MinVersion:           tls.VersionTLS13,
		RootCAs:              files.pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return files.pair() },
		VerifyConnection: func(cs tls.ConnectionState) error {
			_, err := MemberName(&cs, files.clusterID)
			return err
		},
	}, nil
}

// PinnedTLS is for the call that joins, before the CA is known: the server must
// present a CA with this fingerprint and a member's certificate signed by it. The
// host name is not checked: the token's holder trusts any member of that cluster.
func PinnedTLS(fp [32]byte) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS13,
		InsecureSkipVerify: true, // VerifyConnection below verifies instead
		VerifyConnection:   func(cs tls.ConnectionState) error { return verifyPinned(cs.PeerCertificates, fp, time.Now()) },
	}
}

// ErrWrongCA: the server's CA is not the one that the join token names.
var ErrWrongCA = errors.New("pki: the server does not belong to the cluster of the token")

func verifyPinned(chain []*x509.Certificate, fp [32]byte, now time.Time) error {
	ca := findPinned(chain, fp)
	if ca == nil {
		return ErrWrongCA
	}
	clusterID, err := caClusterID(ca)
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	if _, err := chain[0].Verify(x509.VerifyOptions{
		Roots:       roots,
		CurrentTime: now,
		KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}); err != nil {
		return fmt.Errorf("%w: %w", ErrWrongCA, err)
	}
	_, err = certMember(chain[0], clusterID)
	return err
}

// findPinned looks behind the leaf: a CA's certificate is no server's.
func findPinned(chain []*x509.Certificate, fp [32]byte) *x509.Certificate {
	for i, c := range chain {
		if i > 0 && c.IsCA && sha256.Sum256(c.Raw) == fp {
			return c
		}
	}
	return nil
}

// keyFiles keeps the pair in memory and reads it again when the file behind
// node.crt is another one. One stat a handshake costs microseconds and needs no
// watcher that could miss a change.
type keyFiles struct {
	dir       Dir
	clusterID string
	caDER     []byte
	pool      *x509.CertPool

	mu   sync.Mutex
	cert *tls.Certificate
	info os.FileInfo
}

// identity reads a name from a certificate of one kind.
type identity func(cert *x509.Certificate, clusterID string) (string, error)

func openKeyFiles(d Dir, own identity) (*keyFiles, error) {
	data, err := os.ReadFile(d.CACert())
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	ca, err := parseCACert(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d.CACert(), err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	f := &keyFiles{dir: d, clusterID: ca.URIs[0].Host, caDER: ca.Raw, pool: pool}
	if _, err := f.pair(); err != nil {
		return nil, err
	}
	if _, err := own(f.cert.Leaf, f.clusterID); err != nil {
		return nil, fmt.Errorf("%s: %w", d.NodeCert(), err)
	}
	return f, nil
}

// pair gives the current certificate with the CA behind it. When the files cannot
// be read the pair in memory goes on: it is as good as it was a moment ago.
func (f *keyFiles) pair() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := os.Stat(f.dir.NodeCert())
	if err == nil && f.cert != nil && os.SameFile(info, f.info) && info.ModTime().Equal(f.info.ModTime()) {
		return f.cert, nil
	}
	var cert *tls.Certificate
	if err == nil {
		cert, err = f.read()
	}
	if err != nil && f.cert == nil {
		return nil, fmt.Errorf("pki: this member's certificate: %w", err)
	}
	if err == nil {
		f.cert, f.info = cert, info
	}
	return f.cert, nil
}

func (f *keyFiles) read() (*tls.Certificate, error) {
	certPEM, keyPEM, err := readNode(f.dir)
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, err
	}
	cert.Certificate = append(cert.Certificate, f.caDER)
	return &cert, nil
}
