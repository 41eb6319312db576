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
