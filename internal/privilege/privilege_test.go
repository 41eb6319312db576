package privilege

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests run a program of package main in testdata, built without cgo as pgherd is: what is kept, and what a
// child gets, is read from /proc/PID/status, not from what this package says of itself.

// other is a user without privileges.
func other(t *testing.T) (uid, gid int) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("this test needs root: it becomes somebody else")
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		t.Fatal(err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	return uid, gid
}

func build(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "privilege-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	exe := filepath.Join(dir, "keeper")
	cmd := exec.Command("go", "build", "-o", exe, "./testdata/keeper")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return exe
}

const both = "0000000000003000" // CAP_NET_ADMIN is 12, CAP_NET_RAW 13
const none = "0000000000000000"

// TestRootBecomesAnother is the way of `pgherd run` as root: the agent has both and nothing
// else, what it runs has none, unless it is granted.
func TestRootBecomesAnother(t *testing.T) {
	uid, gid := other(t)
	out, err := exec.Command(build(t), "become", strconv.Itoa(uid), strconv.Itoa(gid)).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := []string{
		fmt.Sprintf("self %d %s %s", uid, both, both), // effective, permitted
		"threads alike",
		fmt.Sprintf("child %d %s %s", uid, none, none),
		fmt.Sprintf("granted %d %s %s", uid, both, both),
		fmt.Sprintf("anew %d %s %s", uid, both, both), // a process that takes the agent's place
	}
	if got := strings.TrimSpace(string(out)); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// TestWithoutCapabilities: who has none loses nothing and breaks nothing.
func TestWithoutCapabilities(t *testing.T) {
	uid, gid := other(t)
	cmd := exec.Command(build(t), "kept")
	cmd.Dir, cmd.SysProcAttr = "/", &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
	out, err := cmd.CombinedOutput()
	if want := fmt.Sprintf("self %d %s %s", uid, none, none); err != nil || !strings.HasPrefix(string(out), want) || !strings.Contains(string(out), "missing CAP_NET_ADMIN and CAP_NET_RAW") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestConfineThread: a bound thread gives both up, and a child of it has none, in this binary too.
func TestConfineThread(t *testing.T) {
	if _, err := current(); err != nil {
		t.Fatal(err)
	}
	done := make(chan string)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		if err := ConfineThread(); err != nil {
			done <- err.Error()
			return
		}
		s, err := current()
		if err != nil || s[0].Permitted&mask != 0 || s[0].Inheritable&mask != 0 {
			done <- fmt.Sprintf("%+v %v", s, err)
			return
		}
		done <- ""
	}()
	select {
	case text := <-done:
		if text != "" {
			t.Error(text)
		}
	case <-time.After(10 * time.Second):
		t.Error("no answer")
	}
	if os.Getuid() == 0 && Grant() == nil {
		t.Error("another thread has lost them, too")
	}
}
