package pki

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"time"
)

// RenewIfNeeded replaces this member's key and certificate when two thirds of its
// life are over, with the same name, hosts and lifetime. It also replaces a
// certificate that is not valid yet (it was made while the clock ran ahead) or
// whose key is damaged: the CA is here, so repairing costs nothing.
func RenewIfNeeded(d Dir, now time.Time) (renewed bool, err error) {
	certPEM, keyPEM, err := readNode(d)
	if err != nil {
		return false, err
	}
	old, err := parseCert(certPEM)
	if err != nil {
		return false, fmt.Errorf("pki: %s: %w", d.NodeCert(), err)
	}
	_, broken := tls.X509KeyPair(certPEM, keyPEM)
	if broken == nil && !now.Before(old.NotBefore) && now.Before(RenewAt(old)) {
		return false, nil
	}
	ca, err := LoadCA(d)
	if err != nil {
		return false, fmt.Errorf("renew this member's certificate: %w", err)
	}
	name, err := certMember(old, ca.clusterID)
	if err != nil {
		return false, fmt.Errorf("renew this member's certificate: %w", err)
	}
	cert, key, err := ca.Issue(name, certHosts(old), now, old.NotAfter.Sub(old.NotBefore)-clockSkew)
	if err != nil {
		return false, err
	}
	if err := SaveNode(d, cert, key); err != nil {
		return false, err
	}
	return true, nil
}

// RenewAt is the moment when two thirds of the certificate's life are over.
func RenewAt(cert *x509.Certificate) time.Time {
	start := cert.NotBefore.Add(clockSkew) // when it was made
	return start.Add(cert.NotAfter.Sub(start) * 2 / 3)
}

func certHosts(cert *x509.Certificate) []string {
	hosts := append([]string(nil), cert.DNSNames...)
	for _, ip := range cert.IPAddresses {
		hosts = append(hosts, ip.String())
	}
	return hosts
}
