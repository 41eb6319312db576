package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	currentLink      = "current"
	generationPrefix = "node-"
)

// SaveNode makes the pair this member's certificate and key, in one step (see Dir).
// It refuses a key that does not belong to the certificate.
func SaveNode(d Dir, certPEM, keyPEM []byte) error {
	if err := saveNode(d, certPEM, keyPEM, owner{}); err != nil {
		return fmt.Errorf("pki: save this member's certificate: %w", err)
	}
	return nil
}

func saveNode(d Dir, certPEM, keyPEM []byte, o owner) error {
	if _, err := tls.X509KeyPair(certPEM, keyPEM); err != nil {
		return err
	}
	cert, err := parseCert(certPEM)
	if err != nil {
		return err
	}
	generation := generationPrefix + cert.SerialNumber.Text(16)
	if err := writeGeneration(d, generation, certPEM, keyPEM, o); err != nil {
		return err
	}
	// These two never change after the first time; until `current` exists they lead nowhere.
	for _, name := range []string{"node.crt", "node.key"} {
		if err := replaceLink(filepath.Join(currentLink, name), d.join(name)); err != nil {
			return err
		}
	}
	before, _ := os.Readlink(d.join(currentLink))
	if err := replaceLink(generation, d.join(currentLink)); err != nil {
		return err
	}
	return removeGenerations(d, generation, before)
}

func writeGeneration(d Dir, generation string, certPEM, keyPEM []byte, o owner) error {
	if err := makeDir(string(d), o); err != nil {
		return err
	}
	dir := d.join(generation)
	if err := makeDir(dir, o); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "node.key"), keyPEM, o); err != nil {
		return err
	}
	if err := writeFile(filepath.Join(dir, "node.crt"), certPEM, o); err != nil {
		return err
	}
	return syncDir(string(d))
}

// removeGenerations clears what renewals and crashes left, except the kept ones.
func removeGenerations(d Dir, keep ...string) error {
	entries, err := os.ReadDir(string(d))
	if err != nil {
		return err
	}
	kept := map[string]bool{}
	for _, k := range keep {
		kept[k] = true
	}
	for _, e := range entries {
		if !e.IsDir() || !strings.HasPrefix(e.Name(), generationPrefix) || kept[e.Name()] {
			continue
		}
		if err := os.RemoveAll(d.join(e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// readNode reads certificate and key of one generation: `current` is resolved
// once, because a renewal may replace it between two reads.
func readNode(d Dir) (certPEM, keyPEM []byte, err error) {
	for range 3 {
		var generation string
		if generation, err = os.Readlink(d.join(currentLink)); err != nil {
			break
		}
		dir := d.join(generation)
		certPEM, err = os.ReadFile(filepath.Join(dir, "node.crt"))
		if err == nil {
			keyPEM, err = os.ReadFile(filepath.Join(dir, "node.key"))
		}
		if !errors.Is(err, fs.ErrNotExist) { // two renewals meanwhile removed it: look again
			break
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("pki: this member's certificate: %w", err)
	}
	return certPEM, keyPEM, nil
}

// NodeCertificate reads this member's certificate, for its name, hosts and end.
// Without one the error is fs.ErrNotExist.
func NodeCertificate(d Dir) (*x509.Certificate, error) {
	data, _, err := readNode(d)
	if err != nil {
		return nil, err
	}
	cert, err := parseCert(data)
	if err != nil {
		return nil, fmt.Errorf("pki: %s: %w", d.NodeCert(), err)
	}
	return cert, nil
}

// Export copies ca.crt and the current pair (never the CA's key) to directory to,
// readable by user uid and group gid's members as far as PostgreSQL allows: it
// refuses a key that others own, and under root it runs as another user than we
// do. The paths are the same as in d, and as crash-safe. uid -1 keeps our own user.
// changed is false when to already held this pair.
func Export(d, to Dir, uid, gid int) (changed bool, err error) {
	cert, key, err := readNode(d)
	if err != nil {
		return false, err
	}
	ca, err := os.ReadFile(d.CACert())
	if err != nil {
		return false, fmt.Errorf("pki: %w", err)
	}
	have, _, err := readNode(to)
	if err == nil && string(have) == string(cert) {
		return false, nil
	}
	o := owner{set: uid >= 0, uid: uid, gid: gid}
	err = makeDir(string(to), o)
	if err == nil {
		err = writeFile(to.CACert(), ca, o)
	}
	if err == nil {
		err = saveNode(to, cert, key, o)
	}
	if err != nil {
		return false, fmt.Errorf("pki: export the certificate to %s: %w", to, err)
	}
	return true, nil
}
