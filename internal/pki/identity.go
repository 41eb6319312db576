package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/pgherd/pgherd/internal/spec"
)

const uriScheme = "pgherd"

// ErrNotMember: the peer showed no certificate of a member of this cluster.
var ErrNotMember = errors.New("pki: the peer is not a member of this cluster")

// MemberHost is a DNS name in every member's certificate and in no client's. It
// resolves nowhere. It is for programs that can check a host name but no URI:
// etcd's AllowedHostnames. Without it etcd would let any application that has a
// client certificate of this CA write the store.
func MemberHost(clusterID string) string { return "member." + clusterID + ".pgherd.internal" }

func memberURI(clusterID, name string) *url.URL {
	return &url.URL{Scheme: uriScheme, Host: clusterID, Path: "/member/" + name}
}

// MemberName gives the name of the peer of a verified connection. The error is
// ErrNotMember (wrapped) when the peer was not verified against the CA, is a
// client, or belongs to another cluster.
func MemberName(cs *tls.ConnectionState, clusterID string) (string, error) {
	if cs == nil || len(cs.VerifiedChains) == 0 {
		return "", fmt.Errorf("%w: no verified certificate", ErrNotMember)
	}
	return certMember(cs.VerifiedChains[0][0], clusterID)
}

// certMember reads the name from a certificate that was verified before.
func certMember(cert *x509.Certificate, clusterID string) (string, error) {
	if len(cert.URIs) != 1 {
		return "", fmt.Errorf("%w: its certificate has no identity", ErrNotMember)
	}
	uri := cert.URIs[0]
	if uri.Scheme != uriScheme || uri.Host != clusterID {
		return "", fmt.Errorf("%w: it is %s, the cluster is %s", ErrNotMember, uri.Redacted(), clusterID)
	}
	name, ok := strings.CutPrefix(uri.Path, "/member/")
	if !ok || spec.CheckName(name) != nil || !slices.Equal(cert.Subject.Organization, []string{NodeOrganization}) {
		return "", fmt.Errorf("%w: it is %s", ErrNotMember, uri.Redacted())
	}
	return name, nil
}
