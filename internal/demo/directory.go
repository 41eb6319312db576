package demo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"
)

// pathBytesMax: a unix socket's path must fit into 107 bytes, and the longest below the
// demo's directory is /n10/state/run/.s.PGSQL.65535 (some room is left for others).
const pathBytesMax = 104 - len("/n10/state/run/.s.PGSQL.65535.lock")

// openDirectory makes or takes up the demo's directory and locks it. It refuses a
// directory that holds anything else or is somebody else's: the demo removes what it finds
// to be its own. created says that this call made it; after an error it is gone again.
func openDirectory(dir string, o owner) (path string, lock *os.File, created bool, err error) {
	if path, created, err = makeDirectory(dir); err != nil {
		return "", nil, false, err
	}
	defer func() {
		if err != nil && created {
			_ = os.Remove(path) // only empty; what another put there meanwhile is his
		}
	}()
	if err = checkOurs(path); err != nil {
		return path, nil, created, err
	}
	if err = os.Chmod(path, 0o755); err != nil {
		return path, nil, created, err
	}
	if err = o.canEnter(path); err != nil {
		return path, nil, created, err
	}
	lock, err = lockDirectory(path)
	return path, lock, created, err
}

// makeDirectory gives the real path (that is what /proc names).
func makeDirectory(dir string) (path string, created bool, err error) {
	if dir == "" {
		if dir, err = os.MkdirTemp("", "pgherd-demo-"); err != nil {
			return "", false, err
		}
		created = true
	}
	temporary := created
	path, err = realDirectory(dir, &created)
	if err != nil && temporary {
		_ = os.Remove(dir)
	}
	return path, created, err
}

// realDirectory makes it when it is not there, and says so in created.
func realDirectory(dir string, created *bool) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if len(dir) > pathBytesMax {
		return "", refuse(fmt.Sprintf("the path %s is %d bytes long; unix sockets below it allow %d", dir, len(dir), pathBytesMax),
			"choose a shorter place: --dir /tmp/pgherd-demo")
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	switch err := os.Mkdir(dir, 0o755); {
	case err == nil:
		*created = true
	case !errors.Is(err, fs.ErrExist):
		return "", err
	}
	return filepath.EvalSymlinks(dir)
}

// checkOurs wants an empty directory or a demo's, and our own.
func checkOurs(dir string) error {
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	const choose = "choose an empty or a new directory: --dir"
	if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
		return refuse(fmt.Sprintf("%s belongs to another user", dir), choose)
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if slices.Contains(names, layoutName) {
		_, err := readLayout(dir)
		return err
	}
	if len(names) == 0 || slices.Equal(names, []string{lockName}) {
		return nil
	}
	return refuse(fmt.Sprintf("%s holds something else than a demo", dir), choose)
}

// errOthersLeft: the directory stays because of what the demo did not make.
var errOthersLeft = errors.New("the directory holds something else than the demo")

// removeOurs removes what a demo makes, by name, and then the directory if it is empty.
// The layout goes late: until then a second start still knows the directory.
func removeOurs(dir string, members []string) error {
	for _, name := range members {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, name := range []string{recordName, passName, caName, layoutName, lockName} {
		files, _ := filepath.Glob(filepath.Join(dir, "."+name+"-[0-9]*")) // a replaceFile that was killed
		for _, file := range append(files, filepath.Join(dir, name)) {
			if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	err := os.Remove(dir)
	if errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.EEXIST) || errors.Is(err, unix.EBUSY) {
		return errOthersLeft
	}
	return err
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
		return nil, refuse(fmt.Sprintf("another demo runs in %s", dir), "stop it, or choose another directory: --dir")
	}
	return f, nil
}
