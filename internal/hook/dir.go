package hook

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// programs lists the executable files of the directory by name, or says why it must not be used:
// whoever can write there, or put another directory in its place, runs programs as pgherd's user.
func programs(dir string) (paths []string, err error) {
	if err := trusted(dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir) // sorted by name
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		info, err := os.Lstat(path)
		switch {
		case err != nil:
			return nil, err
		case info.Mode()&os.ModeSymlink != 0:
			return nil, fmt.Errorf("%s is a symbolic link: who may write what it points to cannot be told; copy the program here", path)
		case !info.Mode().IsRegular() || info.Mode()&0o111 == 0:
			continue // a README, a directory
		}
		if err := unwritable(path, info, false); err != nil {
			return nil, err
		}
		paths = append(paths, path)
	}
	return paths, nil
}

// trusted checks the directory and all above it.
func trusted(dir string) error {
	for path := dir; ; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			return err
		}
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", path)
		}
		if err := unwritable(path, info, path != dir); err != nil {
			return err
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

// unwritable: nobody but root and our own user can write it. In a directory with the sticky bit
// above (/tmp) others can write, but not rename what is not theirs.
func unwritable(path string, info os.FileInfo, above bool) error {
	owner := info.Sys().(*syscall.Stat_t).Uid
	if owner != 0 && owner != uint32(os.Geteuid()) {
		return fmt.Errorf("%s belongs to user %d; want root or user %d, who runs pgherd", path, owner, os.Geteuid())
	}
	if info.Mode().Perm()&0o022 != 0 && !(above && info.Mode()&os.ModeSticky != 0) {
		return fmt.Errorf("%s can be written by others (mode %04o); take it away from group and others: chmod go-w", path, info.Mode().Perm())
	}
	return nil
}
