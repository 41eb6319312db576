//go:build versions

package versions

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"testing"
)

var (
	exe      = os.Getenv("PGHERD_TEST_EXE")          // the pgherd binary under test
	binDir   = os.Getenv("PGHERD_TEST_BINDIR")       // PostgreSQL's programs under test
	otherDir = os.Getenv("PGHERD_TEST_OTHER_BINDIR") // those of another major
	owner    syscall.Credential                      // who runs PostgreSQL
)

func TestMain(m *testing.M) {
	if err := prepare(); err != nil {
		fmt.Fprintln(os.Stderr, "versions:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func prepare() error {
	if exe == "" || binDir == "" || otherDir == "" || os.Getuid() != 0 {
		return fmt.Errorf("these tests run as root in a root of their own, by scripts/versions.sh")
	}
	syscall.Umask(0o022)
	u, err := user.Lookup("postgres")
	if err != nil {
		return err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	owner = syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return nil
}

// major is what the programs of a directory say of themselves.
func major(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`\) (\d+)`).FindSubmatch(out)
	if found == nil {
		t.Fatalf("no version in %q", out)
	}
	return string(found[1])
}
