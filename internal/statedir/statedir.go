// Package statedir keeps two processes of pgherd from using one state directory.
//
// It must not know what is in the directory: it is a leaf.
package statedir

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// ErrRunning: another process runs on the same state directory.
var ErrRunning = errors.New("another pgherd runs on this state directory")

// Lock lets one process run per directory, until the file is closed; the kernel lets go of it at the process's end, however
// it ends.
func Lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "agent.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%w: %s", ErrRunning, dir)
	}
	return f, nil
}
