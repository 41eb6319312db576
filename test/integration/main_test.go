package integration

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

var (
	exe    string // the pgherd binary under test
	binDir string // PostgreSQL's programs
	owner  struct {
		name     string
		uid, gid int
		cred     *syscall.Credential // nil: our own
	}
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	// Files that commands write as root are root's own, others must be able to enter.
	syscall.Umask(0o022)
	dir, err := os.MkdirTemp("", "pgherd-bin-")
	if err == nil {
		defer os.RemoveAll(dir)
		err = prepare(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration:", err)
		return 1
	}
	defer sharedDown()
	return m.Run()
}

func prepare(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	exe = filepath.Join(dir, "pgherd")
	if given := os.Getenv("PGHERD_EXE"); given != "" { // where there is no Go, such as for another user
		exe = given
		return prepareServer()
	}
	build := exec.Command("go", "build", "-trimpath", "-o", exe, "../../cmd/pgherd")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("building pgherd: %w\n%s", err, out)
	}
	return prepareServer()
}

func prepareServer() error {
	if binDir = newestPostgres(); binDir == "" {
		return fmt.Errorf("no PostgreSQL 14 or newer in /usr/lib/postgresql: `make deps` installs it")
	}
	return findOwner()
}

// newestPostgres gives the programs' directory of the highest installed version.
func newestPostgres() (best string) {
	newest := 0
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	for _, path := range found {
		if v, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))); err == nil && v >= 14 && v > newest {
			newest, best = v, filepath.Dir(path)
		}
	}
	return best
}

// findOwner: PostgreSQL refuses to run as root.
func findOwner() error {
	u, err := user.Current()
	if err == nil && u.Uid == "0" {
		u, err = user.Lookup("postgres")
	}
	if err != nil {
		return err
	}
	owner.name = u.Username
	owner.uid, _ = strconv.Atoi(u.Uid)
	owner.gid, _ = strconv.Atoi(u.Gid)
	if os.Geteuid() == 0 {
		owner.cred = &syscall.Credential{Uid: uint32(owner.uid), Gid: uint32(owner.gid)}
	}
	return nil
}

func isRoot() bool { return os.Geteuid() == 0 }
