package postgres

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// ErrNoSpace says that a copy would not fit. Nothing was touched.
type ErrNoSpace struct {
	Dir        string
	Need, Free int64 // bytes
}

func (e *ErrNoSpace) Error() string {
	return fmt.Sprintf("no space for the clone beside %s: it needs %d MB, %d MB are free", e.Dir, e.Need>>20, e.Free>>20)
}

// checkSpace fails with *ErrNoSpace when the file system of dir (or of its nearest
// existing parent) has less than need bytes free for us.
func checkSpace(dir string, need int64) error {
	at := dir
	for {
		there, err := exists(at)
		if err != nil {
			return err
		}
		if there || at == filepath.Dir(at) {
			break
		}
		at = filepath.Dir(at)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(at, &st); err != nil {
		return fmt.Errorf("free space of %s: %w", at, err)
	}
	if free := int64(st.Bavail) * st.Bsize; free < need {
		return &ErrNoSpace{dir, need, free}
	}
	return nil
}

// isMountPoint tells whether dir is the root of a file system of its own.
func isMountPoint(dir string) (bool, error) {
	var own, parent unix.Stat_t
	if err := unix.Stat(dir, &own); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		return false, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	if err := unix.Stat(filepath.Dir(dir), &parent); err != nil {
		return false, &os.PathError{Op: "stat", Path: filepath.Dir(dir), Err: err}
	}
	return own.Dev != parent.Dev, nil
}

// Room is the space of the file system that holds dir: free for this process, and in all.
func Room(dir string) (free, size int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, int64(st.Blocks) * st.Bsize, nil
}

// Volumes are the directories that a server writes to: WAL first.
func (in Instance) Volumes() (wal, data string) { return in.path("pg_wal"), in.DataDir }

// TestWrite writes a block to a file without a name in dir and flushes it. It may hang for as long as
// the device does. A volume without space is no error of the device: Room tells it.
func TestWrite(dir string) error {
	f, err := nameless(dir)
	if err != nil {
		return noError(err)
	}
	defer f.Close()
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return noError(err)
	}
	return noError(f.Sync())
}

// nameless makes a file that is gone when it is closed; where the file system cannot, one that was removed.
func nameless(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_WRONLY|unix.O_TMPFILE, 0o600)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return f, err
	}
	if f, err = os.CreateTemp(dir, "pgherd-test-*"); err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

func noError(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
