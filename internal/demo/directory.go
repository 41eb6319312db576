package demo

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// pathBytesMax: a unix socket's path must fit into 107 bytes, and the longest below the
// demo's directory is /n10/state/run/.s.PGSQL.65535 (some room is left for others).
const pathBytesMax = 104 - len("/n10/state/run/.s.PGSQL.65535.lock")

// openDirectory makes or takes up the demo's directory and locks it. It refuses a
// directory that holds anything else: at the end the demo removes it.
func openDirectory(dir string, o owner) (path string, lock *os.File, err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pgherd-demo-"); err != nil {
			return "", nil, err
		}
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return "", nil, err
	}
	if len(dir) > pathBytesMax {
		return "", nil, fail(fmt.Sprintf("the path %s is %d bytes long; unix sockets below it allow %d", dir, len(dir), pathBytesMax),
			"choose a shorter place: --dir /tmp/pgherd-demo")
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // /proc names the real path
		return "", nil, err
	}
	if err := checkOurs(dir); err != nil {
		return "", nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", nil, err
	}
	if err := o.canEnter(dir); err != nil {
		return "", nil, err
	}
	lock, err = lockDirectory(dir)
	return dir, lock, err
}

// checkOurs wants an empty directory or a demo's.
func checkOurs(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if len(names) == 0 || slices.Contains(names, layoutName) || slices.Equal(names, []string{lockName}) {
		return nil
	}
	return fail(fmt.Sprintf("%s holds something else than a demo", dir), "choose an empty or a new directory: --dir")
}

const lockName = ".lock"

// lockDirectory keeps a second demo out. The kernel drops the lock when we die.
func lockDirectory(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fail(fmt.Sprintf("another demo runs in %s", dir), "stop it, or choose another directory: --dir")
	}
	return f, nil
}
