package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

const (
	// CALifetime: nobody should have to replace a CA by surprise.
	CALifetime = 20 * 365 * 24 * time.Hour
	// clockSkew is how far behind another member's clock may be when it first sees a certificate.
	clockSkew = time.Hour
)

// ErrOtherCA: the directory holds another cluster's CA, which Save never replaces.
var ErrOtherCA = errors.New("pki: the directory belongs to another cluster's CA")

// The cluster's ID is the host part of URIs and a label of a DNS name.
var clusterIDForm = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// CA signs for one cluster. It does not change after it was made.
type CA struct {
	cert      *x509.Certificate
	key       *ecdsa.PrivateKey
	clusterID string
}

// NewCA makes a new CA, ECDSA P-256, valid for 20 years. clusterID is a UUID in
// lower case (1–63 of a-z 0-9 -).
func NewCA(clusterID string, now time.Time) (*CA, error) {
	if !clusterIDForm.MatchString(clusterID) {
		return nil, fmt.Errorf("pki: cluster ID %q: want 1 to 63 of a-z 0-9 -", clusterID)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: "pgherd CA " + clusterID, Organization: []string{"pgherd"}},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(CALifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		IsCA:                  true,
		BasicConstraintsValid: true,
		MaxPathLenZero:        true, // no intermediate CA below it
		URIs:                  []*url.URL{{Scheme: uriScheme, Host: clusterID}},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("pki: make the CA: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key, clusterID: clusterID}, nil
}

// ParseCA reads what CertPEM and KeyPEM gave.
func ParseCA(certPEM, keyPEM []byte) (*CA, error) {
	cert, err := parseCACert(certPEM)
	if err != nil {
		return nil, err
	}
	key, err := parseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("pki: CA key: %w", err)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("pki: the CA's key does not belong to its certificate")
	}
	return &CA{cert: cert, key: key, clusterID: cert.URIs[0].Host}, nil
}

// LoadCA reads ca.crt and ca.key. Without them the error is fs.ErrNotExist.
func LoadCA(d Dir) (*CA, error) {
	cert, err := os.ReadFile(d.CACert())
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	key, err := os.ReadFile(d.CAKey())
	if err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	ca, err := ParseCA(cert, key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", d, err)
	}
	return ca, nil
}

// Save writes ca.crt and ca.key. It refuses with ErrOtherCA to replace a
// different CA. The key goes first: ca.crt says that the pair is complete.
func (ca *CA) Save(d Dir) error {
	old, err := os.ReadFile(d.CACert())
	if err == nil && !bytes.Equal(old, ca.CertPEM()) {
		return fmt.Errorf("%w (%s)", ErrOtherCA, d)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("pki: %w", err)
	}
	if err := makeDir(string(d), owner{}); err != nil {
		return fmt.Errorf("pki: %w", err)
	}
	if err := writeFile(d.CAKey(), ca.KeyPEM(), owner{}); err != nil {
		return fmt.Errorf("pki: save the CA's key: %w", err)
	}
	if err := writeFile(d.CACert(), ca.CertPEM(), owner{}); err != nil {
		return fmt.Errorf("pki: save the CA's certificate: %w", err)
	}
	return nil
}

// ClusterID is the cluster that the CA signs for.
func (ca *CA) ClusterID() string { return ca.clusterID }

// CertPEM gives the certificate.
func (ca *CA) CertPEM() []byte { return certPEM(ca.cert.Raw) }

// KeyPEM gives the private key (PKCS #8). It is a secret.
func (ca *CA) KeyPEM() []byte { return keyPEM(ca.key) }

// Fingerprint is the SHA-256 of the certificate's DER.
func (ca *CA) Fingerprint() [32]byte { return sha256.Sum256(ca.cert.Raw) }

// FingerprintText is the fingerprint as `openssl x509 -fingerprint -sha256` prints it.
func (ca *CA) FingerprintText() string { return FingerprintText(ca.Fingerprint()) }

// FingerprintText writes a fingerprint as openssl does: "AB:CD:…".
func FingerprintText(fp [32]byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", fp[:]), " ", ":")
}

// parseCACert accepts only a self-signed CA certificate that names its cluster.
func parseCACert(data []byte) (*x509.Certificate, error) {
	cert, err := parseCert(data)
	if err != nil {
		return nil, fmt.Errorf("pki: CA certificate: %w", err)
	}
	if _, err := caClusterID(cert); err != nil {
		return nil, err
	}
	return cert, cert.CheckSignatureFrom(cert)
}

// caClusterID reads the cluster's ID from a CA certificate.
func caClusterID(cert *x509.Certificate) (string, error) {
	if !cert.IsCA || len(cert.URIs) != 1 || cert.URIs[0].Scheme != uriScheme || !clusterIDForm.MatchString(cert.URIs[0].Host) {
		return "", errors.New("pki: the certificate is not a CA of pgherd")
	}
	return cert.URIs[0].Host, nil
}

func parseCert(data []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no certificate in PEM form")
	}
	return x509.ParseCertificate(block.Bytes)
}

func parseKey(data []byte) (*ecdsa.PrivateKey, error) {
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no private key in PEM form")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("the key is %T, want ECDSA", key)
	}
	return ec, nil
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func keyPEM(key *ecdsa.PrivateKey) []byte {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil { // only for unknown key types and curves; ours is P-256
		return nil
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// newSerial gives 127 random bits (RFC 5280 wants at least 64 and a positive number).
func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails since Go 1.24
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}
