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
	cert, err := verifiedCert(cs, ErrNotMember)
	if err != nil {
		return "", err
	}
	return certMember(cert, clusterID)
}

// certMember reads the name from a certificate that was verified before.
func certMember(cert *x509.Certificate, clusterID string) (string, error) {
	return nameIn(cert, clusterID, "/member/", NodeOrganization, ErrNotMember)
}

// verifiedCert gives the peer's own certificate; otherwise is wrapped when none was verified against the CA.
func verifiedCert(cs *tls.ConnectionState, otherwise error) (*x509.Certificate, error) {
	if cs == nil || len(cs.VerifiedChains) == 0 {
		return nil, fmt.Errorf("%w: no verified certificate", otherwise)
	}
	return cs.VerifiedChains[0][0], nil
}

// nameIn reads the name from a verified certificate of this kind: a URI with the path, and the organisation that goes with
// it. otherwise is wrapped where it is of another kind or cluster.
func nameIn(cert *x509.Certificate, clusterID, path, organization string, otherwise error) (string, error) {
	if len(cert.URIs) != 1 {
		return "", fmt.Errorf("%w: its certificate has no identity", otherwise)
	}
	uri := cert.URIs[0]
	if uri.Scheme != uriScheme || uri.Host != clusterID {
		return "", fmt.Errorf("%w: it is %s, the cluster is %s", otherwise, uri.Redacted(), clusterID)
	}
	name, ok := strings.CutPrefix(uri.Path, path)
	if !ok || spec.CheckName(name) != nil || !slices.Equal(cert.Subject.Organization, []string{organization}) {
		return "", fmt.Errorf("%w: it is %s", otherwise, uri.Redacted())
	}
	return name, nil
}
