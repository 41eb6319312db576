package postgres

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// build is a data directory in the making: DataDir+suffix and WalDir+suffix, made
// beside their places and renamed in when whole. A file beside them says that they
// are whole and under which name the old directories are set aside, so that every
// crash point between the renames can be finished from what is on disk. The file
// is not inside, because a base backup would carry it to another member.
type build struct {
	in     Instance
	suffix string
}

const asideInfix = ".aside-"

// completion is the content of the file that declares a build whole.
type completion struct {
	Stamp string `json:"stamp"` // YYYYMMDDTHHMMSSZ
}

func (b build) dataDir() string { return b.in.DataDir + b.suffix }

func (b build) walDir() string {
	if b.in.WalDir == "" {
		return ""
	}
	return b.in.WalDir + b.suffix
}

// A build is declared whole by completeFile, and its installation is begun by
// renaming that to installingFile: a finished copy that nobody asked to install
// must not replace the data directory at some later start.
func (b build) completeFile() string   { return b.dataDir() + ".complete" }
func (b build) installingFile() string { return b.dataDir() + ".installing" }

// MountPointError says that a directory cannot be exchanged by renaming.
type MountPointError struct{ Dir string }

func (e *MountPointError) Error() string {
	return fmt.Sprintf("%s is a mount point and cannot be renamed; use a directory inside it", e.Dir)
}

// prepare clears what an unfinished attempt left and checks that renames will work.
func (b build) prepare() error {
	for _, dir := range b.in.dirs() {
		mount, err := isMountPoint(dir)
		if err != nil {
			return err
		}
		if mount {
			return &MountPointError{dir}
		}
	}
	for _, dir := range b.in.dirs() {
		if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
			return err
		}
	}
	return b.discard()
}

func (in Instance) dirs() []string {
	if in.WalDir == "" {
		return []string{in.DataDir}
	}
	return []string{in.DataDir, in.WalDir}
}

// discard removes the build: it is a copy in the making, never the only data. The
// declaration goes first, so that half a build is never taken for a whole one.
func (b build) discard() error {
	if err := b.tidy(); err != nil {
		return err
	}
	if err := os.RemoveAll(b.dataDir()); err != nil || b.in.WalDir == "" {
		return err
	}
	return os.RemoveAll(b.walDir())
}

// tidy takes the declarations back.
func (b build) tidy() error {
	for _, path := range []string{b.completeFile(), b.installingFile()} {
		if err := removeIfThere(path); err != nil {
			return err
		}
	}
	return syncDir(filepath.Dir(b.dataDir()))
}

// complete declares the build whole. Its content must be on disk already.
func (b build) complete() error {
	text, err := json.Marshal(completion{time.Now().UTC().Format("20060102T150405Z")})
	if err != nil {
		return err
	}
	_, err = writeFile(b.completeFile(), text)
	return err
}

// whole tells whether the build is whole and not yet being installed.
func (b build) whole() (bool, error) { return exists(b.completeFile()) }

// install puts a whole build in place, or finishes doing so. done is false when
// there is none: then nothing was changed.
func (b build) install() (done bool, err error) {
	err = os.Rename(b.completeFile(), b.installingFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("installing %s: %w", b.dataDir(), err)
	}
	if err == nil {
		if err := syncDir(filepath.Dir(b.dataDir())); err != nil {
			return false, fmt.Errorf("installing %s: %w", b.dataDir(), err)
		}
		crashPoint()
	}
	return b.finish()
}

// finish ends an installation that was begun; done is false when none was.
func (b build) finish() (done bool, err error) {
	c, begun, err := b.readInstalling()
	if err != nil || !begun {
		return false, err
	}
	there, err := exists(b.dataDir())
	if err == nil && there { // its rename is the last one: without it all are done
		err = b.exchange(c)
	}
	if err == nil {
		err = b.tidy()
	}
	if err != nil {
		return false, fmt.Errorf("installing %s: %w", b.dataDir(), err)
	}
	return true, nil
}

func (b build) readInstalling() (c completion, begun bool, err error) {
	text, err := os.ReadFile(b.installingFile())
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &c)
	}
	if err == nil && c.Stamp == "" {
		err = fmt.Errorf("it has no stamp")
	}
	if err != nil {
		return c, false, fmt.Errorf("%s: %w", b.installingFile(), err)
	}
	return c, true, nil
}

// exchange renames. The build's own rename comes last, so as long as the build is
// there something is left to do, and each step looks before it acts.
func (b build) exchange(c completion) error {
	aside := asideInfix + c.Stamp
	steps := []func() error{
		func() error { return setAside(b.in.DataDir, b.in.DataDir+aside) },
		func() error { return b.exchangeWal(aside) },
		func() error { return os.Rename(b.dataDir(), b.in.DataDir) },
		func() error { return syncDir(filepath.Dir(b.in.DataDir)) },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
		crashPoint()
	}
	return nil
}

// exchangeWal does the same for a WAL directory of its own, then points the
// pg_wal links of the new and of the old data directory where their WAL is now.
func (b build) exchangeWal(aside string) error {
	if b.in.WalDir == "" {
		return nil
	}
	ready, err := exists(b.walDir())
	if err != nil {
		return err
	}
	if ready {
		if err := setAside(b.in.WalDir, b.in.WalDir+aside); err != nil {
			return err
		}
		crashPoint()
		if err := os.Rename(b.walDir(), b.in.WalDir); err != nil {
			return err
		}
		crashPoint()
		if err := syncDir(filepath.Dir(b.in.WalDir)); err != nil {
			return err
		}
	}
	if err := relink(filepath.Join(b.dataDir(), "pg_wal"), b.in.WalDir); err != nil {
		return err
	}
	crashPoint()
	if there, err := exists(b.in.WalDir + aside); err != nil || !there {
		return err
	}
	return relink(filepath.Join(b.in.DataDir+aside, "pg_wal"), b.in.WalDir+aside)
}

// setAside renames dir out of the way; an empty one is removed, a missing one is done.
func setAside(dir, aside string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if len(entries) == 0 {
		return os.Remove(dir)
	}
	return os.Rename(dir, aside)
}

// relink points the symbolic link at path to target. Anything else there is left
// alone: the old data directory may have had its WAL inside.
func relink(path, target string) error {
	fi, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || fi.Mode()&fs.ModeSymlink == 0 {
		return err
	}
	tmp := path + ".new"
	if err := removeIfThere(tmp); err != nil {
		return err
	}
	if err := os.Symlink(target, tmp); err != nil {
		return err
	}
	if err := os.Rename(tmp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// crashPoint stands where a crash is tried; tests replace it.
var crashPoint = func() {}
