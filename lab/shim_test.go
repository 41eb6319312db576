//go:build lab

package lab

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pgherd/pgherd/lab/cluster"
)

// shimSource is put before libc in PostgreSQL's processes: fsync and fdatasync fail while a file
// beside the data directory says so, or hang. Every process of PostgreSQL works in its data
// directory, so that the file is found without a path that differs by member. A hang here can be
// killed; one in the kernel could not.
const shimSource = `#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <unistd.h>

static int broken(void) {
	while (access("../lab-fsync-hang", F_OK) == 0)
		usleep(20000);
	return access("../lab-fsync-eio", F_OK) == 0;
}

#define SHIM(name) int name(int fd) { \
	static int (*real)(int); \
	if (!real) real = (int (*)(int)) dlsym(RTLD_NEXT, #name); \
	if (broken()) { errno = EIO; return -1; } \
	return real(fd); \
}
SHIM(fsync)
SHIM(fdatasync)
`

const (
	shimHang = "lab-fsync-hang"
	shimEIO  = "lab-fsync-eio"
)

// shim is compiled once for the test process. Whether it works is asked when it is used.
var shim = sync.OnceValues(func() (library string, err error) {
	source := filepath.Join(binDir, "fsync.c")
	library = filepath.Join(binDir, "fsync.so")
	if err := os.WriteFile(source, []byte(shimSource), 0o644); err != nil {
		return "", err
	}
	if out, err := exec.Command("gcc", "-O2", "-Wall", "-shared", "-fPIC", "-o", library, source, "-ldl").CombinedOutput(); err != nil {
		return "", fmt.Errorf("compiling the fsync shim: %w\n%s", err, out)
	}
	return library, nil
})

// withShim is a scenario's configuration.
func withShim(c *cluster.Config) {
	if library, err := shim(); err == nil {
		c.Env = append(c.Env, "LD_PRELOAD="+library)
	}
}

// breakFsync lets fsync of the member's PostgreSQL hang or fail, until mendFsync.
func (l *Lab) breakFsync(m *cluster.Member, how string) {
	l.T.Helper()
	if _, err := shim(); err != nil {
		l.T.Fatal(err)
	}
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", m.PID(cluster.Postmaster)))
	if err != nil || !strings.Contains(string(maps), "fsync.so") {
		l.T.Fatalf("the shim is not in %s's PostgreSQL: %v", m.Name, err)
	}
	l.Do(how+" on "+m.Name, os.WriteFile(filepath.Join(filepath.Dir(m.DataDir), how), nil, 0o644))
}

func (l *Lab) mendFsync(m *cluster.Member) {
	l.Mark("fsync works again on %s", m.Name)
	for _, how := range []string{shimHang, shimEIO} {
		_ = os.Remove(filepath.Join(filepath.Dir(m.DataDir), how))
	}
}
