package pki

import (
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/pgherd/pgherd/internal/spec"
)

// ViewerOrganization is that of who may look at the cluster and do nothing, such as Prometheus.
const ViewerOrganization = "pgherd viewer"

// ViewerLifetime is long, as a scraper's certificate is renewed by hand, and not longer: it cannot be taken back.
const ViewerLifetime = 365 * 24 * time.Hour

// ErrNotViewer: the peer showed no certificate of a viewer of this cluster.
var ErrNotViewer = errors.New("pki: the peer is no viewer of this cluster")

// SignViewer gives viewer name a certificate for the key of the request, and uses nothing else of it. Only the members'
// API takes it: the store wants MemberHost, replication the members' organisation, and where PostgreSQL lets roles in by
// the common name of a certificate (auth cert), none is called "viewer NAME" with a blank.
func (ca *CA) SignViewer(csrPEM []byte, name string, now time.Time, lifetime time.Duration) ([]byte, error) {
	if err := spec.CheckName(name); err != nil {
		return nil, fmt.Errorf("pki: viewer %w", err)
	}
	public, err := parseCSR(csrPEM)
	if err != nil {
		return nil, err
	}
	return ca.sign(&x509.Certificate{
		Subject:     pkix.Name{CommonName: "viewer " + name, Organization: []string{ViewerOrganization}},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		URIs:        []*url.URL{{Scheme: uriScheme, Host: ca.clusterID, Path: "/viewer/" + name}},
	}, public, now, lifetime)
}

// ViewerName gives the name of the peer of a verified connection, when it is a viewer; else ErrNotViewer (wrapped).
func ViewerName(cs *tls.ConnectionState, clusterID string) (string, error) {
	cert, err := verifiedCert(cs, ErrNotViewer)
	if err != nil {
		return "", err
	}
	return nameIn(cert, clusterID, "/viewer/", ViewerOrganization, ErrNotViewer)
}

// Expires is the end of a certificate in PEM form.
func Expires(data []byte) (time.Time, error) {
	cert, err := parseCert(data)
	if err != nil {
		return time.Time{}, err
	}
	return cert.NotAfter, nil
}
