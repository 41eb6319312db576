package pooler

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestMain runs the tests as the OS user "postgres" when started as root: PgBouncer and
// PostgreSQL refuse root. The child is the same binary by /proc/self/exe: the directory go test
// built it in is closed to other users.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getuid() == 0 {
		os.Exit(runAs("postgres"))
	}
	code := m.Run()
	stopServers()
	os.Exit(code)
}

func runAs(name string) int {
	u, err := user.Lookup(name)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tests as root need the OS user postgres:", err)
		return 1
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	cmd := exec.Command("/proc/self/exe")
	for _, arg := range os.Args[1:] {
		// Files in go test's own directory, which the child cannot write.
		if !strings.HasPrefix(arg, "-test.testlogfile") && !strings.HasPrefix(arg, "-test.coverprofile") &&
			!strings.HasPrefix(arg, "-test.gocoverdir") {
			cmd.Args = append(cmd.Args, arg)
		}
	}
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "HOME=/tmp")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)},
		Pdeathsig:  syscall.SIGKILL,
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "tests as", name+":", err)
		return 1
	}
	return 0
}
