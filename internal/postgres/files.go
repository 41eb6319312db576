package postgres

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// writeFile puts data at path durably and all at once (new file, fsync, rename,
// fsync of the directory), but only when it differs from what stands there.
func writeFile(path string, data []byte) (changed bool, err error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	tmp := path + ".new"
	if err := writeSynced(tmp, data); err != nil {
		return false, errors.Join(err, removeIfThere(tmp))
	}
	if err := os.Rename(tmp, path); err != nil {
		return false, err
	}
	return true, syncDir(filepath.Dir(path))
}

func writeSynced(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// exists tells whether something stands at path; an error other than "not there"
// is an error, never a "no".
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

const standbySignal = "standby.signal"

// EnsureStandbySignal makes the next start a standby's, durably.
func EnsureStandbySignal(in Instance) error { return ensureStandbySignal(in.DataDir) }

func ensureStandbySignal(dataDir string) error {
	path := filepath.Join(dataDir, standbySignal)
	there, err := exists(path)
	if err == nil && !there {
		_, err = writeFile(path, []byte{})
	}
	if err != nil {
		return fmt.Errorf("standby.signal: %w", err)
	}
	return nil
}

// RemoveStandbySignal makes the next start a primary's, durably. recovery.signal
// goes too: either would keep the server in recovery.
func RemoveStandbySignal(in Instance) error {
	for _, name := range []string{standbySignal, "recovery.signal"} {
		if err := removeIfThere(in.path(name)); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return syncDir(in.DataDir)
}
