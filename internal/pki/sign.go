package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/pgherd/pgherd/internal/spec"
)

const (
	// NodeLifetime is the default lifetime of a member's certificate, renewed at two thirds.
	NodeLifetime = 90 * 24 * time.Hour

	// NodeOrganization and ClientOrganization tell the two kinds apart where only
	// the subject is seen: PostgreSQL's `clientname=DN` map sees
	// "CN=n1,O=pgherd node". A map on the CN alone would let an application's
	// client whose role is called n1 pass as member n1.
	NodeOrganization   = "pgherd node"
	ClientOrganization = "pgherd client"
)

// NewKeyAndCSR makes a P-256 key and a signing request for it. The name and hosts
// in the request are for the reader only: the CA uses nothing but the key.
func NewKeyAndCSR(name string, hosts []string) (key, csr []byte, err error) {
	if err := checkNode(name, hosts); err != nil {
		return nil, nil, err
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	dns, ips := splitHosts(hosts)
	template := &x509.CertificateRequest{
		Subject:     pkix.Name{CommonName: name, Organization: []string{NodeOrganization}},
		DNSNames:    dns,
		IPAddresses: ips,
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, template, private)
	if err != nil {
		return nil, nil, fmt.Errorf("pki: signing request of %s: %w", name, err)
	}
	return keyPEM(private), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// SignNode gives member name a certificate for the key of the request. Subject
// and hosts come from the arguments, never from the request. hosts are IP
// addresses and DNS names; name, localhost, 127.0.0.1 and ::1 are added.
func (ca *CA) SignNode(csrPEM []byte, name string, hosts []string, now time.Time, lifetime time.Duration) ([]byte, error) {
	if err := checkNode(name, hosts); err != nil {
		return nil, err
	}
	public, err := parseCSR(csrPEM)
	if err != nil {
		return nil, err
	}
	all := append([]string{name, "localhost", "127.0.0.1", "::1", MemberHost(ca.clusterID)}, hosts...)
	dns, ips := splitHosts(all)
	return ca.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: []string{NodeOrganization}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{memberURI(ca.clusterID, name)},
		DNSNames:    dns,
		IPAddresses: ips,
	}, public, now, lifetime)
}

// SignClient gives an application or a person a certificate to log in to
// PostgreSQL as role name (1–63 bytes). It is good for client authentication
// only and never passes as a member.
func (ca *CA) SignClient(csrPEM []byte, name string, now time.Time, lifetime time.Duration) ([]byte, error) {
	if name == "" || len(name) > 63 || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return nil, fmt.Errorf("pki: client name %q: want 1 to 63 bytes of printable text", name)
	}
	public, err := parseCSR(csrPEM)
	if err != nil {
		return nil, err
	}
	return ca.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: name, Organization: []string{ClientOrganization}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: uriScheme, Host: ca.clusterID, Path: "/client/" + name}},
	}, public, now, lifetime)
}

// Issue makes a key and signs it here: what SignNode does for a member that holds the CA.
func (ca *CA) Issue(name string, hosts []string, now time.Time, lifetime time.Duration) (cert, key []byte, err error) {
	key, csr, err := NewKeyAndCSR(name, hosts)
	if err != nil {
		return nil, nil, err
	}
	cert, err = ca.SignNode(csr, name, hosts, now, lifetime)
	if err != nil {
		return nil, nil, err
	}
	return cert, key, nil
}

// sign fills in what all certificates share. A certificate never outlives its CA.
func (ca *CA) sign(template *x509.Certificate, public *ecdsa.PublicKey, now time.Time, lifetime time.Duration) ([]byte, error) {
	if lifetime <= 0 {
		return nil, fmt.Errorf("pki: lifetime %s: want more than zero", lifetime)
	}
	if now.After(ca.cert.NotAfter) {
		return nil, fmt.Errorf("pki: the CA ended at %s", ca.cert.NotAfter.Format(time.RFC3339))
	}
	template.SerialNumber = newSerial()
	template.NotBefore = now.Add(-clockSkew)
	template.NotAfter = now.Add(lifetime)
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.BasicConstraintsValid = true
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	if err != nil {
		return nil, fmt.Errorf("pki: sign %s: %w", template.Subject.CommonName, err)
	}
	return certPEM(der), nil
}

// parseCSR checks that the sender holds the key and gives the key, nothing else.
func parseCSR(data []byte) (*ecdsa.PublicKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("pki: no signing request in PEM form")
	}
	csr, err := x509.ParseCertificateRequest(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("pki: signing request: %w", err)
	}
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("pki: signing request: %w", err)
	}
	public, ok := csr.PublicKey.(*ecdsa.PublicKey)
	if !ok || public.Curve != elliptic.P256() {
		return nil, errors.New("pki: signing request: want an ECDSA P-256 key")
	}
	return public, nil
}

func checkNode(name string, hosts []string) error {
	if err := spec.CheckName(name); err != nil {
		return fmt.Errorf("pki: member %w", err)
	}
	for _, h := range hosts {
		if err := spec.CheckHost(h); err != nil {
			return fmt.Errorf("pki: member %s: %w", name, err)
		}
	}
	return nil
}

// splitHosts sorts hosts into DNS names and IP addresses, each once.
func splitHosts(hosts []string) (dns []string, ips []net.IP) {
	seen := map[string]bool{}
	for _, h := range hosts {
		ip := net.ParseIP(h)
		if ip != nil {
			h = ip.String()
		}
		if seen[h] {
			continue
		}
		seen[h] = true
		if ip != nil {
			ips = append(ips, ip)
		} else {
			dns = append(dns, h)
		}
	}
	return dns, ips
}
