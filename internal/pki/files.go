package pki

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir is the directory STATE_DIR/pki, mode 0700, owned by the user of the agent:
//
//	ca.crt, ca.key      the cluster's CA
//	current          -> node-SERIAL, the generation in use
//	node-SERIAL/        node.crt and node.key of one generation
//	node.crt, node.key  links into current: the paths for PostgreSQL, libpq and etcd
//
// A certificate and its key must change together, but they have two paths, and no
// rename replaces two files. So a renewal writes a new generation beside the old
// one and then replaces the link `current`: one rename, before which both paths
// give the old pair and after which both give the new one, whatever crashes.
// The generation before is kept for a reader that resolved `current` just before.
type Dir string

// CACert is the path of the CA's certificate.
func (d Dir) CACert() string { return d.join("ca.crt") }

// CAKey is the path of the CA's key.
func (d Dir) CAKey() string { return d.join("ca.key") }

// NodeCert is the path of this member's certificate, valid across renewals.
func (d Dir) NodeCert() string { return d.join("node.crt") }

// NodeKey is the path of this member's key, valid across renewals.
func (d Dir) NodeKey() string { return d.join("node.key") }

func (d Dir) join(name string) string { return filepath.Join(string(d), name) }

// owner is who may read written files; the zero value means only ourselves.
type owner struct {
	set      bool
	uid, gid int
}

// dirMode: another owner reads his files but cannot rename or plant any, so that
// root never follows a link that the owner made.
func (o owner) dirMode() fs.FileMode {
	if o.set {
		return 0o750
	}
	return 0o700
}

// makeDir creates path (parents too) with the owner's mode. An existing directory's mode is
// put right: a key directory that others may enter is a mistake to repair, not to keep.
func makeDir(path string, o owner) error {
	if err := os.MkdirAll(path, o.dirMode()); err != nil {
		return err
	}
	if o.set {
		if err := os.Chown(path, -1, o.gid); err != nil {
			return err
		}
	}
	return os.Chmod(path, o.dirMode())
}

// writeFile replaces path atomically and durably with a file of mode 0600.
func writeFile(path string, data []byte, o owner) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".tmp-*") // O_EXCL and 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && o.set {
		err = f.Chown(o.uid, o.gid)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return syncDir(filepath.Dir(path))
}

// replaceLink makes path a symbolic link to target, atomically and durably.
func replaceLink(target, path string) error {
	if now, err := os.Readlink(path); err == nil && now == target {
		return nil
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(target, temp); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("link %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a rename or a new name in the directory survive a power cut.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
