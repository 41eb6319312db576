//go:build lab

package cluster

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Prepare builds pgherd into dir and finds out who owns what it runs; a test process
// calls it once.
func Prepare(dir string) (exe string, err error) {
	// Files that commands write as root are root's own, others must be able to enter.
	syscall.Umask(0o022)
	u, err := user.Lookup("postgres")
	if err != nil {
		return "", fmt.Errorf("%w: `make deps` installs PostgreSQL, whose user the lab needs", err)
	}
	Owner.UID, _ = strconv.Atoi(u.Uid)
	Owner.GID, _ = strconv.Atoi(u.Gid)
	if given := os.Getenv("PGHERD_EXE"); given != "" {
		return given, nil
	}
	return Build(dir, "pgherd")
}

// Build compiles pgherd; flags are of `go build`.
func Build(dir, name string, flags ...string) (exe string, err error) {
	if err := os.Chmod(dir, 0o755); err != nil {
		return "", err
	}
	exe = filepath.Join(dir, name)
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath"}, flags...), "-o", exe, "github.com/pgherd/pgherd/cmd/pgherd")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building pgherd: %w\n%s", err, out)
	}
	return exe, nil
}
