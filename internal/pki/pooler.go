package pki

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// PoolerOrganization is that of a host which only pools. It is another than members', because
// PostgreSQL sees the subject alone: with theirs it could replicate every database.
const PoolerOrganization = "pgherd pooler"

// ErrNotPooler: the peer showed no certificate of a host of this cluster that only pools.
var ErrNotPooler = errors.New("pki: the peer is no pooler of this cluster")

// SignPooler gives the host of pooler name a certificate for the key of the request: to serve its clients with,
// and to ask members with. As in SignNode nothing else of the request is used. It is no member's: it
// lacks their host name (MemberHost), URI and organisation, so neither the store nor replication takes it.
func (ca *CA) SignPooler(csrPEM []byte, name string, hosts []string, now time.Time, lifetime time.Duration) ([]byte, error) {
	if err := checkNode(name, hosts); err != nil {
		return nil, err
	}
	public, err := parseCSR(csrPEM)
	if err != nil {
		return nil, err
	}
	dns, ips := splitHosts(append([]string{name, "localhost", "127.0.0.1", "::1"}, hosts...))
	if slices.ContainsFunc(dns, ca.reserved) {
		return nil, fmt.Errorf("pki: pooler %s: %s is a name of members", name, MemberHost(ca.clusterID))
	}
	return ca.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: []string{PoolerOrganization}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: uriScheme, Host: ca.clusterID, Path: "/pooler/" + name}},
		DNSNames:    dns,
		IPAddresses: ips,
	}, public, now, lifetime)
}

// SavePooler writes what such a host got when it joined: the CA's certificate, which must be the one that the token
// named (ErrWrongCA), and its own pair.
func SavePooler(d Dir, fingerprint [32]byte, caPEM, certPEM, keyPEM []byte) error {
	ca, err := parseCACert(caPEM)
	if err != nil {
		return err
	}
	if sha256.Sum256(ca.Raw) != fingerprint {
		return ErrWrongCA
	}
	cert, err := parseCert(certPEM)
	if err == nil {
		err = cert.CheckSignatureFrom(ca)
	}
	if err == nil {
		_, err = certPooler(cert, ca.URIs[0].Host)
	}
	if err != nil {
		return fmt.Errorf("pki: the certificate that the cluster gave: %w", err)
	}
	if err := makeDir(string(d), owner{}); err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	if err := SaveNode(d, certPEM, keyPEM); err != nil {
		return err
	}
	return writeFile(d.CACert(), caPEM, owner{}) // last: it says that all is there
}

// reserved: host names compare without regard to case, and a final dot means nothing.
func (ca *CA) reserved(host string) bool {
	return strings.EqualFold(strings.TrimSuffix(host, "."), MemberHost(ca.clusterID))
}

// PoolerName gives the name of the peer of a verified connection, when it is a host that only pools;
// else ErrNotPooler (wrapped).
func PoolerName(cs *tls.ConnectionState, clusterID string) (string, error) {
	cert, err := verifiedCert(cs, ErrNotPooler)
	if err != nil {
		return "", err
	}
	return certPooler(cert, clusterID)
}

// certPooler reads the name from a certificate that was verified before.
func certPooler(cert *x509.Certificate, clusterID string) (string, error) {
	return nameIn(cert, clusterID, "/pooler/", PoolerOrganization, ErrNotPooler)
}
